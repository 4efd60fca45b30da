"""The rows of the table: systems with their intervals, their seeds, chance, floor, bounds, and what two systems differ by.

*Rows*: *seeds*: see `seeds`. *chance*: each system's own sounds, given to other clips. *floor*: the reference judged as if
it were generated; for figures of sets, one random half of it against the other (mean of several), as any set of sounds is
that far from another of half the clips. *bounds*, where embeddings are compared: each clip given its nearest other
reference, and the mean of all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch

from echoframe.evaluation.bootstrap import bootstrap_interval, paired_difference
from echoframe.evaluation.figures import NEAREST, Measured, Rows, SoundSet, embeddings_of, measure, of_values
from echoframe.evaluation.protocols import Figure
from echoframe.evaluation.seeds import seed_lines
from echoframe.evaluation.table import Cell, Line

HALVES = 10
HALVES_DRAWN = 100
OF_SETS = ("frechet", "frechet infinity", "kernel", "precision", "recall", "density", "coverage", "inception")
OF_EMBEDDINGS = ("cosine", "recall at")


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRows:
    """lines: in the table's order. per_clip: by system and column, (n,) values of figures that are means over clips."""

    lines: list[Line]
    per_clip: dict[str, dict[str, np.ndarray]]


def make_rows(
    figures: Sequence[Figure],
    reference: SoundSet,
    systems: Mapping[str, SoundSet],
    *,
    draws: int,
    seed: int,
    paired: bool = True,
    tell: Callable[[str], None] | None = None,
) -> TableRows:
    """All rows. draws: of the bootstrap. seed: of it, of the shuffled pairs and of the halves. Without pairs there is no
    chance, no bound of embeddings, and no difference on the same clips.
    """
    rng = np.random.default_rng(seed)
    measured = {name: _measured(figures, reference, side, paired=paired) for name, side in systems.items()}
    lines = []
    for name, found in measured.items():
        if tell:
            tell(f"{name}: {len(found)} figures, {draws} draws each")
        cells = {key: _with_interval(one, draws, seed) for key, one in found.items()}
        lines.append(Line(name=name, cells=cells, n_sounds=_several(systems[name])))
    if not paired:
        return TableRows(
            lines=[
                *lines,
                *seed_lines(figures, reference, {}, measured),
                _floor(figures, reference, rng, paired=False),
            ],
            per_clip={},
        )
    lines += seed_lines(figures, reference, systems, measured)
    of_pairs = [figure for figure in figures if figure.kind not in OF_SETS]
    apart = _apart(len(reference.sounds), rng)
    if apart is not None:
        for name, side in systems.items():
            found = _measured(of_pairs, reference, side.take(apart))
            lines.append(replace(_bound(f"chance: {name}, pairs shuffled", found), n_sounds=_several(side)))
    lines.append(_floor(figures, reference, rng))
    lines += _of_embeddings(figures, reference)
    for one, other in combinations(systems, 2):
        both = {key: (measured[one][key], measured[other][key]) for key in measured[one] if key in measured[other]}
        found = {key: _difference(*pair, draws, seed) for key, pair in both.items()}
        cells = {key: cell for key, cell in found.items() if cell is not None}
        lines.append(Line(name=f"{one} - {other}", kind="difference", cells=cells))
    per_clip = {
        name: {key: one.values for key, one in found.items() if one.values is not None}
        for name, found in measured.items()
    }
    return TableRows(lines=[line for line in lines if line.cells], per_clip=per_clip)


def _several(side: SoundSet) -> int:
    return len(side.every) if len(side.every) > len(side.sounds) else 0


def _measured(
    figures: Sequence[Figure], reference: SoundSet, generated: SoundSet, *, paired: bool = True
) -> dict[str, Measured]:
    found = {figure.key: measure(figure, reference, generated, paired=paired) for figure in figures}
    return {key: one for key, one in found.items() if one is not None}


def _with_interval(found: Measured, draws: int, seed: int) -> Cell:
    interval = bootstrap_interval(found.statistic, found.n, seed=seed, **_how(found, draws))
    low, high = interval.low, interval.high
    if found.method == "halves" and low is not None and high is not None:  # of sounds: none are fewer than 0
        low, high = max(low, 0.0), min(high, found.most)
    return Cell(value=found.value, low=low, high=high, n=interval.n)


def _difference(one: Measured, other: Measured, draws: int, seed: int) -> Cell | None:
    """On the clips of which both figures say something; None if there is none."""
    if one.values is not None and other.values is not None:
        apart = one.values - other.values
        if np.isnan(apart).all():
            return None
        one, other = (of_values(some.values[~np.isnan(apart)]) for some in (one, other) if some.values is not None)
    interval = paired_difference(one.statistic, other.statistic, one.n, seed=seed, **_how(one, draws))
    return Cell(value=interval.value, low=interval.low, high=interval.high, n=interval.n)


def _how(found: Measured, draws: int) -> dict[str, Any]:
    if found.method == "bca":
        return {"draws": draws}
    return {"draws": min(draws, HALVES_DRAWN), "method": found.method, "least": NEAREST + 1}


def _bound(name: str, found: Mapping[str, Measured]) -> Line:
    return Line(name=name, kind="bound", cells={key: Cell(value=one.value, n=one.n) for key, one in found.items()})


def _apart(n: int, rng: np.random.Generator) -> Rows | None:
    """Another clip for each clip, all used once; None if there is but one."""
    if n < 2:
        return None
    order = rng.permutation(n)
    apart = np.empty(n, dtype=np.int64)
    apart[order] = np.roll(order, 1)
    return apart


def _floor(figures: Sequence[Figure], reference: SoundSet, rng: np.random.Generator, *, paired: bool = True) -> Line:
    line = _bound("floor: reference against itself", _measured(figures, reference, reference, paired=paired))
    n = len(reference.sounds) // 2
    sums: dict[str, list[float]] = {}
    for _ in range(HALVES if n >= 2 else 0):
        order = rng.permutation(len(reference.sounds))
        halves = (_only(reference, order[:n]), _only(reference, order[n : 2 * n]))
        of_sets = [figure for figure in figures if figure.kind in OF_SETS and figure.kind != "inception"]
        for key, one in _measured(of_sets, *halves).items():
            sums.setdefault(key, []).append(one.value)
    cells = {key: Cell(value=float(np.mean(values)), n=n) for key, values in sums.items()}
    kept = {f.key: line.cells[f.key] for f in figures if f.key in line.cells and f.kind not in OF_SETS[:-1]}
    return replace(line, cells=kept | cells)


def _only(side: SoundSet, rows: Rows) -> SoundSet:
    return SoundSet(sounds=[side.sounds[i] for i in rows])


def _of_embeddings(figures: Sequence[Figure], reference: SoundSet) -> list[Line]:
    compared = [figure for figure in figures if figure.kind in OF_EMBEDDINGS]
    if not compared or len(reference.sounds) < 2:
        return []
    points = embeddings_of(reference, compared[0].judge)
    unit = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    return [
        _bound("bound: nearest other reference", _measured(compared, reference, reference.take(near.argmax(axis=1)))),
        _bound(
            "bound: mean of the references", _measured(compared, reference, _all_the_mean(reference, compared[0].judge))
        ),
    ]


def _all_the_mean(reference: SoundSet, judge: str) -> SoundSet:
    mean = np.mean(embeddings_of(reference, judge), axis=0)
    windows = {judge: torch.from_numpy(mean)[None].float()}
    return SoundSet(sounds=[replace(sound, embeddings=windows) for sound in reference.sounds], labels=reference.labels)
