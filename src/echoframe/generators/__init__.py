"""From one audio embedding to a waveform. Kinds: `audioldm` (large, from the hub) and `mel_flow` (small, mini's own).

*Conventions*: targets are unit vectors of the audio space, (B, D); latents have the batch first; waveforms are float32
in [-1, 1]. A kind is loaded by `load_generator`, which imports nothing of the other: diffusers alone takes seconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.errors import BundleError, DeviceError, InputError
from echoframe.generators.memory import Memory, Remembered
from echoframe.media.audio import n_samples, pad_or_trim
from echoframe.options import SampleOptions
from echoframe.progress import ProgressCallback, nth_of
from echoframe.timing.cues import Cues, Onset

_DECODER = 0x6465636F646572  # "decoder": turns an item's seed into the one its decoder draws from
_BATCH = 8  # items denoised together (twice as many rows with guidance): more would cost memory and gain no speed


@runtime_checkable
class Generator(Protocol):
    """Sound from an audio embedding. dim: numbers in a target; sample_rate in Hz; max_duration_s in seconds."""

    dim: int
    sample_rate: int
    max_duration_s: float

    def generate(
        self,
        target: Float[Tensor, "batch dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions | None = None,
        negative: Float[Tensor, "batch dim"] | None = None,
        cues: Sequence[Cues | None] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """One sound per target, exactly round(duration_s * sample_rate) samples: (B, D) -> (B, S) in [-1, 1]."""
        ...

    def remembered(self, target: Float[Tensor, " dim"], *, seed: int, options: SampleOptions) -> Remembered | None:
        """The recording that `generate` begins with for that target and seed; None where it begins with noise."""
        ...


class LatentGenerator(ABC):
    """What every diffusion and flow shares: guidance, batches, seeds of one's own, the exact length.

    A kind gives `_denoise` (noise to latents) and `_decode` (latents to waveform).
    """

    dim: int
    sample_rate: int
    max_duration_s: float
    defaults: SampleOptions
    device: torch.device
    dtype: torch.dtype
    text_folder: Path | None = None  # where a text tower lies, if there is one
    memory: Memory | None = None

    def remembered(self, target: Float[Tensor, " dim"], *, seed: int, options: SampleOptions) -> Remembered | None:
        """The recording that `generate` begins with for that target and seed; None where it begins with noise."""
        if self.memory is None or options.variation == 1:
            return None
        return self.memory.remembered(normalize(target.float(), dim=-1), seed)

    def generate(
        self,
        target: Float[Tensor, "batch dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions | None = None,
        negative: Float[Tensor, "batch dim"] | None = None,
        cues: Sequence[Cues | None] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """One sound per target: (B, D) -> (B, round(duration_s * sample_rate)) float32 in [-1, 1], on the CPU.

        seeds: one per item; an item depends on its own seed, not on the batch it ran in, up to float rounding (within
        1e-4 in float32: other batch sizes may take other kernels). negative: what to steer away from instead of the
        unconditional embedding. cues: when things happen, one per item, heeded as far as `options.sync` asks. progress: called with (steps done, steps in all).
        """
        latents = self.sample_latents(
            target,
            duration_s=duration_s,
            seeds=seeds,
            options=options,
            negative=negative,
            cues=cues,
            progress=progress,
        )
        return pad_or_trim(self.decode(latents, seeds=seeds), n_samples(duration_s, self.sample_rate))

    @torch.no_grad()
    def sample_latents(
        self,
        target: Float[Tensor, "batch dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions | None = None,
        negative: Float[Tensor, "batch dim"] | None = None,
        cues: Sequence[Cues | None] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Float[Tensor, "batch ..."]:
        """The denoised latents of `generate`, before they are decoded: float32, on the generator's device."""
        options = options or self.defaults
        self._check_request(target, negative, duration_s, seeds)
        if options.variation < 1 and self.memory is None:
            raise InputError(
                f"variation {options.variation:g}: this generator remembers no recordings; leave it out, or ask for 1"
            )
        target = normalize(target.float(), dim=-1)  # a regression's output is shorter than 1; a trained one's never is
        if options.guidance == 1:
            negative = None
        elif negative is None:
            negative = self.unconditional.expand(len(target), -1)
        else:
            negative = normalize(negative.float(), dim=-1)
        parts = [slice(start, start + _BATCH) for start in range(0, len(target), _BATCH)]
        latents = []
        for i, part in enumerate(parts):
            randoms = [torch.Generator("cpu").manual_seed(seed) for seed in seeds[part]]
            negative_part = None if negative is None else negative[part]
            onsets = [each.heeded(options.sync) if each else () for each in (cues or [None] * len(seeds))[part]]
            report = nth_of(progress, i, len(parts))
            latents.append(self._denoise(target[part], negative_part, duration_s, randoms, options, onsets, report))
        return torch.cat(latents)

    def embed_text(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """Texts in the audio space, unit length, by the generator's own text tower. Raises BundleError without one."""
        raise BundleError("the generator has no text_encoder/; give an embedding, or a bundle that has one")

    @cached_property
    def unconditional(self) -> Float[Tensor, " dim"]:
        """The embedding that stands for no condition: zeros, unless a kind was trained with another."""
        return torch.zeros(self.dim, device=self.device)

    @torch.no_grad()
    def decode(
        self, latents: Float[Tensor, "batch ..."], *, seeds: Sequence[int] | None = None
    ) -> Float[Tensor, "batch samples"]:
        """Latents to a waveform: all their frames as float32 in [-1, 1] on the CPU, not trimmed.

        seeds: of what a decoder draws, one per item; 0 for all if not given. Item by item, so that memory does not
        grow with the batch. Raises DeviceError if the sound is not finite.
        """
        items = zip(latents.split(1), [0] * len(latents) if seeds is None else seeds, strict=True)
        # not the generator of the latents' own noise, whose numbers would come again
        randoms = ((item, torch.Generator("cpu").manual_seed(seed ^ _DECODER)) for item, seed in items)
        waveform = torch.cat([self._decode(item.to(self.device), random).cpu() for item, random in randoms])
        if not torch.isfinite(waveform).all():
            raise DeviceError(f"the generator gave samples that are not finite in {self.dtype}; use dtype float32")
        return waveform.clamp(-1, 1)

    @abstractmethod
    def _decode(self, latents: Float[Tensor, "1 ..."], random: torch.Generator) -> Float[Tensor, "1 samples"]:
        """One item's latents to a float32 waveform. random: for a kind that draws what its latents do not say."""

    @abstractmethod
    def _denoise(
        self,
        target: Tensor,
        negative: Tensor | None,
        duration_s: float,
        randoms: list[torch.Generator],
        options: SampleOptions,
        onsets: Sequence[Sequence[Onset]],
        progress: ProgressCallback | None,
    ) -> Tensor:
        """Latents of at most `_BATCH` items, each from its own random generator. negative: none without guidance.

        onsets: what each item has to heed.
        """

    def _check_request(self, target: Tensor, negative: Tensor | None, duration_s: float, seeds: Sequence[int]) -> None:
        for name, embedding in (("target", target), ("negative", negative)):
            if embedding is not None and embedding.shape != (len(seeds), self.dim):
                raise InputError(
                    f"{name}: shape {tuple(embedding.shape)}, expected ({len(seeds)}, {self.dim}): "
                    f"one row for each of the {len(seeds)} seeds, {self.dim} numbers each"
                )
            if embedding is not None and not (embedding.isfinite().all() and embedding.any(dim=-1).all()):
                raise InputError(f"{name}: an embedding is all zero or not finite; expected a direction in audio space")
        if len(seeds) == 0:
            raise InputError("no targets: expected at least one embedding and its seed")
        if any(not 0 <= seed < 2**63 for seed in seeds):
            raise InputError(f"seeds {list(seeds)}: expected whole numbers from 0 to 2**63 - 1")
        if not 1 / self.sample_rate <= duration_s <= self.max_duration_s + 1e-9:
            raise InputError(
                f"duration {duration_s} s: this generator makes from one sample to {self.max_duration_s} s at once; "
                "ask for less, or join several sounds"
            )


def guided(predicted: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598, eq. 6): (2B, ...), unconditional first -> (B, ...)."""
    uncond, cond = predicted.chunk(2)
    return uncond + guidance * (cond - uncond)


def load_generator(kind: str, folder: Path, *, device: torch.device | str, dtype: torch.dtype) -> LatentGenerator:
    """The generator of that kind in `folder`. Raises BundleError for a damaged one."""
    kind_class: Any
    if kind == "audioldm":
        from echoframe.generators.audioldm import AudioLdmGenerator as kind_class  # slow to import
    else:
        from echoframe.generators.mel_flow import MelFlowGenerator as kind_class
    return kind_class.from_directory(folder, device=device, dtype=dtype)
