"""How many heads AudioLDM's attention has: as in the code that trained it, not as its published config is read.

The original code (haoheliu/AudioLDM at d818361, `audioldm/utils.py` and `audioldm/latent_diffusion/openaimodel.py`) fixes
a head's *width*: 32 channels in the small and the medium model, 64 in the large one. The published unet/config.json says
`attention_head_dim: 8`, which diffusers reads as 8 *heads* in every block. Weights fit either way, sounds do not.
`docs/audioldm-heads.md` tells the whole story; `prove_heads` decides it where the real weights are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echoframe.errors import BundleError, InputError
from echoframe.media.audio import log_mel, n_samples, pad_or_trim, read_audio
from echoframe.weights import read_json

if TYPE_CHECKING:
    from echoframe.generators.audioldm import AudioLdmGenerator

PUBLISHED = 8  # attention_head_dim of all published configs, and the default of diffusers
# channels of the UNet's blocks: channels of one head (`num_head_channels`)
HEAD_WIDTHS: dict[tuple[int, ...], int] = {
    (128, 256, 384, 640): 32,  # s
    (192, 384, 576, 960): 32,  # m
    (256, 512, 768, 1280): 64,  # l
}
LEVELS = (100, 300, 500, 700)  # of the 1000 steps that noise was added in
_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadsProof:
    """The mean squared error of the predicted noise, with the original's heads and as the published config is read.

    n_sounds: how many sounds it was measured on, each at `LEVELS`.
    """

    original: float
    published: float
    n_sounds: int


def original_heads(unet_config: dict[str, Any]) -> tuple[int, ...] | None:
    """Heads of each block in the original code; none for a config that is not one of the published.

    A list in `attention_head_dim` is meant as it stands, so a UNet that was trained with 8 heads can say so.

    >>> original_heads({"block_out_channels": [128, 256, 384, 640], "attention_head_dim": 8})
    (4, 8, 12, 20)
    >>> original_heads({"block_out_channels": [128, 256, 384, 640], "attention_head_dim": [8, 8, 8, 8]}) is None
    True
    """
    channels = tuple(unet_config.get("block_out_channels") or ())
    width = HEAD_WIDTHS.get(channels)
    if width is None or unet_config.get("attention_head_dim", PUBLISHED) != PUBLISHED:
        return None
    return tuple(n // width for n in channels)


def set_heads(unet: nn.Module, heads: dict[int, int]) -> None:
    """Divides each attention of `unet` anew. heads: number of heads by channels; no weight changes."""
    from diffusers.models.attention_processor import Attention

    for module in unet.modules():
        if isinstance(module, Attention):
            module.heads = module.sliceable_head_dim = heads[module.inner_dim]
            module.scale = (module.inner_dim // module.heads) ** -0.5


def use_original_heads(unet: Any) -> tuple[int, ...] | None:
    """Gives `unet` the original's heads if its config is a published one; returns heads by block, or none."""
    heads = original_heads(dict(unet.config))
    if heads is not None:
        set_heads(unet, dict(zip(unet.config["block_out_channels"], heads, strict=True)))
    return heads


def told_heads(folder: Path) -> str:
    """One line on the heads of the generator in `folder`, from its config alone; "" for one that is not published."""
    heads = original_heads(read_json(folder / "unet" / "config.json"))
    return "" if heads is None else _told(heads)


def _told(heads: Sequence[int]) -> str:
    numbers = ", ".join(str(n) for n in heads)
    return (
        f"attention heads by block: {numbers}, as in AudioLDM's own code; its published config is read as {PUBLISHED}"
    )


@contextmanager
def _published_heads(unet: Any) -> Iterator[None]:
    channels = unet.config["block_out_channels"]
    set_heads(unet, dict.fromkeys(channels, PUBLISHED))
    try:
        yield
    finally:
        use_original_heads(unet)


@torch.no_grad()
def measure_heads(generator: "AudioLdmGenerator", sounds: Float[Tensor, "sounds samples"]) -> HeadsProof:
    """How well the UNet predicts the noise in `sounds`, at the generator's rate, with both readings of its config.

    The same noise in both, no condition: the reading that the weights were trained with predicts it better.
    """
    original = _noise_error(generator, sounds)
    with _published_heads(generator.unet):
        published = _noise_error(generator, sounds)
    return HeadsProof(original=original, published=published, n_sounds=len(sounds))


def prove_heads(generator: "AudioLdmGenerator", paths: Sequence[Path]) -> str:
    """One line on the heads of `generator`, proven on recordings; "" for one whose config is not published.

    paths: sound files, of which the first 10.24 s are taken. Raises BundleError if the published reading of the config
    predicts their noise better, InputError if one is silent.
    """
    heads = original_heads(dict(generator.unet.config))
    if heads is None:
        return ""
    if not paths:
        return f"{_told(heads)}; not proven on these weights: give some recordings with --sounds"
    found = measure_heads(generator, torch.cat([_recording(generator, path) for path in paths]))
    errors = (
        f"noise error {found.original:.4f} with these, {found.published:.4f} as published, on {found.n_sounds} sounds"
    )
    if not found.original < found.published:
        raise BundleError(
            f"unet: {errors}: the published reading fits the weights; write attention_head_dim as a list of "
            f"{len(heads)} times {PUBLISHED} in unet/config.json, and report it to EchoFrame"
        )
    return f"{_told(heads)}; {errors}"


def _recording(generator: "AudioLdmGenerator", path: Path) -> Float[Tensor, "1 samples"]:
    """The first seconds of a file, as AudioLDM's training read it: no mean, a peak of 0.5, silence at the end."""
    rate = generator.sample_rate
    waveform = pad_or_trim(read_audio(path, sample_rate=rate)[0], n_samples(generator.max_duration_s, rate))
    waveform = waveform - waveform.mean()
    peak = waveform.abs().max()
    if not peak > 1e-4:
        raise InputError(f"{path}: is silent in its first {generator.max_duration_s:g} s; give a recording with sound")
    return waveform / peak * 0.5


def _noise_error(generator: "AudioLdmGenerator", sounds: Tensor) -> float:
    from diffusers import DDIMScheduler

    scheduler: Any = DDIMScheduler.from_config(generator.scheduler_config)
    is_v = generator.scheduler_config.get("prediction_type") == "v_prediction"
    random = torch.Generator("cpu").manual_seed(_SEED)
    condition = generator.unconditional[None].to(generator.device, generator.dtype)
    errors = []
    for sound in sounds.split(1):
        latents = encode(generator, sound)
        for level in LEVELS:
            noise = torch.randn(latents.shape, generator=random).to(latents.device)
            step = torch.tensor([level], device=latents.device)
            noisy = scheduler.add_noise(latents, noise, step)
            wanted = scheduler.get_velocity(latents, noise, step) if is_v else noise
            predicted = generator.unet(noisy.to(generator.dtype), step, None, class_labels=condition)[0]  # type: ignore[arg-type]
            errors.append(float((predicted.float() - wanted).square().mean()))
    return sum(errors) / len(errors)


def encode(
    generator: "AudioLdmGenerator", sound: Float[Tensor, "1 samples"]
) -> Float[Tensor, "1 channels height width"]:
    """The latents of a sound at the generator's rate, float32: the mean of what the VAE says of its log-mel."""
    mel = log_mel(sound, generator.config.mel)  # (1, T, mels)
    mel = mel[:, : mel.shape[1] // generator.frame_multiple * generator.frame_multiple]
    mean = generator.vae.encode(mel[:, None].to(generator.device, generator.dtype)).latent_dist.mode()  # type: ignore[union-attr]
    return mean.float() * generator.vae.config["scaling_factor"]
