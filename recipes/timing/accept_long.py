"""Acceptance of a long film: shots of pictures with known labels, made at once, beside each picture alone.

    python accept_long.py PICTURES --judge YAMNET.tflite [--shots 60] [--shot-s 10] [--work FOLDER] [--seed 0]

PICTURES: a folder with manifest.csv (file, label, split); test pictures of labels that mini knows, no two neighbours alike.
Each picture is seen under a slow camera. Printed: how often a shot is heard as its own label, in the film and alone; spectral
flux where windows and shots meet, beside the rest; peak memory and time of this film and of one of 30 s, each in a process
of its own.
"""

import argparse
import csv
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from scipy.ndimage import maximum_filter1d

from made_films import SIZE
from made_shots import slow_picture

sys.path.append(str(Path(__file__).parents[1] / "mini"))

from ears import class_scores, heard_labels, right_classes
from echoframe import EchoFrame, load
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.media.audio import read_audio

RATE = 25
FLUX_FRAME = 512
N_LONG = 8  # sounds of 60 s


def chosen(folder: Path, known: set[str], n: int, random: np.random.Generator) -> list[tuple[Path, str]]:
    """n test pictures of known labels in random order, neighbours of different labels."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [(folder / row["file"], row["label"]) for row in csv.DictReader(file) if row["split"] == "test"]
    rows = [row for row in rows if row[1] in known and row[0].is_file()]
    found: list[tuple[Path, str]] = []
    for at in random.permutation(len(rows)):
        if len(found) < n and (not found or rows[at][1] != found[-1][1]):
            found.append(rows[at])
    return found


def write_film(path: Path, pictures: list[Path], shot_s: float, seed: int) -> None:
    """The pictures one after the other, each under its own slow camera, as H.264."""

    def frames() -> Iterator[np.ndarray]:
        for n, picture in enumerate(pictures):
            yield from slow_picture(picture, np.random.default_rng([seed, n]), round(shot_s * RATE))

    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "20", "preset": "veryfast"}
        stream.width, stream.height = SIZE
        for frame in frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(held.getvalue())


def made(film: Path, out: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of `echoframe generate` in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "echoframe",
        "generate",
        str(film),
        "-o",
        str(out),
        "--no-mux",
        "--overwrite",
        "--quiet",
    ]
    begun = time.monotonic()
    with subprocess.Popen(command) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    assert status == 0, f"{film}: ended with {status}"
    return time.monotonic() - begun, usage.ru_maxrss / 1024


def flux(waveform: np.ndarray) -> np.ndarray:
    """How much the spectrum changes from frame to frame, in dB: the mean over bands of the absolute difference."""
    frames = waveform[: len(waveform) // FLUX_FRAME * FLUX_FRAME].reshape(-1, FLUX_FRAME)
    level = 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(FLUX_FRAME))) + 1e-3)
    return np.abs(np.diff(level, axis=0)).mean(axis=1)


def border_ranks(model: EchoFrame, picture: Path, seed: int) -> np.ndarray:
    """Where the flux at the windows' borders stands among that of the whole sound, 0 to 1."""
    sound = model.generate(picture, seed=seed, duration_s=60.0)
    windows = [start for start, _ in model.generator.windows_s(60.0)][1:]
    values = maximum_filter1d(flux(sound.waveform[0].numpy()), 3)  # a border lies somewhere in a frame
    at = [round(start * sound.sample_rate / FLUX_FRAME) for start in windows]
    return np.array([float((values < values[k]).mean()) for k in at])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--shots", type=int, default=60)
    parser.add_argument("--shot-s", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("work"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    model, judge = load("mini"), YamnetJudge(args.judge)
    assert model.labels is not None
    shots = chosen(args.pictures, set(model.labels.names), args.shots, np.random.default_rng(args.seed))
    film, short = args.work / "long.mp4", args.work / "short.mp4"
    write_film(film, [path for path, _ in shots], args.shot_s, args.seed)
    write_film(short, [path for path, _ in shots[:3]], args.shot_s, args.seed)
    short_s, short_mb = made(short, args.work / "short.wav")
    long_s, long_mb = made(film, args.work / "long.wav")
    print(f"{len(shots)} shots of {args.shot_s:g} s; the short film has 3\n")
    print(f"peak memory: {long_mb:.0f} MB, the short film's {short_mb:.0f} MB: {long_mb / short_mb:.2f}")
    print(f"time: {long_s:.1f} s, the short film's {short_s:.1f} s")
    record = json.loads((args.work / "long.wav.json").read_text())
    print(
        f"shots found: {len(record['result']['shots'])}, sounds made: {len({s['seed'] for s in record['result']['shots']})}"
    )
    whole, rate = read_audio(args.work / "long.wav")
    size = round(args.shot_s * rate)
    scores: dict[str, list[np.ndarray]] = {"in the film": [], "alone": []}
    for n, (path, _) in enumerate(shots):
        write_film(args.work / "alone.mp4", [path], args.shot_s, args.seed)
        alone = model.generate(args.work / "alone.mp4").waveform
        for name, sound in (("in the film", whole[:, n * size : (n + 1) * size]), ("alone", alone)):
            scores[name].append(class_scores(judge, sound).numpy())
    right = right_classes(judge, [label for _, label in shots])
    for name, heard in scores.items():
        hits = heard_labels(np.stack(heard), right)
        print(f"label hit {name}: {hits.mean:.3f} (chance {hits.chance:.3f})")
    ranks = np.concatenate([border_ranks(model, path, seed) for seed, (path, _) in enumerate(shots[:N_LONG])])
    print(
        f"flux where windows of 60 s of one picture begin, its rank in {N_LONG} sounds: mean {ranks.mean():.2f}, "
        f"{np.mean((ranks < 0.05) | (ranks > 0.95)):.2f} of {len(ranks)} outside 0.05 to 0.95 (0.10 by chance)"
    )
    print(f"this program's own peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
