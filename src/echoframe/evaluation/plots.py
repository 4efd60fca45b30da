"""The figures of a table as pictures for a page: points with their intervals, to be read on a phone too."""

import io
import textwrap
import warnings
from typing import Any

from echoframe.evaluation.table import Cell, Column, Table
from echoframe.optional import require_extra

WIDTH = 4.2  # inches, 403 px on a page: text keeps its size on a screen of 390
LONGEST = 46  # signs of a name or of a line of the title that fit into the width
BLUE, GREY = "#4c78a8", "#888888"


def plot(table: Table, column: Column) -> str:
    """One figure of all rows but differences, as SVG: each row's name stands over its interval."""
    require_extra("matplotlib", "eval").use("Agg")
    pyplot: Any = require_extra("matplotlib.pyplot", "eval")
    lines = [line for line in table.lines if column.key in line.cells and line.kind != "difference"]
    title = textwrap.fill(f"{column.title}, {column.better} is better" if column.better else column.title, LONGEST)
    height = 0.55 + 0.2 * title.count("\n") + 0.42 * len(lines)
    with pyplot.rc_context({"svg.fonttype": "none", "font.size": 10}):  # text, in the page's own letters
        figure, ax = pyplot.subplots(figsize=(WIDTH, height), layout="constrained")
        try:
            for row, line in enumerate(lines):
                cell, is_system = line.cells[column.key], line.kind in ("system", "seeds")
                ax.plot(_ends(cell), [row, row], color=BLUE, linewidth=2)
                mark = {"marker": "o", "color": BLUE} if is_system else {"marker": "D", "color": GREY, "markersize": 5}
                ax.plot(cell.value, row, **mark)
                # not as mathematics, which two dollar signs in a name would be
                name = textwrap.shorten(line.name, LONGEST, placeholder=" ...")
                ax.text(0, row - 0.38, name, transform=ax.get_yaxis_transform(), va="center", parse_math=False)
            ax.set_yticks([])
            ax.set_ylim(len(lines) - 0.5, -0.7)
            ax.spines[["left", "right", "top"]].set_visible(False)
            ax.set_title(title, fontsize=11)
            return _svg(figure)
        finally:
            pyplot.close(figure)


def _ends(cell: Cell) -> tuple[float, float]:
    """Of the interval, of the deviation to both sides, or the value itself."""
    if cell.deviation is not None:
        return cell.value - cell.deviation, cell.value + cell.deviation
    return (cell.value, cell.value) if cell.low is None or cell.high is None else (cell.low, cell.high)


def _svg(figure: Any) -> str:
    image = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")  # a name in letters the font has not
        figure.savefig(image, format="svg")
    return image.getvalue()[image.getvalue().index("<svg") :]
