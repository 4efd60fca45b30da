"""From one audio embedding to a waveform: AudioLDM's latent diffusion, VAE and vocoder, with a sampling loop of ours.

*Conventions*: targets are unit vectors of the audio space, (B, D); latents are (B, C, H, W) with time along H and mel
bands along W, both divided by the VAE's factor; waveforms are float32 in [-1, 1]. The VAE decodes to what its vocoder
was trained on, whatever `mel.offset` and `mel.scale` are: nothing is undone between the two.

*Loop*: Liu et al., "AudioLDM", 2023 (arXiv 2301.12503), section 2.3, and Ho & Salimans 2022 (arXiv 2207.12598), eq. 6.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize
from transformers import SpeechT5HifiGan

from echoframe.audio import n_samples, pad_or_trim
from echoframe.config import from_dict
from echoframe.errors import BundleError, ConfigError, DeviceError, InputError
from echoframe.phase import refine
from echoframe.pretrained import LOAD_ERRORS, freeze, load_part, quiet
from echoframe.schedulers import SampleOptions, build_scheduler, step_randomness
from echoframe.spec import AUDIOLDM_MEL, MelSpec
from echoframe.weights import read_json

Progress = Callable[[int, int], None]

_BATCH = 8  # items denoised together (twice as many rows with guidance): more would cost memory and gain no speed


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorConfig:
    """A generator's own config.json; a directory without one (as on the hub) has these defaults, AudioLDM's.

    unconditional: what stands for "no condition": the text embedding of "", or zeros. mel: what the vocoder takes.
    max_duration_s: the longest sound it was trained on. refine_iterations: of Griffin-Lim after the vocoder, 0 for none
    (`phase.refine`). defaults: used where the caller gives no options.
    """

    unconditional: str = "text"
    mel: MelSpec = AUDIOLDM_MEL
    max_duration_s: float = 10.24
    refine_iterations: int = 0
    defaults: SampleOptions = field(default_factory=SampleOptions)

    def __post_init__(self) -> None:
        if self.unconditional not in ("text", "zeros"):
            raise ConfigError(f'generator: unconditional "{self.unconditional}" is not known; choose "text" or "zeros"')
        if not self.max_duration_s > 0:
            raise ConfigError(f"generator: max_duration_s {self.max_duration_s}; expected seconds above 0")
        if self.refine_iterations < 0:
            raise ConfigError(f"generator: refine_iterations {self.refine_iterations}; expected 0 for none, or more")


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
        progress: Progress | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """One sound per target, exactly round(duration_s * sample_rate) samples: (B, D) -> (B, S) in [-1, 1]."""
        ...


class AudioLdmGenerator:
    """AudioLDM's structure, frozen: UNet, VAE, vocoder, a scheduler's config, and a text tower where there is one."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        *,
        vocoder: SpeechT5HifiGan,
        scheduler_config: dict[str, Any],
        config: GeneratorConfig = GeneratorConfig(),
        text_folder: Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """text_folder: where text_encoder/ and tokenizer/ lie, read when first needed."""
        _check_parts(unet, vae, vocoder, config.mel)
        self.device, self.dtype, self.config = torch.device(device), dtype, config
        with quiet():
            self.unet, self.vae, self.vocoder = (freeze(part, self.device, dtype) for part in (unet, vae, vocoder))
        self.scheduler_config, self.text_folder = dict(scheduler_config), text_folder
        self.dim: int = unet.config["projection_class_embeddings_input_dim"]
        self.sample_rate = config.mel.sample_rate
        self.max_duration_s = config.max_duration_s
        self.vae_factor = 2 ** (len(vae.config["block_out_channels"]) - 1)
        # the UNet halves its input between blocks: a height it cannot halve would have to be resized on the way up
        self.frame_multiple = self.vae_factor * 2 ** (len(unet.config["block_out_channels"]) - 1)

    @classmethod
    def from_directory(cls, path: Path, *, device: torch.device | str, dtype: torch.dtype) -> "AudioLdmGenerator":
        """The generator in a directory of diffusers' layout: unet/, vae/, vocoder/, scheduler/ (safetensors only).

        Raises BundleError if a part is missing, damaged, holds other weights than its config says, or does not fit.
        """
        own = path / "config.json"
        config = from_dict(GeneratorConfig, read_json(own), name=str(own)) if own.exists() else GeneratorConfig()
        return cls(
            load_part(UNet2DConditionModel, path / "unet"),
            load_part(AutoencoderKL, path / "vae"),
            vocoder=load_part(SpeechT5HifiGan, path / "vocoder"),
            scheduler_config=read_json(path / "scheduler" / "scheduler_config.json"),
            config=config,
            text_folder=path if (path / "text_encoder").is_dir() else None,
            device=device,
            dtype=dtype,
        )

    def generate(
        self,
        target: Float[Tensor, "batch dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions | None = None,
        negative: Float[Tensor, "batch dim"] | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """One sound per target: (B, D) -> (B, round(duration_s * sample_rate)) float32 in [-1, 1], on the CPU.

        seeds: one per item; an item depends on its own seed, not on the batch it ran in, up to float rounding (within
        1e-4 in float32: other batch sizes may take other kernels). negative: what to steer away from instead of the
        unconditional embedding. progress: called with (steps done, steps in all).
        """
        latents = self.sample_latents(
            target, duration_s=duration_s, seeds=seeds, options=options, negative=negative, progress=progress
        )
        return pad_or_trim(self.decode(latents), n_samples(duration_s, self.sample_rate))

    @torch.no_grad()
    def sample_latents(
        self,
        target: Float[Tensor, "batch dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions | None = None,
        negative: Float[Tensor, "batch dim"] | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """The denoised latents of `generate`, before the VAE: float32, on the generator's device."""
        options = options or self.config.defaults
        self._check_request(target, negative, duration_s, seeds)
        target = normalize(target.float(), dim=-1)  # a regression's output is shorter than 1; AudioLDM's never is
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
            away = None if negative is None else negative[part]
            report = _nth_of(progress, i, len(parts))
            latents.append(self._denoise(target[part], away, duration_s, randoms, options, report))
        return torch.cat(latents)

    def _denoise(
        self,
        target: Tensor,
        negative: Tensor | None,
        duration_s: float,
        randoms: list[torch.Generator],
        options: SampleOptions,
        progress: Progress | None,
    ) -> Tensor:
        scheduler = build_scheduler(options, self.scheduler_config, device=self.device)
        # float32 whatever the networks' dtype is: the solvers subtract nearly equal numbers
        latents = self._noise(duration_s, randoms) * scheduler.init_noise_sigma  # (B, C, H, W)
        condition = (target if negative is None else torch.cat([negative, target])).to(self.device, self.dtype)
        noise_source = step_randomness(scheduler, randoms)
        for i, t in enumerate(scheduler.timesteps):
            model_input = scheduler.scale_model_input(latents, t).to(self.dtype)
            if negative is not None:
                model_input = torch.cat([model_input, model_input])
            predicted = self.unet(model_input, t, encoder_hidden_states=None, class_labels=condition)[0].float()  # type: ignore[arg-type]
            if negative is not None:
                away, towards = predicted.chunk(2)
                predicted = away + options.guidance * (towards - away)
            latents = scheduler.step(predicted, t, latents, **noise_source, return_dict=False)[0]
            if progress is not None:
                progress(i + 1, len(scheduler.timesteps))
        return latents

    def _noise(self, duration_s: float, randoms: list[torch.Generator]) -> Tensor:
        frames = math.ceil(n_samples(duration_s, self.sample_rate) / self.config.mel.hop_length)
        frames = math.ceil(frames / self.frame_multiple) * self.frame_multiple
        size = (self.unet.config["in_channels"], frames // self.vae_factor, self.config.mel.n_mels // self.vae_factor)
        return torch.stack([torch.randn(size, generator=random) for random in randoms]).to(self.device)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch samples"]:
        """Latents through VAE and vocoder: all their frames as float32 in [-1, 1] on the CPU, not trimmed.

        Item by item, so that memory does not grow with the batch. Raises DeviceError if the sound is not finite.
        """
        sounds = []
        for item in latents.split(1):
            scaled = (item / self.vae.config["scaling_factor"]).to(self.device, self.dtype)
            mel = self.vae.decode(scaled, return_dict=False)[0]  # type: ignore[arg-type]  # (1, 1, frames, mels)
            sound = self.vocoder(mel[:, 0]).reshape(1, -1).float()
            if self.config.refine_iterations:
                sound = refine(sound, mel[:, 0].float(), self.config.mel, iterations=self.config.refine_iterations)
            sounds.append(sound.cpu())
        waveform = torch.cat(sounds)
        if not torch.isfinite(waveform).all():
            raise DeviceError(f"the generator gave samples that are not finite in {self.dtype}; use dtype float32")
        return waveform.clamp(-1, 1)  # a last guard: the vocoder ends in tanh

    @cached_property
    def unconditional(self) -> Float[Tensor, " dim"]:
        """The embedding that stands for no condition: zeros, or the text tower's of the empty string."""
        if self.config.unconditional == "zeros":
            return torch.zeros(self.dim, device=self.device)
        return self.embed_text([""])[0]

    @torch.no_grad()
    def embed_text(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """Texts in the audio space, unit length, by the generator's own text tower. Raises BundleError without one."""
        tokenizer, tower = self._text_tower
        longest = tower.config.max_position_embeddings - 2  # RoBERTa's positions begin at 2
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        ids, mask = tokens["input_ids"].to(self.device), tokens["attention_mask"].to(self.device)
        return normalize(tower(ids, attention_mask=mask).text_embeds.float(), dim=-1)

    @cached_property
    def _text_tower(self) -> tuple[Any, Any]:
        if self.text_folder is None:
            raise BundleError("the generator has no text_encoder/; give an embedding, or a bundle that has one")
        from transformers import ClapTextModelWithProjection, RobertaTokenizer  # slow to import, not always needed

        tower = load_part(ClapTextModelWithProjection, self.text_folder / "text_encoder")
        if tower.config.projection_dim != self.dim:
            raise BundleError(
                f"{self.text_folder}: text_encoder gives {tower.config.projection_dim} numbers, unet takes {self.dim}; "
                "take both from the same model"
            )
        try:
            tokenizer = RobertaTokenizer.from_pretrained(self.text_folder / "tokenizer", local_files_only=True)
        except LOAD_ERRORS as error:
            raise BundleError(f"{self.text_folder / 'tokenizer'}: not a RoBERTa tokenizer; pull it again") from error
        return tokenizer, freeze(tower, self.device, self.dtype)

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


def _nth_of(progress: Progress | None, done: int, n_chunks: int) -> Progress | None:
    """`progress` for one of several runs of the loop, counted as part of all of them."""
    if progress is None:
        return None
    return lambda step, n_steps: progress(done * n_steps + step, n_chunks * n_steps)


def _check_parts(unet: UNet2DConditionModel, vae: AutoencoderKL, vocoder: SpeechT5HifiGan, mel: MelSpec) -> None:
    if unet.config["class_embed_type"] != "simple_projection":
        raise BundleError(
            f"unet: class_embed_type {unet.config['class_embed_type']}, expected simple_projection; "
            "is this an AudioLDM (version 1) generator?"
        )
    if vae.config["latent_channels"] != unet.config["in_channels"]:
        made, taken = vae.config["latent_channels"], unet.config["in_channels"]
        raise BundleError(f"vae gives {made} latent channels, unet takes {taken}; take both from the same model")
    made = (vocoder.config.sampling_rate, math.prod(vocoder.config.upsample_rates), vocoder.config.model_in_dim)
    stated = (mel.sample_rate, mel.hop_length, mel.n_mels)
    if made != stated:
        raise BundleError(
            f"vocoder: {made[0]} Hz, hop {made[1]}, {made[2]} mels; the generator's mel is {stated[0]} Hz, "
            f"hop {stated[1]}, {stated[2]} mels; mend mel in the generator's config.json"
        )
