"""An evaluation written down: Markdown, JSON, and a page with plots on which every sound can be heard."""

import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from echoframe.evaluation.evaluate import REFERENCE, Evaluation
from echoframe.evaluation.sounds import FILMS
from echoframe.evaluation.table import Column, Table, as_json, counts, markdown, text
from echoframe.optional import require_extra
from echoframe.output import atomic_files, make_folder

MOST_CLIPS = 200  # on the page; all stand in the JSON


def write_report(found: Evaluation, out: Path) -> list[Path]:
    """Writes evaluation.md, evaluation.json and evaluation.html into `out`, all or none; returns their paths."""
    make_folder(out)
    paths = [out / f"evaluation.{suffix}" for suffix in ("md", "json", "html")]
    with atomic_files(paths) as (words, values, page):
        words.write_text(markdown(found.table) + "\n", encoding="utf-8")
        values.write_text(json.dumps(_values(found), indent=1) + "\n", encoding="utf-8")
        page.write_text(html(found, out), encoding="utf-8")
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


def html(found: Evaluation, out: Path) -> str:
    """The page, to be saved in `out`: sounds are linked to where they lie, seen from there."""
    columns = [column for column in found.table.columns if any(column.key in some for some in found.clips.values())]
    clips = [_clip(found, stem, columns, out) for stem in found.stems[:MOST_CLIPS]]
    return table_page(found.table, names=list(found.pairing.files), clips=clips, n_clips=len(found.stems))


def table_page(
    table: Table, *, names: Sequence[str] = (), clips: Sequence[Mapping[str, Any]] = (), n_clips: int = 0
) -> str:
    """A table with its plots as a page of its own, and, if there are clips, the first of `n_clips` to listen to."""
    jinja2 = require_extra("jinja2", "eval")
    template = files("echoframe.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    rows = [
        {
            "name": line.name,
            "kind": line.kind,
            "cells": [*(text(line.cells.get(column.key), column) for column in table.columns), counts(line)],
        }
        for line in table.lines
    ]
    return page.render(
        table=table,
        rows=rows,
        arrows={"higher": "↑", "lower": "↓", "": ""},
        plots=[plot(table, column) for column in table.columns],
        names=names,
        clips=clips,
        n_clips=n_clips,
    )


def _clip(found: Evaluation, stem: str, columns: list[Column], out: Path) -> dict[str, Any]:
    def sounds(name: str, some: Mapping[str, Path]) -> dict[str, Any]:
        figures = found.clips.get(name, {})
        stems = found.pairing.sounds_of(name, stem)
        return {
            "files": [{"name": one if stems != (stem,) else "", "address": _address(some[one], out)} for one in stems],
            "is_film": name == REFERENCE and some[stems[0]].suffix.lower() in FILMS,
            "figures": [
                f"{c.title} {figures[c.key][stem]:.{c.digits}f}" for c in columns if stem in figures.get(c.key, {})
            ],
        }

    return {"stem": stem, "sounds": [sounds(name, some) for name, some in found.pairing.files.items()]}


def _address(path: Path, out: Path) -> str:
    try:
        return quote(Path(os.path.relpath(path.resolve(), out.resolve())).as_posix())
    except ValueError:  # another drive
        return path.resolve().as_uri()


def plot(table: Table, column: Column) -> str:
    """One figure of all rows but differences, as SVG: points with their intervals."""
    require_extra("matplotlib", "eval").use("Agg")
    pyplot: Any = require_extra("matplotlib.pyplot", "eval")
    lines = [line for line in table.lines if column.key in line.cells and line.kind != "difference"]
    names = [line.name.replace("$", r"\$") for line in lines]  # else what stands between two of them is mathematics
    figure, ax = pyplot.subplots(figsize=(6, 0.6 + 0.32 * len(lines)), layout="constrained")
    try:
        for row, line in enumerate(lines):
            cell, is_system = line.cells[column.key], line.kind == "system"
            low, high = (cell.value, cell.value) if cell.low is None or cell.high is None else (cell.low, cell.high)
            ax.plot([low, high], [row, row], color="#4c78a8", linewidth=2)
            ax.plot(cell.value, row, "o" if is_system else "|", color="#4c78a8" if is_system else "#888888")
        ax.set_yticks(range(len(lines)), names)
        ax.set_ylim(len(lines) - 0.5, -0.5)
        ax.set_title(f"{column.title}, {column.better} is better" if column.better else column.title, fontsize=10)
        image = io.StringIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")  # a name in letters the font has not
            figure.savefig(image, format="svg")
    finally:
        pyplot.close(figure)
    return image.getvalue()[image.getvalue().index("<svg") :]
