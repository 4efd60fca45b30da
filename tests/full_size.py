"""AudioLDM's networks at their own sizes, with random weights.

Sizes: diffusers `scripts/convert_original_audioldm_to_diffusers.py`.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from tiny_audioldm import build_scheduler

CHANNELS = {"s": (128, 256, 384, 640), "m": (192, 384, 576, 960), "l": (256, 512, 768, 1280)}


def build_unet(channels: tuple[int, ...], heads: int | tuple[int, ...] = 8) -> UNet2DConditionModel:
    """heads: `attention_head_dim` of the config, 8 in the published ones."""
    return UNet2DConditionModel(
        sample_size=128,
        in_channels=8,
        out_channels=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=channels,
        cross_attention_dim=channels,  # type: ignore[arg-type]  # attention to itself
        attention_head_dim=heads,  # type: ignore[arg-type]
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=512,
        class_embeddings_concat=True,
    )


def build_vae(channels: tuple[int, ...] = (128, 256, 512)) -> AutoencoderKL:
    sizes: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "block_out_channels": channels,
        "layers_per_block": 2,
        "latent_channels": 8,
    }
    return AutoencoderKL(in_channels=1, out_channels=1, scaling_factor=0.9392935633659363, **sizes)


def build_vocoder(channels: int = 1024) -> SpeechT5HifiGan:
    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16_000,
            upsample_initial_channel=channels,
            upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4],
            resblock_kernel_sizes=[3, 7, 11],
            resblock_dilation_sizes=[[1, 3, 5]] * 3,
            normalize_before=False,
        )
    )


@torch.no_grad()
def make_loud(vocoder: SpeechT5HifiGan) -> None:
    """Gives a vocoder weights with which something can be heard: those it begins with give silence."""
    for module in vocoder.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear").mul_(0.7)
        elif isinstance(module, nn.ConvTranspose1d):
            fan_in = module.in_channels * module.kernel_size[0] / module.stride[0]
            nn.init.normal_(module.weight, std=fan_in**-0.5)


def write_audioldm_s(path: Path) -> None:
    """unet/, vae/, vocoder/ and scheduler/ of AudioLDM-S, whose config says 8 heads as a list: every version reads it so.

    A published config's number would be read as the original's heads (`generators/attention_heads.py`).
    """
    build_unet(CHANNELS["s"], heads=(8, 8, 8, 8)).save_pretrained(path / "unet")
    build_vae().save_pretrained(path / "vae")
    vocoder = build_vocoder()
    make_loud(vocoder)
    vocoder.save_pretrained(path / "vocoder")
    build_scheduler().save_pretrained(path / "scheduler")
