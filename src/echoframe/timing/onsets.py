"""Peaks of a course over frames, to a fraction of a frame; and the contrast that frames are measured in."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

APART_S = 0.09  # between two onsets
LEAST_CONTRAST = 0.02


def contrast(frames: Float[Tensor, "t h w"]) -> float:
    """The usual spread of luma in a frame: what the frames' differences are measured in."""
    return float(frames.flatten(1).std(dim=1).median()) + LEAST_CONTRAST


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
