"""The architectures of the hub's models at full size, with random weights: every shape fits, every count is right.

Sizes: `full_size.py`. Parameter counts: the hub's model cards (AudioLDM: 421M, 652M, 975M).
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    ClapAudioConfig,
    ClapAudioModelWithProjection,
    ClapTextConfig,
    ClapTextModelWithProjection,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from echoframe.generators.audioldm import AudioLdmGenerator, GeneratorConfig
from echoframe.options import SampleOptions
from full_size import CHANNELS, build_unet, build_vae, build_vocoder
from tiny_audioldm import build_scheduler

pytestmark = pytest.mark.slow

TOTAL = {"s": 421e6, "m": 652e6, "l": 975e6}  # UNet, VAE, vocoder and text tower


def on_meta(build: Callable[[], Any]) -> Any:
    """A model with shapes and no memory."""
    with torch.device("meta"):
        return build().eval()


def n_parameters(*models: nn.Module) -> int:
    return sum(p.numel() for model in models for p in model.parameters())


@pytest.mark.parametrize("size", ["s", "m", "l"])
@torch.no_grad()
def test_audioldm_from_noise_to_samples(size: str) -> None:
    unet, vae, vocoder = on_meta(lambda: build_unet(CHANNELS[size])), on_meta(build_vae), on_meta(build_vocoder)
    text_tower = on_meta(lambda: ClapTextModelWithProjection(ClapTextConfig()))
    assert n_parameters(unet, vae, vocoder, text_tower) == pytest.approx(TOTAL[size], abs=1e6)
    latents = torch.empty(2, 8, 256, 16, device="meta")  # 10.24 s
    predicted = unet(latents, 1, encoder_hidden_states=None, class_labels=torch.empty(2, 512, device="meta"))[0]
    assert predicted.shape == latents.shape
    mel = vae.decode(predicted)[0]
    assert mel.shape == (2, 1, 1024, 64)
    assert vocoder(mel[:, 0]).shape[1] - 163_840 in range(160)  # its odd kernels leave a little more: trimmed


def test_audioldm_s_makes_sound() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = AudioLdmGenerator(
            build_unet(CHANNELS["s"]),
            build_vae(),
            vocoder=build_vocoder(),
            scheduler_config=dict(build_scheduler().config),
            config=GeneratorConfig(unconditional="zeros"),
        )
    target = torch.randn(1, 512, generator=torch.Generator().manual_seed(0))
    sound = generator.generate(target, duration_s=1.0, seeds=[0], options=SampleOptions(steps=1))
    assert sound.shape == (1, 16_000)
    assert torch.isfinite(sound).all()


@pytest.mark.parametrize(
    ("vision", "text", "dim", "patch_size", "total"),
    [
        (
            {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
            {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
            768,
            14,
            427_616_513,
        ),
        (
            {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
            {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8},
            512,
            32,
            151_277_313,
        ),
    ],
    ids=["clip-vit-large-patch14", "clip-vit-base-patch32"],
)
@torch.no_grad()
def test_clip(vision: dict[str, Any], text: dict[str, Any], dim: int, patch_size: int, total: int) -> None:
    images = on_meta(
        lambda: CLIPVisionModelWithProjection(
            CLIPVisionConfig(image_size=224, patch_size=patch_size, projection_dim=dim, **vision)
        )
    )
    texts = on_meta(
        lambda: CLIPTextModelWithProjection(CLIPTextConfig(num_hidden_layers=12, projection_dim=dim, **text))
    )
    assert n_parameters(images, texts) + 1 == total  # and the one temperature of the whole model
    assert images(pixel_values=torch.empty(2, 3, 224, 224, device="meta")).image_embeds.shape == (2, dim)
    ids = torch.zeros(2, 77, dtype=torch.long, device="meta")
    assert texts(input_ids=ids).text_embeds.shape == (2, dim)


@pytest.mark.parametrize(
    ("sizes", "total"),
    [
        ({"patch_embeds_hidden_size": 96, "hidden_size": 768, "depths": [2, 2, 6, 2]}, 153.5e6),
        ({"patch_embeds_hidden_size": 128, "hidden_size": 1024, "depths": [2, 2, 12, 2]}, 193.9e6),
    ],
    ids=["htsat-tiny", "htsat-base"],
)
@torch.no_grad()
def test_clap(sizes: dict[str, Any], total: float) -> None:
    sounds = on_meta(
        lambda: ClapAudioModelWithProjection(
            ClapAudioConfig(num_attention_heads=[4, 8, 16, 32], enable_fusion=False, projection_dim=512, **sizes)
        )
    )
    texts = on_meta(lambda: ClapTextModelWithProjection(ClapTextConfig()))
    assert n_parameters(sounds, texts) == pytest.approx(total, abs=0.5e6)
    # 10 s at 48 kHz, hop 480: 1001 frames of 64 mels
    assert sounds(input_features=torch.empty(2, 1, 1001, 64, device="meta")).audio_embeds.shape == (2, 512)


@torch.no_grad()
def test_claps_text_tower_takes_512_tokens() -> None:
    with torch.random.fork_rng(devices=[]):
        tower = ClapTextModelWithProjection(
            ClapTextConfig(num_hidden_layers=1)
        ).eval()  # it reads its mask: not on meta
    ids = torch.ones(1, 512, dtype=torch.long)
    ids[0, :3] = torch.tensor([0, 100, 2])
    assert tower(input_ids=ids, attention_mask=(ids != 1).long()).text_embeds.shape == (1, 512)
