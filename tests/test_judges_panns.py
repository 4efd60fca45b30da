"""PANNs Cnn14 beside panns_inference's own network, on random weights in the authors' file format."""

import sys
from types import ModuleType
from unittest.mock import MagicMock

import numpy as np
import pytest
import scipy.signal
import torch

from echoframe.errors import AudioError, BundleError
from echoframe.evaluation.judges import Judge
from echoframe.evaluation.judges.panns import CLASSES, SAMPLE_RATE, Cnn14Network, PannsJudge
from echoframe.media.audio import mel_filters
from second_opinions import module_from_file, package_folder

WIDTH = 2


@pytest.fixture
def theirs(monkeypatch):
    """panns_inference's models and the torchlibrosa it needs, with the three functions of librosa it calls."""
    librosa, torchlibrosa = MagicMock(), package_folder("torchlibrosa")
    librosa.filters.get_window = scipy.signal.get_window

    def mel(*, sr, n_fft, n_mels, fmin, fmax):
        return mel_filters(sample_rate=sr, n_fft=n_fft, n_mels=n_mels, f_min=fmin, f_max=fmax, htk=False, norm="slaney")

    librosa.filters.mel = mel
    librosa.util.pad_center = lambda window, *, size: window
    folder = package_folder("panns_inference")
    stand_ins = {"librosa": librosa, "matplotlib": MagicMock(), "matplotlib.pyplot": MagicMock()}
    for name, module in {**stand_ins, "panns_inference": MagicMock(__path__=[str(folder)])}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "torchlibrosa", MagicMock(__path__=[str(torchlibrosa)]))
    for name in ("stft", "augmentation"):
        monkeypatch.setitem(sys.modules, f"torchlibrosa.{name}", module_from_file(torchlibrosa / f"{name}.py"))
    monkeypatch.setitem(sys.modules, "panns_inference.pytorch_utils", module_from_file(folder / "pytorch_utils.py"))
    source = (folder / "models.py").read_text(encoding="utf-8")
    models = ModuleType("panns_inference.models")
    models.__package__ = "panns_inference"
    exec(compile(source, "models.py", "exec"), models.__dict__)
    return models


def their_network(models, width=WIDTH):
    """Cnn14_16k, narrow: the same forward pass over fewer channels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.Cnn14(
            sample_rate=SAMPLE_RATE, window_size=512, hop_size=160, mel_bins=64, fmin=50, fmax=8000, classes_num=CLASSES
        )
        channels = [1, *(width * 2**n for n in range(6))]
        for n in range(6):
            setattr(network, f"conv_block{n + 1}", models.ConvBlock(channels[n], channels[n + 1]))
        network.fc1 = torch.nn.Linear(channels[-1], channels[-1])
        network.fc_audioset = torch.nn.Linear(channels[-1], CLASSES)
        for name, value in network.state_dict().items():
            if "running_var" in name or "bn" in name and name.endswith("weight"):
                value.copy_(0.5 + torch.rand(value.shape))
            elif "running_mean" in name or "bn" in name and name.endswith("bias"):
                value.copy_(0.3 * torch.randn(value.shape))
    return network.eval()


def save(network, path):
    statistics = {"mAP": np.float64(0.438), "iteration": 7}
    torch.save({"model": network.state_dict(), "statistics": statistics}, path)
    return path


def noise(*shape: int) -> torch.Tensor:
    return 0.2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def logits(judge: PannsJudge, waveform: torch.Tensor) -> torch.Tensor:
    found = judge(waveform).logits
    assert found is not None
    return found


@pytest.fixture
def small(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Cnn14Network(width=WIDTH)
        for name, value in network.state_dict().items():
            if "running_var" not in name and value.is_floating_point():
                value.copy_(torch.randn(value.shape) / max(value[0].numel(), 1) ** 0.5)
    return save(network, tmp_path / "small.pth")


def test_every_layer_is_the_original_s(theirs, tmp_path):
    network = their_network(theirs)
    judge = PannsJudge(save(network, tmp_path / "theirs.pth"), width=WIDTH)
    assert isinstance(judge, Judge)
    assert (judge.dim, judge.classes, judge.sample_rate) == (32 * WIDTH, 527, 16_000)
    waveform = noise(2, 3 * SAMPLE_RATE + 77)
    seen: dict[str, list[torch.Tensor]] = {}
    names = ["bn0", *(f"conv_block{n}" for n in range(1, 7)), "fc1", "fc_audioset"]
    for one in (network, judge.network):
        for name in names:
            one.get_submodule(name).register_forward_hook(
                lambda _, __, out, name=name: seen.setdefault(name, []).append(out.clone())
            )
    with torch.no_grad():
        expected = network(waveform)
    heard = judge(waveform)
    for name in names:
        other, own = seen[name]
        if name in names[1:6]:  # they pool in the block, we after it
            own = torch.nn.functional.avg_pool2d(own, 2)
        torch.testing.assert_close(own, other, rtol=1e-3 if name == "bn0" else 1e-4, atol=1e-4)
    torch.testing.assert_close(heard.embeddings[:, 0], expected["embedding"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits(judge, waveform).sigmoid(), expected["clipwise_output"], rtol=1e-4, atol=1e-5)
    assert heard.embeddings.std() > 0.01


def test_the_levels_are_those_of_a_centred_stft(theirs, tmp_path):
    judge = PannsJudge(save(their_network(theirs), tmp_path / "theirs.pth"), width=WIDTH)
    waveform = noise(1, SAMPLE_RATE)
    stft = torch.stft(
        waveform, 512, 160, window=torch.hann_window(512), center=True, pad_mode="reflect", return_complex=True
    )
    bands = mel_filters(sample_rate=16_000, n_fft=512, n_mels=64, f_min=50, f_max=8000, htk=False, norm="slaney")
    expected = 10 * torch.log10((torch.from_numpy(bands) @ stft.abs() ** 2).clamp(min=1e-10))
    torch.testing.assert_close(judge.network.log_mel(waveform).mT, expected, rtol=0, atol=2e-3)


def test_names_and_shapes_at_full_size_are_the_authors(theirs):
    with torch.device("meta"):
        ours = Cnn14Network().state_dict()
    full = their_network(theirs, width=64).state_dict()
    assert {name: tuple(value.shape) for name, value in ours.items()} == {
        name: tuple(value.shape) for name, value in full.items()
    }


def test_each_sound_is_heard_for_itself_and_a_short_one_filled(small):
    judge = PannsJudge(small, width=WIDTH)
    sounds = noise(5, 40_000)
    together = judge(sounds)
    assert together.embeddings.shape == (5, 1, 32 * WIDTH)
    assert logits(judge, sounds).shape == (5, CLASSES)
    alone = torch.cat([logits(judge, one[None]) for one in sounds])
    torch.testing.assert_close(logits(judge, sounds), alone, rtol=1e-4, atol=1e-5)
    short = noise(1, 1000)
    filled = torch.nn.functional.pad(short, (0, 31_000))
    assert torch.equal(logits(judge, short), logits(judge, filled))
    with pytest.raises(AudioError, match="NaN or infinite samples"):
        judge(torch.full((1, 100), torch.nan))


def test_weights_of_another_size_are_refused(small):
    with pytest.raises(BundleError, match=r"small.pth: conv_block1.bn1.bias: found \(2,\), expected \(64,\)"):
        PannsJudge(small)
