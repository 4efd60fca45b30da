"""Train, val and test without one film on two sides."""

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from echoframe.data.clip_list import ClipRow
from echoframe.errors import InputError
from echoframe.output import atomic_files

FILMS_FOR_VAL = 10  # a label with as many in train gets at least one in val


def split_rows(rows: Sequence[ClipRow], *, val_share: float = 0.05, seed: int = 0) -> list[ClipRow]:
    """The rows, in their order, with a split: test as it was, the rest train or val, "" for what has to stay out.

    A film is a YouTube id, or the name of a clip that has none, and all its clips go one way: a clip of a film that has a
    test clip, and is none itself, is left out. Of every label about `val_share` of the films go to val, and at least one
    where it has FILMS_FOR_VAL. The draw hangs on `seed` and the names alone, not on the order, nor on what was val
    before. Raises InputError for a share that is none.
    """
    if not 0 <= val_share < 1:
        raise InputError(f"val share {val_share}; expected 0 or more and less than 1")
    in_test = {row.film for row in rows if row.split == "test"}
    films: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.film not in in_test:
            films[row.label].add(row.film)
    in_val: set[str] = set()
    for _, of_label in sorted(films.items(), key=lambda item: (len(item[1]), item[0])):
        wanted = _n_val(len(of_label), val_share)
        drawn = sorted(of_label, key=lambda film: _draw(film, seed))
        chosen = [film for film in drawn if film in in_val]  # through another label of the same film
        in_val.update([film for film in drawn if film not in in_val][: max(wanted - len(chosen), 0)])
    return [replace(row, split=_side(row, in_test, in_val)) for row in rows]


def _n_val(n_films: int, share: float) -> int:
    if share == 0:
        return 0
    return max(round(n_films * share), 1 if n_films >= FILMS_FOR_VAL else 0)


def _draw(film: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {film}".encode()).hexdigest()


def _side(row: ClipRow, in_test: set[str], in_val: set[str]) -> str:
    if row.film in in_test:
        return "test" if row.split == "test" else ""
    return "val" if row.film in in_val else "train"


def _cells(row: ClipRow) -> tuple[str | int, ...]:
    where = (row.name,) if row.name else (row.youtube_id, row.start_s)
    return (*where, row.label, row.split)


def write_split(rows: Sequence[ClipRow], path: Path) -> None:
    """Writes the rows that have a split in vggsound.csv's columns, or NAME,label,split, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(_cells(row) for row in rows if row.split)
    with atomic_files([path]) as (partial,):
        partial.write_text(text.getvalue(), encoding="utf-8")
