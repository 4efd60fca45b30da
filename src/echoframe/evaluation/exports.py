"""The table for a paper and for a program: LaTeX, and CSV with one line for each number."""

import csv
import io

from echoframe.evaluation.table import Column, Line, Table, counts, is_marked, rounded

HEADS = ("row", "kind", "figure", "title", "value", "low", "high", "deviation", "excludes_0", "n", "n_sounds")
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "": ""}


def latex(table: Table) -> str:
    r"""A tabular in the style of booktabs, to be read with \input: a rule stands between rows of different kinds.

    >>> from echoframe.evaluation.table import Cell
    >>> fad = Column(key="fad", title="FAD", better="lower", digits=2)
    >>> print(latex(Table(title="T", columns=[fad], lines=[Line(name="a_b", cells={"fad": Cell(value=1, n=3)})])), end="")
    % T
    % needs \usepackage{booktabs}
    \begin{tabular}{lrr}
    \toprule
    & FAD $\downarrow$ & n \\
    \midrule
    a\_b & 1.00 & 3 \\
    \bottomrule
    \end{tabular}
    """
    heads = ["", *(f"{_escaped(column.title)}{_ARROWS[column.better]}" for column in table.columns), "n"]
    lines = [
        *(f"% {' '.join(words.split())}" for words in (table.title, *table.all_notes)),
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) + 1)}}}",
        r"\toprule",
        _row(heads),
    ]
    before = ""
    for line in table.lines:
        if line.kind != before:
            lines.append(r"\midrule")
        before = line.kind
        cells = [_number(line, column) for column in table.columns]
        lines.append(_row([_escaped(line.name), *cells, _escaped(counts(line))]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _row(cells: list[str]) -> str:
    return rf"{' & '.join(cells).strip()} \\"


def _number(line: Line, column: Column) -> str:
    cell = line.cells.get(column.key)
    if cell is None:
        return ""
    value, *ends = (_signed(x, column) for x in (cell.value, cell.low, cell.high) if x is not None)
    if cell.deviation is not None:
        return rf"{value} $\pm$ {_signed(cell.deviation, column)}"
    mark = "$^{*}$" if is_marked(line.kind, cell) else ""
    return f"{value}{mark} [{', '.join(ends)}]" if ends else value


def _signed(value: float, column: Column) -> str:
    return rounded(value, column.digits).replace("-", "$-$")


def _escaped(words: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in " ".join(words.split()))


def as_csv(table: Table) -> str:
    """A line for each number, with all its digits: what it is of, its interval or deviation, and the counts behind it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADS)
    for line in table.lines:
        for column in table.columns:
            cell = line.cells.get(column.key)
            if cell is None:
                continue
            of = [line.name, line.kind, column.key, column.title]
            excludes_0 = {True: "yes", False: "no"}[cell.excludes_0] if line.kind == "difference" else ""
            numbers = [cell.value, cell.low, cell.high, cell.deviation, excludes_0, cell.n, line.n_sounds or cell.n]
            writer.writerow([*of, *numbers])
    return text.getvalue()
