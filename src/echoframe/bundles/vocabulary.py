"""What names a label: the table vggsound_words.csv, the labels' own names and their kinds, as base forms of words."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from rapidfuzz import fuzz, process

from echoframe.bundles.labels import vggsound_labels
from echoframe.bundles.other_words import OTHER_WORDS
from echoframe.bundles.word_forms import base_form, folded, words_of

SPELLING = (
    88  # of 100: what a misspelt word and the known one share; "barkng" has 92, "accordeon" 89, "spinal" (spin) 80
)
SHORTEST = 6  # letters: a shorter word is a letter away from too many others
SLACK = 2  # other words that may stand among those of a phrase

JOINS = frozenset("and with or while then plus during as followed".split())
SILENT = frozenset(
    "a an the of is are was were be been being am it its his her their our my your some any this that these those there "
    "here on in at to into onto from for through sound sounds hear heard hearing".split()
)
NO_SOUND = frozenset({"others", "people", "home"})  # kinds that are no words for a sound
Phrase = tuple[str, ...]


@lru_cache(maxsize=1)
def word_table() -> dict[str, tuple[str, ...]]:
    """The words and phrases of each label, from vggsound_words.csv.

    >>> word_table()["thunder"][:2]
    ('thunderstorm', 'thunderclap')
    """
    text = files("echoframe.bundles").joinpath("vggsound_words.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {row["label"]: tuple(row["words"].split(";")) for row in csv.DictReader(lines)}


@dataclass(frozen=True)
class Vocabulary:
    """Phrases and the labels that each names, those that may be meant (`own`) and the others of the table."""

    own: tuple[str, ...]
    names: dict[Phrase, str]  # the words of the names of `own`, as they are written
    long_names: tuple[
        tuple[str, Phrase], ...
    ]  # those with a comma or a joining word in them, and their words; longest first
    words: frozenset[str]  # base forms of all words in the phrases
    named: dict[Phrase, set[str]] = field(default_factory=dict)
    by_word: dict[str, set[Phrase]] = field(default_factory=dict)
    spelt: dict[str, list[str]] = field(default_factory=dict)  # first letter -> words as they are written

    def add(self, text: str, label: str) -> None:
        """Has `text` name `label`."""
        words = words_of(text)
        for phrase in {tuple(self.bases(words)), tuple(self.bases(self.compounds(words)))} - {()}:
            self.named.setdefault(phrase, set()).add(label)
            self.by_word.setdefault(min(phrase), set()).add(phrase)

    def bases(self, words: Sequence[str]) -> list[str]:
        """The base forms of `words`, misspelt ones corrected, and without those that say nothing."""
        return [base_form(self.corrected(word)) for word in words if word not in SILENT]

    def compounds(self, words: Sequence[str]) -> list[str]:
        """`words`, two that are known as one joined: door bell."""
        found: list[str] = []
        for word in words:
            pair = found[-1] + word if found and min(len(found[-1]), len(word)) > 2 else ""
            if pair and base_form(pair) in self.words:
                found[-1] = pair
            else:
                found.append(word)
        return found

    def corrected(self, word: str) -> str:
        """`word`, or the known word that it misspells. The first letter counts as right."""
        base = base_form(word)
        if len(word) < SHORTEST or base in self.words or base in OTHER_WORDS or word in JOINS:
            return word
        best = process.extractOne(word, self.spelt.get(word[0], ()), scorer=fuzz.ratio, score_cutoff=SPELLING)
        return best[0] if best else word

    def explained(self, bases: Sequence[str]) -> dict[str, set[int]]:
        """The labels that phrases in `bases` name, and the places of the words of these phrases."""
        found: dict[str, set[int]] = {}
        for phrase in {phrase for word in bases for phrase in self.by_word.get(word, ())}:
            at = places(phrase, bases)
            for label in self.named[phrase] if at else ():
                found.setdefault(label, set()).update(at)
        return found

    def related(self, labels: Sequence[str]) -> list[str]:
        """Those of `own` that share a phrase with one of `labels`, the one that shares most first."""
        shared = Counter(label for named in self.named.values() if named & {*labels} for label in named)
        return sorted((label for label in self.own if shared[label]), key=lambda label: -shared[label])


@lru_cache(maxsize=8)
def vocabulary(labels: tuple[str, ...], kinds: tuple[tuple[str, str], ...] = ()) -> Vocabulary:
    """What names `labels`, by the table, their names and their `kinds` (label, kind); VGGSound's kinds if none are given."""
    texts = [(text, label) for label, words in word_table().items() for text in (label, *words)]
    texts += [(label, label) for label in labels if label not in word_table()]
    own = {*labels}
    texts += [(kind, label) for label, kind in kinds or vggsound_labels() if label in own and kind not in NO_SOUND]
    written = sorted({word for text, _ in texts for word in words_of(text)})
    names = {tuple(words_of(label)): label for label in labels}
    long = [(folded(label), words) for words, label in names.items() if "," in label or JOINS & {*words}]
    known = Vocabulary(
        own=labels,
        names=names,
        long_names=tuple(sorted(long, key=lambda name: -len(name[0]))),
        words=frozenset(map(base_form, written)),
    )
    for text, label in texts:
        known.add(text, label)
    for word in written:
        known.spelt.setdefault(word[0], []).append(word)
    return known


def places(phrase: Phrase, bases: Sequence[str]) -> set[int]:
    """Where the words of `phrase` stand near each other in `bases`, in any order; empty if they do not."""
    slack = SLACK if len(phrase) > 1 else 0
    for start in range(len(bases) - len(phrase) + 1):
        window = bases[start : start + len(phrase) + slack]
        if Counter(phrase) <= Counter(window):
            return {start + window.index(word) for word in phrase}
    return set()
