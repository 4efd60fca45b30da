"""Peaks of a course over frames, to a fraction of a frame, and the contrast that frames are measured in."""

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import median_low

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

APART_S = 0.09  # between two onsets
LEAST_CONTRAST = 0.02
AROUND = 32  # frames to each side, whose contrast counts


def contrast(frames: Float[Tensor, "t h w"]) -> float:
    """The usual spread of luma in a frame, which the frames' differences are measured in. frames: luma in 0 to 1."""
    return usual(frames.flatten(1).std(dim=1).tolist())


def usual(spreads: Iterable[float]) -> float:
    """The contrast of frames that have these standard deviations of luma."""
    return median_low(spreads) + LEAST_CONTRAST


def with_contrast(
    frames: Iterable[tuple[float, UInt8[np.ndarray, "height width"]]],
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width"], float]]:
    """(time, luma) of frames, each with the contrast of the frames around it, `AROUND` to each side.

    Not of the whole film, which would have to be kept; nor of any part of it, at whose ends the unit would jump.
    """
    waiting: deque[tuple[float, np.ndarray]] = deque()
    spreads: deque[float] = deque(maxlen=2 * AROUND + 1)
    for time_s, image in frames:
        waiting.append((time_s, image))
        spreads.append(float(image.std(ddof=1)) / 255)
        if len(waiting) > AROUND:
            yield *waiting.popleft(), usual(spreads)
    while waiting:
        if len(spreads) > AROUND + len(waiting):
            spreads.popleft()
        yield *waiting.popleft(), usual(spreads)


def peaks(
    values: Float[np.ndarray, " t"], times_s: Float[np.ndarray, " t"], *, threshold: float
) -> Float[np.ndarray, " n"]:
    """When `values` have a peak at or above `threshold`, in seconds, the higher of two that are nearer than 90 ms."""
    padded = np.pad(values, 1, constant_values=-np.inf)
    middle = padded[1:-1]
    places = np.flatnonzero((middle >= threshold) & (middle > padded[:-2]) & (middle >= padded[2:]))
    found: list[tuple[float, int]] = []
    for place in sorted(places, key=lambda place: -values[place]):
        time = _between(values, times_s, int(place))
        if all(abs(time - other) >= APART_S for other, _ in found):
            found.append((time, int(place)))
    return np.array(sorted(time for time, _ in found), dtype=np.float64)


def _between(values: np.ndarray, times_s: np.ndarray, place: int) -> float:
    """Where the parabola through a peak and its neighbours is highest."""
    if not 0 < place < len(values) - 1:
        return float(times_s[place])
    before, top, after = (float(np.log(max(values[place + k], 1e-6))) for k in (-1, 0, 1))
    bend = before - 2 * top + after
    offset = 0.0 if bend >= -1e-9 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))
    step = times_s[place + 1] - times_s[place] if offset > 0 else times_s[place] - times_s[place - 1]
    return float(times_s[place] + offset * step)
