"""A packed folder of twelve made-up recordings, as the recipe's `pack.py` writes it."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echoframe.generators.mel_codec import MelCodecConfig, fit_codec, save_codec
from echoframe.media.audio import log_mel

RATE = 16_000
DIM = 16
# a flow that is trained in a second
SMALL = {
    "width": 32,
    "depth": 2,
    "n_heads": 2,
    "batch_tokens": 256,
    "crop_tokens": 16,
    "whole_tokens": 32,
    "threads": 1,
}


def sounds(folder: Path) -> Path:
    """A manifest of made-up recordings: three tones of different lengths, and noise that goes on."""
    rng, rows = np.random.default_rng(0), []
    for n in range(12):
        seconds = (0.3, 1.0, 4.0, 6.0)[n % 4]
        time = np.arange(int(seconds * RATE)) / RATE
        tone = np.sin(2 * np.pi * (300 + 400 * (n % 3)) * time) * np.exp(-8 * time)
        samples = rng.standard_normal(len(time)) * 0.2 if n % 4 == 3 else tone
        file = f"audio/{n}.wav"
        (folder / "audio").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / file, samples.astype(np.float32), RATE)
        split = "val" if n >= 10 else "test" if n == 9 else "train"
        label = ("beep", "old beep", "boop")[n % 3]
        source = "zoo-data" if n % 2 else "somewhere"
        values = (file, label, f"zoo/{n}", source, "CC0", seconds, split)
        rows.append(
            dict(zip(("file", "label", "recording", "source", "licence", "duration_s", "split"), values, strict=True))
        )
    with (folder / "manifest.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def make_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder; the recipe has to be importable."""
    import pack

    manifest = sounds(tmp_path / "in")
    waves = [
        torch.from_numpy(soundfile.read(p, dtype="float32")[0])[None] for p in sorted((tmp_path / "in/audio").iterdir())
    ]
    mels = [log_mel(wave, pack.MEL) for wave in waves]
    mels = torch.cat([mel[:, : mel.shape[1] // 8 * 8] for mel in mels if mel.shape[1] >= 8], dim=1)
    save_codec(fit_codec(mels, MelCodecConfig(frames=8, bands=64, components=24)), tmp_path / "codec")
    rng = np.random.default_rng(0)
    blocks = rng.random((24, DIM)).astype(np.float16)
    files = np.array([f"audio/{n}.wav" for n in range(12)])
    np.savez(tmp_path / "b.npz", blocks=blocks, starts=np.arange(13) * 2, files=files, mean=np.full(DIM, 0.5))
    (tmp_path / "names.csv").write_text("# one\nname,canonical\nold beep,beep\n")
    (tmp_path / "sound_packages.csv").write_text("package,licence\nzoo-data,CC0\n")
    (tmp_path / "steady.txt").write_text("rain\n")
    monkeypatch.setattr(pack, "HERE", tmp_path)
    command = [
        tmp_path / "packed",
        "--codec",
        tmp_path / "codec",
        "--manifest",
        manifest,
        "--blocks",
        tmp_path / "b.npz",
    ]
    command += ["--names", tmp_path / "names.csv", "--cache", tmp_path / "tokens"]
    monkeypatch.setattr(sys, "argv", ["pack.py", *map(str, command)])
    assert pack.main() == 0
    return tmp_path / "packed"
