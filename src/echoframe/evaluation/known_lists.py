"""Lists of test clips that papers use, told apart by what they hold: figures on two of them are not comparable."""

from collections.abc import Sequence

from echoframe.data.clip_list import parse_clip_name
from echoframe.evaluation.sounds import hash_of_names

# hash_of_names of the keys ID_000030
KNOWN = {
    "6cb21ff06dd71096710c23c877ef4c4bb2e82826f468f69a18d4af4f3b5c5ed7": "VGGSound's official test list",
    "d215c1dc41df5a3e825304b7ba7ed51503478a695fd4827755958f3161ab2f57": "MMAudio's VGGSound test list",
    "ed4bce40707a39c5c0d6110d3c92c7bf1e9724ee376b2d412d1a61079c13fab8": "MMAudio's VGGSound validation list",
}


def name_of_list(names: Sequence[str]) -> str:
    """What the list is called and how long it is, or its hash.

    >>> name_of_list(["dog", "cat"])
    '2 clips of no list known by name (sha256 f641fdcd)'
    """
    spans = [parse_clip_name(name) for name in names]
    keys = [f"{span[0]}_{span[1]:06d}" if span else name for name, span in zip(names, spans, strict=True)]
    digest = hash_of_names(keys)
    called = KNOWN.get(digest, f"no list known by name (sha256 {digest[:8]})")
    return f"{len(names):,} clips of {called}" if digest not in KNOWN else f"all {len(names):,} clips of {called}"
