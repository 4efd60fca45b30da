"""PaSST beside hear21passt: its spectrogram, its network on random weights in its own file format."""

import sys
from types import ModuleType
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from echoframe.errors import AudioError, BundleError
from echoframe.evaluation.judges import Judge
from echoframe.evaluation.judges.passt import (
    N_SAMPLES,
    PUBLISHED,
    SAMPLE_RATE,
    SOUNDS_AT_ONCE,
    PasstJudge,
    PasstNetwork,
    _basis,
    mel_frames,
)
from echoframe.weights import write_weights
from golden.make_passt import FILE
from second_opinions import module_from_file, package_folder

PROCESSORS = 1e-4  # their logarithms in float32 differ, and with them the edges of the bands
SIZE = {"dim": 24, "depth": 2, "heads": 3}


def noise(*shape: int) -> torch.Tensor:
    return 0.2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def models(monkeypatch):
    """hear21passt.models.passt, whose helpers need nothing of what its package imports."""
    folder = package_folder("hear21passt") / "models"
    for name in ("timm", "timm.models", "timm.models._hub"):  # of which only the download is used
        monkeypatch.setitem(sys.modules, name, MagicMock(__path__=[]))
    for name, path in (("hear21passt", folder.parent), ("hear21passt.models", folder)):
        monkeypatch.setitem(sys.modules, name, MagicMock(__path__=[str(path)]))
    helpers = module_from_file(folder / "helpers" / "vit_helpers.py")
    monkeypatch.setitem(sys.modules, "hear21passt.models.helpers", MagicMock(__path__=[str(folder / "helpers")]))
    monkeypatch.setitem(sys.modules, "hear21passt.models.helpers.vit_helpers", helpers)
    made = ModuleType("hear21passt.models.passt")
    made.__package__ = "hear21passt.models"
    exec(compile((folder / "passt.py").read_text(encoding="utf-8"), "passt.py", "exec"), made.__dict__)
    made.__dict__["first_RUN"] = False  # prints every shape otherwise
    return made


def their_network(models, *, dim=SIZE["dim"], depth=SIZE["depth"], heads=SIZE["heads"]):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.PaSST(
            stride=(10, 10),
            img_size=(128, 998),
            patch_size=16,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            distilled=True,
        )
        if dim == SIZE["dim"]:
            for weight in network.parameters():
                weight.data = torch.randn_like(weight) / max(weight[0].numel(), 1) ** 0.5
    return network.eval()


@pytest.fixture
def weights(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        state = {name: torch.randn_like(value) * 0.1 for name, value in PasstNetwork(**SIZE).state_dict().items()}
    torch.save(state, tmp_path / "small.pt")
    return tmp_path / "small.pt"


def test_the_bands_are_torchaudio_s():
    with np.load(FILE, allow_pickle=False) as arrays:
        expected = torch.nn.functional.pad(torch.from_numpy(arrays["bands"]), (0, 1))
    torch.testing.assert_close(_basis("cpu")[0], expected, rtol=0, atol=PROCESSORS)


def test_the_frames_are_the_original_s(monkeypatch):
    with np.load(FILE, allow_pickle=False) as arrays:
        bands = torch.from_numpy(arrays["bands"])
    torchaudio = MagicMock()
    asked = []

    def get_mel_banks(*arguments, **more):
        asked.append((*arguments, more["vtln_warp_factor"]))
        return bands, None

    torchaudio.compliance.kaldi.get_mel_banks = get_mel_banks
    monkeypatch.setitem(sys.modules, "torchaudio", torchaudio)
    theirs = module_from_file(package_folder("hear21passt") / "models" / "preprocess.py").AugmentMelSTFT(
        n_mels=128,
        sr=32_000,
        win_length=800,
        hopsize=320,
        n_fft=1024,
        freqm=48,
        timem=192,
        fmin=0.0,
        fmax=None,
        fmin_aug_range=10,
        fmax_aug_range=2000,
    )
    theirs.freqm = theirs.timem = torch.nn.Identity()
    seconds = torch.arange(N_SAMPLES) / SAMPLE_RATE
    chirp = 0.5 * torch.sin(2 * torch.pi * (50 + 750 * seconds) * seconds)  # its leakage is what rounding changes most
    waveform = torch.cat([noise(1, N_SAMPLES), chirp[None]])
    # torch no longer takes their return_complex=False, whose last dimension holds the two parts
    stft = torch.stft
    monkeypatch.setattr(torch, "stft", lambda *a, **k: torch.view_as_real(stft(*a, **{**k, "return_complex": True})))
    monkeypatch.setattr("torch.cuda.amp.autocast", lambda **_: torch.no_grad())
    expected = theirs.eval()(waveform)
    monkeypatch.undo()
    assert asked == [(128, 1024, 32_000, 0.0, 15_000, 1.0)]  # what the golden bands were made with
    found = mel_frames(waveform)
    assert found.shape == expected.shape == (2, 128, 1000)
    torch.testing.assert_close(found, expected, rtol=0, atol=PROCESSORS)


def test_every_block_is_the_original_s(models, tmp_path):
    theirs = their_network(models)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    judge = PasstJudge(tmp_path / "theirs.pt", network=PasstNetwork(**SIZE))
    assert isinstance(judge, Judge)
    assert (judge.dim, judge.classes, judge.sample_rate) == (24, 527, 32_000)
    seen: dict[str, list[torch.Tensor]] = {}
    names = ("blocks.0", "blocks.1", "norm")
    for one in (theirs, judge.network):
        for name in names:
            one.get_submodule(name).register_forward_hook(
                lambda _, __, out, name=name: seen.setdefault(name, []).append(out)
            )
    waveform = noise(2, 4 * SAMPLE_RATE)
    frames = mel_frames(torch.nn.functional.pad(waveform, (0, N_SAMPLES - waveform.shape[1])))
    with torch.no_grad(), pytest.warns(UserWarning, match="Input image size"):
        logits, features = theirs(frames[:, None])
    heard = judge(waveform)
    for name in names:
        torch.testing.assert_close(seen[name][1], seen[name][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(heard.embeddings[:, 0], features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(heard.logits, logits, rtol=1e-5, atol=1e-5)
    assert features.std() > 0.1
    with torch.no_grad():
        logits, features = theirs(frames[:, None, :, :998])  # what it was trained with
    found, said = judge.network(frames[..., :998])
    torch.testing.assert_close(found, features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(said, logits, rtol=1e-5, atol=1e-5)
    short = frames[..., :400]
    with torch.no_grad(), pytest.warns(UserWarning, match="Input image size"):
        torch.testing.assert_close(judge.network(short)[0], theirs(short[:, None])[1], rtol=1e-5, atol=1e-5)


def test_names_and_shapes_at_full_size_are_the_authors(models):
    def named(network: torch.nn.Module) -> tuple[dict[str, torch.Size], dict[str, float]]:
        """Shapes of the weights, and what the norms add to a variance, which random weights do not show."""
        norms = {name: part.eps for name, part in network.named_modules() if isinstance(part, torch.nn.LayerNorm)}
        return {name: value.shape for name, value in network.state_dict().items()}, norms

    with torch.device("meta"):
        ours = PasstNetwork()
    assert named(ours) == named(their_network(models, dim=768, depth=12, heads=12))


def test_each_sound_is_heard_for_itself_and_for_ten_seconds(weights):
    judge = PasstJudge(weights, network=PasstNetwork(**SIZE))
    sounds = noise(5, N_SAMPLES + 999)
    together = judge(sounds)
    assert together.embeddings.shape == (5, 1, 24)
    alone = torch.cat([judge(one[None]).embeddings for one in sounds])
    torch.testing.assert_close(together.embeddings, alone, rtol=1e-4, atol=1e-5)
    assert torch.equal(judge(sounds[:, :N_SAMPLES]).embeddings, together.embeddings)
    batches: list[int] = []
    handle = judge.network.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    assert torch.equal(judge(sounds.double()).embeddings, together.embeddings)
    handle.remove()
    assert batches == [SOUNDS_AT_ONCE, 5 - SOUNDS_AT_ONCE]
    filled = torch.nn.functional.pad(sounds[:1, :1000], (0, 31_000))
    assert torch.equal(judge(sounds[:1, :1000]).embeddings, judge(filled).embeddings)
    with pytest.raises(AudioError, match="NaN or infinite samples"):
        judge(torch.full((1, 100), torch.nan))


def test_safetensors_of_the_same_names_do_too(weights, tmp_path):
    write_weights(tmp_path / "small.safetensors", torch.load(weights, weights_only=True))
    one, other = (PasstJudge(path, network=PasstNetwork(**SIZE)) for path in (weights, tmp_path / "small.safetensors"))
    assert torch.equal(one(noise(1, 9000)).embeddings, other(noise(1, 9000)).embeddings)


def test_a_judge_is_never_trained(weights):
    judge = PasstJudge(weights, network=PasstNetwork(**SIZE))
    assert not judge.train().training
    assert not any(weight.requires_grad for weight in judge.parameters())


def test_files_that_are_no_weights_are_named(weights, tmp_path):
    with pytest.raises(
        BundleError, match=r"none.pt: no such file, expected PaSST's weights; fetch https://github.com/"
    ):
        PasstJudge(tmp_path / "none.pt")
    with pytest.raises(
        BundleError, match=r"swa.pt: its sha256 is .*, the published file's 302903fa\.\.\.; fetch https"
    ):
        PasstJudge(weights.rename(tmp_path / PUBLISHED.file), network=PasstNetwork(**SIZE))
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(BundleError, match=r"tensor.pt: holds no weights \(found Tensor\); expected passt-s-f128"):
        PasstJudge(tmp_path / "tensor.pt")


def test_weights_of_another_size_are_refused(weights):
    with pytest.raises(BundleError, match=r"small.pt: blocks.0.attn.proj.bias: found \(24,\), expected \(768,\)"):
        PasstJudge(weights)
