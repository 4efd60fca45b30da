"""Tiny generators with random weights, written by diffusers' and transformers' own save_pretrained.

`write_tiny_audioldm` has exactly the layout of cvssp/audioldm-s-full-v2 on the hub, `write_tiny_textless_audioldm` is
what somebody may train with it: no text tower, a config.json of ours, v-prediction.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import (
    ClapTextConfig,
    ClapTextModelWithProjection,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

from echoframe.pretrained import quiet

DIM = 32  # numbers in a target
MODEL_INDEX = {
    "_class_name": "AudioLDMPipeline",
    "_diffusers_version": "0.15.0.dev0",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "ClapTextModelWithProjection"],
    "tokenizer": ["transformers", "RobertaTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "vocoder": ["transformers", "SpeechT5HifiGan"],
}


def write_tiny_audioldm(path: Path, seed: int = 0, dim: int = DIM) -> Path:
    """A tiny AudioLDM in `path`: model_index.json, unet/, vae/, vocoder/, scheduler/, text_encoder/, tokenizer/."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _write_networks(path, dim=dim, vae_channels=(8, 16, 16), latent_channels=4)
        write_tiny_text_tower(path, dim=dim)
    build_scheduler().save_pretrained(path / "scheduler")
    (path / "model_index.json").write_text(json.dumps(MODEL_INDEX, indent=2))
    return path


def write_tiny_textless_audioldm(path: Path, seed: int = 0, dim: int = DIM) -> Path:
    """A tiny generator with its own config: zeros as the unconditional embedding, v-prediction, an 8-fold VAE."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _write_networks(path, dim=dim, vae_channels=(8, 8, 16, 16), latent_channels=4)
    build_scheduler("v_prediction").save_pretrained(path / "scheduler")
    config = {
        "unconditional": "zeros",
        "mel": {"offset": -5.0, "scale": 2.5},
        "max_duration_s": 10.24,
        "defaults": {"steps": 4, "guidance": 2.0, "scheduler": "dpm++2m"},
    }
    (path / "config.json").write_text(json.dumps(config, indent=2))
    return path


def write_tiny_text_tower(path: Path, dim: int = DIM) -> None:
    """text_encoder/ and tokenizer/ as CLAP's: RoBERTa with a projection, and a byte-level BPE of single bytes."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]  # ids 0 to 3, as roberta-base
    pieces = [*specials, *sorted(ByteLevel.alphabet()), "Ġd", "og", "Ġdog", "<mask>"]
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    merges = [("Ġ", "d"), ("o", "g"), ("Ġd", "og")]
    tokenizer = RobertaTokenizer(vocabulary, merges, model_max_length=dim)  # type: ignore[arg-type]
    tokenizer.save_pretrained(path / "tokenizer")
    tokenizer.backend_tokenizer.model.save(str(path / "tokenizer"))  # vocab.json and merges.txt, as on the hub
    config = ClapTextConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=dim + 2,  # as 512 + 2 in the real one
        projection_dim=dim,
        initializer_factor=40.0,  # CLAP's 0.02 would give texts that hardly differ
    )
    with quiet():
        ClapTextModelWithProjection(config).eval().save_pretrained(path / "text_encoder")


def build_scheduler(prediction_type: Literal["epsilon", "v_prediction"] = "epsilon") -> DDIMScheduler:
    """The values of diffusers' scripts/convert_original_audioldm_to_diffusers.py."""
    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def _write_networks(path: Path, *, dim: int, vae_channels: tuple[int, ...], latent_channels: int) -> None:
    channels = (16, 32)
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=channels,
        layers_per_block=1,
        cross_attention_dim=channels,  # type: ignore[arg-type]  # as the real config: attention to itself
        attention_head_dim=8,  # of 32 channels: 8 heads, as diffusers reads the published config
        norm_num_groups=8,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=dim,
        class_embeddings_concat=True,
    )
    vae_sizes: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * len(vae_channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(vae_channels),
        "block_out_channels": vae_channels,
        "layers_per_block": 1,
        "latent_channels": latent_channels,
        "norm_num_groups": 8,
    }
    vae = AutoencoderKL(in_channels=1, out_channels=1, scaling_factor=0.9392935633659363, **vae_sizes)
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16_000,
            upsample_initial_channel=32,
            upsample_rates=[5, 4, 2, 2, 2],  # 160 samples a frame, as the real one
            upsample_kernel_sizes=[16, 16, 8, 4, 4],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1]],
            normalize_before=False,
        )
    )
    _make_loud(unet, vae, vocoder)
    with quiet():
        unet.save_pretrained(path / "unet")
        vae.save_pretrained(path / "vae")
        vocoder.save_pretrained(path / "vocoder")


@torch.no_grad()
def _make_loud(unet: UNet2DConditionModel, vae: AutoencoderKL, vocoder: SpeechT5HifiGan) -> None:
    """Random weights as they come give silence, and a target that hardly matters: equal to anything within 1e-4."""
    for module in vocoder.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        elif isinstance(module, nn.ConvTranspose1d):
            fan_in = module.in_channels * module.kernel_size[0] / module.stride[0]
            nn.init.normal_(module.weight, std=fan_in**-0.5)
    assert isinstance(unet.class_embedding, nn.Linear)
    unet.class_embedding.weight *= 6
    vae.decoder.conv_out.weight *= 3
    vocoder.conv_post.weight *= 4
