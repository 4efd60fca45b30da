"""A library as a generator: it answers a target with recordings, which the model's own generator may vary."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.errors import InputError
from echoframe.generators import Generator
from echoframe.generators.memory import Remembered
from echoframe.library.entries import Found, Kind
from echoframe.library.mixing import mixed
from echoframe.library.placing import placed
from echoframe.media.audio import n_samples, pad_or_trim, resample
from echoframe.options import SampleOptions
from echoframe.progress import ProgressCallback, nth_of
from echoframe.sound.placed import AMBIENCE, EVENTS, VARIED, Placed
from echoframe.timing.cues import Cues

if TYPE_CHECKING:
    from echoframe.library.library import Library

N_FOUND = 32  # pieces of each kind among which the seed draws
SHORTEST_S = 4.0  # that the model's generator varies; of a shorter sound what is left over is cut off


class LibraryVoice:
    """Meets `echoframe.sound.placed.Placing`. What it generates is mono, at its generator's rate: to be heard and ranked.
    The sound itself is `layers`, at the library's rate and with its channels."""

    def __init__(self, library: "Library", generator: Generator) -> None:
        """library: open for as long as this is used. generator: varies the recordings."""
        self._library, self._generator = library, generator
        self.path = library.path.resolve()
        self.dim, self.sample_rate = generator.dim, generator.sample_rate
        self.max_duration_s = generator.max_duration_s
        self.mix_rate, self.mix_channels = library.usual_format()

    @property
    def has_text(self) -> bool:
        """Whether the generator knows the place of a text in its audio space."""
        return self._generator.has_text

    def embed_text(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """Texts in the audio space. Raises BundleError without a text tower."""
        return self._generator.embed_text(texts)

    def windows_s(self, duration_s: float) -> list[tuple[float, float]]:
        """From when to when each window of such a sound lies: there, a long one may have another target."""
        return self._generator.windows_s(duration_s)

    def example_length(self, duration_s: float) -> int:
        """As the generator's."""
        return self._generator.example_length(duration_s)

    def fit(self, target: Float[Tensor, " dim"], embeddings: Float[Tensor, "sounds dim"]) -> Float[Tensor, " sounds"]:
        """As the generator's."""
        return self._generator.fit(target, embeddings)

    def labelled(
        self, embeddings: Float[Tensor, "sounds dim"]
    ) -> tuple[tuple[str, ...], Float[Tensor, "sounds labels"]]:
        """As the generator's."""
        return self._generator.labelled(embeddings)

    def remembered(
        self, target: Float[Tensor, "*windows dim"], *, seed: int, options: SampleOptions
    ) -> tuple[Remembered, ...]:
        """None: what a sound is made of is placed."""
        return ()

    def place(
        self,
        target: Float[Tensor, "*windows dim"],
        *,
        duration_s: float,
        seed: int,
        options: SampleOptions,
        cues: Cues | None,
    ) -> tuple[Placed, ...]:
        """What `generate` lays for that target and that seed, from a passage's beginning on.

        Raises InputError if the library has no recording that is there.
        """
        random = np.random.default_rng(seed)
        mean = normalize(target.reshape(-1, target.shape[-1]).float().cpu().mean(dim=0), dim=0)
        heeded = () if cues is None else cues.heeded(options.sync)
        return tuple(
            placed(
                self._near(mean, "event"), self._near(mean, "ambience"), heeded, duration_s=duration_s, random=random
            )
        )

    def _near(self, target: Float[Tensor, " dim"], kind: Kind) -> list[Found]:
        (found,) = self._library.nearest(target[None], k=N_FOUND, kind=kind, fit=self._generator.fit)
        there = [each for each in found if each.path.is_file()]
        if found and not there:
            raise InputError(
                f"{self.path}: {found[0].path} and all others that fit are not there any more; echoframe library check "
                "lists them, echoframe library add finds them again"
            )
        return there

    def generate(
        self,
        target: Float[Tensor, "batch *windows dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions | None = None,
        negative: Float[Tensor, "batch dim"] | None = None,
        example: Float[Tensor, "1 length"] | None = None,
        cues: Sequence[Cues | None] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """The recordings' sum for each seed, mono: (B, D) or (B, W, D) -> (B, S), varied as far as `options.blend` says.

        An example moves the target, before; it is not used here.
        """
        options = options or SampleOptions()
        found = []
        for n, (each, seed) in enumerate(zip(target, seeds, strict=True)):
            own_cues = cues[n] if cues else None
            laid = self.place(each, duration_s=duration_s, seed=seed, options=options, cues=own_cues)
            length = n_samples(duration_s, self.sample_rate)
            sound = mixed(laid, n_samples=length, sample_rate=self.sample_rate, channels=1)
            away = None if negative is None else negative[n : n + 1]
            own = nth_of(progress, n, len(seeds))
            found.append(
                self._varied(sound, each[None], duration_s, seed, options, away, own) if options.blend else sound
            )
        return torch.cat(found)

    def _varied(
        self,
        sound: Float[Tensor, "1 samples"],
        target: Float[Tensor, "1 *windows dim"],
        duration_s: float,
        seed: int,
        options: SampleOptions,
        negative: Float[Tensor, "1 dim"] | None,
        progress: ProgressCallback | None,
    ) -> Float[Tensor, "1 samples"]:
        """What the generator makes of a sound that it begins with, as loud as that."""
        longer_s = max(duration_s, SHORTEST_S)
        made = self._generator.generate(
            target,
            duration_s=longer_s,
            seeds=[seed],
            options=replace(options, variation=options.blend, sync=0.0),
            negative=negative,
            example=pad_or_trim(sound, self._generator.example_length(longer_s)),
            progress=progress,
        )[:, : sound.shape[1]]
        power = float(made.square().mean())
        return made * (float(sound.square().mean()) / power) ** 0.5 if power else made

    def layers(
        self, placed: Sequence[Placed], made: Float[Tensor, "1 samples"], *, duration_s: float, blend: float
    ) -> dict[str, Float[Tensor, "channels length"]]:
        """The ambience and the events at `mix_rate`; and what they were varied to, in the place of their low frequencies."""
        length = n_samples(duration_s, self.mix_rate)
        found = {
            layer: mixed(
                [each for each in placed if each.layer == layer],
                n_samples=length,
                sample_rate=self.mix_rate,
                channels=self.mix_channels,
            )
            for layer in (AMBIENCE, EVENTS)
        }
        if not blend:
            return found
        for each in found.values():
            each -= self._low(each, length)
        low = pad_or_trim(resample(made, self.sample_rate, self.mix_rate), length)
        return found | {VARIED: low.expand(self.mix_channels, -1).contiguous()}

    def _low(self, sound: Tensor, length: int) -> Tensor:
        """What of a sound the generator's rate can hold."""
        if self.sample_rate >= self.mix_rate:
            return sound.clone()
        return pad_or_trim(
            resample(resample(sound, self.mix_rate, self.sample_rate), self.sample_rate, self.mix_rate), length
        )
