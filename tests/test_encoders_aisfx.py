"""aiSFX: its own package's network and spectrogram as second opinions, and how the encoder behaves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

import second_opinions
from echoframe.encoders import load_audio_encoder, read_encoder
from echoframe.encoders.aisfx import (
    AisfxConfig,
    AisfxEncoder,
    AisfxNetwork,
    fold_batch_norms,
    log_mel_blocks,
    write_mean,
)
from echoframe.encoders.convert import convert_aisfx
from echoframe.errors import AudioError, BundleError
from echoframe.weights import save_part
from test_encoders_convert import aisfx_checkpoint


def noise(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A narrow encoder with lively batch norms."""
    random = torch.Generator().manual_seed(0)
    network = AisfxNetwork(AisfxConfig(width=4))
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=random)
        elif tensor.ndim == 4:
            tensor.copy_(torch.randn(tensor.shape, generator=random) * (2 / tensor[0].numel()) ** 0.5)
        assert name
    save_part(tmp_path / "aisfx", {"kind": "aisfx", "width": 4}, {**tensors, "mean": torch.zeros(32)})
    return tmp_path / "aisfx"


def test_network_equals_the_packages_own() -> None:
    folder = second_opinions.package_folder("aisfx")
    theirs = second_opinions.module_from_file(folder / "models" / "cnn2d.py").EmbeddingNet("max", 3, 1, 64).eval()
    ours = AisfxNetwork().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    blocks = torch.rand(2, 100, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(blocks)
        assert torch.allclose(ours(blocks), expected, atol=1e-5)
        fold_batch_norms(ours)
        assert torch.allclose(ours(blocks), expected, atol=1e-5)


def test_converted_weights_equal_the_packages_own(tmp_path: Path) -> None:
    folder = second_opinions.package_folder("aisfx")
    theirs = second_opinions.module_from_file(folder / "models" / "cnn2d.py").EmbeddingNet("max", 3, 1, 64).eval()
    convert_aisfx(folder / "models" / "checkpoint.pth", tmp_path / "aisfx")
    _, tensors = read_encoder(tmp_path / "aisfx", "aisfx")
    names = (name for name in tensors if name.startswith("network."))
    theirs.load_state_dict({name.removeprefix("network."): tensors[name] for name in names}, strict=True)
    waveform = noise(1, 44_100 * 3)
    with torch.no_grad():
        expected = theirs(log_mel_blocks(waveform).flatten(0, 1))
    found = AisfxEncoder.from_directory(tmp_path / "aisfx").block_embeddings(waveform, 44_100)
    assert found.shape == (1, 1, 512)
    assert (found[0] - expected).abs().max() < 1e-5 * expected.abs().max()


def test_blocks_equal_the_packages_blocking() -> None:
    blocking = second_opinions.module_from_file(second_opinions.package_folder("aisfx") / "preprocessing.py").blocking
    for samples in (1_000, 102_400, 250_000, 300_001):
        found = log_mel_blocks(noise(1, samples))
        whole = _plain_log_mel(noise(1, samples)[0].numpy())
        expected = blocking(whole, block_size=100, hop_size=50, drop_partial_block=True)
        assert found.shape == (1, *expected.shape)
        assert np.abs(found[0].numpy() - expected).max() < 1e-5


def _plain_log_mel(samples: np.ndarray) -> np.ndarray:
    """(frames, 96), as aisfx 0.1.2 `spectrogram_librosa.py`, with transformers' numpy transform for librosa's."""
    filters = mel_filter_bank(1025, 96, 0.0, 22_050.0, 44_100, norm=None, mel_scale="htk")
    power = spectrogram(
        (samples / np.abs(samples).max()).astype(np.float64),
        window_function(2048, "hann"),
        frame_length=2048,
        hop_length=1024,
        power=2.0,
        pad_mode="constant",
        mel_filters=filters / filters.sum(axis=0),
        mel_floor=0.0,
    )
    return np.log10(power.T * 10_000 + 1) / 9.457798957824707


def test_log_mel_equals_a_plain_transform() -> None:
    waveform = noise(1, 44_100 * 3)
    whole = _plain_log_mel(waveform[0].numpy())
    assert np.abs(log_mel_blocks(waveform)[0, 0].numpy() - whole[:100]).max() < 1e-5


def test_silence_and_loudness_change_nothing(directory: Path) -> None:
    encoder = AisfxEncoder.from_directory(directory)
    assert torch.isfinite(encoder(torch.zeros(1, 44_100), 44_100)).all()
    waveform = noise(1, 120_000)
    assert torch.allclose(encoder(waveform, 44_100), encoder(waveform * 0.01, 44_100), atol=1e-5)


@pytest.mark.parametrize(("samples", "blocks"), [(1, 1), (50_000, 1), (44_100 * 10, 7), (44_100 * 40, 33)])
def test_number_of_blocks(directory: Path, samples: int, blocks: int) -> None:
    embeddings = AisfxEncoder.from_directory(directory).block_embeddings(noise(1, samples), 44_100)
    assert embeddings.shape == (1, blocks, 32)
    assert embeddings.min() >= 0


def test_batch_equals_single_sounds(directory: Path) -> None:
    encoder = AisfxEncoder.from_directory(directory)
    waveform = noise(4, 44_100 * 8) * torch.tensor([1.0, 0.5, 0.1, 2.0])[:, None]
    together = encoder(waveform, 44_100)
    alone = torch.cat([encoder(waveform[i : i + 1], 44_100) for i in range(4)])
    assert together.shape == (4, encoder.dim) == (4, 32)
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(4), atol=1e-5)


def test_frozen(directory: Path) -> None:
    encoder = AisfxEncoder.from_directory(directory)
    waveform = noise(2, 120_000)
    before = encoder(waveform, 44_100)
    assert encoder.train() is encoder
    assert not any(module.training for module in encoder.modules())
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert torch.equal(encoder(waveform, 44_100), before)


def test_any_sample_rate(directory: Path) -> None:
    encoder = AisfxEncoder.from_directory(directory)
    times = torch.arange(48_000 * 3, dtype=torch.float64)[None]
    high, low = torch.sin(times * 2 * torch.pi * 440 / 48_000), torch.sin(times * 2 * torch.pi * 440 / 16_000)
    cosine = (encoder(high.float(), 48_000) * encoder(low[:, : 16_000 * 3].float(), 16_000)).sum()
    assert cosine > 0.999


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close(directory: Path, dtype: torch.dtype) -> None:
    waveform = noise(2, 120_000)
    full = AisfxEncoder.from_directory(directory)(waveform, 44_100)
    half = AisfxEncoder.from_directory(directory, dtype=dtype)(waveform, 44_100)
    assert half.dtype == torch.float32
    assert ((full * half).sum(dim=1) > 0.999).all()


def test_mean_is_taken_away_before_the_length(directory: Path) -> None:
    waveform = noise(2, 120_000)
    raw = AisfxEncoder.from_directory(directory).block_embeddings(waveform, 44_100).mean(dim=1)
    write_mean(directory, raw.mean(dim=0))
    vectors = AisfxEncoder.from_directory(directory)(waveform, 44_100)
    # two vectors, less their mean, point in opposite directions
    assert torch.allclose(vectors[0], -vectors[1], atol=1e-3)


def test_mean_of_another_size_is_refused(directory: Path) -> None:
    with pytest.raises(BundleError, match="a mean of 7 numbers, expected 32"):
        write_mean(directory, torch.zeros(7))


def test_no_samples_and_no_numbers_are_refused(directory: Path) -> None:
    encoder = AisfxEncoder.from_directory(directory)
    with pytest.raises(AudioError, match="waveform: holds no samples"):
        encoder(torch.zeros(1, 0), 44_100)
    with pytest.raises(AudioError, match="waveform: holds NaN or infinite samples"):
        encoder(torch.full((1, 100), float("nan")), 44_100)


def test_config_with_an_unknown_key_is_refused(directory: Path) -> None:
    config, tensors = read_encoder(directory, "aisfx")
    save_part(directory, {**config, "depth": 3}, tensors)
    with pytest.raises(BundleError, match=r"config\.json: unknown key depth; known keys are width"):
        AisfxEncoder.from_directory(directory)


def test_config_of_another_width_is_refused(directory: Path) -> None:
    _, tensors = read_encoder(directory, "aisfx")
    save_part(directory, {"kind": "aisfx", "width": 8}, tensors)
    with pytest.raises(BundleError, match=r"model\.safetensors: mean: found \(32,\), expected \(64,\)"):
        AisfxEncoder.from_directory(directory)


def test_loads_through_the_common_door(tmp_path: Path) -> None:
    aisfx_checkpoint(tmp_path / "checkpoint.pth")
    convert_aisfx(tmp_path / "checkpoint.pth", tmp_path / "aisfx")
    encoder = load_audio_encoder(tmp_path / "aisfx")
    assert isinstance(encoder, AisfxEncoder)
    assert (encoder.dim, encoder.sample_rate, encoder.name) == (32, 44_100, "aisfx")
