"""VGGish beside the original: its log-mel patches, its layers on random weights in its own file format."""

import numpy as np
import pytest
import torch

from echoframe.errors import AudioError, BundleError
from echoframe.evaluation.judges import Judge
from echoframe.evaluation.judges.registry import load_judge
from echoframe.evaluation.judges.vggish import SAMPLE_RATE, VggishJudge, VggishNetwork, log_mel_patches
from echoframe.weights import write_weights
from second_opinions import module_from_file, package_folder


def noise(*shape: int) -> torch.Tensor:
    return 0.2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def small() -> VggishNetwork:
    return VggishNetwork(width=2, hidden=8, dim=5)


def random_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(value.shape, generator=generator) / max(value[0].numel(), 1) ** 0.5
        for name, value in network.state_dict().items()
    }


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "small.pth"
    torch.save(random_weights(small()), path)
    return path


def test_the_patches_are_the_original_s():
    features = module_from_file(package_folder("torchvggish") / "mel_features.py")
    waveform = noise(1, int(2.5 * SAMPLE_RATE))
    expected = features.log_mel_spectrogram(
        waveform[0].double().numpy(),
        audio_sample_rate=SAMPLE_RATE,
        log_offset=0.01,
        window_length_secs=0.025,
        hop_length_secs=0.010,
        num_mel_bins=64,
        lower_edge_hertz=125,
        upper_edge_hertz=7500,
    )
    found = log_mel_patches(waveform)
    assert found.shape == (1, 2, 96, 64)
    np.testing.assert_allclose(found.flatten(1, 2)[0], expected[: 2 * 96], rtol=1e-5, atol=1e-5)


def test_every_layer_is_the_original_s(tmp_path):
    original = module_from_file(package_folder("torchvggish") / "torchvggish.py")
    with torch.random.fork_rng():
        theirs = original._vgg(postprocess=False).eval()
    path = tmp_path / "vggish.pth"
    torch.save(random_weights(theirs), path)
    theirs.load_state_dict(torch.load(path, weights_only=True))
    judge = VggishJudge(path)
    assert isinstance(judge, Judge)
    assert (judge.dim, judge.classes, judge.sample_rate) == (128, 0, 16_000)
    waveform = noise(1, 2 * SAMPLE_RATE)
    x = log_mel_patches(waveform)[0]
    a = b = x[:, None]
    with torch.no_grad():
        for ours, other in zip(judge.network.features, theirs.features, strict=True):
            a, b = ours(a), other(b)
            torch.testing.assert_close(a, b)
        last = theirs.embeddings[:-1](b.permute(0, 2, 3, 1).flatten(1))  # without its last ReLU
        torch.testing.assert_close(judge(waveform).embeddings[0], last)
        torch.testing.assert_close(judge(waveform).embeddings[0].relu(), theirs(x[:, None]))


def test_each_sound_is_heard_for_itself_and_a_short_one_filled(weights):
    judge = VggishJudge(weights, network=small())
    sounds = noise(4, 3 * SAMPLE_RATE)
    together = judge(sounds).embeddings
    assert together.shape == (4, 3, 5)
    alone = torch.cat([judge(one[None]).embeddings for one in sounds])
    torch.testing.assert_close(together, alone)
    assert torch.equal(judge(sounds).embeddings, together)
    short = noise(1, 1000)
    filled = torch.nn.functional.pad(short, (0, 15_600 - 1000))
    torch.testing.assert_close(judge(short).embeddings, judge(filled).embeddings)
    with pytest.raises(AudioError, match="NaN or infinite samples"):
        judge(torch.full((1, 100), torch.nan))


def test_safetensors_of_the_same_names_do_too(weights, tmp_path):
    write_weights(tmp_path / "small.safetensors", torch.load(weights, weights_only=True))
    one, other = (VggishJudge(path, network=small()) for path in (weights, tmp_path / "small.safetensors"))
    assert torch.equal(one(noise(1, 20_000)).embeddings, other(noise(1, 20_000)).embeddings)
    assert one.sha256 != other.sha256


def test_files_that_are_no_weights_are_named(weights, tmp_path):
    with pytest.raises(BundleError, match="no such file, expected VGGish's weights; fetch https"):
        load_judge("vggish", weights=tmp_path / "none.pth")
    with pytest.raises(BundleError, match="small.pth"):
        VggishJudge(weights)  # of another size
