"""What all encoder directories have in common: which encoder is in one, and what is said when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from echoframe.encoders import (
    AudioEncoder,
    TextEncoder,
    VisualEncoder,
    load_audio_encoder,
    load_text_encoder,
    load_visual_encoder,
)
from echoframe.encoders.convert import convert_aisfx, convert_efficientnet_lite
from echoframe.errors import BundleError
from echoframe.weights import save_part
from test_encoders_convert import aisfx_checkpoint, lite_checkpoint
from tiny_models import write_tiny_clap, write_tiny_clip

LOADERS = [load_visual_encoder, load_audio_encoder, load_text_encoder]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    write_tiny_clip(folder / "clip")
    write_tiny_clap(folder / "clap")
    aisfx_checkpoint(folder / "aisfx.pth")
    convert_aisfx(folder / "aisfx.pth", folder / "aisfx")
    lite_checkpoint(folder / "lite.pth")
    convert_efficientnet_lite(folder / "lite.pth", folder / "lite")
    return folder


def test_every_encoder_fits_its_seam(encoders: Path) -> None:
    assert isinstance(load_visual_encoder(encoders / "clip"), VisualEncoder)
    assert isinstance(load_visual_encoder(encoders / "lite"), VisualEncoder)
    assert isinstance(load_audio_encoder(encoders / "clap"), AudioEncoder)
    assert isinstance(load_audio_encoder(encoders / "aisfx"), AudioEncoder)
    assert isinstance(load_text_encoder(encoders / "clip"), TextEncoder)
    assert isinstance(load_text_encoder(encoders / "clap"), TextEncoder)


@pytest.mark.parametrize(("loader", "name", "message"), [
    (load_visual_encoder, "clap", '"clap" is not a visual encoder; expected efficientnet_lite, clip'),
    (load_audio_encoder, "clip", '"clip" is not an audio encoder; expected aisfx, clap'),
    (load_text_encoder, "aisfx", '"aisfx" is not a text encoder; expected clip, clap'),
])  # fmt: skip
def test_the_wrong_kind_is_named(encoders: Path, loader, name: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        loader(encoders / name)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_missing_directory_or_config_is_named(tmp_path: Path, loader) -> None:
    with pytest.raises(BundleError, match=r"nowhere: no such directory; expected an encoder with config\.json"):
        loader(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"lacks config\.json; fetch or convert the encoder again"):
        loader(tmp_path)


@pytest.mark.parametrize(("loader", "kind"), [
    (load_visual_encoder, "clip"), (load_visual_encoder, "efficientnet_lite"), (load_text_encoder, "clip"),
    (load_audio_encoder, "clap"), (load_audio_encoder, "aisfx"), (load_text_encoder, "clap"),
])  # fmt: skip
def test_missing_weights_are_named(tmp_path: Path, loader, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"kind": kind}))
    with pytest.raises(BundleError, match=r"lacks model\.safetensors; fetch or convert the encoder again"):
        loader(tmp_path)


@pytest.mark.parametrize(("content", "message"), [
    ("{", r"config\.json: not valid JSON"),
    ("[1]", r"config\.json: found a JSON list, expected an object"),
    ("{}", '"unnamed" is not a visual encoder'),
])  # fmt: skip
def test_a_broken_config_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(BundleError, match=message):
        load_visual_encoder(tmp_path)


def test_broken_weights_are_named(tmp_path: Path) -> None:
    save_part(tmp_path, {"kind": "aisfx", "width": 4}, {"mean": torch.zeros(32)})
    whole = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(BundleError, match=r"model\.safetensors: network\.\S+: found no such weight, expected \("):
        load_audio_encoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(whole[:20])
    with pytest.raises(BundleError, match=r"model\.safetensors: not readable as safetensors"):
        load_audio_encoder(tmp_path)


def test_an_encoder_read_as_another_is_named(encoders: Path) -> None:
    from echoframe.encoders.aisfx import AisfxEncoder

    with pytest.raises(BundleError, match='holds a "efficientnet_lite" encoder, expected "aisfx"'):
        AisfxEncoder.from_directory(encoders / "lite")


def test_the_small_encoders_do_without_transformers() -> None:
    program = (
        "import sys, echoframe.encoders.aisfx, echoframe.encoders.efficientnet_lite, echoframe.encoders.convert;"
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
