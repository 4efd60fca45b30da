"""The zero-shot bridge: planted frames lead to the label's place in the audio space; words only, no training."""

import json

import pytest
import torch
from torch import nn

from echoframe.encoders.clap import ClapTextEncoder
from echoframe.encoders.clip import ClipTextEncoder
from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.mappers.zero_shot import BridgeConfig, ZeroShotBridge, build_bridge, load_bridge, save_bridge
from tiny_models import write_tiny_clap, write_tiny_clip

SEEN = torch.eye(4, 6)  # four labels, far from each other
HEARD = nn.functional.normalize(torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), dim=1)
CONFIG = BridgeConfig(
    visual_dim=6, audio_dim=5, labels=("dog", "rain", "violin", "drill"), visual_space="v", audio_space="a"
)
BRIDGE = ZeroShotBridge(CONFIG, visual_text=SEEN, audio_text=HEARD)


def all_real(visual: torch.Tensor) -> torch.Tensor:
    return torch.ones(visual.shape[:2], dtype=torch.bool)


def test_frames_of_one_label_lead_to_its_place():
    visual = (3.0 * SEEN)[:, None].expand(-1, 2, -1)
    torch.testing.assert_close(BRIDGE(visual, all_real(visual)), HEARD, atol=1e-6, rtol=0)


def test_frames_of_two_labels_lead_between_them():
    visual = torch.stack([SEEN[0], SEEN[0], SEEN[2]])[None]
    between = nn.functional.normalize(2 * HEARD[0] + HEARD[2], dim=0)
    torch.testing.assert_close(BRIDGE(visual, all_real(visual))[0], between, atol=1e-6, rtol=0)


def test_equals_the_formula_written_out():
    visual = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))
    expected = []
    for clip in visual:
        weights = torch.zeros(4)
        for frame in clip:
            cosines = torch.stack([torch.dot(frame, text) / frame.norm() / text.norm() for text in SEEN])
            exponentials = torch.exp(100 * (cosines - cosines.max()))
            weights += exponentials / exponentials.sum() / len(clip)
        mixed = sum(w * text for w, text in zip(weights, HEARD, strict=True))
        assert isinstance(mixed, torch.Tensor)
        expected.append(mixed / mixed.norm())
    torch.testing.assert_close(BRIDGE(visual, all_real(visual)), torch.stack(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("filling", [0.0, float("nan")])
def test_padding_never_changes_a_result(filling):
    visual = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))
    padded = torch.cat([visual, torch.full((2, 2, 6), filling)], dim=1)
    mask = torch.tensor([[True] * 3 + [False] * 2] * 2)
    torch.testing.assert_close(BRIDGE(padded, mask), BRIDGE(visual, all_real(visual)), atol=1e-6, rtol=0)


def test_all_padding_is_refused():
    with pytest.raises(InputError, match=r"clip \[0\] of the batch is all padding"):
        BRIDGE(torch.ones(1, 2, 6), torch.zeros(1, 2, dtype=torch.bool))


def test_another_visual_space_is_refused():
    with pytest.raises(InputError, match="have 7 numbers, this mapper takes 6"):
        BRIDGE(torch.ones(1, 2, 7), torch.ones(1, 2, dtype=torch.bool))


def test_saved_and_loaded(tmp_path):
    save_bridge(BRIDGE, tmp_path)
    loaded = load_bridge(tmp_path)
    assert loaded.config == CONFIG
    visual = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded(visual, all_real(visual)), BRIDGE(visual, all_real(visual)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "mlp"}, "config.json: not a bridge's config"),
        ({"labels": []}, "0 labels"),
        ({"scale": 0.0}, "a scale above 0"),
        ({"visual_dim": 7}, r"model.safetensors: visual_text: found \(4, 6\), expected \(4, 7\)"),
    ],
)
def test_another_config_is_refused(changes, message, tmp_path):
    save_bridge(BRIDGE, tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(BundleError, match=message):
        load_bridge(tmp_path)


def test_impossible_config_is_refused():
    with pytest.raises(ConfigError, match='bridge: kind "zero_shot_bridge", 0 labels'):
        BridgeConfig(visual_dim=2, audio_dim=2, labels=())


def test_captions_are_what_the_towers_read():
    read: list[list[str]] = []

    def embed(texts: list[str]) -> torch.Tensor:
        read.append(texts)
        return torch.eye(len(texts), 6)

    bridge = build_bridge(embed, embed, labels=["dog", "rain"], visual_space="v", audio_space="a")
    assert read == [["a photo of dog", "a photo of rain"], ["the sound of dog", "the sound of rain"]]
    assert bridge.config == BridgeConfig(
        visual_dim=6, audio_dim=6, labels=("dog", "rain"), visual_space="v", audio_space="a"
    )


def test_built_from_clip_and_clap_themselves(tmp_path):
    clip = ClipTextEncoder.from_directory(write_tiny_clip(tmp_path / "clip"))
    clap = ClapTextEncoder.from_directory(write_tiny_clap(tmp_path / "clap"))
    bridge = build_bridge(clip, clap, labels=["dog", "rain"])
    photo_of_rain = clip(["a photo of rain"])[None]  # a frame that looks exactly like its caption
    target = bridge(photo_of_rain, all_real(photo_of_rain))[0]
    assert target @ clap(["the sound of rain"])[0] > target @ clap(["the sound of dog"])[0]
