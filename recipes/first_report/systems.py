"""Mappers and their sounds: `echoframe train`, `models bundle` and `generate` for each system, in one process.

    python systems.py --work WORK [--device auto] [--generate "--batch-size 8"]

A system is a mapper of mappers/ and a seed, as mlp.s0; WORK/judging.json names them. --generate: further options of that
command, as one word. WORK/done/STEP-SYSTEM says what is done already.
If a few films get no sound, it goes on: the evaluation leaves them out for all systems, and says so.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from echoframe.apps import cli
from echoframe.evaluation.sounds import read_clips
from settings import MAPPERS, mapper_of, read

SOME_FAILED, MOST_FAILED = 1, 0.05  # an exit code, and the share of a system's sounds that may be missing


def commands(system: str, given: dict[str, Any], work: Path, *, device: str, generate: str) -> dict[str, list[str]]:
    """What is to be done for a system, by step: the words after `echoframe`."""
    mapper, seed = mapper_of(system), system.rpartition(".s")[2]
    run, bundle, sounds = (str(work / room / system) for room in ("runs", "bundles", "sounds"))
    settings = {"data": f'["{work / "embeddings"}"]', "out": run, "seed": seed, "device": device}
    train = ["train", str(MAPPERS / f"{mapper}.toml"), "--resume"]
    for name, value in settings.items():
        train += ["--set", f"{name}={value}"]
    train += shlex.split(given["training"])
    if mapper == "prior":
        train += shlex.split(given["training of the prior"])
    clips = ["generate", "--list", str(work / "generate.csv"), "-o", f"{sounds}/", "--model", bundle, "--no-mux"]
    return {
        "train": train,
        "bundle": ["models", "bundle", "--mapper", run, "--generator", given["model"], "-o", bundle],
        "sounds": [*clips, "--device", device, *shlex.split(given["sampling"]), *shlex.split(generate)],
    }


def make(system: str, steps: dict[str, list[str]], work: Path, run: Callable[[list[str]], int]) -> int:
    """Does the steps that are not done yet. Returns the exit code of the first command that fails, else 0."""
    for step, words in steps.items():
        done = work / "done" / f"{step}-{system}"
        if done.exists():
            continue
        print("echoframe", shlex.join(words), flush=True)
        if (code := run(words)) and not (step == "sounds" and code == SOME_FAILED and enough(system, work)):
            return code
        done.touch()
    return 0


def enough(system: str, work: Path) -> bool:
    """Whether nearly all sounds of the system are there."""
    clips = read_clips(work / "test.csv")
    made = {path.stem for path in (work / "sounds" / system).glob("*.*")}
    return len(clips.keys() - made) <= MOST_FAILED * len(clips)


def main(words: list[str] | None = None, run: Callable[[list[str]], int] = cli.main) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--generate", default="")
    args = parser.parse_args(words)
    given = read(args.work, "given.json")
    for system in read(args.work, "judging.json")["systems"]:
        steps = commands(system, given, args.work, device=args.device, generate=args.generate)
        if code := make(system, steps, args.work, run):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
