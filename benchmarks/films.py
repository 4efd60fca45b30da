"""A model's sounds for a folder of films, judged beside the films' own: the long table in docs/evaluation.md.

    python benchmarks/films.py FILMS [--model mini] [--out out/films] [--page docs/evaluation.md]

FILMS holds films with their sound. Into OUT go the model's sounds of them (`echoframe generate`), the same sounds each
given to the next film (*shuffled*), and white noise as loud as each film's sound; then `echoframe evaluate` judges the
three. With --page its table takes the place of the one in that file, between the two marks.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import soundfile

from echoframe.apps.cli import main as echoframe
from echoframe.evaluation.sounds import Listening, find_sounds, listen
from echoframe.output import atomic_files

BEGIN, END = "<!-- echoframe evaluate: the table below is its output -->", "<!-- end of the table -->"
RATE = 16_000


def shuffle(made: Path, out: Path) -> None:
    """Each sound under the next one's name."""
    sounds = find_sounds(made)
    stems = list(sounds)
    for stem, other in zip(stems, [*stems[1:], stems[0]], strict=True):
        shutil.copyfile(sounds[stem], out / f"{other}{sounds[stem].suffix}")


def noise(films: Path, out: Path) -> None:
    """White noise, ten seconds at most, with each sound's root mean square."""
    rng = np.random.default_rng(0)
    for stem, path in find_sounds(films).items():
        excerpt = listen(path, Listening())
        n = round(excerpt.waveform.shape[1] / excerpt.sample_rate * RATE)
        level = float(excerpt.waveform.square().mean().sqrt())
        soundfile.write(out / f"{stem}.wav", level * rng.normal(size=n), RATE, subtype="FLOAT")


def in_page(text: str, table: str) -> str:
    """The text with what is between the marks replaced."""
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:before]}\n\n{table.strip()}\n\n{text[after:]}"


def run(*arguments: object) -> None:
    code = echoframe([str(argument) for argument in arguments])
    if code:
        raise SystemExit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path("out/films"))
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    systems = {name: args.out / name for name in (args.model, "shuffled", "noise")}
    for folder in systems.values():
        folder.mkdir(parents=True, exist_ok=True)
    run("generate", args.films, "-o", systems[args.model], "--model", args.model, "--no-mux")
    shuffle(systems[args.model], systems["shuffled"])
    noise(args.films, systems["noise"])
    named = [f"{name}={folder}" for name, folder in systems.items()]
    run("evaluate", "--reference", args.films, "--video", args.films, "--generated", *named, "-o", args.out)
    if args.page:
        table = (args.out / "evaluation.md").read_text(encoding="utf-8")
        with atomic_files([args.page]) as (partial,):
            partial.write_text(in_page(args.page.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
