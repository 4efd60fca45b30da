"""AudioLDM: latent diffusion, VAE and vocoder in diffusers' layout, with a sampling loop of ours.

*Conventions*: latents are (B, C, H, W) with time along H and mel bands along W, both divided by the VAE's factor. The
VAE decodes to what its vocoder was trained on, whatever `mel.offset` and `mel.scale` are: nothing is undone between.

*Loop*: Liu et al., "AudioLDM", 2023 (arXiv 2301.12503), section 2.3, and Ho & Salimans 2022 (arXiv 2207.12598), eq. 6.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize
from transformers import SpeechT5HifiGan

from echoframe.errors import BundleError, ConfigError
from echoframe.generators import Batch, LatentGenerator
from echoframe.generators.attention_heads import use_original_heads
from echoframe.generators.long_vocoder import mel_pieces, vocoded, vocoder_length
from echoframe.generators.schedulers import build_scheduler, step_randomness
from echoframe.media.audio import log_mel, n_samples, pad_or_trim
from echoframe.options import SampleOptions
from echoframe.pretrained import LOAD_ERRORS, freeze, load_part, quiet
from echoframe.progress import ProgressCallback
from echoframe.spec import AUDIOLDM_MEL, MelSpec
from echoframe.weights import read_config, read_json


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorConfig:
    """A generator's own config.json; a directory without one (as on the hub) has these defaults, AudioLDM's.

    unconditional: what stands for "no condition": the text embedding of "", or zeros. mel: what the vocoder takes.
    max_duration_s: the longest sound it was trained on. defaults: used where the caller gives no options.
    """

    unconditional: str = "text"
    mel: MelSpec = AUDIOLDM_MEL
    max_duration_s: float = 10.24
    defaults: SampleOptions = field(default_factory=SampleOptions)

    def __post_init__(self) -> None:
        if self.unconditional not in ("text", "zeros"):
            raise ConfigError(f'generator: unconditional "{self.unconditional}" is not known; choose "text" or "zeros"')
        if not self.max_duration_s > 0:
            raise ConfigError(f"generator: max_duration_s {self.max_duration_s}; expected seconds above 0")


class AudioLdmGenerator(LatentGenerator):
    """AudioLDM's structure, frozen: UNet, VAE, vocoder, a scheduler's config, and a text tower where there is one."""

    time_dim = 2

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
        self.heads = use_original_heads(unet)  # by block; none where the UNet's config is taken as it stands
        with quiet():
            self.unet, self.vae = (freeze(part, self.device, dtype) for part in (unet, vae))
            self.vocoder = freeze(vocoder, *vocoder_place(self.device, dtype))
        self.scheduler_config, self.text_folder = dict(scheduler_config), text_folder
        self.dim: int = unet.config["projection_class_embeddings_input_dim"]
        self.sample_rate = config.mel.sample_rate
        self.max_duration_s, self.defaults = config.max_duration_s, config.defaults
        self.vae_factor = 2 ** (len(vae.config["block_out_channels"]) - 1)
        # the UNet halves its input between blocks: a height it cannot halve would have to be resized on the way up
        self.span_multiple = 2 ** (len(unet.config["block_out_channels"]) - 1)
        self.frame_multiple = self.vae_factor * self.span_multiple
        self.step = config.mel.hop_length * self.vae_factor

    @classmethod
    def from_directory(cls, path: Path, *, device: torch.device | str, dtype: torch.dtype) -> "AudioLdmGenerator":
        """The generator in a directory of diffusers' layout: unet/, vae/, vocoder/, scheduler/ (safetensors only).

        Raises BundleError if a part is missing, damaged, holds other weights than its config says, or does not fit.
        """
        own = path / "config.json"
        config = read_config(GeneratorConfig, own) if own.exists() else GeneratorConfig()
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

    def _denoise(self, batch: Batch, progress: ProgressCallback | None) -> Tensor:
        scheduler = build_scheduler(batch.options, self.scheduler_config, device=self.device)
        # float32 whatever the networks' dtype is: the solvers subtract nearly equal numbers
        latents, timesteps = self._start(batch, scheduler)  # (B, C, H, W)
        noise_source = step_randomness(scheduler, list(batch.randoms))
        for i, t in enumerate(timesteps):
            model_input = scheduler.scale_model_input(latents, t)

            def network(rows: Tensor, conditions: Tensor, t: Tensor = t) -> Tensor:
                return self.unet(rows, t, encoder_hidden_states=None, class_labels=conditions)[0].float()  # type: ignore[arg-type]

            predicted = self._predict(network, model_input, batch)
            latents = scheduler.step(predicted, t, latents, **noise_source, return_dict=False)[0]
            if progress is not None:
                progress(i + 1, len(timesteps), "")
        return latents

    def _start(self, batch: Batch, scheduler: Any) -> tuple[Tensor, Tensor]:
        """The noise and all timesteps, or an example's latents noised to the level that is asked for, and the steps left."""
        n_rows, example = batch.spans[-1][1], batch.begins_with
        noise = self._noise(n_rows, list(batch.randoms))
        level = batch.options.variation
        if not isinstance(example, Tensor) or level == 1:
            return noise * scheduler.init_noise_sigma, scheduler.timesteps
        repeated = example.repeat(1, 1, math.ceil(n_rows / example.shape[2]), 1)[:, :, :n_rows].expand_as(noise)
        n_left = round(len(scheduler.timesteps) * level)
        if n_left == 0:
            return repeated, scheduler.timesteps[:0]
        first = (len(scheduler.timesteps) - n_left) // scheduler.order * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        timesteps = scheduler.timesteps[first:]
        return scheduler.add_noise(repeated, noise, timesteps[:1].expand(len(noise))), timesteps

    @torch.no_grad()
    def _known(self, example: Float[Tensor, "1 length"]) -> Tensor:
        """The VAE's mean of a sound, scaled as its latents are: (1, C, H, W), whole windows of what the UNet can halve."""
        mel = self.config.mel
        unit = mel.hop_length * self.frame_multiple
        length = max(math.ceil(example.shape[1] / unit), 1) * unit
        frames = log_mel(pad_or_trim(example, length), mel)[:, : length // mel.hop_length]  # (1, frames, mels)
        mean = self.vae.encode(frames[:, None].to(self.device, self.dtype)).latent_dist.mode()  # type: ignore[union-attr]
        return mean.float() * self.vae.config["scaling_factor"]

    def _n_steps(self, duration_s: float) -> int:
        frames = math.ceil(n_samples(duration_s, self.sample_rate) / self.config.mel.hop_length)
        return math.ceil(frames / self.frame_multiple) * self.span_multiple

    def _n_decoded(self, n_steps: int) -> int:
        return vocoder_length(self.vocoder.config, n_steps * self.vae_factor)

    def _noise(self, n_rows: int, randoms: list[torch.Generator]) -> Tensor:
        size = (self.unet.config["in_channels"], n_rows, self.config.mel.n_mels // self.vae_factor)
        return torch.stack([torch.randn(size, generator=random) for random in randoms]).to(self.device)

    def _decode(
        self, latents: Float[Tensor, "1 channels height width"], random: torch.Generator
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        place, numbers = vocoder_place(self.device, self.dtype)

        def decoded(part: Tensor) -> Tensor:
            scaled = (part / self.vae.config["scaling_factor"]).to(self.dtype)
            mel = self.vae.decode(scaled, return_dict=False)[0]  # type: ignore[arg-type]  # (1, 1, frames, mels)
            return mel[:, 0].to(place, numbers)

        spans, n_frames = self._spans(latents.shape[2]), latents.shape[2] * self.vae_factor
        if len(spans) == 1:
            yield self.vocoder(decoded(latents)).reshape(1, -1).float()
            return
        mels = mel_pieces(decoded, latents, spans, factor=self.vae_factor)
        yield from vocoded(self.vocoder, mels, n_frames, longest=self._longest * self.vae_factor)

    @cached_property
    def unconditional(self) -> Float[Tensor, " dim"]:
        """The embedding that stands for no condition: zeros, or the text tower's of the empty string."""
        if self.config.unconditional == "zeros":
            return super().unconditional
        return self.embed_text([""])[0]

    @torch.no_grad()
    def embed_text(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """Texts in the audio space, unit length, by the generator's own text tower. Raises BundleError without one."""
        if self.text_folder is None:
            return super().embed_text(texts)
        return self._text_tower.embed(texts)

    @cached_property
    def _text_tower(self) -> "TextTower":
        assert self.text_folder is not None
        return TextTower(self.text_folder, dim=self.dim, device=self.device, dtype=self.dtype)


class TextTower:
    """AudioLDM's text tower and its tokenizer: texts to unit vectors of the audio space."""

    def __init__(
        self,
        folder: Path,
        *,
        dim: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """folder: holds text_encoder/ and tokenizer/. dim: what the UNet takes. Raises BundleError if anything misfits."""
        from transformers import ClapTextModelWithProjection, RobertaTokenizer  # slow to import, not always needed

        tower = load_part(ClapTextModelWithProjection, folder / "text_encoder")
        if dim is not None and tower.config.projection_dim != dim:
            raise BundleError(
                f"{folder}: text_encoder gives {tower.config.projection_dim} numbers, unet takes {dim}; "
                "take both from the same model"
            )
        try:
            self._tokenizer = RobertaTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        except LOAD_ERRORS as error:
            raise BundleError(f"{folder / 'tokenizer'}: not a RoBERTa tokenizer; pull it again") from error
        self._device = torch.device(device)
        self._tower = freeze(tower, self._device, dtype)

    @torch.no_grad()
    def embed(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """One unit vector a text, float32."""
        longest = self._tower.config.max_position_embeddings - 2  # RoBERTa's positions begin at 2
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        ids, mask = tokens["input_ids"].to(self._device), tokens["attention_mask"].to(self._device)
        return normalize(self._tower(ids, attention_mask=mask).text_embeds.float(), dim=-1)


def vocoder_place(device: torch.device, dtype: torch.dtype) -> tuple[torch.device, torch.dtype]:
    """Where the vocoder runs, and in which numbers: Metal's convolutions end at 65,536 outputs, so there on the CPU."""
    return (torch.device("cpu"), torch.float32) if device.type == "mps" else (device, dtype)


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
            f"hop {stated[1]}, {stated[2]} mels; correct mel in the generator's config.json"
        )
