"""Whether two towers embed words in the same space: what a name in a manifest claims, their texts show.

For the hub's models the answer is kept in the hub's cache, in echoframe.spaces.json, by the commits of both repositories.
"""

from pathlib import Path

from echoframe.errors import BundleError
from echoframe.mappers.zero_shot import HEARD_AS, EmbedTexts
from echoframe.weights import read_json, write_json

SAME_SPACE = 0.99  # cosine of one text's two embeddings
PROBES = ("dog barking", "rain", "a car passing by", "violin", "a crowd cheering", "hammering", "waves on a beach", "")
SPACES = "echoframe.spaces.json"


def check_same_space(one: EmbedTexts, other: EmbedTexts, *, names: tuple[str, str]) -> float:
    """The lowest cosine of the two towers' embeddings of the same texts. Raises BundleError unless it is over 0.99."""
    lowest = lowest_cosine(one, other, names=names)
    refuse_other_space(lowest, names)
    return lowest


def lowest_cosine(one: EmbedTexts, other: EmbedTexts, *, names: tuple[str, str]) -> float:
    """The same, whatever it is. Raises BundleError if the towers give other numbers of dimensions."""
    texts = [HEARD_AS.format(probe) if probe else "" for probe in PROBES]
    ours, theirs = one(texts).cpu(), other(texts).cpu()
    if ours.shape != theirs.shape:
        raise BundleError(
            f"{names[0]} embeds texts in {ours.shape[1]} numbers, {names[1]} in {theirs.shape[1]}: not the same audio "
            "space; take both from the same CLAP"
        )
    return float((ours * theirs).sum(dim=1).min())


def refuse_other_space(lowest: float, names: tuple[str, str]) -> None:
    """Raises BundleError unless the cosine is over 0.99."""
    if not lowest > SAME_SPACE:
        raise BundleError(
            f"{names[0]} and {names[1]} embed the same text with a cosine of {lowest:.3f}, expected over {SAME_SPACE}: "
            "these are not the same audio space; take both from the same CLAP"
        )


def known_cosine(generator: str, clap: str, cache: Path) -> float | None:
    """What `keep_cosine` wrote for those two "repository@commit"; none if nothing was."""
    path = cache / SPACES
    found = read_json(path).get(f"{generator} {clap}") if path.is_file() else None
    return found if isinstance(found, float) else None


def keep_cosine(generator: str, clap: str, lowest: float, cache: Path) -> None:
    """Keeps what was found of those two, for later loads."""
    path = cache / SPACES
    write_json(path, (read_json(path) if path.is_file() else {}) | {f"{generator} {clap}": float(lowest)})


def spaces_differ(generator: str, clap: str, cache: Path) -> bool:
    """Whether it is known that the two are not one space."""
    lowest = known_cosine(generator, clap, cache)
    return lowest is not None and not lowest > SAME_SPACE
