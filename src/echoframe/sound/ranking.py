"""Which of several sounds fits best, and why: its reasons, each a number, and their sum by weights.

*Conventions*: nearness to the target and to the prompt are cosines; label is how likely the sound has one of the labels that
are expected, each as far as it is; time is the F1 of onsets within 100 ms of those that
had to be heeded; soundness is 1 where nothing is wrong. What cannot be said of a sound is left out for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echoframe.media.onsets import onset_f1, onsets
from echoframe.media.soundness import faults
from echoframe.options import RANK
from echoframe.timing.cues import Onset

TOLERANCE_S = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What candidates are compared with. targets: each one's own, (K, Da). expected: labels with their chances. prompt: the
    words' place, (Da,). heeded: onsets of the picture."""

    targets: Float[Tensor, "sounds dim"]
    expected: Mapping[str, float]
    prompt: Float[Tensor, " dim"] | None
    heeded: Sequence[Onset]


@dataclass(frozen=True, eq=False)
class Likely:
    """Labels, and how likely each sound has each of them; none where nobody knows."""

    names: Sequence[str]
    chances: Float[Tensor, "sounds labels"]


def reasons_of(
    waveforms: Float[Tensor, "sounds samples"],
    embeddings: Float[Tensor, "sounds dim"],
    sample_rate: int,
    asked: Asked,
    likely: Likely,
) -> list[dict[str, float]]:
    """Each sound's reasons, by their names in `echoframe.options.RANK`."""
    expected = torch.tensor([asked.expected.get(name, 0.0) for name in likely.names])
    shared = likely.chances.float() @ expected if len(expected) and asked.expected else None
    found: list[dict[str, float]] = []
    wanted = np.array([each.time_s for each in asked.heeded])
    for n, (waveform, embedding) in enumerate(zip(waveforms, embeddings, strict=True)):
        samples = waveform.numpy()
        reasons = {"target": float(embedding @ asked.targets[n])}
        if shared is not None:
            reasons["label"] = float(shared[n])
        if asked.prompt is not None:
            reasons["prompt"] = float(embedding @ asked.prompt.to(embedding))
        if len(wanted):
            score = onset_f1(wanted, onsets(samples, sample_rate), tolerance_s=TOLERANCE_S)
            reasons["time"] = score.f1 if score else 0.0
        reasons["soundness"] = faults(samples, sample_rate).soundness
        found.append({name: round(value, 6) for name, value in reasons.items()})
    return found


def total(reasons: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The reasons' sum. weights: those that differ from the usual ones.

    >>> total({"target": 0.5, "time": 1.0}, {"time": 0.1})
    0.225
    """
    return round(sum(value * weights.get(name, RANK[name]) for name, value in reasons.items()), 6)


def ranked(totals: Sequence[float], heard: Bool[np.ndarray, " sounds"]) -> list[int]:
    """The sounds' numbers, the best first; those in which nothing can be heard come last."""
    return sorted(range(len(totals)), key=lambda n: (not heard[n], -totals[n]))
