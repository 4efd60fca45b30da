"""The networks of the hub's models at their own sizes, with random weights.

Sizes: diffusers `scripts/convert_original_audioldm_to_diffusers.py`, transformers
`convert_clap_original_pytorch_to_hf.py`, the config.json of openai/clip-vit-*.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPConfig,
    CLIPModel,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

from echoframe.weights import write_json
from tiny_audioldm import build_scheduler
from tiny_models import CLIP_PIXELS, write_clip_tokenizer, write_roberta_tokenizer

CHANNELS = {"s": (128, 256, 384, 640), "m": (192, 384, 576, 960), "l": (256, 512, 768, 1280)}
CLIP_LARGE: dict[str, Any] = {
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
    },
    "text_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
        "eos_token_id": 2,  # as the hub's files say it
    },
    "projection_dim": 768,
}


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


def build_vae() -> AutoencoderKL:
    sizes: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "block_out_channels": (128, 256, 512),
        "layers_per_block": 2,
        "latent_channels": 8,
    }
    return AutoencoderKL(in_channels=1, out_channels=1, scaling_factor=0.9392935633659363, **sizes)


def build_vocoder() -> SpeechT5HifiGan:
    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16_000,
            upsample_initial_channel=1024,
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


def write_clip_large(path: Path, words: list[str]) -> None:
    """CLIP ViT-L/14, both towers. words: what its tokenizer knows as whole words."""
    CLIPModel(CLIPConfig(**CLIP_LARGE)).save_pretrained(path)
    write_clip_tokenizer(path, words)
    write_json(path / "preprocessor_config.json", {**CLIP_PIXELS, "size": 224, "crop_size": 224})


def write_clap(path: Path, words: list[str]) -> None:
    """CLAP with HTSAT-tiny, both towers, as laion/clap-htsat-unfused. words: as in `write_clip_large`."""
    ClapModel(ClapConfig(audio_config={"enable_fusion": False}, projection_dim=512)).save_pretrained(path)
    write_roberta_tokenizer(path, words)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(path)
