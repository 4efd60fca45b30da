"""Where one shot ends and the next begins: cuts, and dissolves.

A *cut* is a step: two frames are far apart, while those to each side are near to each other. A *dissolve* is a blend:
half way, the picture is half of what was and half of what comes. Things that move, or a camera that pans, never look so.

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
BLOCK = 1024  # frames compared together: memory does not grow with the film
BLENDS_S = (0.3, 0.5, 0.8, 1.2, 1.8, 2.5)  # seconds that a dissolve may take
BLEND = 0.07  # mean difference of luma between the ends of a dissolve
BENT = 0.22  # in parts of that: how far from the blend of both ends the frames between them may be
ALIKE = 0.7  # correlation of frames that show the same, in another light
BACK_S, BACK = 0.6, 0.4  # seconds within which a light dies away, and how much of the change may be left of it
SHORTEST_S = 0.4  # of a shot
LAST_S = 0.1  # from the last border to the last frame, at least


@dataclass(frozen=True, kw_only=True, slots=True)
class Border:
    """Where one shot ends and the next begins.

    Attributes:
        time_s: the first frame of the next shot, or the middle of a dissolve, in seconds.
        kind: "cut" or "dissolve".
        lasts_s: how long a dissolve takes, in seconds; 0 for a cut.
    """

    time_s: float
    kind: Literal["cut", "dissolve"]
    lasts_s: float = 0.0


def thumbs(frames: Float[Tensor, "t h w"]) -> Float[Tensor, "t 336"]:
    """What frames are compared by: the same few pixels of each, whatever its shape."""
    return adaptive_avg_pool2d(frames[:, None], THUMB).flatten(1)


def find_borders(
    small: Float[np.ndarray, "t pixels"], changed: Float[np.ndarray, " t"], times_s: Float[np.ndarray, " t"]
) -> list[Border]:
    """The borders between shots, rising in time.

    small: from `thumbs`. changed: (T,) mean difference of luma to the frame before, where that is moved as the camera
    moved. times_s: (T,) when each frame is shown.
    """
    cuts = _cuts(small, changed)
    found = [Border(time_s=float(times_s[at]), kind="cut") for at in cuts]
    for border in _dissolves(small, times_s, cuts):
        if all(abs(border.time_s - times_s[at]) >= SHORTEST_S for at in cuts):  # of the two, a cut is surer
            found.append(border)
    found = [border for border in found if not _comes_back(small, times_s, border)]
    return _apart(sorted(found, key=lambda border: border.time_s), times_s)


def _exact(small: np.ndarray) -> np.ndarray:
    """Some of the frames in numbers to count with; all of a long film's would be as much as is kept of it."""
    return small.astype(np.float32, copy=False)


def _comes_back(small: np.ndarray, times_s: np.ndarray, border: Border) -> bool:
    """Whether soon after a border the picture is what it was before: something was lit, and the light died away."""
    half = border.lasts_s / 2
    begin, end = np.searchsorted(times_s, (border.time_s - half - 1e-6, border.time_s + half - 1e-6))
    before = _exact(small[np.searchsorted(times_s, times_s[begin] - BACK_S) : max(begin, 1)])
    after = _exact(small[end : np.searchsorted(times_s, border.time_s + half + BACK_S)])
    if not len(before) or len(after) < 2:
        return False
    apart = np.abs(after[0] - before[-1]).mean()
    return bool(np.abs(after[1:, None] - before[None]).mean(axis=2).min() < BACK * apart)


def _cuts(small: np.ndarray, changed: np.ndarray) -> list[int]:
    """The first frames of new shots."""
    found = []
    for at in (np.flatnonzero(changed[1:] > CUT) + 1).tolist():
        around = np.delete(changed[max(at - AROUND, 0) : at + AROUND + 1], min(at, AROUND))
        if changed[at] < STANDS_OUT * np.median(around) + CUT / 2:
            continue
        before, after = _exact(small[max(at - FLASH, 0) : at]), _exact(small[at : at + FLASH + 1])
        back = np.abs(after[1:, None] - before[None]).mean(axis=2)  # lit and dark again, or a broken frame
        if len(after) > 1 and back.min() < 0.4 * changed[at]:
            continue
        was = _exact(small[max(at - FLASH - 1, 0) : at - 1])
        if len(was) and np.abs(was - after[0]).mean(axis=1).min() < 0.4 * changed[at]:
            continue  # what was lit is dark again
        found.append(at)
    return found


def _dissolves(small: np.ndarray, times_s: np.ndarray, cuts: list[int]) -> list[Border]:
    """The dissolves within the shots that begin at `cuts`, the strongest where several overlap."""
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
        parts = [_blended(_exact(small[at : at + BLOCK + 2 * half]), half) for at in range(0, n, BLOCK)]
        apart, wrong, alike = np.concatenate(parts, axis=1)
        good = (apart > BLEND) & (wrong < BENT) & (alike < ALIKE) & (shot[:n] == shot[2 * half :])
        for at in np.flatnonzero(good).tolist():
            border = Border(time_s=float(times_s[at + half]), kind="dissolve", lasts_s=2 * half * step)
            found.append((float(apart[at] * (1 - wrong[at])), border))
    return _strongest(found)


def _blended(small: np.ndarray, half: int) -> np.ndarray:
    """(3, T - 2 half): how far apart each frame and the one 2 half later are, how far from a blend what lies between is, in
    parts of that, and how alike both are.
    """
    n = len(small) - 2 * half
    first, last = small[:n], small[2 * half :]
    apart = np.abs(last - first).mean(axis=1)
    bent = [
        np.abs(small[at : at + n] - first - (at / (2 * half)) * (last - first)).mean(axis=1)
        for at in (half // 2, half, 2 * half - half // 2)
    ]
    return np.stack([apart, np.max(bent, axis=0) / np.maximum(apart, 1e-6), _alike(first, last)])


def _alike(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The correlation of each pair of frames: 1 where one is only brighter than the other."""
    one, other = (each - each.mean(axis=1, keepdims=True) for each in (first, last))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / np.maximum(norms, 1e-6)


def _strongest(found: list[tuple[float, Border]]) -> list[Border]:
    """Of (strength, border), the strongest ones that do not overlap."""
    kept: list[Border] = []
    for _, border in sorted(found, key=lambda each: -each[0]):
        if all(abs(border.time_s - other.time_s) > (border.lasts_s + other.lasts_s) / 2 for other in kept):
            kept.append(border)
    return kept


def _apart(borders: list[Border], times_s: np.ndarray) -> list[Border]:
    """Without shots that are too short to be one."""
    kept: list[Border] = []
    for border in borders:
        begin_s = kept[-1].time_s if kept else float(times_s[0])
        if border.time_s - begin_s >= SHORTEST_S and float(times_s[-1]) - border.time_s > LAST_S:
            kept.append(border)
    return kept
