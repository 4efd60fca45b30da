"""What judges hear, with the file named in what goes wrong, and what is kept of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load, load_file, save_file

from echoframe.errors import AudioError, OutputError
from echoframe.evaluation.features import Ear
from echoframe.evaluation.judges import Heard
from echoframe.evaluation.sounds import Listening

RATE = 16_000


@dataclass
class Loudness:
    """Hears the energy of every half second, in float32."""

    name: str = "loudness"
    sample_rate: int = RATE
    dim: int = 2
    classes: int = 2
    sha256: str = "0" * 64
    source: str = "a test"
    n_calls: int = 0

    def __call__(self, waveform: torch.Tensor) -> Heard:
        self.n_calls += 1
        energy = waveform.unfold(1, RATE // 2, RATE // 2).square().sum(2)[..., None].expand(-1, -1, 2)
        return Heard(embeddings=energy, logits=energy.mean(1))


@pytest.fixture
def sound(tmp_path) -> Path:
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(np.arange(3 * RATE)), RATE, subtype="FLOAT")
    return tmp_path / "a.wav"


def ear(judge: Loudness, cache: Path | None) -> Ear:
    return Ear({"loudness": (judge, Listening(clip_s=2))}, Listening(clip_s=2), cache)


def test_what_was_heard_says_how_long_it_is(sound, tmp_path):
    judge = Loudness()
    for _ in range(2):
        found = ear(judge, tmp_path / "cache")(sound, timed=True)
        assert (found.duration_s, found.is_cut, found.is_silent) == (2.0, True, False)
    assert judge.n_calls == 1


@pytest.mark.parametrize("part", ["loudness", "timing"])
@pytest.mark.parametrize(
    "change",
    [
        lambda kept: {name: kept[name] for name in kept if name != "duration_s"},
        lambda kept: {name: kept[name] for name in kept if name not in ("embeddings", "onsets")},
        lambda kept: {name: kept[name] for name in kept if name not in ("logits", "envelope")},
        lambda kept: kept | {name: kept[name][None] for name in kept if name in ("embeddings", "strength")},
        lambda kept: kept | {name: kept[name].half() for name in kept if name in ("embeddings", "envelope")},
        lambda kept: kept | {name: kept[name][..., :1] for name in kept if name == "embeddings"},
        lambda kept: kept | {name: kept[name] * torch.nan for name in kept if name in ("logits", "strength")},
        lambda kept: kept | {name: kept[name][:0] for name in kept if name == "embeddings"},
    ],
)
def test_what_is_kept_wrong_is_heard_again(sound, tmp_path, part, change):
    judge = Loudness()
    first = ear(judge, tmp_path / "cache")(sound, timed=True)
    (kept,) = tmp_path.glob(f"cache/{part}-*/*/*.safetensors")
    right = load(kept.read_bytes())  # not `load_file`, which reads from the file that is written over here
    wrong = {name: tensor.contiguous() for name, tensor in change(dict(right)).items()}
    save_file(wrong, kept)
    again = ear(judge, tmp_path / "cache")(sound, timed=True)
    assert judge.n_calls == 1 + (part == "loudness")
    torch.testing.assert_close(again.embeddings, first.embeddings, rtol=0, atol=0)
    torch.testing.assert_close(load_file(kept), right, rtol=0, atol=0)
    kept.write_bytes(kept.read_bytes()[:100])
    ear(judge, tmp_path / "cache")(sound, timed=True)
    torch.testing.assert_close(load_file(kept), right, rtol=0, atol=0)


def test_a_place_where_nothing_can_be_kept_is_named(sound, tmp_path):
    for place in (sound, sound / "cache", Path("/proc/features")):
        with pytest.raises(OutputError, match=rf"{place}: .*; choose another folder for features with --cache"):
            ear(Loudness(), place)
    ear(Loudness(), tmp_path / "cache")(sound, timed=False)
    (kept,) = tmp_path.glob("cache/*/*/*.safetensors")
    kept.unlink()
    kept.mkdir()
    message = (
        r"safetensors: features cannot be kept there \(cannot be written \(Is a directory\)\); delete what is there"
    )
    with pytest.raises(OutputError, match=message):
        ear(Loudness(), tmp_path / "cache")(sound, timed=False)
    kept.rmdir()
    kept.parent.rmdir()
    kept.parent.write_bytes(b"")
    with pytest.raises(
        OutputError, match=r"features cannot be kept there \(File exists\); .* another folder with --cache"
    ):
        ear(Loudness(), tmp_path / "cache")(sound, timed=False)


def test_a_sound_that_cannot_be_judged_is_named(sound, tmp_path):
    loud = tmp_path / "loud.wav"
    soundfile.write(loud, np.full(2 * RATE, 1e38), RATE, subtype="FLOAT")
    message = (
        r"loud.wav: cannot be judged by loudness \(what it hears is not finite\); it lasts 2 s with samples up to 1e"
    )
    with pytest.raises(AudioError, match=message):
        ear(Loudness(), tmp_path / "cache")(loud, timed=False)
    assert not list(tmp_path.glob("cache/*/*/*.safetensors"))
    short = tmp_path / "short.wav"
    soundfile.write(short, np.full(1, 0.5), 192_000)
    with pytest.raises(
        AudioError, match=r"short.wav: cannot be judged by timing \(a waveform of 0 samples, .* from its"
    ):
        Ear({}, Listening(), None)(short, timed=True)
    with pytest.raises(AudioError, match=r"none.wav: cannot be read \(No such file .*\); give a file that can be read"):
        ear(Loudness(), tmp_path / "cache")(tmp_path / "none.wav", timed=False)
