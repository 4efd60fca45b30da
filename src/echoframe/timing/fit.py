"""How well each of several sounds fits: what it is, and when it begins."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from echoframe.media.onsets import onset_f1, onsets
from echoframe.timing.cues import Onset

TOLERANCE_S = 0.1
IN_TIME = 0.3  # what an onset F1 of 1 is worth, in units of cosine


def fits(
    cosines: Float[Tensor, " sounds"],
    waveforms: Float[Tensor, "sounds samples"],
    sample_rate: int,
    heeded: Sequence[Onset],
) -> list[float]:
    """Of each sound: its cosine with the target, and what its onsets are worth beside those it had to heed, if any."""
    scores: list[float] = cosines.tolist()
    if not heeded:
        return scores
    wanted = np.array([each.time_s for each in heeded])
    found = (onset_f1(wanted, onsets(w.numpy(), sample_rate), tolerance_s=TOLERANCE_S) for w in waveforms)
    return [score + IN_TIME * (each.f1 if each else 0.0) for score, each in zip(scores, found, strict=True)]
