"""Which files say what is asked for, word by word, however the words are spelt."""

import re
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from rapidfuzz import fuzz, process

ALIKE = 80.0  # of 100: two spellings of one word, such as its plural
SHORT = 2  # letters: a word that says nothing, unless there is no other
_WORD = re.compile(r"\w+")


class WordIndex:
    """The words of many texts, and which texts each word is in."""

    def __init__(self, texts: Iterable[str]) -> None:
        """texts: of any length; a word counts once in each."""
        places: dict[str, list[int]] = {}
        self.n = 0
        for number, text in enumerate(texts):
            for word in set(_WORD.findall(text.lower())):
                places.setdefault(word, []).append(number)
            self.n = number + 1
        self._words = list(places)
        self._places = [np.array(numbers) for numbers in places.values()]

    def likeness(self, text: str) -> Float[np.ndarray, " texts"]:
        """How much of `text` each text says, 0 to 1: the mean over its words of how like the most like word there is.

        Words that are less like than 0.8 count nothing, nor do those of one or two letters.
        """
        found = np.zeros(self.n)
        asked = list(dict.fromkeys(_WORD.findall(text.lower())))
        asked = [word for word in asked if len(word) > SHORT] or asked
        if not asked or not self._words:
            return found
        for row in process.cdist(asked, self._words, scorer=fuzz.ratio, score_cutoff=ALIKE):
            best = np.zeros(self.n)
            for number in np.flatnonzero(row).tolist():
                places = self._places[number]
                best[places] = np.maximum(best[places], row[number] / 100)
            found += best / len(asked)
        return found
