"""How loud a sound should be over time, so that it is heard to begin at given onsets: at most 12 dB up and down."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.timing.cues import Onset

DEPTH_DB = 12.0
DECAY_S = 0.15  # in which a sound falls to about a third of that
_OVER_S = 3.0  # after which nothing of an onset is left
_BLOCK = 1 << 18  # samples shaped at once


def gain_course_db(onsets: Sequence[Onset], times_s: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Decibels at rising times: 0 at the strongest onset and from there down, -12 just before the next one.

    >>> gain_course_db([Onset(time_s=1.0, strength=1.0, confidence=1.0)], np.array([0.99, 1.0, 2.0])).round(1).tolist()
    [-12.0, 0.0, -12.0]
    """
    found = np.full(len(times_s), -DEPTH_DB)
    for onset in onsets:
        past = times_s - onset.time_s
        height = DEPTH_DB * (0.5 + 0.5 * onset.strength)
        course = np.where(past >= -1e-9, height * np.exp(-np.maximum(past, 0.0) / DECAY_S), 0.0) - DEPTH_DB
        found = np.maximum(found, course)
    return found


def shape_loudness(waveform: Float[Tensor, " samples"], onsets: Sequence[Onset], sample_rate: int) -> None:
    """Turns a sound up and down in place, so that it is heard to begin at the onsets; nothing is done without any."""
    for start in range(0, len(waveform) if onsets else 0, _BLOCK):
        part = waveform[start : start + _BLOCK]
        times_s = (start + np.arange(len(part))) / sample_rate
        near = [each for each in onsets if times_s[0] - _OVER_S < each.time_s <= times_s[-1]]
        part *= torch.from_numpy(10 ** (gain_course_db(near, times_s) / 20)).to(part)
