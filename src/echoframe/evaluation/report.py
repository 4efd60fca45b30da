"""An evaluation written down: Markdown, LaTeX, CSV, JSON, and a page with plots on which every clip can be seen and heard."""

import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from echoframe.errors import InputError
from echoframe.evaluation.evaluate import REFERENCE, Evaluation
from echoframe.evaluation.exports import as_csv, latex
from echoframe.evaluation.plots import plot
from echoframe.evaluation.sounds import find_films
from echoframe.evaluation.table import Column, Line, Table, as_json, counts, is_marked, markdown, text
from echoframe.optional import require_extra
from echoframe.output import atomic_files, make_folder

MOST_CLIPS = 200  # on the page; all stand in the JSON
SUFFIXES = ("md", "json", "html", "csv", "tex")


def write_report(found: Evaluation, out: Path) -> list[Path]:
    """Writes evaluation.md, .json, .html, .csv and .tex into `out`, all or none; returns their paths."""
    make_folder(out)
    paths = [out / f"evaluation.{suffix}" for suffix in SUFFIXES]
    with atomic_files(paths) as (words, values, page, numbers, paper):
        words.write_text(markdown(found.table) + "\n", encoding="utf-8")
        values.write_text(json.dumps(_values(found), indent=1) + "\n", encoding="utf-8")
        page.write_text(
            html(found, out, beside=[path.name for path in paths if path.suffix != ".html"]), encoding="utf-8"
        )
        numbers.write_text(as_csv(found.table), encoding="utf-8")
        paper.write_text(latex(found.table), encoding="utf-8")
    return paths


def _values(found: Evaluation) -> dict[str, Any]:
    pairs = {"stems": found.stems} | {
        name: dict(getattr(found.pairing, name)) for name in ("samples", "exact", "missing", "extra", "unused")
    }
    return {
        "config": found.config,
        "table": as_json(found.table),
        "pairs": pairs,
        "judged": found.judged,
        "remarks": found.remarks,
        "dropped": found.dropped,
        "clips": found.clips,
    }


def html(found: Evaluation, out: Path, *, beside: Sequence[str] = ()) -> str:
    """The page, to be saved in `out`: films and sounds are linked to where they lie, seen from there.

    beside: names of files in `out` that hold the same.
    """
    films = _films(found)
    columns = [column for column in found.table.columns if any(column.key in some for some in found.clips.values())]
    clips = [_clip(found, stem, columns, films.get(stem), out) for stem in found.stems[:MOST_CLIPS]]
    return table_page(found.table, clips=clips, n_clips=len(found.stems), beside=beside)


def table_page(
    table: Table, *, clips: Sequence[Mapping[str, Any]] = (), n_clips: int = 0, beside: Sequence[str] = ()
) -> str:
    """A table with its plots as a page of its own, and, if there are clips, the first of `n_clips` to see and hear."""
    jinja2 = require_extra("jinja2", "eval")
    folder = files("echoframe.evaluation")
    template = folder.joinpath("report.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    places = {group: n for n, group in reversed([*enumerate(column.group for column in table.columns)])}
    columns = sorted(table.columns, key=lambda column: places[column.group])  # a group's columns side by side
    groups = [(name, [*some]) for name, some in groupby(columns, key=lambda column: column.group)]
    rows = [
        {
            "name": line.name,
            "kind": line.kind,
            "cells": [*(_cell(line, column) for column in columns), (counts(line), "")],
        }
        for line in table.lines
    ]
    return page.render(
        table=table,
        columns=columns,
        groups=[{"name": name, "n": len(some)} for name, some in groups],
        firsts={some[0].key for _, some in groups},
        rows=rows,
        arrows={"higher": "↑", "lower": "↓", "": ""},
        plots=[plot(table, column) for column in columns],
        clips=clips,
        n_clips=n_clips,
        beside=beside,
        script=folder.joinpath("report.js").read_text(encoding="utf-8"),
    )


def _cell(line: Line, column: Column) -> tuple[str, str]:
    """The number, with its asterisk if it has one, and the interval, which stands under it: columns are narrower so."""
    cell = line.cells.get(column.key)
    value, _, interval = text(cell, column).partition(" [")
    marked = cell is not None and is_marked(line.kind, cell)
    return f"{value} *" if marked else value, f"[{interval}" if interval else ""


def _films(found: Evaluation) -> dict[str, Path]:
    """The films that the clips' sounds belong to, by stem: those that were given, or those of the reference; maybe none."""
    try:
        return find_films(Path(found.config["video"] or found.config["reference"]))
    except InputError:
        return {}


def _clip(found: Evaluation, stem: str, columns: list[Column], film: Path | None, out: Path) -> dict[str, Any]:
    """One clip of the page. The first sound of the first system is the one that is chosen at the beginning."""
    begins_with = next(name for name in found.pairing.files if name != REFERENCE)
    sounds = []
    for name, some in found.pairing.files.items():
        figures = found.clips.get(name, {})
        stems = found.pairing.sounds_of(name, stem)
        for i, one in enumerate(stems):
            shown = [figures.get(column.key, {}).get(stem) if i == 0 else None for column in columns]
            sounds.append(
                {
                    "system": name,
                    "name": one if stems != (stem,) else "",
                    "address": _address(some[one], out),
                    "file": some[one].name,
                    "is_first": name == begins_with and i == 0,
                    "figures": [
                        "" if value is None else f"{value:.{column.digits}f}"
                        for value, column in zip(shown, columns, strict=True)
                    ],
                }
            )
    return {
        "stem": stem,
        "film": None if film is None else _address(film, out),
        "titles": [column.title for column in columns],
        "sounds": sounds,
    }


def _address(path: Path, out: Path) -> str:
    try:
        return quote(Path(os.path.relpath(path.resolve(), out.resolve())).as_posix())
    except ValueError:  # another drive
        return path.resolve().as_uri()
