"""Films of several shots made by a program, with the times of their cuts and dissolves.

    python made_shots.py OUT [--n 20] [--seed 0] [--pictures FOLDER]

Every shot is a scene of `made_films.py`, or a picture of FOLDER under a slow camera. OUT/shots.csv: file, cuts, dissolves
(seconds, a dissolve's middle).
"""

import argparse
import csv
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from made_films import KINDS, LOOKS, SIZE, MadeFilm, camera_of, make, write


def slow_picture(path: Path, random: np.random.Generator, n: int) -> Iterator[np.ndarray]:
    """A picture under a camera that pans and zooms slowly."""
    with Image.open(path) as image:
        whole = image.convert("RGB").resize((480, 270))
    x, y, zoom = random.uniform(0, 60), random.uniform(0, 30), random.uniform(0.85, 1.0)
    dx, dy, dz = random.uniform(-0.4, 0.4), random.uniform(-0.2, 0.2), random.uniform(-0.0008, 0.0008)
    for i in range(n):
        wide, high = 400 * (zoom + dz * i), 225 * (zoom + dz * i)
        left, top = np.clip(x + dx * i, 0, 480 - wide), np.clip(y + dy * i, 0, 270 - high)
        yield np.asarray(whole.resize(SIZE, Image.Resampling.BILINEAR, box=(left, top, left + wide, top + high)))


def shot(random: np.random.Generator, n: int, pictures: list[Path]) -> list[np.ndarray]:
    if pictures and random.random() < 0.7:
        return list(slow_picture(pictures[random.integers(len(pictures))], random, n))
    kind, look = KINDS[random.integers(len(KINDS))], LOOKS[random.integers(len(LOOKS))]
    film = make(kind, look, int(random.integers(1 << 30)), length_s=n / 25 + 0.1, rates=(Fraction(25),))
    return [frame for frame, _ in zip(film.frames, range(n), strict=False)]


def joined(random: np.random.Generator, pictures: list[Path]) -> tuple[list[np.ndarray], list[float], list[float]]:
    frames = shot(random, int(random.integers(25, 90)), pictures)
    cuts, dissolves = [], []
    for _ in range(random.integers(3, 7)):
        coming = shot(random, int(random.integers(40, 90)), pictures)
        if random.random() < 0.35:
            lasts = min(int(random.integers(8, 40)), len(frames) - 12, len(coming) - 12)
            for k in range(lasts):
                share = (k + 1) / (lasts + 1)
                there = frames[len(frames) - lasts + k]
                frames[len(frames) - lasts + k] = ((1 - share) * there + share * coming[k]).astype(np.uint8)
            dissolves.append((len(frames) - lasts / 2) / 25)
            frames += coming[lasts:]
        else:
            cuts.append(len(frames) / 25)
            frames += coming
    return frames, cuts, dissolves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pictures = sorted(args.pictures.rglob("*.jpg")) if args.pictures else []
    rows = []
    for seed in range(args.seed, args.seed + args.n):
        random = np.random.default_rng([seed, 1])
        frames, cuts, dissolves = joined(random, pictures)
        camera = camera_of("plain", random, 1.0)
        film = MadeFilm(frames=iter(frames), frame_rate=Fraction(25), size=SIZE, struck=[], camera=camera)
        write(film, args.out / f"shots_{seed}.mp4")
        rows.append((f"shots_{seed}.mp4", *(" ".join(f"{t:.2f}" for t in each) for each in (cuts, dissolves))))
    with (args.out / "shots.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "cuts", "dissolves"), *rows])


if __name__ == "__main__":
    main()
