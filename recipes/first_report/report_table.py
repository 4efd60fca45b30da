"""The experiment's one table: rows as in the first report, ours beside what it printed, and every doubt below.

    python report_table.py --work WORK

writes WORK/table.md and WORK/table.csv (a line for each number). rows.csv holds the rows' names, and what the report printed:
it stands in grey, and the notes say why it cannot be compared with what was measured.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip_lists import write_table
from echoframe.errors import EchoFrameError, InputError
from echoframe.evaluation.table import Cell, Column, Line, counts, text
from echoframe.output import atomic_files
from settings import mapper_of, read

NAMED = Path(__file__).parent / "rows.csv"
REPORTED = ("FAD", "MKL")
ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}
ABOUT = (
    "The grey figures are those that the first report printed. It does not say on how many clips, on which, or how.",
    "Two metrics seem to be mixed in them. Five of the six figures of SpecVQGAN, Im2Wav and Diff-Foley are, as far as we "
    "know, those of Diff-Foley's paper, where they are FID and MKL by Melception, SpecVQGAN's classifier of spectrograms "
    "(the sixth, 9.40, is 9.70 there). The EchoFrame rows are, by the report's words, FAD by VGGish and MKL by PaSST. "
    "So the report's rows cannot be compared with each other, and its baselines' not with ours. Protocol seed measures what "
    "the words say, for every row.",
    "FAD and FD grow as n falls: compare them at one n only, and beside the floor. A system that is no better than its "
    "chance row (its own sounds, given to other clips) ignores its clips. docs/evaluation.md says what each figure means.",
)
TRIAL = "This is a trial, with small mappers and a few made clips of two seconds. Its figures say nothing of any model."


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one protocol found. lines: by the row's name. notes: of the evaluation."""

    protocol: str
    columns: list[Column]
    lines: dict[str, Line]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """model, visual and mapper: the report's columns. lines: by protocol. reported: what the report printed."""

    model: str
    visual: str = ""
    mapper: str = ""
    lines: dict[str, Line]
    reported: tuple[str, str] = ("", "")


def read_judged(path: Path, protocol: str) -> Judged:
    """An evaluation.json. Raises InputError if it is none."""
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["table"]
        lines = [
            line | {"cells": {key: Cell(**cell) for key, cell in line["cells"].items()}} for line in table["lines"]
        ]
        return Judged(
            protocol=protocol,
            columns=[Column(**column) for column in table["columns"]],
            lines={line["name"]: Line(**line) for line in lines},
            notes=table["notes"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not an evaluation ({error}); remove its folder, and run make again") from error


def line_of(judged: Judged, system: str) -> Line | None:
    """The system's row: the mean of its seeds if it has several, else its own."""
    lines = judged.lines
    of_seeds = (line for name, line in lines.items() if name.startswith(f"{system}: mean of "))
    alone = (line for name, line in lines.items() if name == system or mapper_of(name) == system)
    return next(of_seeds, None) or next(alone, None)


def rows(found: Sequence[Judged], judging: dict[str, Any], visual: str, named: Sequence[dict[str, str]]) -> list[Row]:
    """The rows of rows.csv that the report has or that were asked for, then what else was; then floor, bounds and chance."""

    def row(system: str, line: dict[str, str]) -> Row:
        return Row(
            model=line["model"],
            visual=visual if system in mappers else line["visual feature"],
            mapper=line["mapper"],
            lines={one.protocol: measured for one in found if (measured := line_of(one, system))},
            reported=(line["FAD"], line["MKL"]),
        )

    mappers = {mapper_of(name) for name in judging["systems"]}
    blank = {"visual feature": "", "mapper": "-", "FAD": "", "MKL": ""}
    asked = {name: blank | {"model": "EchoFrame", "mapper": name} for name in sorted(mappers)}
    asked |= {name: blank | {"model": name} for name in judging["baselines"]}
    known = {line["system"]: line for line in named if line["FAD"] or line["system"] in asked}
    return [row(name, line) for name, line in (known | {k: v for k, v in asked.items() if k not in known}).items()]


def bounds(found: Sequence[Judged], judging: dict[str, Any]) -> list[Row]:
    """Floor, bounds, and the chance of each mapper's first seed and of each baseline, as the evaluations have them."""
    firsts = {mapper_of(name): name for name in reversed(judging["systems"])}.values()
    chance = [f"chance: {name}, pairs shuffled" for name in (*reversed(firsts), *judging["baselines"])]
    names = dict.fromkeys(name for one in found for name in one.lines if name.startswith(("floor: ", "bound: ")))
    return [
        Row(model=name, lines={one.protocol: one.lines[name] for one in found if name in one.lines})
        for name in (*names, *(name for name in chance if any(name in one.lines for one in found)))
    ]


def _grey(words: str) -> str:
    return f'<span style="color: grey">*{words}*</span>' if words else ""


def _words(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;")


def markdown(found: Sequence[Judged], made: Sequence[Row], notes: Sequence[str]) -> str:
    """The table with its notes."""
    places = [(one.protocol, column) for one in found for column in one.columns]
    heads = ["model", "visual feature", "mapper", *(_grey(f"{name}, first report") for name in REPORTED)]
    heads += [f"{_words(column.title)} ({protocol}){ARROWS[column.better]}" for protocol, column in places]
    lines = [f"| {' | '.join([*heads, 'n'])} |", "|---" * (len(heads) + 1) + "|"]
    for row in made:
        cells = [
            text(row.lines[protocol].cells.get(column.key), column) if protocol in row.lines else ""
            for protocol, column in places
        ]
        who = map(_words, (row.model, row.visual, row.mapper))
        lines.append(f"| {' | '.join([*who, *map(_grey, row.reported), *cells, _n(row)])} |")
    return "\n".join(["# The first report's experiment", "", *lines, "", *(f"- {note}" for note in notes)]) + "\n"


def _n(row: Row) -> str:
    cells = {f"{protocol} {key}": cell for protocol, line in row.lines.items() for key, cell in line.cells.items()}
    return counts(Line(name="", cells=cells))


def numbers(found: Sequence[Judged], made: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """A line for each number, with all its digits; the report's own have the protocol "first report"."""
    yield ("model", "visual feature", "mapper", "protocol", "figure", "value", "low", "high", "deviation", "n")
    for row in made:
        who = (row.model, row.visual, row.mapper)
        for one in found:
            for key, cell in (row.lines[one.protocol].cells if one.protocol in row.lines else {}).items():
                ends = (cell.value, cell.low, cell.high, cell.deviation)
                yield (*who, one.protocol, key, *("" if x is None else repr(x) for x in ends), str(cell.n))
        for name, value in zip(REPORTED, row.reported, strict=True):
            if value:
                yield (*who, "first report", name, value, "", "", "", "")


def all_notes(found: Sequence[Judged], made: Sequence[Row], work: Path) -> list[str]:
    """What a reader has to know, one sentence or more each."""
    given, judging, clips = (read(work, name) for name in ("given.json", "judging.json", "clips.json"))
    used = ", ".join(f"{side['used']} of {side['listed']} {split}" for split, side in clips["counts"].items())
    seeds = len({name.rpartition(".s")[2] for name in judging["systems"]})
    notes = [TRIAL] if given["trial"] else []
    notes += ABOUT
    notes.append(
        f"EchoFrame's rows have the encoders and the generator of {given['model']}, the visual feature "
        f"{clips['visual space']}, {seeds} seed{'s' if seeds > 1 else ''} for each mapper, and one sound for each clip. "
        f"Clips that could be read and embedded, of those listed: {used}."
    )
    if any(cell.deviation is not None for row in made for line in row.lines.values() for cell in line.cells.values()):
        notes.append("What follows ± is the standard deviation over seeds.")
    if left := [row.model if row.mapper == "-" else f"{row.model} ({row.mapper})" for row in made if not row.lines]:
        notes.append(
            f"Not measured here: {', '.join(left)}. BASELINES names folders of other systems' sounds, MAPPERS mappers."
        )
    notes += [
        f"Protocol {name}: not judged, as none of its judges has weights; `echoframe evaluate pull {name}` fetches them."
        for name in judging["protocols"]
        if name not in {one.protocol for one in found}
    ]
    return [*notes, *(f"Protocol {one.protocol}: {_words(note)}" for one in found for note in one.notes)]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work: Path = parser.parse_args(words).work
    judging = read(work, "judging.json")
    paths = {name: work / "judged" / name / "evaluation.json" for name in judging["protocols"]}
    found = [read_judged(path, name) for name, path in paths.items() if path.is_file()]
    with NAMED.open(newline="", encoding="utf-8") as file:
        named = list(csv.DictReader(file))
    made = rows(found, judging, read(work, "clips.json")["visual space"], named)
    notes = all_notes(found, made, work)
    made += bounds(found, judging)
    write_table(work / "table.csv", list(numbers(found, made)))
    with atomic_files([work / "table.md"]) as (partial,):
        partial.write_text(markdown(found, made, notes), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except EchoFrameError as error:
        sys.exit(f"first_report: {error}")
