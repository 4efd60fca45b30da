"""CLAP: transformers' own feature extractor and full model as second opinions, on tiny models in the hub's layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, ClapAudioConfig, ClapAudioModelWithProjection, ClapFeatureExtractor, ClapModel

from echoframe.encoders.clap import ClapAudioEncoder, ClapMel, ClapTextEncoder
from echoframe.errors import AudioError, BundleError
from tiny_models import write_tiny_clap

RATE = 48_000
TEXTS = ["dog", "a dog barking in the rain", "Bells?", "waterfall " * 60]


def sounds(batch: int, samples: int) -> torch.Tensor:
    """Noise, a pure tone, clicks, and noise under a tone: up to four sounds that are nothing like each other."""
    white = torch.randn(samples, generator=torch.Generator().manual_seed(0))
    times = torch.arange(samples)
    tone = torch.sin(2 * torch.pi * 440 * times / RATE)
    clicks = (times % 9_600 == 0).float()
    return torch.stack([0.1 * white, 0.5 * tone, 0.9 * clicks, 0.01 * white + 0.1 * tone])[:batch]


def pooled(output: Any) -> torch.Tensor:
    """transformers 5 wraps what version 4 returns as it is."""
    return getattr(output, "pooler_output", output)


def second_opinion(directory: Path, waveform: torch.Tensor, *, longer: bool) -> torch.Tensor:
    extractor: Any = ClapFeatureExtractor.from_pretrained(directory)
    features = extractor(list(waveform.numpy()), sampling_rate=RATE, return_tensors="pt")
    # the extractor draws one sound of a batch to pass for long, an aid to training
    is_longer = torch.full((len(waveform), 1), longer)
    with torch.no_grad():
        audio = ClapModel.from_pretrained(directory).get_audio_features(
            input_features=features["input_features"].float(), is_longer=is_longer
        )
    return torch.nn.functional.normalize(pooled(audio), dim=1)


@pytest.fixture(scope="module")
def unfused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clap(tmp_path_factory.mktemp("fused"), fusion=True)


@pytest.fixture(params=["unfused", "fused"])
def directory(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A directory of its own, to be damaged."""
    return write_tiny_clap(tmp_path / "clap")


@pytest.mark.parametrize("samples", [1, 2_000, 100_000, 250_000, 479_999, 480_000])
@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
def test_features_against_transformers(own: Path, samples: int, padding: str) -> None:
    _edit(own, padding=padding)
    waveform = sounds(1, samples)
    extractor: Any = ClapFeatureExtractor.from_pretrained(own)
    expected = extractor(waveform[0].numpy(), sampling_rate=RATE, return_tensors="np")["input_features"]
    found, is_longer = ClapMel.from_directory(own).features(waveform)
    assert found.shape == expected.shape == (1, 1, 1001, 64)
    assert not is_longer.any()
    loud = expected > -80  # below, float32 and float64 transforms differ by rounding alone
    assert np.abs(found.numpy() - expected)[loud].max() < 0.01  # dB


@pytest.mark.parametrize("samples", [100_000, 480_000])
def test_sounds_against_transformers(directory: Path, samples: int) -> None:
    waveform = sounds(3, samples)
    expected = second_opinion(directory, waveform, longer=False)
    found = ClapAudioEncoder.from_directory(directory)(waveform, RATE)
    assert torch.allclose(found, expected, atol=1e-4)
    assert (expected @ expected.T).min() < 0.9  # the tiny model does tell sounds apart


def test_a_long_sound_is_heard_in_its_middle(unfused: Path) -> None:
    encoder = ClapAudioEncoder.from_directory(unfused)
    waveform = sounds(2, 600_001)
    assert torch.equal(encoder(waveform, RATE), encoder(waveform[:, 60_000:540_000], RATE))


def test_a_long_sound_is_among_what_transformers_draws(unfused: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = sounds(1, 600_000)
    monkeypatch.setattr(np.random, "randint", lambda low, high: 60_000)
    expected = second_opinion(unfused, waveform, longer=True)
    assert torch.allclose(ClapAudioEncoder.from_directory(unfused)(waveform, RATE), expected, atol=1e-4)


def test_fusion_is_among_what_transformers_draws(fused: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = sounds(2, 720_000)
    monkeypatch.setattr(np.random, "choice", lambda values: values[len(values) // 2])
    expected = second_opinion(fused, waveform, longer=True)
    assert torch.allclose(ClapAudioEncoder.from_directory(fused)(waveform, RATE), expected, atol=1e-4)


@pytest.mark.parametrize("samples", [480_001, 480_479, 480_480, 481_000])
def test_fusion_of_a_sound_just_too_long(fused: Path, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = sounds(1, samples)
    monkeypatch.setattr(np.random, "choice", lambda values: values[len(values) // 2])
    monkeypatch.setattr(np.random, "randint", lambda low, high: 0)
    extractor: Any = ClapFeatureExtractor.from_pretrained(fused)
    expected = extractor(waveform[0].numpy(), sampling_rate=RATE, return_tensors="np")["input_features"]
    found, is_longer = ClapMel.from_directory(fused).features(waveform)
    assert found.shape == expected.shape == (1, 4, 1001, 64)
    assert bool(is_longer) == (samples >= 480_480)
    assert np.abs(found.numpy() - expected).max() < 0.05  # dB


@pytest.mark.parametrize("samples", [100_000, 600_000])
def test_batch_equals_single_sounds(directory: Path, samples: int) -> None:
    encoder = ClapAudioEncoder.from_directory(directory)
    waveform = sounds(4, samples)
    together = encoder(waveform, RATE)
    alone = torch.cat([encoder(waveform[i : i + 1], RATE) for i in range(4)])
    assert together.shape == (4, encoder.dim) == (4, 32)
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(4), atol=1e-5)


@pytest.mark.parametrize("samples", [100_000, 600_000])
def test_frozen(directory: Path, samples: int) -> None:
    encoder = ClapAudioEncoder.from_directory(directory)
    waveform = sounds(2, samples)
    before = encoder(waveform, RATE)
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert torch.equal(encoder(waveform, RATE), before)


def test_any_sample_rate(unfused: Path) -> None:
    encoder = ClapAudioEncoder.from_directory(unfused)
    times = torch.arange(RATE * 2, dtype=torch.float64)[None]
    high, low = torch.sin(times * 2 * torch.pi * 440 / RATE), torch.sin(times * 2 * torch.pi * 440 / 16_000)
    assert (encoder(high.float(), RATE) * encoder(low[:, :32_000].float(), 16_000)).sum() > 0.99


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close(directory: Path, dtype: torch.dtype) -> None:
    waveform = sounds(2, 600_000)
    full = ClapAudioEncoder.from_directory(directory)(waveform, RATE)
    half = ClapAudioEncoder.from_directory(directory, dtype=dtype)(waveform, RATE)
    assert half.dtype == torch.float32
    least = {torch.float16: 0.999, torch.bfloat16: 0.99}[dtype]  # bfloat16: as the processor rounds
    assert ((full * half).sum(dim=1) > least).all()
    full, half = ClapTextEncoder.from_directory(directory), ClapTextEncoder.from_directory(directory, dtype=dtype)
    assert ((full(TEXTS) * half(TEXTS)).sum(dim=1) > least).all()


def test_texts_against_transformers(unfused: Path) -> None:
    tokens = AutoTokenizer.from_pretrained(unfused)(
        TEXTS, padding="max_length", truncation=True, max_length=512, return_tensors="pt"
    )
    with torch.no_grad():
        features = ClapModel.from_pretrained(unfused).get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
    expected = torch.nn.functional.normalize(pooled(features), dim=1)
    encoder = ClapTextEncoder.from_directory(unfused)
    assert torch.allclose(encoder(TEXTS), expected, atol=1e-5)
    assert torch.allclose(torch.cat([encoder([text]) for text in TEXTS]), expected, atol=1e-5)
    assert (expected @ expected.T).min() < 0.95


def test_texts_that_are_empty_or_endless(unfused: Path) -> None:
    encoder = ClapTextEncoder.from_directory(unfused)
    assert encoder([]).shape == (0, 32)
    assert torch.allclose(encoder([""]).norm(dim=1), torch.ones(1), atol=1e-5)
    # 512 tokens are read, the two marks at the ends among them
    assert torch.allclose(encoder(["u" * 510]), encoder(["u" * 2_000]), atol=1e-5)


def test_sizes_and_names(unfused: Path) -> None:
    encoder = ClapAudioEncoder.from_directory(unfused)
    assert (encoder.dim, encoder.sample_rate, encoder.name) == (32, RATE, "clap-32")
    assert ClapTextEncoder.from_directory(unfused, name="laion/clap").name == "laion/clap"


def test_no_samples_and_no_numbers_are_refused(unfused: Path) -> None:
    encoder = ClapAudioEncoder.from_directory(unfused)
    with pytest.raises(AudioError, match="waveform: holds no samples"):
        encoder(torch.zeros(1, 0), RATE)
    with pytest.raises(AudioError, match="waveform: holds NaN or infinite samples"):
        encoder(torch.full((1, 100), float("inf")), RATE)


def _edit(directory: Path, **values: object) -> None:
    path = directory / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_other_preprocessing_is_refused(own: Path) -> None:
    _edit(own, padding="loop")
    with pytest.raises(BundleError, match=r'preprocessor_config\.json: padding "loop" is not known; expected one of'):
        ClapAudioEncoder.from_directory(own)
    _edit(own, padding="pad", truncation="end")
    with pytest.raises(BundleError, match=r'preprocessor_config\.json: truncation "end" is not known; expected one of'):
        ClapAudioEncoder.from_directory(own)
    _edit(own, truncation="fusion")
    with pytest.raises(BundleError, match='has truncation "fusion", config.json has enable_fusion False; take both'):
        ClapAudioEncoder.from_directory(own)


def test_missing_files_are_named(own: Path) -> None:
    (own / "preprocessor_config.json").unlink()
    with pytest.raises(BundleError, match=r"clap: lacks preprocessor_config\.json"):
        ClapAudioEncoder.from_directory(own)
    (own / "tokenizer_config.json").unlink()
    with pytest.raises(BundleError, match=r"clap: lacks tokenizer_config\.json"):
        ClapTextEncoder.from_directory(own)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "depths", "heads"), [(96, [2, 2, 6, 2], [4, 8, 16, 32]), (128, [2, 2, 12, 2], [4, 8, 16, 32])]
)
def test_full_size(width: int, depths: list[int], heads: list[int], unfused: Path) -> None:
    """HTSAT-tiny (laion/clap-htsat-unfused) and HTSAT-base (what the -m- models of AudioLDM hear with)."""
    config = ClapAudioConfig(
        patch_embeds_hidden_size=width, hidden_size=8 * width, depths=depths, num_attention_heads=[4, 8, 16, 32]
    )
    encoder = ClapAudioEncoder(ClapAudioModelWithProjection(config), ClapMel.from_directory(unfused), name="full")
    assert encoder(sounds(2, 100_000), RATE).shape == (2, 512)
