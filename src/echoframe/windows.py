"""A film's sound in passages: their seeds, what they wait for, what they leave behind, and how they fade into each other."""

import hashlib
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echoframe.media.video import Frames
from echoframe.options import SampleOptions
from echoframe.timing.cues import Cues

SILENT_PEAK = 10 ** (-60 / 20)  # below that nothing can be heard, and no gain makes a sound of it


def add_faded(joined: Float[Tensor, "1 total"], part: Float[Tensor, "1 samples"], start: int, *, n_fade: int) -> None:
    """Lays `part` into `joined` at `start`; over the first `n_fade` samples it fades in while what is there fades out.

    Equal power (sin^2 + cos^2 = 1): neighbours are different noise, a linear fade of them would dip by 3 dB.
    """
    if n_fade:
        angle = (torch.arange(n_fade) + 0.5) * (math.pi / 2 / n_fade)
        joined[:, start : start + n_fade] *= angle.cos()
        joined[:, start : start + n_fade] += part[:, :n_fade] * angle.sin()
    joined[:, start + n_fade : start + part.shape[1]] = part[:, n_fade:]


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Where the randomness of one window comes from: the seed asked for, the clip's content (its sha256) and the window.

    clip: "" draws by the seed alone, as records before "echoframe-provenance/2" did: then all clips share their noise.
    """

    seed: int
    clip: str = ""
    window: int = 0

    @property
    def of_clip(self) -> int:
        """The same in every window, so that a long sound keeps its character."""
        return self._derived("target") if self.clip else self.seed

    def of_target(self, candidate: int) -> int:
        """Of what one of the candidates is made of: the first one's is the clip's own."""
        return self._derived(f"target/{candidate}") if candidate else self.of_clip

    def of_candidate(self, candidate: int) -> int:
        """The seed of one of the window's candidates: so one candidate is among any K.

        >>> Chance(seed=7).of_candidate(0)
        7
        >>> Chance(seed=7, clip="ab").of_candidate(0) == Chance(seed=7, clip="cd").of_candidate(0)
        False
        """
        if not self.clip and self.window == candidate == 0:
            return self.seed
        return self._derived(f"{self.window}/{candidate}")

    def _derived(self, what: str) -> int:
        clip = f"/{self.clip}" if self.clip else ""
        digest = hashlib.sha256(f"{self.seed}/{what}{clip}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The sounds that a passage waits for: one for each of `seeds`, of its own target or of the only one, (K, Da) or
    (K, W, Da). window: its number, of n_windows. negative: (1, Da), what none of them shall be. example: what they begin
    with. cues: when things happen in it.
    """

    target: Float[Tensor, "targets *windows dim"]
    negative: Float[Tensor, "1 dim"] | None = None
    example: Float[Tensor, "1 length"] | None = None
    cues: Cues | None = None
    duration_s: float
    seeds: list[int]
    options: SampleOptions
    window: int
    n_windows: int

    def is_like(self, other: "Wanted") -> bool:
        """Whether one call can generate both."""
        alike = (self.duration_s, self.options) == (other.duration_s, other.options)
        return alike and (self.negative is None) == (other.negative is None) and self.example is other.example


T = TypeVar("T")
# what asks for sounds, is sent them, (N, S), and returns what it made of them
Rendering: TypeAlias = Generator[Wanted, Tensor, T]


def seen_mask(
    real: Bool[np.ndarray, " frames"], times_s: Sequence[float], until_s: float
) -> Bool[np.ndarray, " frames"]:
    """The frames a window that ends at `until_s` is made from: real ones before it. At least the first, held or not."""
    mask = real & (np.asarray(times_s) < until_s)
    mask[0] |= not mask.any()  # past the video's end its last frame is all there is
    return mask


def picture_times(duration_s: float, n: int) -> list[float]:
    """The middles of `n` equal parts of a sound: where the picture shows what was seen."""
    return [(i + 0.5) * duration_s / n for i in range(n)]


@dataclass
class Seen:
    """What the windows leave behind for the picture, the ranking and the labels."""

    picture_times_s: list[float]  # still to be seen
    images: list[np.ndarray] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    reasons: list[list[dict[str, float]]] = field(default_factory=list)
    redrawn: list[int] = field(default_factory=list)
    silent_s: list[tuple[float, float]] = field(default_factory=list)  # from when to when nothing can be heard

    def keep(self, frames: Frames, until_s: float) -> None:
        """Keeps of one window only the frames nearest to the times the picture wants: memory does not grow."""
        times = np.asarray(frames.times_s)
        while self.picture_times_s and self.picture_times_s[0] < until_s:
            nearest = int(np.abs(times - self.picture_times_s.pop(0)).argmin())
            self.images.append(frames.images[nearest].copy())
            self.times_s.append(float(times[nearest]))


def draw(
    wanted: Wanted, chance: Chance, seen: Seen, *, n_draws: int
) -> Rendering[tuple[list[int], Tensor, Bool[np.ndarray, " candidates"]]]:
    """The seeds of a window's candidates, (K, S), and which can be heard.

    While none can, they are drawn again with the next seeds that follow from the first one, `n_draws` times in all.
    """
    count, nth = len(wanted.seeds), 0
    while True:
        waveforms = yield wanted
        heard = (waveforms.abs().amax(dim=1) >= SILENT_PEAK).numpy()
        nth += 1
        if heard.any() or nth >= n_draws:
            seen.redrawn.append(nth - 1)
            return wanted.seeds, waveforms, heard
        wanted = replace(wanted, seeds=[chance.of_candidate(nth * count + k) for k in range(count)])


def unit_mean(vectors: Iterable[Float[Tensor, "1 dim"]]) -> Float[Tensor, "1 dim"]:
    """The mean of unit vectors, brought to length 1: (1, D)."""
    return torch.nn.functional.normalize(torch.cat(list(vectors)).mean(dim=0, keepdim=True), dim=1)
