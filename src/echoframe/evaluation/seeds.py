"""Rows of seeds: the mean and the standard deviation of a system's figures over its seeds.

*Conventions*: a system has seeds if each clip has the same number of sounds in its folder (NAME.s0, NAME.s1, ...: the k-th
sounds of all clips are one seed's), or if it is several systems whose names end in .s0, .s1, ... (a mapper that was trained
with several seeds).
"""

import re
import statistics
from collections.abc import Mapping, Sequence

from echoframe.evaluation.figures import Measured, SoundSet, measure
from echoframe.evaluation.protocols import Figure
from echoframe.evaluation.table import Cell, Line

_SEED = re.compile(r"(.+)\.s[0-9]+")


def seed_lines(
    figures: Sequence[Figure],
    reference: SoundSet,
    systems: Mapping[str, SoundSet],
    measured: Mapping[str, Mapping[str, Measured]],
) -> list[Line]:
    """A row for each system that has seeds. measured: each system's figures, by name and column."""
    lines = []
    for name, side in systems.items():
        n = int(side.counts[0]) if len(side.counts) else 1
        if n > 1 and (side.counts == n).all():
            rounds = [
                {figure.key: found for figure in figures if (found := measure(figure, reference, some))}
                for some in side.rounds
            ]
            lines.append(_line(name, rounds))
    groups: dict[str, list[Mapping[str, Measured]]] = {}
    for name, found in measured.items():
        if named := _SEED.fullmatch(name):
            groups.setdefault(named[1], []).append(found)
    return lines + [_line(name, some) for name, some in groups.items() if len(some) > 1]


def _line(name: str, seeds: Sequence[Mapping[str, Measured]]) -> Line:
    cells = {}
    for key, first in seeds[0].items():
        values = [some[key].value for some in seeds if key in some]
        if len(values) == len(seeds):
            cells[key] = Cell(value=statistics.fmean(values), deviation=statistics.stdev(values), n=first.n)
    return Line(name=f"{name}: mean of {len(seeds)} seeds", kind="seeds", cells=cells)
