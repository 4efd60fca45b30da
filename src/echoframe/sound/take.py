"""A film's sound as it grows, passage by passage: of the candidates of each, the best one, or the second best, ..."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from echoframe.sound.placed import Placed
from echoframe.windows import add_faded


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """A passage's candidates. order: their numbers, the best first. targets: (K, Da), of length 1. embeddings: (K, Da), and
    reasons why each fits, if they can be embedded."""

    seeds: list[int]
    waveforms: Float[Tensor, "candidates samples"]
    targets: Float[Tensor, "candidates dim"]
    order: list[int]
    embeddings: Float[Tensor, "candidates dim"] | None = None
    reasons: Sequence[Mapping[str, float]] = ()


@dataclass(kw_only=True, eq=False)
class Take:
    """nth: which of the candidates it is made of, 1 is the best. done: samples that are there, the last fade included.
    reasons: why each passage's fits, with its samples."""

    nth: int
    waveform: Float[Tensor, "1 total"]
    done: int = 0
    targets: list[Tensor] = field(default_factory=list)
    embeddings: list[Tensor] = field(default_factory=list)
    reasons: list[tuple[Mapping[str, float], int]] = field(default_factory=list)
    remembered: list[dict[str, str | float]] = field(default_factory=list)
    shots: list[dict[str, str | float | int]] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)

    def add(self, candidates: Candidates, start: int) -> int:
        """Lays its candidate at `start`, in samples, faded into what is there; returns that one's number."""
        chosen = candidates.order[self.nth - 1]
        part = candidates.waveforms[chosen : chosen + 1]
        add_faded(self.waveform, part, start, n_fade=max(self.done - start, 0))
        self.done = start + part.shape[1]
        self.targets.append(candidates.targets[chosen : chosen + 1])
        if candidates.embeddings is not None:
            self.embeddings.append(candidates.embeddings[chosen : chosen + 1])
            self.reasons.append((candidates.reasons[chosen], part.shape[1]))
        return chosen
