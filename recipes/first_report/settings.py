"""What the experiment was asked for, checked and written down before anything is done.

WORK/given.json    what is learned and made: a folder that was begun with one is not gone on with by another
WORK/judging.json  which systems are judged, by what: this may change, and what is missing is then added
WORK/given         a link to the folder of films

The Makefile says what the options mean.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from echoframe.errors import EchoFrameError, InputError
from echoframe.evaluation.judges.fetch import PUBLISHED, find_weights
from echoframe.evaluation.protocols import find_protocol
from echoframe.output import atomic_files, file_sha256

MAPPERS = Path(__file__).parent / "mappers"
# settings that may change until something was made by them, which a file in WORK/done says
MADE_BY = {"training": "train-*", "training of the prior": "train-prior.*", "sampling": "sounds-*"}
NEED_WEIGHTS = frozenset({*PUBLISHED, "clap"})  # judges; the others are in the package


def read(work: Path, name: str) -> dict[str, Any]:
    """given.json or judging.json of that folder, or clips.json (see clip_lists.py)."""
    return json.loads((work / name).read_text(encoding="utf-8"))


def write(work: Path, name: str, values: dict[str, Any]) -> None:
    """Writes the file whole, and not at all if it says the same already: `make` looks at its time."""
    path, text = work / name, json.dumps(values, indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_files([path]) as (partial,):
            partial.write_text(text, encoding="utf-8")


def mapper_of(system: str) -> str:
    """mlp of mlp.s0; "" if the name has no seed."""
    return system.rpartition(".s")[0]


def found(text: str, option: str, start: Path) -> Path:
    """The path, absolute; a relative one is seen from `start`. Raises InputError if nothing is there."""
    path = start / Path(text).expanduser()
    if not path.exists():
        raise InputError(f"{option}={text}: there is nothing at {path}; give a path that exists")
    return path


def by_name(words: list[str], option: str, start: Path) -> dict[str, Path]:
    """NAME=PATH words. Raises InputError for another form."""
    paths: dict[str, Path] = {}
    for word in words:
        name, _, path = word.partition("=")
        if not name or not path or name in paths:
            raise InputError(f'{option} "{word}": expected NAME=PATH, and each name once')
        paths[name] = found(path, option, start)
    return paths


def hold(work: Path, asked: dict[str, Any]) -> None:
    """Writes WORK/given.json. Raises InputError if the folder was begun with something else."""
    held = read(work, "given.json") if (work / "given.json").is_file() else asked
    for name, value in asked.items():
        used = name not in MADE_BY or any((work / "done").glob(MADE_BY[name]))
        if used and held.get(name) != value:
            raise InputError(
                f'{work}: was begun with {name} "{held.get(name)}", and this is "{value}"; '
                "give another folder with WORK="
            )
    write(work, "given.json", asked)


def _files(folder: Path) -> str:
    """Another text if other files are in the folder."""
    files = sorted((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]


def judging(args: argparse.Namespace) -> dict[str, Any]:
    """What is judged, and the weights of each judge that has some. Raises InputError for a mapper or protocol not known."""
    known = sorted(path.stem for path in MAPPERS.glob("*.toml"))
    for system in args.systems:
        if mapper_of(system) not in known:
            raise InputError(f'MAPPERS: there is no mapper "{mapper_of(system)}" here; choose of {", ".join(known)}')
    baselines, weights = (
        by_name(words, option, args.start)
        for words, option in ((args.baselines, "BASELINES"), (args.weights, "WEIGHTS"))
    )
    judges = {judge for name in args.protocols for judge in find_protocol(name).judges}
    for judge in sorted(judges & NEED_WEIGHTS):
        fetched = find_weights(judge)
        if fetched and judge not in weights:
            weights[judge] = fetched
    return {
        "systems": args.systems,
        "protocols": args.protocols,
        "draws": args.draws,
        "baselines": {name: str(path) for name, path in baselines.items()},
        "baselines' files": {name: _files(path) for name, path in baselines.items()},
        "weights": {name: str(path) for name, path in weights.items()},
    }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("work", "start"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("clips", "train", "test", "model"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("training", "training-prior", "sampling"):
        parser.add_argument(f"--{name}", default="")
    for name in ("systems", "protocols", "baselines", "weights"):
        parser.add_argument(f"--{name}", nargs="*", default=[])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--trial", action="store_true")
    args = parser.parse_args(words)
    clips, *lists = (found(getattr(args, name), name.upper(), args.start) for name in ("clips", "train", "test"))
    asked = {"clips": str(clips), "model": args.model, "training": args.training}
    asked |= {"training of the prior": args.training_prior, "sampling": args.sampling, "trial": args.trial}
    for name, path in zip(("train", "test"), lists, strict=True):
        asked |= {f"{name} list": str(path), f"{name} list's sha256": file_sha256(path)}
    judged = judging(args)
    (args.work / "done").mkdir(parents=True, exist_ok=True)
    hold(args.work, asked)
    link = args.work / "given"
    if not link.is_symlink():
        link.symlink_to(clips, target_is_directory=True)
    write(args.work, "judging.json", judged)


if __name__ == "__main__":
    try:
        main()
    except EchoFrameError as error:
        sys.exit(f"first_report: {error}")
