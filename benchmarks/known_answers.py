"""What each change to a folder of sounds does to the figures of `echoframe evaluate`, and what evaluating costs.

    python benchmarks/known_answers.py SOUNDS [--protocol echoframe] [--clips FILE] [--video DIR] [--system NAME=DIR ...]

Of the sounds (or films with sound) in SOUNDS it makes folders that are: the same, noise of the same loudness, silence, each
turned round in time, each 0.2 s late, and each given to another clip; judges them beside SOUNDS, and any systems given, and
prints the table. `--repeat N` instead says how long N ten-second sounds on both sides take, then a second time.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from echoframe.evaluation.evaluate import EvaluateConfig, evaluate
from echoframe.evaluation.sounds import Listening, find_sounds, listen
from echoframe.evaluation.table import markdown
from echoframe.media.audio import resample

LATE_S = 0.2
RATE = 44_100


def changed(sounds: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    late = np.zeros(round(LATE_S * RATE))
    return {
        "the same": sounds,
        "noise": [np.sqrt(np.square(one).mean()) * rng.normal(size=len(one)) for one in sounds],
        "silence": [np.zeros(len(one)) for one in sounds],
        "reversed": [one[::-1] for one in sounds],
        "0.2 s late": [np.concatenate([late, one])[: len(one)] for one in sounds],
        "pairs shuffled": [*sounds[1:], sounds[0]],
    }


def read(path: Path) -> np.ndarray:
    excerpt = listen(path, Listening())
    return resample(excerpt.waveform, excerpt.sample_rate, RATE)[0].double().numpy()


def compare(args: argparse.Namespace, folder: Path) -> None:
    paths = find_sounds(args.sounds)
    systems = {}
    for name, sounds in changed([read(path) for path in paths.values()]).items():
        systems[name] = folder / name
        systems[name].mkdir()
        for stem, samples in zip(paths, sounds, strict=True):
            soundfile.write(systems[name] / f"{stem}.wav", samples, RATE, subtype="FLOAT")
    systems |= {name: Path(path) for name, path in (pair.split("=", 1) for pair in args.system)}
    config = EvaluateConfig(
        reference=args.sounds, generated=systems, video=args.video, clips=args.clips, protocol=args.protocol
    )
    table = evaluate(config).table
    for line in list(table.lines):
        if line.kind == "difference":
            table.lines.remove(line)
    print(markdown(table))


def measure_time(n: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    for side in ("real", "made"):
        (folder / side).mkdir()
        for i in range(n):
            soundfile.write(folder / side / f"{i:05d}.wav", 0.1 * rng.normal(size=160_000), 16_000)
    config = EvaluateConfig(reference=folder / "real", generated={"made": folder / "made"}, cache=folder / "cache")
    for run in ("first", "second"):
        began = time.perf_counter()
        evaluate(config)
        print(f"{n} pairs of ten seconds, {run} run: {time.perf_counter() - began:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path, nargs="?")
    parser.add_argument("--protocol", default="echoframe")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--system", nargs="+", default=[], metavar="NAME=DIR")
    parser.add_argument("--repeat", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if args.repeat:
            measure_time(args.repeat, Path(name))
        elif args.sounds:
            compare(args, Path(name))
        else:
            parser.error("give SOUNDS or --repeat N")


if __name__ == "__main__":
    main()
