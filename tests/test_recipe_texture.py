"""The recipe's texture stage and the table of links on small sounds."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from echoframe.evaluation.agreement import GENERIC
from echoframe.generators.mel_codec import MelCodecConfig, fit_codec, save_codec
from echoframe.generators.texture import Texture, TextureConfig, fit_axes, load_texture
from echoframe.media.audio import log_mel
from echoframe.spec import MINI_MEL

pytestmark = pytest.mark.usefixtures("recipe")
CONFIG = """[texture]
steps = {steps}
batch = 2
crop_tokens = 4
[texture.network]
width = 8
depth = 1
"""


def sounds(n: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(n, 10_240, generator=torch.Generator().manual_seed(seed))


def write_work(work: Path) -> Path:
    """Short scenes of noise, three quarters to train on, and a codec of theirs."""
    (work / "corpus").mkdir(parents=True)
    np.save(work / "corpus" / "scenes.npy", (sounds(32).numpy() * 32767).astype(np.int16))
    splits = [{"split": split} for split in ("train", "train", "val", "train") * 8]
    (work / "corpus" / "scenes.json").write_text(json.dumps(splits))
    codec = fit_codec(log_mel(sounds(128, seed=9), MINI_MEL), MelCodecConfig(frames=8, bands=64, components=8))
    save_codec(codec, work / "codec" / "final")
    return work


def run(monkeypatch, work: Path, steps: int) -> Texture:
    import texture

    (work / "config.toml").write_text(CONFIG.format(steps=steps))
    monkeypatch.setattr(sys, "argv", ["texture.py", "--config", str(work / "config.toml"), "--work", str(work)])
    texture.main()
    return load_texture(work / "texture" / "final")


def test_a_texture_is_made_from_scenes_and_goes_on_where_it_was(monkeypatch, tmp_path, capsys):
    work = write_work(tmp_path / "work")
    made = run(monkeypatch, work, 3)
    assert made.config == TextureConfig(width=8, depth=1)
    assert made.spread.min() > 0
    assert json.loads((work / "texture" / "validation.json").read_text())["loss"] < 1.0
    again = run(monkeypatch, work, 3)
    assert "resumed at step 3" in capsys.readouterr().out
    for name, weight in made.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_what_is_known_of_the_details_makes_them_likelier():
    import texture

    network = Texture(TextureConfig(width=8, depth=1))
    detail = 0.3 * torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(0))
    smooth = torch.zeros_like(detail)
    fit_axes(network, detail)
    assert texture.likelihood_loss(network, detail, smooth).item() == pytest.approx(0.5, abs=1e-3)
    assert texture.likelihood_loss(network, 2 * detail, smooth).item() == pytest.approx(2.0, abs=1e-2)


def test_the_links_lose_what_they_lose_and_the_table_says_it(capsys):
    import waveforms

    codec = fit_codec(log_mel(sounds(4), MINI_MEL), MelCodecConfig(frames=8, bands=64, components=8))
    links = waveforms.Links(
        codec=codec, texture=Texture(TextureConfig(width=8, depth=1)), iterations=1, start="gradient"
    )
    ways = links.ways([0.0, 0.5])
    assert list(ways) == [
        "log-mel, phases",
        "codec, phases",
        "codec, detail drawn at 0, phases",
        "codec, detail drawn at 0.5, phases",
    ]
    sound = sounds(1, seed=1)
    made = [way(sound, 3) for way in ways.values()]
    assert all(one.shape == sound.shape for one in made)
    torch.testing.assert_close(made[1], made[2], atol=1e-3, rtol=0)  # an untrained mean is zero
    assert not torch.allclose(made[2], made[3], atol=1e-3)
    scores = np.full((2, 521), 0.01)
    scores[0, 10], scores[1, 20] = 0.9, 0.9
    right = np.zeros((2, 521))
    right[:, 10] = 1
    assert 10 not in GENERIC.values()
    assert waveforms.report("made", scores, scores, right, 1.0, 0.25) == 0.5
    assert capsys.readouterr().out == "| made | 2 | 0.500 | 0.500 | 1.000 | 0.000 | 0.000 | 0.250 |\n"


def test_a_recording_is_filled_to_whole_tokens(tmp_path):
    import soundfile

    import waveforms
    from acceptance_lists import Listed

    soundfile.write(tmp_path / "a.wav", sounds(1)[0, :5_000].numpy(), 16_000)
    one = Listed(file=tmp_path / "a.wav", label="rain", split="val", recording="a")
    read = waveforms.read(one, 1280)
    assert read.shape == (1, 5_120)
    assert read.abs().max() == pytest.approx(0.5)
    assert not read[:, 5_000:].any()
