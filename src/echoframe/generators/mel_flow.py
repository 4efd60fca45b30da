"""mini's generator: noise flows to log-mel tokens along a learned direction; a texture draws the fine structure that the
tokens do not say, and Griffin-Lim makes a waveform.

*Conventions*: latents are (B, N, C), N tokens of `MelCodec`; level 1 is noise, level 0 is sound, and on the way between
a token is (1 - level) sound + level noise (rectified flow: Liu et al., ICLR 2023, arXiv 2209.03003).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.flow import flow_levels, solve
from echoframe.generators import Batch, LatentGenerator
from echoframe.generators.denoiser import Denoiser, load_denoiser
from echoframe.generators.events import Struck, gain_db
from echoframe.generators.mel_codec import MelCodec, load_codec
from echoframe.generators.memory import Memory, MemoryConfig, load_memory, memory_of_one
from echoframe.generators.runs import scene_of_windows
from echoframe.generators.texture import Texture, load_texture
from echoframe.media.audio import log_mel, n_samples, pad_or_trim
from echoframe.media.phase import Start, griffin_lim, griffin_lim_in_pieces
from echoframe.media.stretches import drawn_rows
from echoframe.options import SampleOptions
from echoframe.progress import ProgressCallback
from echoframe.spec import MINI_MEL, MelSpec
from echoframe.weights import read_config

SOLVERS = ("euler", "dpm++2m")


@dataclass(frozen=True, kw_only=True, slots=True)
class MelFlowConfig:
    """mel: what the codec takes. min_duration_s: shorter sounds are cut from one this long, the shortest that was
    trained on; max_duration_s: the longest. phase_iterations: of Griffin-Lim, which begins at phase_start. level_shift:
    above 1, more of the steps are spent near the noise. cut_loudest: a shorter sound is the loudest stretch of the
    shortest scene, not its beginning. defaults: used where the caller gives no options.
    """

    mel: MelSpec = MINI_MEL
    min_duration_s: float = 3.52
    max_duration_s: float = 10.24
    phase_iterations: int = 32
    phase_start: Start = "noise"
    cut_loudest: bool = False
    level_shift: float = 1.0
    defaults: SampleOptions = field(default_factory=lambda: SampleOptions(scheduler="dpm++2m"))

    def __post_init__(self) -> None:
        if not 0 < self.min_duration_s <= self.max_duration_s or self.phase_iterations < 1 or not self.level_shift > 0:
            raise ConfigError(
                f"generator: durations {self.min_duration_s} to {self.max_duration_s} s, {self.phase_iterations} phase "
                f"iterations, level shift {self.level_shift}; every one has to be positive, the first duration the least"
            )


class MelFlowGenerator(LatentGenerator):
    """A denoiser, a mel codec, a texture and a memory if there are any, and Griffin-Lim, frozen."""

    time_dim = 1
    lays_events = True

    def __init__(
        self,
        denoiser: Denoiser,
        codec: MelCodec,
        *,
        texture: Texture | None = None,
        memory: Memory | None = None,
        config: MelFlowConfig = MelFlowConfig(),
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if denoiser.config.channels != codec.channels or codec.config.n_mels != config.mel.n_mels:
            raise BundleError(
                f"generator: the codec has tokens of {codec.channels} numbers from {codec.config.n_mels} mels, "
                f"the denoiser takes {denoiser.config.channels}, the mel has {config.mel.n_mels}; "
                "take all from the same model"
            )
        if texture is not None and (
            texture.config.n_mels != codec.config.n_mels or codec.config.frames % texture.config.frames
        ):
            raise BundleError(
                f"generator: the texture draws patches of {texture.config.frames} frames of {texture.config.n_mels} mels, "
                f"the codec has tokens of {codec.config.frames} frames of {codec.config.n_mels} mels; "
                "take both from the same model"
            )
        if memory is not None and memory.embeddings.shape[1] != denoiser.config.condition_dim:
            raise BundleError(
                f"generator: remembers embeddings of {memory.embeddings.shape[1]} numbers, the denoiser takes "
                f"{denoiser.config.condition_dim}; take both from the same model"
            )
        self.memory = memory
        self.device, self.dtype, self.config = torch.device(device), dtype, config
        self.denoiser = denoiser.requires_grad_(False).eval().to(self.device, dtype)
        self.codec = codec.to(self.device)  # float32: it is one small matrix
        self.texture = None if texture is None else texture.requires_grad_(False).eval().to(self.device)
        self.dim = denoiser.config.condition_dim
        self.sample_rate = config.mel.sample_rate
        self.max_duration_s, self.defaults = config.max_duration_s, config.defaults
        self.step, self.span_multiple = config.mel.hop_length * codec.config.frames, denoiser.config.patch

    @classmethod
    def from_directory(cls, path: Path, *, device: torch.device | str, dtype: torch.dtype) -> "MelFlowGenerator":
        """The generator in a directory with config.json, denoiser/, codec/ and, if it has them, decoder/ and memory/.

        Raises BundleError if a part is missing, damaged, holds other weights than its config says, or does not fit.
        """
        config = read_config(MelFlowConfig, path / "config.json")
        denoiser, codec = load_denoiser(path / "denoiser"), load_codec(path / "codec")
        texture = load_texture(path / "decoder") if (path / "decoder").is_dir() else None
        memory = load_memory(path / "memory", codec) if (path / "memory").is_dir() else None
        return cls(denoiser, codec, texture=texture, memory=memory, config=config, device=device, dtype=dtype)

    def fit(self, target: Float[Tensor, " dim"], embeddings: Float[Tensor, "sounds dim"]) -> Float[Tensor, " sounds"]:
        """How well sounds meet a target, by what the memory knows of labels, if there is one."""
        return super().fit(target, embeddings) if self.memory is None else self.memory.fit(target, embeddings)

    def labelled(
        self, embeddings: Float[Tensor, "sounds dim"]
    ) -> tuple[tuple[str, ...], Float[Tensor, "sounds labels"]]:
        """The labels of the memory's labeller, and how likely each is, if there is one."""
        if self.memory is None or self.memory.labeller is None:
            return super().labelled(embeddings)
        labeller = self.memory.labeller
        return labeller.names, labeller.probabilities(embeddings.float().cpu())

    def _denoise(self, batch: Batch, progress: ProgressCallback | None) -> Tensor:
        options = batch.options
        if options.scheduler not in SOLVERS:
            raise InputError(
                f'scheduler "{options.scheduler}": this generator is a flow, solved by {" or ".join(SOLVERS)}; '
                "choose one of them"
            )
        level = options.variation
        steps = max(1, round(options.steps * level))
        start = self._start(batch, level)
        timed = [len(each) > 0 for each in batch.onsets]
        if level == 0:
            return self._cut(start.to(self.device), batch.duration_s, timed)
        n_done = 0

        def direction(latents: Tensor, level: float) -> Tensor:
            nonlocal n_done

            def network(rows: Tensor, conditions: Tensor) -> Tensor:
                return self.denoiser(rows, torch.full((len(rows),), level).to(rows), conditions).float()

            predicted = self._predict(network, latents, batch)
            n_done += 1
            if progress is not None:
                progress(n_done, steps, "")
            return predicted

        levels = [level * each for each in flow_levels(steps, self.config.level_shift)]
        found = solve(direction, start.to(self.device), levels, second_order=options.scheduler == "dpm++2m")
        return self._cut(found, batch.duration_s, timed)

    def _start(self, batch: Batch, level: float) -> Tensor:
        """The noise, or what is remembered of each item's targets noised to that level, its events at the onsets."""
        shape = (batch.spans[-1][1], self.codec.channels)
        noise = torch.stack([torch.randn(shape, generator=random) for random in batch.randoms])
        memory = batch.begins_with
        if level == 1 or not isinstance(memory, Memory):
            return noise
        frame_s = self.config.mel.hop_length / self.sample_rate
        scenes = []
        n_frames = self.codec.config.frames
        for rows, random, heeded in zip(batch.target, batch.randoms, batch.onsets, strict=True):
            struck = [Struck(round(each.time_s / frame_s), gain_db(each.strength)) for each in heeded]
            seed = random.initial_seed()
            scenes.append(scene_of_windows(memory, rows, seed, batch.spans, struck, n_frames=n_frames))
        return torch.lerp(torch.stack(scenes), noise, level)

    def _known(self, example: Float[Tensor, "1 length"]) -> Memory:
        size = self.step  # the shortest that is a token
        mel = log_mel(pad_or_trim(example, max(example.shape[1] // size, 1) * size), self.config.mel)
        frames = self.codec.config.frames
        tokens = self.codec.encode(mel[:, : mel.shape[1] // frames * frames].to(self.device))[0].cpu()
        per_db = MemoryConfig().per_db if self.memory is None else self.memory.config.per_db
        return memory_of_one(tokens, self.codec, dim=self.dim, per_db=per_db)

    def _cut(self, latents: Tensor, duration_s: float, timed: list[bool]) -> Tensor:
        """Of a scene longer than what was asked for, the loudest stretch: a short sound is no silence between two.

        timed: which begin where they begin, as their events have their times.
        """
        needed = math.ceil(n_samples(duration_s, self.sample_rate) / self.step)
        if not self.config.cut_loudest or duration_s >= self.config.min_duration_s or needed >= latents.shape[1]:
            return latents
        first = self.codec.levels(latents).exp().unfold(1, needed, 1).mean(dim=2).argmax(dim=1)
        begins = [0 if fixed else at for at, fixed in zip(first.tolist(), timed, strict=True)]
        return torch.stack([row[at : at + needed] for row, at in zip(latents, begins, strict=True)])

    def _n_steps(self, duration_s: float) -> int:
        return math.ceil(n_samples(max(duration_s, self.config.min_duration_s), self.sample_rate) / self.step)

    def _n_decoded(self, n_steps: int) -> int:
        return n_steps * self.step

    def _decode(
        self, latents: Float[Tensor, "1 tokens channels"], random: torch.Generator
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        config, texture = self.config, self.texture
        if latents.shape[1] <= self._longest:
            mel = self.codec.decode(latents) if texture is None else texture.fill(self.codec, latents, [random])
            yield griffin_lim(mel, config.mel, iterations=config.phase_iterations, start=config.phase_start)
            return
        yield from griffin_lim_in_pieces(
            self._mel_of(latents, random),
            latents.shape[1] * self.codec.config.frames,
            config.mel,
            iterations=config.phase_iterations,
            start=config.phase_start,
            longest=self._longest * self.codec.config.frames,
        )

    def _mel_of(self, latents: Tensor, random: torch.Generator) -> Callable[[int, int], Tensor]:
        """Gives stretches of the log-mel of one item's tokens; the detail's noise is drawn in one order."""
        texture, n = self.texture, self.codec.config.frames
        around = 0 if texture is None else math.ceil(texture.reach / n)
        noise = None if texture is None else drawn_rows((texture.config.rows, texture.config.size), random)

        def between(low: int, high: int) -> Tensor:
            first, last = max(low // n - around, 0), min(math.ceil(high / n) + around, latents.shape[1])
            tokens = latents[:, first:last]
            if texture is None or noise is None:
                mel = self.codec.decode(tokens)
            else:
                patch = texture.config.frames
                drawn = noise.between(first * n // patch, last * n // patch)[None]
                mel = texture.fill_with(self.codec, tokens, drawn)
            return mel[:, low - first * n : high - first * n]

        return between
