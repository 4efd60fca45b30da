"""The packed folder and the flow's trainer at small size: what is packed, that it learns, resumes, and comes back whole."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from echoframe.generators.denoiser import load_denoiser
from tiny_packed import SMALL, make_packed


@pytest.fixture
def packed(recipe, tmp_path, monkeypatch) -> Path:
    return make_packed(tmp_path, monkeypatch)


def small(train_flow, **more):
    return replace(train_flow.CONFIGS["cpu"], **(SMALL | more))


def test_a_packed_folder_keeps_what_training_needs(packed, recipe):
    from packed import Packed

    with (packed / "sounds.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["split"] for row in rows] == ["train"] * 9 + ["val"] * 2  # no test recording
    assert {row["label"] for row in rows} == {"beep", "boop"}
    assert [row["may_be_remembered"] for row in rows[:4]] == ["n", "y", "n", "y"]
    assert [row["steady"] for row in rows[:4]] == ["n", "n", "n", "y"]
    assert json.loads((packed / "config.json").read_text())["remembered_labels"] == 2
    held, codec = Packed(packed, "train", "cpu"), np.load(packed / "sounds.npz")
    assert held.channels == 24
    assert codec["tokens"].dtype == np.int8
    assert codec["blocks"].dtype == np.uint8
    scenes, condition = held.batch(8, 32, torch.Generator().manual_seed(0))
    assert scenes.shape == (8, 32, 24)
    torch.testing.assert_close(condition.norm(dim=1), torch.ones(8))
    assert held.batch(8, 32, torch.Generator().manual_seed(0))[0].equal(scenes)


def test_eight_bits_are_near_what_was_packed(recipe):
    import pack

    rng = np.random.default_rng(0)
    values = rng.standard_normal((500, 6)) * [1, 2, 3, 0.1, 5, 0]
    numbers, scale = pack.quantise(values)
    assert np.abs(numbers * scale - values).max(axis=0) == pytest.approx(scale / 2, abs=2e-2)
    blocks = rng.random((500, 6)) ** 4
    numbers, largest = pack.quantise_blocks(blocks)
    assert np.abs((numbers / 255) ** 2 * largest - blocks).max() < 0.005


def test_tokens_are_moved_and_equalised_as_their_spectrum_is(packed, recipe):
    import pack
    import token_maps
    from echoframe.generators.mel_codec import load_codec

    codec = load_codec(packed / "codec")
    maps = {name: torch.from_numpy(value) for name, value in token_maps.linear_maps(codec, pack.MEL).items()}
    tokens = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(0))
    mel = codec.decode(tokens)
    torch.testing.assert_close(
        mel.unflatten(1, (3, 8)).mean((2, 3)), tokens @ maps["level"] + maps["floor"], atol=1e-4, rtol=0
    )
    torch.testing.assert_close(codec.encode(mel + 0.3), tokens + 0.3 * maps["unit"], atol=1e-4, rtol=0)
    curve = torch.linspace(-1, 1, 64)
    torch.testing.assert_close(codec.encode(mel + curve), tokens + curve @ maps["curves"], atol=1e-4, rtol=0)
    for n, semitones in enumerate(token_maps.SEMITONES):
        bands = token_maps.move_bands(pack.MEL, semitones).float()
        asked = codec.encode(mel @ bands)
        torch.testing.assert_close(asked, tokens @ maps["bands"][n] + maps["band_offsets"][n], atol=1e-3, rtol=0)
    peak = torch.zeros(64, dtype=torch.float64)
    peak[40] = 1.0
    assert (peak @ token_maps.move_bands(pack.MEL, 1.0) * torch.arange(64)).sum() > 40.2


def test_a_label_with_much_is_packed_in_part(recipe):
    import pack

    rows = [
        {
            "label": "rain",
            "split": "train",
            "recording": f"r{n // 3}",
            "may_be_remembered": "ny"[n // 3 == 1],
            "path": str(n),
        }
        for n in range(9)
    ] + [{"label": "rain", "split": "test", "recording": "t", "may_be_remembered": "y", "path": "t"}]
    assert pack.choose(rows, [10.0] * 10, 1000) == list(range(9))
    assert pack.choose(rows, [10.0] * 10, 40) == [0, 3, 4, 6]  # one of each in turn, what may be remembered first


def test_what_cannot_be_packed_is_named(packed, recipe, tmp_path, monkeypatch, capsys):
    import pack

    argv = list(sys.argv)
    (tmp_path / "in/manifest.csv").write_text(
        (tmp_path / "in/manifest.csv").read_text().replace("audio/3.wav", "audio/03.wav")
    )
    (tmp_path / "in/audio/3.wav").rename(tmp_path / "in/audio/03.wav")
    assert pack.main() == 2
    assert (
        capsys.readouterr().err == "pack: audio/03.wav: no aiSFX blocks (1 such files); run blocks.py on its manifest\n"
    )
    monkeypatch.setattr(pack, "LARGEST", 1000)
    (tmp_path / "in/audio/03.wav").rename(tmp_path / "in/audio/3.wav")
    (tmp_path / "in/manifest.csv").write_text(
        (tmp_path / "in/manifest.csv").read_text().replace("audio/03.wav", "audio/3.wav")
    )
    monkeypatch.setattr(sys, "argv", argv)
    assert pack.main() == 2
    assert "MB, more than 0; lower --label-s" in capsys.readouterr().err
    with pytest.raises(pack.PackError, match="audio/0.wav has blocks in two files; give every recording once"):
        pack.read_blocks([tmp_path / "b.npz", tmp_path / "b.npz"])


@pytest.mark.parametrize("muon", [True, False])
def test_training_learns_and_a_resumed_run_is_the_unbroken_one(packed, recipe, tmp_path, muon):
    import train_flow

    config = small(train_flow, muon=muon, learning_rate=1e-2, warmup_steps=5, validate_every=30)

    losses = []

    def go(out: Path, stop: int):
        trainer = train_flow.Trainer(packed, out, config, None)
        while trainer.step < stop:
            losses.append(float(trainer.one_step(trainer.step / 60)))
        trainer.save()
        return trainer

    whole = go(tmp_path / "whole", 60)
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:8])
    go(tmp_path / "broken", 25)
    again = go(tmp_path / "broken", 60)
    for name, weight in whole.average.items():
        torch.testing.assert_close(again.average[name], weight, msg=name)


def test_parts_joined_are_the_weights(packed, recipe, tmp_path, monkeypatch):
    import train_flow
    import weights_out

    monkeypatch.setattr(weights_out, "LARGEST_PART", 40_000)
    trainer = train_flow.Trainer(packed, tmp_path / "out", small(train_flow), None)
    train_flow.run(trainer, seconds=None, steps=3, log_every=1)
    parts = sorted((tmp_path / "out/parts").glob("model.safetensors.*"))
    assert len(parts) > 1
    assert all(part.stat().st_size <= 40_000 for part in parts)
    (tmp_path / "joined").mkdir()
    (tmp_path / "joined/model.safetensors").write_bytes(b"".join(part.read_bytes() for part in parts))
    (tmp_path / "joined/config.json").write_text((tmp_path / "out/parts/config.json").read_text())
    loaded = load_denoiser(tmp_path / "joined")
    for name, weight in loaded.state_dict().items():
        torch.testing.assert_close(weight, trainer.average[name], atol=2e-3, rtol=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "out/parts/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert lines[-1]["tokens_per_s"] > 0
    assert lines[-1]["val"] > 0

    again = train_flow.Trainer(packed, tmp_path / "second", small(train_flow), tmp_path / "out")
    torch.testing.assert_close(again.network.proj_out.weight, loaded.proj_out.weight)


def test_a_start_in_8_bits_is_nearly_the_weights(packed, recipe, tmp_path, monkeypatch, capsys):
    import train_flow
    import weights_in
    import weights_out

    train_flow.Trainer(packed, tmp_path / "out", small(train_flow), None).save()
    monkeypatch.setattr(sys, "argv", ["weights_out.py", str(tmp_path / "out"), str(tmp_path / "start")])
    weights_out.main()
    assert "MB" in capsys.readouterr().out
    before, after = weights_in.read_start(tmp_path / "out"), weights_in.read_start(tmp_path / "start")
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=float(weight.abs().max()) / 200 + 1e-6, rtol=1e-3)


def test_weights_of_another_shape_are_taken_as_far_as_they_fit(packed, recipe, tmp_path):
    import train_flow
    import weights_in

    trainer = train_flow.Trainer(packed, tmp_path / "out", small(train_flow), None)
    trainer.save()
    other = train_flow.Trainer(packed, tmp_path / "other", small(train_flow, patch=1), tmp_path / "out/parts")
    torch.testing.assert_close(
        other.network.state_dict()["blocks.0.qkv.weight"],
        trainer.network.state_dict()["blocks.0.qkv.weight"],
        atol=2e-3,
        rtol=1e-3,
    )
    assert weights_in.rename("blocks.3.wide.weight") == "blocks.3.fc1.weight"
    assert weights_in.rename("enter.bias") == "proj_in.bias"
    with pytest.raises(weights_in.StartError, match="no model.safetensors here or in denoiser"):
        weights_in.read_start(tmp_path)
    with pytest.raises(weights_in.StartError, match="no weight has the shape of one here; train with the same width"):
        train_flow.Trainer(
            packed, tmp_path / "wide", small(train_flow, width=64, depth=4, patch=1), tmp_path / "out/parts"
        )


def test_the_programs_schedule_ends_with_its_time(packed, recipe, tmp_path):
    import train_flow

    config = small(train_flow)
    assert train_flow.share_of_rate(0.3, 1000, config) == 1
    assert train_flow.share_of_rate(1.0, 1000, config) == 0
    assert train_flow.share_of_rate(0.0, 0, config) == pytest.approx(1 / config.warmup_steps)
    trainer = train_flow.Trainer(packed, tmp_path / "out", config, None)
    train_flow.run(trainer, seconds=1.0, steps=None, log_every=5)
    assert 1.0 <= trainer.seconds < 5.0
    assert (tmp_path / "out/parts/config.json").exists()


def test_training_imports_torch_numpy_and_safetensors_alone(packed, recipe, tmp_path):
    """In a python that finds none of the package's other needs, not even jaxtyping."""
    program = f"""
import sys, importlib.abc
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"jaxtyping", "soundfile", "soxr", "av", "PIL", "diffusers", "transformers", "beartype"}}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ("jaxtyping", "soundfile", "soxr") else found(name, *more)
sys.path.insert(0, {str(recipe)!r})
sys.argv = ["train_flow.py", {str(packed)!r}, {str(tmp_path / "out")!r}, "--steps", "2", "--log-every", "1", "--set",
    *[f"{{k}}={{v}}" for k, v in {SMALL!r}.items()]]
import train_flow
train_flow.main()
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert '"step": 2' in result.stdout


def test_muon_makes_matrices_orthogonal_and_leaves_the_rest_to_adamw(recipe):
    import muon

    made = muon.orthogonal(torch.randn(2, 12, 30, generator=torch.Generator().manual_seed(0)))
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.6  # Newton-Schulz with these coefficients ends in about 0.7 to 1.2
    assert values.max() < 1.3
    block = torch.nn.Linear(8, 24)
    network = torch.nn.ModuleDict({"blocks": torch.nn.ModuleList([torch.nn.ModuleDict({"qkv": block})])})
    adamw, own = muon.optimizers(network, lr=0.1, weight_decay=0.0, muon=True)
    before = block.weight.detach().clone()
    block.weight.grad = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))
    own.step()
    moved = before - block.weight.detach()
    for part in moved.chunk(3):  # queries, keys and values each on their own
        assert torch.linalg.svdvals(part / (0.1 * 0.2 * 8**0.5)).min() > 0.6
    assert len(adamw.param_groups[1]["params"]) == 1
    assert len(muon.optimizers(network, lr=0.1, weight_decay=0.0, muon=False)) == 1
