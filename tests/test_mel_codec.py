"""The mel codec: an orthogonal map of patches; what it keeps comes back, what it drops is the weakest."""

import pytest
import torch

from echoframe.errors import BundleError, ConfigError
from echoframe.generators.mel_codec import MelCodecConfig, fit_codec, load_codec, save_codec

SMALL = {"n_mels": 8, "frames": 4, "bands": 4}


def mels(n: int = 16, frames: int = 32, seed: int = 0) -> torch.Tensor:
    """Random walks over time and frequency: smooth, as spectrograms are."""
    steps = torch.randn(n, frames, 8, generator=torch.Generator().manual_seed(seed))
    return steps.cumsum(1).cumsum(2) * 0.1 + 3


def test_all_components_lose_nothing():
    codec = fit_codec(mels(), MelCodecConfig(**SMALL, components=16))
    other = mels(seed=1)
    tokens = codec.encode(other)
    assert tokens.shape == (16, 8, 32)
    assert codec.channels == 32
    torch.testing.assert_close(codec.decode(tokens), other, atol=1e-4, rtol=1e-4)


def test_more_components_lose_less_and_a_mean_patch_costs_nothing():
    errors = [
        (codec.decode(codec.encode(mels(seed=1))) - mels(seed=1)).square().mean().item()
        for codec in (fit_codec(mels(), MelCodecConfig(**SMALL, components=k)) for k in (1, 4, 12))
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0
    codec = fit_codec(mels(), MelCodecConfig(**SMALL, components=1))
    flat = codec.mean.reshape(4, 4).repeat(8, 2)[None]
    assert codec.encode(flat).abs().max() < 1e-4


def test_tokens_of_the_sounds_it_was_fitted_to_have_unit_variance_and_the_strongest_first():
    codec = fit_codec(mels(n=64), MelCodecConfig(**SMALL, components=6))
    tokens = codec.encode(mels(n=64)).unflatten(2, (2, 6)).flatten(0, 2)
    assert tokens.square().mean() == pytest.approx(1, rel=1e-3)
    strengths = tokens.square().mean(0)
    assert (strengths.diff() < 0).all()
    correlation = torch.corrcoef(tokens.T)
    assert (correlation - torch.eye(6)).abs().max() < 0.05


def test_a_token_is_a_moment_and_a_row_is_a_band():
    codec = fit_codec(mels(), MelCodecConfig(**SMALL, components=5))
    mel = mels(n=1)
    changed = mel.clone()
    changed[0, 8:12, 4:8] += 1
    moved = (codec.encode(changed) - codec.encode(mel))[0].abs() > 1e-6
    assert moved[:, :5].sum() == 0
    assert moved[2, 5:].any()
    assert moved.sum() == moved[2].sum()


def test_saved_and_loaded_it_is_the_same(tmp_path):
    codec = fit_codec(mels(), MelCodecConfig(**SMALL, components=5))
    save_codec(codec, tmp_path)
    assert torch.equal(load_codec(tmp_path).encode(mels()), codec.encode(mels()))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match="not readable as safetensors"):
        load_codec(tmp_path)


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"mel codec: MelCodecConfig\(.*frames=0.*\); every size has to be positive"):
        MelCodecConfig(frames=0)
    with pytest.raises(ConfigError, match="bands have to divide the mels"):
        MelCodecConfig(bands=7)
    with pytest.raises(ConfigError, match="no more components than numbers"):
        MelCodecConfig(components=129)
