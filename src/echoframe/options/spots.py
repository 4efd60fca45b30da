"""Prompts for parts of a film: a CSV file with start and end, in seconds, and the text that is meant there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from echoframe.errors import InputError
from echoframe.options.table import read_table

SHORTEST_S = 1.0
COLUMNS = ("start", "end", "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """What shall be heard from when to when, in seconds."""

    start_s: float
    end_s: float
    text: str


def are_spots(spots: Sequence[Spot]) -> bool:
    """Whether they are in order, do not overlap, and last a second at least.

    >>> are_spots([Spot(start_s=0, end_s=2, text="rain"), Spot(start_s=2, end_s=5, text="a dog")])
    True
    >>> are_spots([Spot(start_s=0, end_s=2, text="rain"), Spot(start_s=1, end_s=5, text="a dog")])
    False
    """
    ends = [0.0, *(spot.end_s for spot in spots)]
    return all(
        math.isfinite(spot.end_s)
        and spot.start_s >= end
        and spot.end_s - spot.start_s >= SHORTEST_S
        and spot.text.strip()
        for spot, end in zip(spots, ends, strict=False)
    )


def read_spots(name: str) -> tuple[Spot, ...]:
    """The spots in a CSV file, in order of time. Raises InputError, with the line, for one that cannot be read so."""
    path, found = Path(name), []
    for where, row in read_table(path, COLUMNS, needed=COLUMNS):
        try:
            found.append(Spot(start_s=float(row["start"]), end_s=float(row["end"]), text=row["text"]))
        except ValueError:
            raise InputError(f'{where}: start "{row["start"]}", end "{row["end"]}"; expected seconds') from None
    spots = tuple(sorted(found, key=lambda spot: spot.start_s))
    if not spots or not are_spots(spots):
        raise InputError(
            f"{path}: expected one spot at least, each with a text and a second long at least, none of which overlap"
        )
    return spots
