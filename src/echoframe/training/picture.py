"""A comparison as a picture: what the mappers came to, between their bounds, and how they came there."""

from pathlib import Path
from typing import Any

import numpy as np

from echoframe.optional import require_extra
from echoframe.training.compare import Comparison, Row

# Okabe and Ito's colours, which people with any colour vision can tell apart; with them, lines of several kinds
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "..", "xx")  # of bars, as the dashes of lines
BOUND_LINES: tuple[Any, ...] = ((0, ()), (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (12, 4)), (0, (1, 4)))
SHOWN = {"cosine": "cosine", "recall_10": "R@10"}
MOST_NAMES = 16  # in the legend of the curves; the bars name all in the same colours


def draw(found: Comparison, path: Path) -> None:
    """Cosine and R@10 of every mapper as bars, the bounds as lines; below, each mapper's cosine on val while it trained."""
    require_extra("matplotlib", "train").use("Agg")
    pyplot: Any = require_extra("matplotlib.pyplot", "train")
    n = len(found.mappers)
    heights = (1.2 + 0.35 * n, 3.6)
    figure = pyplot.figure(figsize=(12, sum(heights) + 0.6), layout="constrained")
    try:
        grid = figure.add_gridspec(2, 2, height_ratios=heights)
        left = figure.add_subplot(grid[0, 0])
        _bars(left, found, "cosine")
        left.set_yticks(range(n), [_as_words(row.name) for row in found.mappers])
        left.invert_yaxis()
        right = figure.add_subplot(grid[0, 1], sharey=left)
        _bars(right, found, "recall_10")
        right.tick_params(labelleft=False)
        right.legend(title="bounds", loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
        _curves(figure.add_subplot(grid[1, :]), found.mappers)
        figure.savefig(path, dpi=120, format="png")
    finally:
        pyplot.close(figure)


def style_of(i: int) -> dict[str, Any]:
    """Colour and kind of the i-th mapper's line: 28 differ, and neighbours differ in colour."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}


def _bars(ax: Any, found: Comparison, key: str) -> None:
    """Bars in the mappers' own colours; the bounds' lines have numbers over them, as in the legend."""
    rows = found.mappers
    bars = ax.barh(
        range(len(rows)),
        [row.mean(key) for row in rows],
        xerr=[row.deviation(key) or 0.0 for row in rows],
        color=[style_of(i)["color"] for i in range(len(rows))],
        alpha=0.75,
    )
    for i, bar in enumerate(bars):
        bar.set_hatch(HATCHES[i // len(COLOURS) % len(HATCHES)])
    for i, row in enumerate(found.bounds):
        dashes = BOUND_LINES[i % len(BOUND_LINES)]
        ax.axvline(row.mean(key), color="#333333", linewidth=1.2, linestyle=dashes, label=f"{i + 1}  {row.name}")
        # on two levels, as neighbours may be close
        place = {"xy": (row.mean(key), 1.0), "xytext": (0, 3 + 10 * (i % 2)), "textcoords": "offset points"}
        ax.annotate(str(i + 1), **place, xycoords=("data", "axes fraction"), ha="center", fontsize=8)
    ax.set_xlabel(SHOWN[key])


def _curves(ax: Any, rows: list[Row]) -> None:
    """The mean of the seeds that were measured at a step, and the band between the least and the most of them."""
    for i, row in enumerate(rows):
        by_step: dict[int, list[float]] = {}
        for step, value in (point for curve in row.curves for point in curve):
            by_step.setdefault(step, []).append(value)
        if not by_step:
            continue
        steps = sorted(by_step)
        values = [by_step[step] for step in steps]
        ax.plot(steps, [np.mean(some) for some in values], marker=".", label=_as_words(row.name), **style_of(i))
        ax.fill_between(steps, list(map(min, values)), list(map(max, values)), color=style_of(i)["color"], alpha=0.15)
    ax.set_xlabel("step")
    ax.set_ylabel("cosine on val, in training")
    handles, names = ax.get_legend_handles_labels()
    if names:
        ax.legend(handles[:MOST_NAMES], names[:MOST_NAMES], loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)


def _as_words(name: str) -> str:
    """Without what matplotlib reads as mathematics."""
    return name.replace("$", r"\$")
