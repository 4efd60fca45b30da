"""How well cues alone find the onsets of films' own sounds: a rule, and a learned network, beside chance.

    python real_films.py FOLDER ... [--net FOLDER] [--work FOLDER] [--films]

FOLDER: films with their own sound. The rule: peaks of the second difference of what moves, in units of its median. Chance:
the mean F1 of the same cues turned round in time by a tenth of the length, nine times. What films look like small is kept
in --work. --films: a line for each film.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import echoframe.timing
from accept_real import RATE, heard
from echoframe.media.onsets import onset_f1, onsets
from echoframe.timing.onset_net import load_onset_net
from echoframe.timing.onsets import contrast, peaks
from learn import Film, read_film, score

RULES, NETS = (0.6, 1.0, 1.5, 2.0, 3.0), (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
MOST_MOVING = 20  # one pixel of so many counts
OWN = Path(echoframe.timing.__file__).parent / "net"


def rule(film: Film) -> np.ndarray:
    """The second difference of what moves most, beside the camera."""
    frames, residual = film.frames.float() / 255, film.residual.float() / 127
    moving = (residual / contrast(frames)).abs().flatten(1)
    course = moving.topk(max(1, moving.shape[1] // MOST_MOVING), dim=1).values.mean(1).numpy()
    second = np.abs(np.diff(course, n=2, prepend=course[:1], append=course[-1:]))
    return second / (np.median(second) * 6 + 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--net", type=Path, default=OWN)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--films", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    films: list[tuple[Film, np.ndarray, float]] = []
    for path in (path for folder in args.folders for path in sorted(folder.glob("*.mp4"))):
        try:
            sound = heard(path)
        except Exception as error:
            print(f"left out: {error}")
            continue
        film = read_film(path, [], keep=args.work / f"{path.parent.name}_{path.stem}.npz")
        length_s = min(len(sound) / RATE, float(film.times_s[-1]))
        films.append((film, onsets(sound[: int(length_s * RATE)], RATE), length_s))
    net = load_onset_net(args.net)
    ways: dict[str, tuple[Callable[[Film], np.ndarray], tuple[float, ...]]] = {
        "rule": (rule, RULES),
        "network": (lambda film: score(net, film), NETS),
    }
    print(
        f"{len(films)} films\n\n| cues | threshold | F1 100 ms | chance | gain | found | onsets |\n" + "|---" * 7 + "|"
    )
    for name, (way, thresholds) in ways.items():
        courses = [way(film) for film, _, _ in films]
        for threshold in thresholds:
            rows = []
            for (film, real, length_s), course in zip(films, courses, strict=True):
                found = peaks(course, film.times_s.numpy(), threshold=threshold)
                found = found[found < length_s]
                turned = [np.sort((found + length_s * k / 10) % length_s) for k in range(1, 10)]
                f1, *chance = (onset_f1(real, each, tolerance_s=0.1) for each in (found, *turned))
                if f1 is None:
                    continue
                rows.append((f1.f1, float(np.mean([each.f1 for each in chance if each])), len(found), len(real)))
                if args.films:
                    print(
                        f"{film.name}: F1 {f1.f1:.2f}, chance {rows[-1][1]:.2f}, found {len(found)}, onsets {len(real)}"
                    )
            f1s, chances, n_found, n_real = np.array(rows).T
            print(
                f"| {name} | {threshold} | {f1s.mean():.3f} | {chances.mean():.3f} | {(f1s - chances).mean():+.3f} | "
                f"{n_found.mean():.1f} | {n_real.mean():.1f} |"
            )


if __name__ == "__main__":
    main()
