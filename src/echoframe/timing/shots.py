"""Where one shot ends and the next begins: cuts, and dissolves.

A *cut* is a step: two frames are far apart, while those to each side are near to each other. A *dissolve* is a blend: half way,
the picture is half of what was and half of what comes, which neither things that move nor a camera that pans ever are.

*Conventions*: frames are luma, (T, H, W) in 0 to 1, small; times in seconds.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

THUMB = (14, 24)  # rows and columns: what a frame is compared by, coarse enough for things to move in it
CUT = 0.09  # mean difference of luma, beyond what the frames around it differ by
STANDS_OUT = 3.0  # times the differences around it
AROUND = 5  # frames to each side
FLASH = 3  # frames: what looks as before within so many was lit, not cut
BLENDS_S = (0.3, 0.5, 0.8, 1.2, 1.8, 2.5)  # seconds that a dissolve may take
BLEND, BENT = (
    0.07,
    0.22,
)  # how far apart its ends are, and how far its middle may be from half of both, in parts of that
ALIKE = 0.7  # correlation of frames that show the same, in another light
SHORTEST_S = 0.4  # of a shot


@dataclass(frozen=True, kw_only=True, slots=True)
class Border:
    """Between two shots: when, in seconds, in the middle of a dissolve. lasts_s: 0 for a cut."""

    time_s: float
    kind: Literal["cut", "dissolve"]
    lasts_s: float = 0.0


def thumbs(frames: Float[Tensor, "t h w"]) -> Float[Tensor, "t 336"]:
    """What frames are compared by."""
    return adaptive_avg_pool2d(frames[:, None], THUMB).flatten(1)


def find_borders(
    small: Float[np.ndarray, "t pixels"], changed: Float[np.ndarray, " t"], times_s: Float[np.ndarray, " t"]
) -> list[Border]:
    """The borders between shots, rising. small: from `thumbs`. changed: mean difference to the frame before, (T,), where that
    is moved as the camera moved."""
    cuts = _cuts(small, changed)
    found = [Border(time_s=float(times_s[at]), kind="cut") for at in cuts]
    return _apart(sorted([*found, *_dissolves(small, times_s, cuts)], key=lambda border: border.time_s), times_s)


def _cuts(small: np.ndarray, changed: np.ndarray) -> list[int]:
    """The first frames of new shots."""
    found = []
    for at in np.flatnonzero(changed > CUT).tolist():
        around = np.delete(changed[max(at - AROUND, 0) : at + AROUND + 1], min(at, AROUND))
        if not len(around) or changed[at] < STANDS_OUT * np.median(around) + CUT / 2:
            continue
        before = small[max(at - FLASH, 0) : at]
        after = small[at : at + FLASH + 1]
        if not len(before):
            continue
        back = np.abs(after[1:, None] - before[None]).mean(axis=2)  # lit and dark again, or a broken frame
        if len(after) > 1 and back.min() < 0.4 * changed[at]:
            continue
        was = small[max(at - FLASH, 0) : at - 1]
        if len(was) and np.abs(was - small[at]).mean(axis=1).min() < 0.4 * changed[at]:
            continue  # what was lit is dark again
        found.append(at)
    return found


def _dissolves(small: np.ndarray, times_s: np.ndarray, cuts: list[int]) -> list[Border]:
    found: list[tuple[float, Border]] = []
    if len(times_s) < 3:
        return []
    step = float(np.median(np.diff(times_s)))
    shot = np.searchsorted(cuts, np.arange(len(small)), side="right")
    for lasts_s in BLENDS_S:
        half = max(round(lasts_s / step / 2), 2)
        n = len(small) - 2 * half
        if n < 1:
            continue
        first, last = small[:n], small[2 * half :]
        apart = np.abs(last - first).mean(axis=1)
        bent = [
            np.abs(small[at : at + n] - first - (at / (2 * half)) * (last - first)).mean(axis=1)
            for at in (half // 2, half, 2 * half - half // 2)
        ]
        wrong = np.max(bent, axis=0) / np.maximum(apart, 1e-6)
        good = (apart > BLEND) & (wrong < BENT) & (_alike(first, last) < ALIKE) & (shot[:n] == shot[2 * half :])
        for at in np.flatnonzero(good).tolist():
            border = Border(time_s=float(times_s[at + half]), kind="dissolve", lasts_s=2 * half * step)
            found.append((float(apart[at] * (1 - wrong[at])), border))
    return [border for _, border in _strongest(found)]


def _alike(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The correlation of each pair of frames: 1 where one is only brighter than the other."""
    one, other = (each - each.mean(axis=1, keepdims=True) for each in (first, last))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / np.maximum(norms, 1e-6)


def _strongest(found: list[tuple[float, Border]]) -> list[tuple[float, Border]]:
    kept: list[tuple[float, Border]] = []
    for strength, border in sorted(found, key=lambda each: -each[0]):
        if all(abs(border.time_s - other.time_s) > (border.lasts_s + other.lasts_s) / 2 for _, other in kept):
            kept.append((strength, border))
    return kept


def _apart(borders: list[Border], times_s: np.ndarray) -> list[Border]:
    """Without shots that are too short to be one."""
    kept: list[Border] = []
    end_s = float(times_s[-1]) if len(times_s) else 0.0
    for border in borders:
        if (
            border.time_s - (kept[-1].time_s if kept else float(times_s[0])) >= SHORTEST_S
            and end_s - border.time_s > 0.1
        ):
            kept.append(border)
    return kept
