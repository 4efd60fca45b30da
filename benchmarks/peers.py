"""A model beside four published systems on the same twelve films: the table in the README.

    python benchmarks/peers.py PEERS --yamnet FILE [--model mini] [--library FILE] [--seeds 5] [--out out/peers]
        [--readme README.md]

PEERS holds `films`, with their own sound, and a folder of sounds for each of `SYSTEMS`, with the films' names. Into OUT go
the model's sounds (`echoframe generate`, seeds 0 and on; with --library those made of its recordings too, and the
recordings nearest to the mapper's targets) and white noise as loud as each film's sound. All are judged by
`echoframe evaluate`: whether YAMNet, which took no part in any training here, hears the right thing (protocol yamnet), by
aiSFX and in time (protocol echoframe). The model's figures are means over its seeds, clip by clip. With --readme the table
takes the place of the one between the two marks in that file. The films and the sounds stay where they are: they are a
test set, and not ours to pass on.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from films import noise, run

from echoframe import load
from echoframe.evaluation.bootstrap import FEWEST_DRAWS, bootstrap_interval
from echoframe.evaluation.evaluate import EvaluateConfig, Evaluation, evaluate
from echoframe.evaluation.features import default_cache
from echoframe.evaluation.figures import of_values
from echoframe.evaluation.protocols import WHOLE_S, find_protocol
from echoframe.evaluation.sounds import Listening, find_sounds, listen
from echoframe.evaluation.table import Cell, Column, Line, Table, markdown
from echoframe.library import Library, read_piece
from echoframe.media.audio import resample
from echoframe.media.onsets import onsets
from echoframe.output import atomic_files

BEGIN, END = "<!-- benchmarks/peers.py: the table below is its output -->", "<!-- end of benchmarks/peers.py -->"
SYSTEMS = {"Frieren": "frieren", "Diff-Foley": "diff_foley", "Im2Wav": "im2wav", "SpecVQGAN": "specvqgan"}
SHOWN = {"yamnet": ("hit", "kl"), "echoframe": ("cosine", "onset_f1_100", "envelope")}
DRAWS, SHUFFLES = 1000, 10
REAL, NOISE = "the film's own sound", "noise"
RATE = 16_000  # at which onsets are counted
DENSITY = "how often a sound is heard to begin; dense onsets match by chance"


def judged(folders: Mapping[str, Path], films: Path, yamnet: Path, *, seed: int = 0) -> dict[str, Evaluation]:
    """Every folder beside the films' own sound, by protocol. seed: of the shuffled pairs."""
    found = {}
    for protocol in SHOWN:
        config = EvaluateConfig(
            reference=films,
            generated=folders,
            protocol=protocol,
            weights={"yamnet": yamnet} if protocol == "yamnet" else {},
            seed=seed,
            draws=FEWEST_DRAWS,  # the table's own intervals are of means over seeds
            cache=default_cache(),
        )
        found[protocol] = evaluate(config)
    return found


def values(evaluation: Evaluation, systems: list[str], key: str) -> np.ndarray:
    """(n,): each clip's figure, the mean over `systems`; NaN where it says nothing of one of them."""
    found = [[evaluation.clips[name].get(key, {}).get(stem, np.nan) for stem in evaluation.stems] for name in systems]
    return np.mean(found, axis=0)


def chance(evaluations: Sequence[Evaluation], key: str) -> Cell | None:
    """What sounds reach that are given to other films; the mean of all shuffles."""
    lines = [line for evaluation in evaluations for line in evaluation.table.lines]
    found = [line.cells[key] for line in lines if line.name.startswith("chance: ") and key in line.cells]
    if not found:
        return None
    return Cell(value=float(np.mean([cell.value for cell in found])), n=found[0].n)


def density(folders: Sequence[Path], stems: Sequence[str]) -> Cell:
    """Onsets a second, the mean over sounds: dense ones match by chance."""
    found = []
    for folder in folders:
        sounds = find_sounds(folder)
        for stem in stems:
            excerpt = listen(sounds[stem], Listening(clip_s=WHOLE_S))
            samples = resample(excerpt.waveform, excerpt.sample_rate, RATE)[0].numpy()
            found.append(len(onsets(samples, RATE)) / (len(samples) / RATE))
    return Cell(value=float(np.mean(found)), n=len(stems))


def table_of(
    evaluations: Mapping[str, Evaluation],
    shuffled: Sequence[Mapping[str, Evaluation]],
    rows: Mapping[str, list[str]],
    folders: Mapping[str, Path],
    model: str,
) -> Table:
    """rows: the folders behind each row; several are a model's seeds. shuffled: of these alone, each with other pairs."""
    stems = next(iter(evaluations.values())).stems
    figures = [figure for name, keys in SHOWN.items() for figure in find_protocol(name).figures if figure.key in keys]
    protocol_of = {key: name for name, keys in SHOWN.items() for key in keys}
    of_figure = {figure.key: evaluations[protocol_of[figure.key]] for figure in figures}
    lines = []
    for name, systems in rows.items():
        cells = {}
        for key, evaluation in of_figure.items():
            of_clips = values(evaluation, systems, key)
            if np.isnan(of_clips).all():
                continue  # no clip has an onset in either sound
            measured = of_values(of_clips)
            interval = bootstrap_interval(measured.statistic, measured.n, draws=DRAWS, seed=0)
            cells[key] = Cell(value=interval.value, low=interval.low, high=interval.high, n=measured.n)
        cells["density"] = density([folders[system] for system in systems], stems)
        lines.append(Line(name=name, cells=cells))
    floor = {key: chance([one[protocol_of[key]] for one in shuffled], key) for key in of_figure}
    cells = {key: cell for key, cell in floor.items() if cell is not None}
    lines.append(Line(name=f"chance: {model}, pairs shuffled", kind="bound", cells=cells))
    columns = [
        Column(key=figure.key, title=figure.title, better=figure.better, digits=2, definition=figure.about)
        for figure in figures
    ]
    columns.append(Column(key="density", title="onsets a second", better="", digits=2, definition=DENSITY))
    seeds = "seed 0" if len(rows[model]) == 1 else f"mean of seeds 0 to {len(rows[model]) - 1}"
    notes = [
        f"{model}: {seeds}. Intervals are 95 %, {DRAWS} bootstrap draws of clips. Chance: the mean of {SHUFFLES} shuffles.",
        *(f"{figure.title}: {figure.about}." for figure in figures),
        f"onsets a second: {DENSITY}.",
        *(note for one in evaluations.values() for note in one.table.notes if note.startswith("Judge ")),
    ]
    return Table(title=f"{len(stems)} films.", columns=columns, lines=lines, notes=notes)


def retrieve(films: Path, library: Path, model: str, out: Sequence[Path]) -> None:
    """The recording that is nearest to each shot's target, from its beginning and again and again; a folder for each seed."""
    loaded = load(model)
    with Library.open(library, loaded) as opened:
        for seed, folder in enumerate(out):
            folder.mkdir(parents=True, exist_ok=True)
            for film in sorted(films.iterdir()):
                parts = []
                for shot, target in loaded.predict_targets(film, seed=seed):
                    (found,) = opened.search(target, k=1)
                    samples, rate = read_piece(found.path, found.piece.start_s, found.piece.stop_s)
                    mono = resample(torch.from_numpy(samples).mean(dim=0, keepdim=True), rate, RATE)[0].numpy()
                    parts.append(np.resize(mono, round((shot.stop_s - shot.start_s) * RATE)))
                soundfile.write(folder / f"{film.stem}.wav", np.concatenate(parts), RATE)


def in_readme(text: str, table: str) -> str:
    """The text with what is between the marks replaced."""
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:before]}\n\n{table.strip()}\n\n{text[after:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", type=Path)
    parser.add_argument("--yamnet", type=Path, required=True, help="YAMNet's .tflite file")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--library", type=Path, help="of recordings, by echoframe library add")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/peers"))
    parser.add_argument("--readme", type=Path)
    args = parser.parse_args()
    films, name = args.peers / "films", Path(args.model).name
    ways: dict[str, list[object]] = {"": [], ", --sync 0.5": ["--sync", 0.5]}
    if args.library:
        ways[", --library"] = ["--library", args.library]
    made: dict[str, dict[str, Path]] = {}
    for way, options in ways.items():
        folder = args.out / f"{name}{''.join(map(str, options[:1]))}"
        made[way] = {f"{name}{way} {seed}": folder / f"seed{seed}" for seed in range(args.seeds)}
        for seed, place in enumerate(made[way].values()):
            place.mkdir(parents=True, exist_ok=True)
            asked = ("--model", args.model, "-o", place, "--no-mux", "--seed", seed, *options)
            run("generate", *sorted(films.iterdir()), *asked)
    if args.library:
        way = ", nearest recording"
        made[way] = {f"{name}{way} {seed}": args.out / f"retrieved{seed}" for seed in range(args.seeds)}
        retrieve(films, args.library, args.model, list(made[way].values()))
    (args.out / NOISE).mkdir(parents=True, exist_ok=True)
    noise(films, args.out / NOISE)
    systems = {system: args.peers / folder for system, folder in SYSTEMS.items()}
    own = {system: folder for some in made.values() for system, folder in some.items()}
    folders = {REAL: films, **systems, **own, NOISE: args.out / NOISE}
    rows = {REAL: [REAL]} | {system: [system] for system in systems}
    rows |= {f"{name}{way}": list(some) for way, some in made.items()} | {NOISE: [NOISE]}
    shuffled = [judged(made[""], films, args.yamnet, seed=seed) for seed in range(SHUFFLES)]
    table = markdown(table_of(judged(folders, films, args.yamnet), shuffled, rows, folders, name))
    print(table)
    if args.readme:
        text = in_readme(args.readme.read_text(encoding="utf-8"), table)
        with atomic_files([args.readme]) as (partial,):
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
