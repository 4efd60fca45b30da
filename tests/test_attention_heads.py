"""AudioLDM's attention heads: the original's numbers, its arithmetic, and the proof by predicted noise."""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import torch
from diffusers.models.attention_processor import Attention
from safetensors.torch import load_file, save_file
from torch import nn

from echoframe.apps.cli import main
from echoframe.bundles.bundle import save_bundle
from echoframe.bundles.check import check_bundle
from echoframe.bundles.manifest import read_manifest
from echoframe.errors import BundleError, InputError
from echoframe.generators.attention_heads import (
    HEAD_WIDTHS,
    PUBLISHED,
    measure_heads,
    original_heads,
    prove_heads,
    set_heads,
    use_original_heads,
)
from echoframe.generators.audioldm import AudioLdmGenerator
from full_size import build_unet
from tiny_bundles import write_tiny_clip_clap

RATE = 16_000  # Hz
# haoheliu/AudioLDM `audioldm/utils.py`: model_channels, channel_mult, num_head_channels
ORIGINAL = {"s": (128, 32, (4, 8, 12, 20)), "m": (192, 32, (6, 12, 18, 30)), "l": (256, 64, (4, 8, 12, 20))}

pytestmark = pytest.mark.usefixtures("heads_of_eight_channels")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("heads") / "bundle"
    write_tiny_clip_clap(path)
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[Path]:
    """A bell that rings twice and a rustle that swells."""
    folder, time = tmp_path_factory.mktemp("recordings"), np.arange(2 * RATE) / RATE
    bell = np.sin(2 * np.pi * np.outer((440.0, 1210.0, 2090.0), time)).mean(axis=0) * np.exp(-6 * (time % 1))
    rustle = np.random.default_rng(0).standard_normal(len(time)) * np.sin(np.pi * time / 2) * 0.2
    paths = [folder / "bell.wav", folder / "rustle.wav"]
    for path, sound in zip(paths, (bell, rustle), strict=True):
        soundfile.write(path, sound.astype(np.float32), RATE)
    return paths


def load(bundle: Path) -> AudioLdmGenerator:
    return AudioLdmGenerator.from_directory(bundle / "generator", device="cpu", dtype=torch.float32)


def heads_in(unet: torch.nn.Module) -> dict[int, set[int]]:
    """Channels to the numbers of heads that attentions of that many channels have."""
    found: dict[int, set[int]] = {}
    for module in unet.modules():
        if isinstance(module, Attention):
            found.setdefault(module.inner_dim, set()).add(module.heads)
    return found


@pytest.mark.parametrize("size", ["s", "m", "l"])
def test_a_published_unet_gets_the_originals_heads(size: str) -> None:
    base, width, heads = ORIGINAL[size]
    channels = tuple(base * multiple for multiple in (1, 2, 3, 5))
    with torch.device("meta"):
        unet = build_unet(channels)
    assert heads_in(unet) == {n: {8} for n in channels[1:]}
    assert use_original_heads(unet) == heads
    assert heads_in(unet) == {n: {n // width} for n in channels[1:]}


@pytest.mark.parametrize(
    "config",
    [
        {"block_out_channels": [128, 256, 384, 640], "attention_head_dim": [8, 8, 8, 8]},
        {"block_out_channels": [128, 256, 384, 640], "attention_head_dim": 4},
        {"block_out_channels": [128, 256, 512, 1024], "attention_head_dim": 8},
        {},
    ],
)
def test_other_configs_are_taken_as_they_stand(config: dict[str, Any]) -> None:
    assert original_heads(config) is None


def test_heads_are_divided_as_in_the_originals_attention() -> None:
    """audioldm/latent_diffusion/attention.py, CrossAttention.forward: 'b n (h d) -> (b h) n d', scale d ** -0.5."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        attention = Attention(query_dim=24, heads=8, dim_head=3).eval()
        x = torch.randn(2, 7, 24)
    assert attention.to_out is not None
    set_heads(attention, {24: 2})
    q, k, v = (
        cast(nn.Module, layer)(x).unflatten(2, (2, 12)).transpose(1, 2)
        for layer in (attention.to_q, attention.to_k, attention.to_v)
    )
    weights = torch.softmax(q @ k.transpose(2, 3) * 12**-0.5, dim=-1)
    expected = attention.to_out[0]((weights @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x), expected, rtol=0, atol=1e-5)
    set_heads(attention, {24: 8})
    assert (attention(x) - expected).abs().max() > 1e-3


@torch.no_grad()
def plant(bundle: Path, out: Path, recordings: list[Path], heads: int) -> Path:
    """The bundle with a UNet whose last convolution predicts the noise best where its attention has `heads` heads.

    Ridge regression of the noise on what comes before that convolution, on the very sounds and noise of the measure. The
    attention is made loud, so that what comes before depends on it.
    """
    shutil.copytree(bundle, out)
    (file,) = (out / "generator" / "unet").glob("*.safetensors")
    loud = {"attn1.to_q.weight": 6.0, "attn1.to_k.weight": 6.0, "attn1.to_out.0.weight": 8.0}
    weights = {
        name: weight * next((factor for end, factor in loud.items() if name.endswith(end)), 1.0)
        for name, weight in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})
    generator = load(out)
    unet, features, noises = generator.unet, [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HEAD_WIDTHS, (16, 32), 32 // heads)
        use_original_heads(unet)
        patch.setattr("echoframe.generators.attention_heads._published_heads", lambda _: pytest.fail("measured once"))
        hook = unet.conv_out.register_forward_pre_hook(lambda _, given: features.append(given[0]))
        randn = torch.randn
        patch.setattr(torch, "randn", lambda *a, **k: noises.append(randn(*a, **k)) or noises[-1])
        with pytest.raises(pytest.fail.Exception, match="measured once"):
            prove_heads(generator, recordings)
        hook.remove()
    rows = torch.cat([torch.nn.functional.unfold(x, 3, padding=1).transpose(1, 2).flatten(0, 1) for x in features])
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1).double()
    wanted = torch.cat([noise.flatten(2).transpose(1, 2).flatten(0, 1) for noise in noises]).double()
    solved = torch.linalg.solve(rows.T @ rows + 1e-3 * torch.eye(rows.shape[1]).double(), rows.T @ wanted).float()
    weights["conv_out.weight"] = solved[:-1].T.reshape(weights["conv_out.weight"].shape).contiguous()
    weights["conv_out.bias"] = solved[-1].contiguous()
    save_file(weights, file, metadata={"format": "pt"})
    save_bundle(out, read_manifest(out))
    return out


def test_the_original_reading_wins_where_it_is_true(bundle: Path, recordings: list[Path], tmp_path: Path) -> None:
    planted = plant(bundle, tmp_path / "planted", recordings, heads=4)
    line = check_bundle(planted, sounds=recordings, device="cpu")[-1]
    assert line.startswith("generator: attention heads by block: 2, 4, as in AudioLDM's own code")
    assert "on 2 sounds" in line
    generator = load(planted)
    sounds = torch.randn(1, 2 * RATE, generator=torch.Generator().manual_seed(1)) * 0.1
    measured = measure_heads(generator, sounds)
    assert measured.n_sounds == 1
    assert measured.original != measured.published
    assert heads_in(generator.unet) == {32: {4}}  # as before the measure


def test_check_fails_where_the_published_reading_is_true(bundle: Path, recordings: list[Path], tmp_path: Path) -> None:
    planted = plant(bundle, tmp_path / "planted", recordings, heads=PUBLISHED)
    with pytest.raises(
        BundleError, match=r"as published, on 2 sounds: the published reading fits the weights; write att"
    ):
        check_bundle(planted, sounds=recordings, device="cpu")
    path = planted / "generator" / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attention_head_dim": [8, 8]}))  # as the line says
    save_bundle(planted, read_manifest(planted))
    assert heads_in(load(planted).unet) == {32: {8}}
    assert not check_bundle(planted, sounds=recordings, device="cpu")[-1].startswith("generator: attention")


def test_without_recordings_nothing_is_proven(bundle: Path) -> None:
    line = check_bundle(bundle, device="cpu")[-1]
    assert line.endswith("not proven on these weights: give some recordings with --sounds")


def test_a_silent_recording_is_refused(bundle: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nothing.wav", np.zeros(RATE, np.float32), RATE)
    with pytest.raises(InputError, match=r"nothing.wav: is silent in its first 10.24 s; give a recording with sound"):
        prove_heads(load(bundle), [tmp_path / "nothing.wav"])


def test_info_and_check_tell_the_heads(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", str(bundle)]) == 0
    told = "attention heads by block: 2, 4, as in AudioLDM's own code; its published config is read as 8"
    assert told in capsys.readouterr().out
    assert main(["models", "check", str(bundle)]) == 0
    assert told in capsys.readouterr().out
