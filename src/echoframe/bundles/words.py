"""Which labels a text means: "heavy rain on a tin roof", "dogs", "speech, music".

In each part of a text, the labels decide that explain most of its words: "dog" means every dog, "a dog howls" the one that
howls. What people call each label stands in vggsound_words.csv.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from rapidfuzz import fuzz, process

from echoframe.bundles.vocabulary import JOINS, SILENT, Vocabulary, vocabulary, word_table
from echoframe.bundles.word_forms import base_form, folded, words_of
from echoframe.errors import InputError

NEAREST = 3  # known words that a message names
AROUND = 3  # words before and after "with" or "and" in a phrase of the table

NEGATIONS = frozenset("no not without".split())
# who makes a sound says less than what is done
PERSONS = frozenset(
    map(
        base_form,
        "man woman person people someone somebody guy boy girl lady kid child baby infant toddler he she".split(),
    )
)
MODIFIERS = frozenset(
    map(
        base_form,
        "loud loudly quiet quietly soft softly gentle gently heavy heavily big large small little tiny old young several "
        "many few two three lot far near nearby away close distant distance background foreground outside inside outdoors "
        "indoors slow slowly fast quickly constant constantly lone single happy sad angry very one more other".split(),
    )
)
Rank = tuple[int, int, int]
NOTHING: Rank = (0, 0, 0)


def known_words(labels: Sequence[str]) -> list[str]:
    """Every word and phrase that names one of `labels`, in alphabetical order, the labels' names among them.

    Args:
        labels: names of labels, such as those of a model's label bank.

    Returns:
        The words, each once.

    >>> known_words(["raining"])[:3]
    ['cloudburst', 'downpour', 'drizzle']
    """
    return sorted({text for label in labels for text in (label, *word_table().get(label, ()))}, key=str.casefold)


def called_alike(meant: Iterable[str], labels: Sequence[str]) -> list[str]:
    """Those of `labels` that people call by a word or a phrase by which they call one of `meant` too, without these.

    >>> called_alike(["playing oboe"], ["playing flute", "playing oboe", "raining"])
    ['playing flute']
    """
    names = {*meant}
    table = word_table()
    said = {text for name in names for text in (name, *table.get(name, ()))}
    return [name for name in labels if name not in names and not said.isdisjoint((name, *table.get(name, ())))]


def labels_meant(text: str, labels: Sequence[str], kinds: Sequence[str] = ()) -> dict[str, float]:
    """The labels that `text` names, with shares that sum to 1.

    Parts count alike: those between commas, semicolons, lines, "and", "with", "while" and the like. Within a part the
    labels decide that explain most of its words, and share it alike; where two sounds explain as much, the first is meant.

    Args:
        text: a few words for one sound or several, in English; small slips of spelling are understood.
        labels: names of the labels that may be meant; a name may come more than once.
        kinds: the kind of each of them (animals, music, ...), by which a text may call them; VGGSound's if not given.

    Returns:
        The share of each label, in (0, 1], the greatest first, and in the order of `labels` among equal ones.

    Raises:
        InputError: The text is empty, says what should not be heard, or has a part that names none of the labels.

    >>> labels_meant("heavy rain on a tin roof and a dog howling", ["dog barking", "dog howling", "raining"])
    {'dog howling': 0.5, 'raining': 0.5}
    """
    pairs = dict.fromkeys(zip(labels, kinds, strict=True)) if kinds else ()
    known = vocabulary(tuple(dict.fromkeys(labels)), tuple(pairs))
    shares: dict[str, float] = {}
    parts = parts_of(text, known)
    if not parts:
        raise InputError(
            f'the text "{one_line(text)}" has no words; say which sound you mean, such as "rain" or "a dog barks"'
        )
    for part in parts:
        meant = labels_of_part(part, text, known)
        for label in meant:
            shares[label] = shares.get(label, 0) + 1 / len(parts) / len(meant)
    order = {label: at for at, label in enumerate(known.own)}
    # rounded, as a sum of thirds need not be the same in another order
    return dict(sorted(shares.items(), key=lambda item: (-round(item[1], 9), order[item[0]])))


def parts_of(text: str, known: Vocabulary) -> list[list[str]]:
    """The words of each part of `text`. A label's name that has a comma or a joining word in it stays whole."""
    rest, parts = folded(text), list[list[str]]()
    for name, words in known.long_names:
        if name in rest:
            rest, times = re.subn(rf"(?<!\w){re.escape(name)}(?!\w)", ";", rest)
            parts += [[*words]] * times
    for piece in re.split(r"[,;:&+/|\n.!?]", rest):
        parts += parted(words_of(piece), known)
    return parts


def parted(words: list[str], known: Vocabulary) -> Iterator[list[str]]:
    """`words` parted at "and", "with" and the like, but not within a phrase of the table, nor after a mere person."""
    part: list[str] = []
    for at, word in enumerate(words):
        mere_person = word == "with" and {*map(base_form, part)} <= PERSONS | SILENT
        if word not in JOINS or mere_person or stands_in_a_phrase(at, words, known):
            part.append(word)
        elif part:
            yield part
            part = []
    if part:
        yield part


def stands_in_a_phrase(at: int, words: list[str], known: Vocabulary) -> bool:
    """Whether the joining word words[at] stands in a phrase of the table: bow and arrow, eating with a fork."""
    before, after = known.bases(words[:at])[-AROUND:], known.bases(words[at + 1 :])[:AROUND]
    return any(
        (*before[first:], words[at], *after[: last + 1]) in known.named
        for first in range(len(before))
        for last in range(len(after))
    )


def labels_of_part(words: list[str], text: str, known: Vocabulary) -> list[str]:
    """The labels that one part of `text` names, in the order of the model's. Raises InputError if there are none."""
    said = " ".join(words)
    if NEGATIONS & {*words}:
        raise InputError(
            f'the text "{one_line(text)}": "{said}" says what should not be heard; leave it out, or make it a negative prompt'
        )
    if tuple(words) in known.names:
        return [known.names[tuple(words)]]
    readings = [known.bases(known.compounds(words)), known.bases(words)]
    bases, ranks = max(((each, ranked(each, known)) for each in readings), key=lambda reading: best_of(reading[1]))
    best = best_of(ranks)
    if best == NOTHING or (best[0] == 0 and {*bases} - PERSONS - MODIFIERS):
        near = nearest(said, known_words(known.own))
        raise InputError(
            f'the text "{one_line(text)}": "{said}" names no sound that is known; the nearest known words are {near}; '
            "use one of them, or another everyday word"
        )
    meant = [label for label in ranks if ranks[label] == best]
    own = [label for label in known.own if label in meant]
    if not own:
        heard = sorted((label for label in known.own if label in ranks), key=lambda label: ranks[label], reverse=True)
        near = quoted([*dict.fromkeys(heard + known.related(meant))][:NEAREST])
        raise InputError(
            f'the text "{one_line(text)}": "{said}" means {quoted(sorted(meant)[:NEAREST])}, which this model does not know; '
            + (f"the nearest labels that it knows are {near}; use one of them" if near else "name another sound")
        )
    return own


def ranked(bases: list[str], known: Vocabulary) -> dict[str, Rank]:
    """How well each label explains a part: how many of its words, how many persons among them, how early they begin."""
    ranks: dict[str, Rank] = {}
    for label, at in known.explained(bases).items():
        firm = {place for place in at if bases[place] not in PERSONS}
        ranks[label] = len(firm), len(at - firm), -min(firm or at)
    return ranks


def best_of(ranks: dict[str, Rank]) -> Rank:
    return max(ranks.values(), default=NOTHING)


def nearest(said: str, words: Sequence[str]) -> str:
    """Those of `words` that are spelt most like `said`."""
    return quoted(each[0] for each in process.extract(said, words, scorer=fuzz.ratio, limit=NEAREST))


def quoted(words: Iterable[str]) -> str:
    """`words` in quotation marks, between commas."""
    return ", ".join(f'"{word}"' for word in words)


def one_line(text: str) -> str:
    """`text` without line breaks."""
    return " ".join(text.split())
