"""Whether two towers embed words in the same space: what a name in a manifest claims, their texts show."""

from echoframe.errors import BundleError
from echoframe.mappers.zero_shot import HEARD_AS, EmbedTexts

SAME_SPACE = 0.99  # cosine of one text's two embeddings
PROBES = ("dog barking", "rain", "a car passing by", "violin", "a crowd cheering", "hammering", "waves on a beach", "")


def check_same_space(one: EmbedTexts, other: EmbedTexts, *, names: tuple[str, str]) -> float:
    """The lowest cosine of the two towers' embeddings of the same texts. Raises BundleError unless it is over 0.99."""
    texts = [HEARD_AS.format(probe) if probe else "" for probe in PROBES]
    ours, theirs = one(texts).cpu(), other(texts).cpu()
    if ours.shape != theirs.shape:
        raise BundleError(
            f"{names[0]} embeds texts in {ours.shape[1]} numbers, {names[1]} in {theirs.shape[1]}: not the same audio "
            "space; take both from the same CLAP"
        )
    lowest = float((ours * theirs).sum(dim=1).min())
    if not lowest > SAME_SPACE:
        raise BundleError(
            f"{names[0]} and {names[1]} embed the same text with a cosine of {lowest:.3f}, expected over {SAME_SPACE}: "
            "these are not the same audio space; take both from the same CLAP"
        )
    return lowest
