"""One table for every figure: systems as rows, metrics as columns, an interval and a count with each number.

*Conventions*: a column says by which definition and which judge its numbers were made; numbers of two definitions never
share a column. low and high are the ends of a 95 % interval. NaN is never a value: what could not be computed has no cell.
A difference whose interval excludes 0 has an asterisk.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from echoframe.errors import InputError

LISTED = 5  # names in a note; all stand in the JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """value, and its 95 % interval (both ends or neither); n: clips, pairs or answers behind it. deviation: over seeds, of
    which the value is the mean; none for any other number."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    deviation: float | None = None

    @property
    def excludes_0(self) -> bool:
        """Whether it has an interval, on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InputError(f"a table's value is {self.value}; expected a number: leave the cell out")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """key: unique in the table. better: which way is better, if either is. digits: after the point. definition: one
    sentence with the formula's name and what it was computed on. protocol and judge: "" where there is none. group: what its
    figures tell of, as a heading over its columns.
    """

    key: str
    title: str
    better: Literal["higher", "lower", ""] = ""
    digits: int = 3
    definition: str = ""
    protocol: str = ""
    judge: str = ""
    judge_sha256: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A row: a system, the seeds of one, a bound (chance, floor, ...) or the difference of two systems.

    cells: by column key. n_sounds: behind it, where these are more than the clips; else 0.
    """

    name: str
    kind: Literal["system", "seeds", "bound", "difference"] = "system"
    cells: dict[str, Cell]
    n_sounds: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """title: one line. notes: sentences under the table, one each. short: a few words for the head of a page; "" is title."""

    title: str
    columns: list[Column]
    lines: list[Line]
    notes: list[str] = field(default_factory=list)
    short: str = ""

    def __post_init__(self) -> None:
        keys = [column.key for column in self.columns]
        strange = {key for line in self.lines for key in line.cells} - set(keys)
        if strange or len(set(keys)) != len(keys):
            raise InputError(f"{self.title}: columns {keys}, cells of {sorted(strange)}; expected each column once")

    @property
    def all_notes(self) -> list[str]:
        """The notes, and what the signs in the table mean."""
        cells = [(line.kind, cell) for line in self.lines for cell in line.cells.values()]
        signs = [
            ("An asterisk marks a difference whose 95 % interval excludes 0.", any(is_marked(*one) for one in cells)),
            (
                "What follows ± is the standard deviation over seeds.",
                any(cell.deviation is not None for _, cell in cells),
            ),
        ]
        return [*self.notes, *(words for words, are_there in signs if are_there)]


def is_marked(kind: str, cell: Cell) -> bool:
    """Whether a row of that kind has an asterisk there."""
    return kind == "difference" and cell.excludes_0


def markdown(table: Table) -> str:
    """The table as Markdown: an arrow says which way is better, brackets hold the 95 % interval.

    >>> fad = Column(key="fad", title="FAD", better="lower", digits=2)
    >>> print(markdown(Table(title="T", columns=[fad], lines=[Line(name="a", cells={"fad": Cell(value=1, n=3)})])))
    T
    <BLANKLINE>
    | | FAD ↓ | n |
    |---|---|---|
    | a | 1.00 | 3 |
    """
    heads = [f"{column.title}{_ARROWS[column.better]}" for column in table.columns]
    lines = [_plain(table.title), "", f"| | {' | '.join([*heads, 'n'])} |", "|---" * (len(heads) + 2) + "|"]
    for line in table.lines:
        cells = [text_of(line, column).replace("*", "\\*") for column in table.columns]
        name = _plain(line.name) if line.kind in ("system", "seeds") else f"*{_plain(line.name)}*"
        lines.append(f"| {' | '.join([name, *cells, counts(line)])} |")
    notes = [f"- {_plain(note)}" for note in table.all_notes]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _plain(words: str) -> str:
    """Names that people gave, as words: no cell ends, no line breaks, no tag opens."""
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;")


_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


def text(cell: Cell | None, column: Column) -> str:
    """One number with its interval or its deviation, or nothing.

    >>> text(Cell(value=0.5, low=0.25, high=0.75, n=4), Column(key="a", title="A", digits=2))
    '0.50 [0.25, 0.75]'
    """
    if cell is None:
        return ""
    value, *ends = (rounded(x, column.digits) for x in (cell.value, cell.low, cell.high) if x is not None)
    if cell.deviation is not None:
        return f"{value} ± {rounded(cell.deviation, column.digits)}"
    return f"{value} [{', '.join(ends)}]" if ends else value


def text_of(line: Line, column: Column) -> str:
    """A row's number in a column, with an asterisk where it has one.

    >>> line = Line(name="a - b", kind="difference", cells={"a": Cell(value=0.5, low=0.25, high=0.75, n=4)})
    >>> text_of(line, Column(key="a", title="A", digits=2))
    '0.50 [0.25, 0.75] *'
    """
    cell = line.cells.get(column.key)
    return f"{text(cell, column)} *" if cell is not None and is_marked(line.kind, cell) else text(cell, column)


def rounded(value: float, digits: int) -> str:
    """The number with so many digits after the point.

    >>> rounded(-0.001, 2)
    '0.00'
    """
    return f"{round(value, digits) + 0.0:.{digits}f}"


def counts(line: Line) -> str:
    """How many clips are behind a row's numbers, the fewest and the most if they differ, and how many sounds of them.

    >>> counts(Line(name="a", cells={"x": Cell(value=1, n=11), "y": Cell(value=1, n=12)}, n_sounds=60))
    '11 - 12 (60 sounds)'
    """
    found = sorted({cell.n for cell in line.cells.values()})
    clips = " - ".join(str(count) for count in (found if len(found) < 2 else (found[0], found[-1])))
    return f"{clips} ({line.n_sounds} sounds)" if line.n_sounds else clips


def listed(names: Sequence[str]) -> str:
    """How many, and the first of them.

    >>> listed(["a", "b"])
    '2 (a, b)'
    """
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{len(names)} ({', '.join(names[:LISTED])}{more})"


def as_json(table: Table) -> dict[str, Any]:
    """The table as plain values, for a JSON file."""
    return asdict(table)
