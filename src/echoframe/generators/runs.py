"""What a long sound begins with: its windows' recordings, each in its place.

Neighbouring windows that chose the same recording are one run with one scene. Where two runs overlap, the tokens go over
from one to the other.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.generators.events import Struck
from echoframe.generators.joint import Span
from echoframe.generators.memory import Memory


def scene_of_windows(
    memory: Memory,
    targets: Float[Tensor, "windows dim"],
    seed: int,
    spans: Sequence[Span],
    struck: Sequence[Struck],
    *,
    n_frames: int,
) -> Float[Tensor, "tokens channels"]:
    """One item's scene. spans: of the windows, in tokens. struck: in frames of the whole. n_frames: of a token."""
    found = memory.tokens[:0]
    for first, last in _runs([memory.choose(target, seed) for target in targets]):
        start, stop = spans[first][0], spans[last][1]
        own = [
            replace(each, frame=each.frame - start * n_frames)
            for each in struck
            if start * n_frames <= each.frame < stop * n_frames
        ]
        scene = memory.scene(targets[first], seed, stop - start, own)
        n_fade = len(found) - start
        weight = ((torch.arange(n_fade) + 0.5) / max(n_fade, 1))[:, None]
        faded = torch.lerp(found[start:], scene[:n_fade], weight)
        found = torch.cat([found[:start], faded, scene[n_fade:]])
    return found


def _runs(chosen: list[int]) -> list[tuple[int, int]]:
    """First and last of neighbours that are equal.

    >>> _runs([3, 3, 5, 3])
    [(0, 1), (2, 2), (3, 3)]
    """
    begins = [n for n in range(len(chosen)) if n == 0 or chosen[n] != chosen[n - 1]]
    return [(begin, after - 1) for begin, after in zip(begins, [*begins[1:], len(chosen)], strict=True)]
