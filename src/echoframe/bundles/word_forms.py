"""Words as they are compared: without accents, plurals and the endings of verbs."""

import re
import unicodedata
from functools import lru_cache

# forms that the rules below would miss, or would confuse with another word
IRREGULAR = {
    form: base
    for base, forms in {
        "blow": "blew blown",
        "break": "broke broken",
        "bus": "buses busses",
        "child": "children",
        "cut": "cutting",
        "drink": "drank drunk",
        "drive": "drove driven",
        "eat": "ate eaten",
        "fall": "fell fallen",
        "fly": "flies",
        "flying": "flying flew flown",  # what flies by is seldom an insect
        "foot": "feet",
        "gas": "gas gases",
        "goose": "geese",
        "knife": "knives",
        "leaf": "leaves",
        "lightning": "lightning",
        "man": "men",
        "mouse": "mice",
        "orchestra": "orchestral",
        "planing": "planing planed",  # not planes
        "ride": "rode ridden",
        "ring": "rang rung",
        "run": "ran",
        "sing": "sang sung",
        "speak": "spoke spoken",
        "strike": "struck",
        "sweep": "swept",
        "swim": "swam swum",
        "tyre": "tire tires",
        "weep": "wept",
        "wolf": "wolves",
        "woman": "women",
        "write": "wrote written",
    }.items()
    for form in forms.split()
}
VOWEL = re.compile("[aeiouy]")
DOUBLED = re.compile("([bdgkmnptv])\\1$")  # not l, r, s, z: howl's bell, purr, hiss and buzz keep both
SHORT = re.compile("^[^aeiouy]+[aeiouy][^aeiouywx]$")  # rid(ing), wav(ing)


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case, without accents and the 's of a possessive; hyphens part words.

    >>> words_of("A dog's Ping-Pong, café")
    ['a', 'dog', 'ping', 'pong', 'cafe']
    """
    return re.findall(r"[a-z0-9]+", re.sub(r"['’]s?\b", "", folded(text)))


def folded(text: str) -> str:
    """`text` in lower case and without accents."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


@lru_cache(maxsize=65536)
def base_form(word: str) -> str:
    """What the forms of one word have in common; `word` is one of `words_of`. It need not be a word itself.

    >>> [base_form(word) for word in ("barks", "barked", "barking", "puppies", "singing", "sing", "bus", "bees")]
    ['bark', 'bark', 'bark', 'puppy', 'sing', 'sing', 'bus', 'bee']
    """
    if word in IRREGULAR:
        word = IRREGULAR[word]
    else:
        word = without_verb_ending(singular(word))
    word = DOUBLED.sub(r"\1", word)
    if len(word) > 4 and word.endswith("e") and not word.endswith("ee"):
        word = word[:-1]  # whistle is whistl(ing)
    return word


def singular(word: str) -> str:
    """`word` without the s of a plural or of a verb: cries, wishes, waves."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if re.search("(ss|x|ch|sh|zz)es$", word):
        return "axe" if word == "axes" else word[:-2]
    if len(word) > 3 and word.endswith("s") and not re.search("(ss|us|is)$", word):
        return word[:-1]
    return word


def without_verb_ending(word: str) -> str:
    """`word` without -ing or -ed, and with the e that a short one had: cried, clapping, riding."""
    if len(word) > 4 and word.endswith("ied"):
        return word[:-3] + "y"
    match = re.match("(.{3,})ing$|(.{2,}[^e])ed$", word)
    stem = match and (match[1] or match[2])
    if not stem or not VOWEL.search(stem):
        return word
    return stem + "e" if SHORT.match(stem) and len(stem) == 3 else stem
