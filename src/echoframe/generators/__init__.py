"""From one audio embedding to a waveform. Kinds: `audioldm` (large, from the hub) and `mel_flow` (small, mini's own).

*Conventions*: targets are unit vectors of the audio space, (B, D), or (B, W, D) with one for each window of a long sound;
latents have the batch first; waveforms are float32 in [-1, 1]. A kind is loaded by `load_generator`, which imports nothing
of the other: diffusers alone takes seconds.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.errors import BundleError, DeviceError, InputError
from echoframe.generators.asked import check_duration, check_embeddings, check_seeds
from echoframe.generators.joint import Span, plan_spans, predict
from echoframe.generators.memory import Memory, Remembered
from echoframe.media.audio import n_samples, pad_or_trim
from echoframe.options import SampleOptions
from echoframe.progress import ProgressCallback, nth_of
from echoframe.timing.cues import Cues, Onset
from echoframe.timing.envelope import shape_loudness

_DECODER = 0x6465636F646572  # "decoder": turns an item's seed into the one its decoder draws from
_BATCH = 8  # windows denoised together (twice as many rows with guidance): more would cost memory and gain no speed
OVERLAP_SHARE = 4  # neighbouring windows of a long sound share a fourth of the longest


@runtime_checkable
class Generator(Protocol):
    """Sound from an audio embedding. dim: numbers in a target; sample_rate in Hz; max_duration_s: seconds of a window."""

    dim: int
    sample_rate: int
    max_duration_s: float

    @property
    def has_text(self) -> bool:
        """Whether it knows the place of a text in its audio space."""
        ...

    def embed_text(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """Texts in the audio space, unit length. Raises BundleError without a text tower."""
        ...

    def windows_s(self, duration_s: float) -> list[tuple[float, float]]:
        """From when to when each window of such a sound lies, in seconds: one window where it is short."""
        ...

    def example_length(self, duration_s: float) -> int:
        """Samples of an example that such a sound follows from its beginning to its end, time by time."""
        ...

    def fit(self, target: Float[Tensor, " dim"], embeddings: Float[Tensor, "sounds dim"]) -> Float[Tensor, " sounds"]:
        """How well sounds of those embeddings meet a target, all of length 1 on the CPU; more is better."""
        ...

    def labelled(
        self, embeddings: Float[Tensor, "sounds dim"]
    ) -> tuple[tuple[str, ...], Float[Tensor, "sounds labels"]]:
        """Labels, and how likely a sound of each embedding has each of them; none where it knows no labels."""
        ...

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
        """One sound per seed, exactly round(duration_s * sample_rate) samples: (B, D) or (B, W, D) -> (B, S) in [-1, 1]."""
        ...

    def remembered(
        self, target: Float[Tensor, "*windows dim"], *, seed: int, options: SampleOptions
    ) -> tuple[Remembered, ...]:
        """The recordings that `generate` begins with for those targets and that seed; none where it begins with noise."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """At most `_BATCH` items that are denoised together.

    target: (B, W, D), of the windows that `spans` places in the latents, whose length is the last one's end. negative:
    (B, D), none without guidance. onsets: what each item has to heed. begins_with: what is remembered, or an example's
    latents, (1, ...), of any length; none where there is only noise.
    """

    target: Float[Tensor, "batch windows dim"]
    negative: Float[Tensor, "batch dim"] | None
    duration_s: float
    spans: Sequence[Span]
    randoms: Sequence[torch.Generator]
    options: SampleOptions
    onsets: Sequence[Sequence[Onset]]
    begins_with: Memory | Tensor | None


class LatentGenerator(ABC):
    """What every diffusion and flow shares: guidance, batches, seeds of one's own, windows, the exact length.

    A kind gives `_denoise` (noise to latents) and `_decode` (latents to waveform). step: samples of one step of its
    latents in time, which is their dimension `time_dim`. span_multiple: steps that a window's bounds are a multiple of.
    """

    dim: int
    sample_rate: int
    max_duration_s: float
    defaults: SampleOptions
    device: torch.device
    dtype: torch.dtype
    step: int
    time_dim: int
    span_multiple: int
    text_folder: Path | None = None  # where a text tower lies, if there is one
    memory: Memory | None = None
    lays_events: bool = False  # whether what it begins with is laid on the onsets

    @property
    def has_text(self) -> bool:
        """Whether it knows the place of a text in its audio space."""
        return self.text_folder is not None

    def windows_s(self, duration_s: float) -> list[tuple[float, float]]:
        """From when to when each window of such a sound lies, in seconds: one window where it is short."""
        spans = self._spans(self._n_steps(duration_s))
        if len(spans) == 1:
            return [(0.0, duration_s)]
        step_s = self.step / self.sample_rate
        return [(start * step_s, min(stop * step_s, duration_s)) for start, stop in spans]

    def example_length(self, duration_s: float) -> int:
        """Samples of an example that such a sound follows from its beginning to its end, time by time."""
        return self._spans(self._n_steps(duration_s))[-1][1] * self.step

    def fit(self, target: Float[Tensor, " dim"], embeddings: Float[Tensor, "sounds dim"]) -> Float[Tensor, " sounds"]:
        """How well sounds of those embeddings meet a target, all of length 1 on the CPU: by their cosines."""
        return embeddings @ target

    def labelled(
        self, embeddings: Float[Tensor, "sounds dim"]
    ) -> tuple[tuple[str, ...], Float[Tensor, "sounds labels"]]:
        """Labels, and how likely a sound of each embedding has each of them: none."""
        return (), torch.zeros(len(embeddings), 0)

    def remembered(
        self, target: Float[Tensor, "*windows dim"], *, seed: int, options: SampleOptions
    ) -> tuple[Remembered, ...]:
        """The recordings that `generate` begins with for those targets and that seed; none where it begins with noise.

        Each once, in the order of the windows, with the cosine of the first window that begins with it.
        """
        if self.memory is None or options.variation == 1:
            return ()
        found: dict[tuple[str, str], Remembered] = {}
        for row in normalize(target.float(), dim=-1).reshape(-1, self.dim):
            each = self.memory.remembered(row, seed)
            found.setdefault((each.source, each.sound), each)
        return tuple(found.values())

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
        """One sound per seed: (B, D) or (B, W, D) -> (B, round(duration_s * sample_rate)) float32 in [-1, 1], on the CPU.

        target: of the whole sound, or one for each of the W windows of `windows_s(duration_s)`, heeded where they lie;
        windows are denoised together, so that nothing is joined. seeds: one per item; an item depends on its own seed, not
        on the batch it ran in, up to float rounding (within 1e-4 in float32: other batch sizes may take other kernels).
        negative: what to steer away from in all windows instead of the unconditional embedding. example: a sound, at
        `sample_rate`, that all begin with, as far as `options.variation` says. cues: when things happen,
        one per item, heeded as far as `options.sync` asks. progress: called with (steps done, steps in all).
        """
        latents = self.sample_latents(
            target,
            duration_s=duration_s,
            seeds=seeds,
            options=options,
            negative=negative,
            example=example,
            cues=cues,
            progress=progress,
        )
        waveform = pad_or_trim(self.decode(latents, seeds=seeds), n_samples(duration_s, self.sample_rate))
        options = options or self.defaults
        if not self.lays_events or options.variation == 1:  # nothing was laid on the onsets
            for row, each in zip(waveform, cues or (), strict=False):
                shape_loudness(row, each.heeded(options.sync) if each else (), self.sample_rate)
        return waveform

    @torch.no_grad()
    def sample_latents(
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
    ) -> Float[Tensor, "batch ..."]:
        """The denoised latents of `generate`, before they are decoded: float32, on the generator's device."""
        options = options or self.defaults
        check_duration(duration_s, sample_rate=self.sample_rate)
        check_embeddings(target, negative, n=len(seeds), n_windows=len(self.windows_s(duration_s)), dim=self.dim)
        check_seeds(seeds)
        spans = self._spans(self._n_steps(duration_s))
        if options.variation < 1 and self.memory is None and example is None:
            raise InputError(
                f"variation {options.variation:g}: this generator remembers no recordings; leave it out, ask for 1, or give "
                "an example"
            )
        begins_with = self.memory if example is None else self._known(example)
        target = normalize(target.float(), dim=-1)  # a regression's output is shorter than 1; a trained one's never is
        if target.ndim == 2:
            target = target[:, None].expand(-1, len(spans), -1)
        if options.guidance == 1:
            negative = None
        elif negative is None:
            negative = self.unconditional.expand(len(target), -1)
        else:
            negative = normalize(negative.float(), dim=-1)
        parts = [slice(start, start + _BATCH) for start in range(0, len(target), _BATCH)]
        latents = []
        for i, part in enumerate(parts):
            batch = Batch(
                target=target[part],
                negative=None if negative is None else negative[part],
                duration_s=duration_s,
                spans=spans,
                randoms=[torch.Generator("cpu").manual_seed(seed) for seed in seeds[part]],
                options=options,
                onsets=[each.heeded(options.sync) if each else () for each in (cues or [None] * len(seeds))[part]],
                begins_with=begins_with,
            )
            latents.append(self._denoise(batch, nth_of(progress, i, len(parts))))
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

        seeds: of what a decoder draws, one per item; 0 for all if not given. Item by item and piece by piece, so that
        memory grows with neither, but for the waveform. Raises DeviceError if the sound is not finite.
        """
        waveform = torch.empty(len(latents), self._n_decoded(latents.shape[self.time_dim]))
        for n, seed in zip(range(len(latents)), [0] * len(latents) if seeds is None else seeds, strict=True):
            start = 0
            for piece in self.decode_in_pieces(latents[n : n + 1], seed=seed):
                waveform[n : n + 1, start : start + piece.shape[1]] = piece
                start += piece.shape[1]
        return waveform

    def decode_in_pieces(
        self, latents: Float[Tensor, "1 ..."], *, seed: int = 0
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `decode` gives for one item, in order, about a window at a time: one piece where the sound is short."""
        # not the generator of the latents' own noise, whose numbers would come again
        random = torch.Generator("cpu").manual_seed(seed ^ _DECODER)
        pieces = self._decode(latents.to(self.device), random)
        while True:
            with torch.no_grad():  # a generator that waits would leave it on for whoever reads it
                piece = next(pieces, None)
            if piece is None:
                return
            if not torch.isfinite(piece).all():
                raise DeviceError(f"the generator gave samples that are not finite in {self.dtype}; use dtype float32")
            yield piece.cpu().clamp(-1, 1)

    @abstractmethod
    def _decode(self, latents: Float[Tensor, "1 ..."], random: torch.Generator) -> Iterator[Float[Tensor, "1 samples"]]:
        """One item's latents to a float32 waveform: in one piece if they have `_longest` steps at most.

        random: for a kind that draws what its latents do not say.
        """

    @abstractmethod
    def _denoise(self, batch: "Batch", progress: ProgressCallback | None) -> Tensor:
        """The latents of a batch, each item from its own random generator."""

    @abstractmethod
    def _known(self, example: Float[Tensor, "1 length"]) -> "Memory | Tensor":
        """What `_denoise` begins with, where that is an example."""

    @abstractmethod
    def _n_steps(self, duration_s: float) -> int:
        """Steps of the latents of such a sound, if it is short."""

    @abstractmethod
    def _n_decoded(self, n_steps: int) -> int:
        """Samples that so many steps are decoded to."""

    @property
    def _longest(self) -> int:
        """Steps of the longest sound that is made in one window, and decoded in one piece."""
        return self._n_steps(self.max_duration_s)

    def _spans(self, n_steps: int) -> list[Span]:
        """Where the windows of latents lie, in steps; the end of the last may be a little later than asked."""
        if n_steps <= self._longest:
            return [(0, n_steps)]
        unit = self.span_multiple
        longest = max(n_samples(self.max_duration_s, self.sample_rate) // (self.step * unit), 1)
        spans = plan_spans(math.ceil(n_steps / unit), longest=longest, overlap=longest // OVERLAP_SHARE)
        return [(start * unit, stop * unit) for start, stop in spans]

    def _predict(self, network: Callable[[Tensor, Tensor], Tensor], latents: Tensor, batch: Batch) -> Tensor:
        """What the network says of a batch's latents in all their windows, guided; see `joint.predict`."""
        place = {"device": self.device, "dtype": self.dtype}
        away = None if batch.negative is None else batch.negative.to(**place)
        conditions, rows = batch.target.to(**place), latents.to(**place)
        # a CPU gains nothing by several at once, and the same bits come back however many there are
        n_rows = 1 if self.device.type == "cpu" and len(batch.spans) > 1 else _BATCH
        return predict(
            network,
            rows,
            conditions,
            away,
            spans=batch.spans,
            guidance=batch.options.guidance,
            n_rows=n_rows,
            dim=self.time_dim,
        )


def load_generator(kind: str, folder: Path, *, device: torch.device | str, dtype: torch.dtype) -> LatentGenerator:
    """The generator of that kind in `folder`. Raises BundleError for a damaged one."""
    kind_class: Any
    if kind == "audioldm":
        from echoframe.generators.audioldm import AudioLdmGenerator as kind_class  # slow to import
    else:
        from echoframe.generators.mel_flow import MelFlowGenerator as kind_class
    return kind_class.from_directory(folder, device=device, dtype=dtype)
