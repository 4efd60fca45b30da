"""Melception: torchvision's network and librosa's spectrogram as second opinions, and how the judge behaves."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from echoframe.encoders import FrozenModule
from echoframe.errors import AudioError, BundleError
from echoframe.evaluation.judges import Judge
from echoframe.evaluation.judges.melception import (
    BAND_MEANS,
    BAND_STDS,
    CLASSES,
    SOUNDS_AT_ONCE,
    MelceptionJudge,
    mel_frames,
)
from echoframe.evaluation.judges.melception_network import MelceptionNetwork, fold_batch_norms
from echoframe.evaluation.metrics import kl_divergence
from echoframe.weights import write_weights
from golden.make_melception import (
    FILE,
    FULL,
    SHORT,
    planted_spectrogram,
    planted_waveform,
    planted_weights,
    watch,
)

NARROW = 2  # a sixteenth of the width
SECOND = 22_050


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(FILE, allow_pickle=False) as arrays:
        return dict(arrays)


def planted_network(width: int = 32) -> MelceptionNetwork:
    with torch.device("meta"):
        network = MelceptionNetwork(width=width)
    weights = planted_weights({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval()


def save_checkpoint(path: Path, weights: dict[str, Tensor]) -> Path:
    """As SpecVQGAN's LoggerWithTBoard keeps it, validation figures and optimizer beside the weights."""
    figures = {"accuracy_1": 0.4, "mAP": np.float64(0.5), "mROCAUC": np.float64(0.9), "dprime": np.float64(2.6)}
    state = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    torch.save({"loss": 2.5, "metrics": figures, "epoch": 7, "optimizer": state, "model": weights}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("melception")
    return save_checkpoint(folder / "narrow.pt", planted_network(NARROW).state_dict())


@pytest.fixture(scope="module")
def judge(checkpoint: Path) -> MelceptionJudge:
    return MelceptionJudge(checkpoint, width=NARROW)


def sounds(batch: int, seconds: float = 10.0) -> Tensor:
    return torch.randn(batch, round(seconds * SECOND), generator=torch.Generator().manual_seed(0)) * 0.1


def assert_close(found: Tensor, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


def test_names_and_shapes_of_weights_are_torchvisions(golden: dict[str, np.ndarray]) -> None:
    with torch.device("meta"):
        found = {name: " ".join(map(str, tensor.shape)) for name, tensor in MelceptionNetwork().state_dict().items()}
    assert found == dict(zip(golden["names"].tolist(), golden["shapes"].tolist(), strict=True))
    assert len(found) == 580


def test_every_layer_equals_torchvisions(golden: dict[str, np.ndarray]) -> None:
    network = planted_network()
    heard: dict[str, np.ndarray] = {}
    watch(network, network.layers, heard)
    with torch.no_grad():
        embeddings, logits = network(planted_spectrogram(SHORT))
        assert heard.keys() == {name for name in golden if name.startswith("layer")}
        for name, numbers in heard.items():
            np.testing.assert_allclose(numbers, golden[name], rtol=1e-5, atol=1e-4, err_msg=name)
        assert_close(embeddings[0], golden[f"embeddings {SHORT}"])
        assert_close(logits[0], golden[f"logits {SHORT}"])
        fold_batch_norms(network)
        embeddings, logits = network(planted_spectrogram(SHORT))
    assert_close(embeddings[0], golden[f"embeddings {SHORT}"])
    assert_close(logits[0], golden[f"logits {SHORT}"])


@pytest.mark.slow
def test_full_size_judge_from_its_own_kind_of_file(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    judge = MelceptionJudge(save_checkpoint(tmp_path / "full.pt", planted_network().state_dict()))
    assert (judge.dim, judge.classes) == (2048, 309)
    with torch.no_grad():
        embeddings, logits = judge.network(planted_spectrogram(FULL))
    assert_close(embeddings[0], golden[f"embeddings {FULL}"])
    assert_close(logits[0], golden[f"logits {FULL}"])
    heard = judge(sounds(1))
    assert heard.embeddings.shape == (1, 1, 2048)
    assert heard.logits is not None
    assert heard.logits.shape == (1, 309)


@pytest.mark.parametrize("seconds", [3, 10, 12])
def test_spectrogram_equals_librosas(golden: dict[str, np.ndarray], seconds: int) -> None:
    found = mel_frames(torch.from_numpy(planted_waveform(seconds * SECOND))[None])
    assert found.shape == (1, 80, 848)
    np.testing.assert_allclose(found[0, :, ::24].numpy(), golden[f"mel {seconds}"], atol=2e-5)


def test_an_impulse_is_in_the_frame_that_is_centred_on_it() -> None:
    waveform = torch.zeros(1, 10 * SECOND)
    waveform[0, (6 + 100) * 256] = 1.0  # the first six frames are cropped
    level = mel_frames(waveform)[0].mean(dim=0)
    assert level.argmax() == 100
    assert level[100] - level[99] > 0.01
    assert torch.allclose(level[:100].flip(0), level[101:201], atol=1e-6)


def test_levels_of_a_spectrogram() -> None:
    assert torch.equal(mel_frames(torch.zeros(1, 100)), torch.zeros(1, 80, 848))
    quiet, loud = mel_frames(sounds(1)), mel_frames(2 * sounds(1))
    assert (0.05 < quiet.min()) & (loud.max() < 0.95)
    # 20 dB are 0.2
    assert torch.allclose(loud - quiet, torch.full_like(quiet, 0.2 * np.log10(2)), atol=1e-5)
    assert mel_frames(1e4 * sounds(1)).min() == 1.0


def test_statistics_are_those_of_the_published_file() -> None:
    lines = "".join(f"{mean:.8f} {std:.8f}\n" for mean, std in zip(BAND_MEANS, BAND_STDS, strict=True))
    assert hashlib.md5(lines.encode(), usedforsecurity=False).hexdigest() == "f449c6fd0e248936c16f6d22492bb625"


def test_the_network_hears_standardised_bands(judge: MelceptionJudge, golden: dict[str, np.ndarray]) -> None:
    seen: list[Tensor] = []
    handle = judge.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    judge(torch.from_numpy(planted_waveform(10 * SECOND))[None])
    handle.remove()
    expected = (golden["mel 10"] - np.array(BAND_MEANS)[:, None]) / np.array(BAND_STDS)[:, None]
    np.testing.assert_allclose(seen[0][0, :, ::24].numpy(), expected, atol=5e-4)


def test_a_judge_says_what_it_is(judge: MelceptionJudge, checkpoint: Path) -> None:
    assert isinstance(judge, Judge)
    assert isinstance(judge, FrozenModule)
    assert (judge.name, judge.sample_rate, judge.dim, judge.classes) == ("melception", 22_050, 128, CLASSES)
    assert judge.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert "SpecVQGAN" in judge.source
    assert not judge.train().training
    assert not any(weight.requires_grad for weight in judge.parameters())


def test_a_batch_equals_single_sounds(judge: MelceptionJudge) -> None:
    waveform = sounds(SOUNDS_AT_ONCE + 1, 2.0)
    together = judge(waveform)
    assert together.embeddings.shape == (SOUNDS_AT_ONCE + 1, 1, 128)
    assert together.logits is not None
    for i in (0, SOUNDS_AT_ONCE):
        alone = judge(waveform[i : i + 1])
        assert alone.logits is not None
        assert torch.allclose(alone.embeddings[0], together.embeddings[i], rtol=1e-4, atol=1e-4)
        assert torch.allclose(alone.logits[0], together.logits[i], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together.logits[0], together.logits[1], rtol=1e-2)


def test_logits_are_the_last_layer_of_the_embeddings(judge: MelceptionJudge, checkpoint: Path) -> None:
    heard = judge(sounds(2, 10.0))
    weights = torch.load(checkpoint, weights_only=False)["model"]
    without_bias = heard.embeddings[:, 0] @ weights["fc.weight"].T
    assert heard.logits is not None
    assert torch.equal(judge.bias, weights["fc.bias"])
    assert torch.allclose(heard.logits - judge.bias, without_bias, atol=1e-4)
    assert (heard.embeddings >= 0).all()


def test_mkl_is_as_specvqgan_writes_it(judge: MelceptionJudge) -> None:
    tone = torch.from_numpy(planted_waveform(10 * SECOND)).repeat(3, 1) * torch.tensor([[0.1], [0.3], [1.0]])
    reference, generated = judge(tone).logits, judge(sounds(3)).logits
    assert reference is not None
    assert generated is not None
    logs = (generated.double().softmax(dim=1) + 1e-6).log()
    expected = torch.nn.functional.kl_div(logs, reference.double().softmax(dim=1), reduction="sum") / 3
    found = kl_divergence(
        reference.double().numpy(), generated.double().numpy(), classes="softmax", epsilon=1e-6
    ).mean()
    assert found > 1e-3
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_other_forms_of_the_same_weights(judge: MelceptionJudge, checkpoint: Path, tmp_path: Path) -> None:
    expected = judge(sounds(1)).logits
    assert expected is not None
    write_weights(tmp_path / "melception.safetensors", planted_network(NARROW).state_dict())
    old = io.BytesIO()
    with zipfile.ZipFile(checkpoint) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            # numpy 1, with which the published file was written, called this module otherwise
            target.writestr(name, source.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    (tmp_path / "numpy1.pt").write_bytes(old.getvalue())
    for path in (tmp_path / "melception.safetensors", tmp_path / "numpy1.pt"):
        found = MelceptionJudge(path, width=NARROW)(sounds(1)).logits
        assert found is not None
        assert torch.equal(found, expected)


def test_files_that_are_no_melception(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(BundleError, match=r"absent.pt: no such file, expected Melception's weights; fetch https://"):
        MelceptionJudge(tmp_path / "absent.pt")
    with pytest.raises(BundleError, match=r"found \(8,\), expected \(128,\)"):
        MelceptionJudge(checkpoint)


def test_weights_load_strictly(tmp_path: Path) -> None:
    weights = planted_network(NARROW).state_dict()
    missing = {name: tensor for name, tensor in weights.items() if name != "AuxLogits.fc.bias"}
    with pytest.raises(BundleError, match=r"AuxLogits.fc.bias: found no such weight, expected \(309,\)"):
        MelceptionJudge(save_checkpoint(tmp_path / "missing.pt", missing), width=NARROW)
    with pytest.raises(BundleError, match=r"extra: found \(1,\), expected no such weight"):
        MelceptionJudge(save_checkpoint(tmp_path / "extra.pt", {**weights, "extra": torch.ones(1)}), width=NARROW)


def test_sounds_that_cannot_be_heard(judge: MelceptionJudge) -> None:
    with pytest.raises(AudioError, match="holds no samples"):
        judge(torch.zeros(1, 0))
    with pytest.raises(AudioError, match="NaN or infinite samples"):
        judge(torch.full((1, 100), torch.nan))
