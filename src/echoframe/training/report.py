"""A comparison written down: Markdown, JSON and a picture."""

import json
from dataclasses import asdict
from pathlib import Path

from echoframe.output import atomic_files, make_folder
from echoframe.training.compare import Comparison, Row
from echoframe.training.picture import draw

COLUMNS = {
    "mse": "MSE x 1000",
    "cosine": "cosine",
    "recall_1": "R@1",
    "recall_5": "R@5",
    "recall_10": "R@10",
    "median_rank": "median rank",
    "energy": "energy distance",
    "length": "length before normalisation",
}
N_LABELS = 8  # best and worst, in the Markdown; all stand in the JSON


def write_report(found: Comparison, out: Path) -> list[Path]:
    """Writes compare.md, compare.json and compare.png into `out`, all or none; returns their paths."""
    make_folder(out)
    paths = [out / f"compare.{suffix}" for suffix in ("md", "json", "png")]
    with atomic_files(paths) as (text, values, picture):
        text.write_text(markdown(found), encoding="utf-8")
        values.write_text(json.dumps(asdict(found), indent=1, default=str) + "\n", encoding="utf-8")
        draw(found, picture)
    return paths


def markdown(found: Comparison) -> str:
    """The table, and the labels that the best mapper does best and worst."""
    has_energy = any("energy" in row.figures for row in (*found.mappers, *found.bounds))
    columns = {key: name for key, name in COLUMNS.items() if key != "energy" or has_energy}
    heads = ["mapper", "seeds", *columns.values(), "parameters", "training, s", "one clip, ms"]
    lines = [
        f"{found.n_clips} clips of {found.n_labels} labels, split {found.split}; {found.spaces[0]} to {found.spaces[1]}; on "
        f"{found.device}. Retrieval is among all of them: guessing is R@1 {1 / found.n_clips:.4f}. After +-: over seeds.",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(_line(row, list(columns)) for row in found.mappers),
        *(_line(row, list(columns)) for row in found.bounds),
        "",
        *([f"Not finished, and left out: {', '.join(found.unfinished)}.", ""] if found.unfinished else []),
        *_labels(found),
    ]
    return "\n".join(lines)


def _line(row: Row, columns: list[str]) -> str:
    cells = [row.name, str(len(row.figures["cosine"])) if row.parameters else "bound"]
    cells += [_cell(row, name) for name in columns]
    cells.append(f"{row.parameters / 1e6:.2f} M" if row.parameters else "")
    cells.append(f"{row.train_s:.0f}" if row.train_s is not None else "")
    cells.append(f"{row.clip_ms:.1f}" if row.clip_ms is not None else "")
    return f"| {' | '.join(cells)} |"


def _cell(row: Row, name: str) -> str:
    if name not in row.figures:
        return ""
    scale, digits = (1000, 3) if name == "mse" else (1, 1 if name == "median_rank" else 3)
    deviation = row.deviation(name)
    more = f" +- {scale * deviation:.{digits}f}" if deviation is not None else ""
    return f"{scale * row.mean(name):.{digits}f}{more}"


def _labels(found: Comparison) -> list[str]:
    best = found.mappers[0]
    ordered = sorted(best.labels.items(), key=lambda pair: -pair[1]["cosine"])
    if not ordered:
        return []
    shown = ordered if len(ordered) <= 2 * N_LABELS else [*ordered[:N_LABELS], *ordered[-N_LABELS:]]
    return [
        f"Labels of {best.name}, the best and the worst by cosine:",
        "",
        "| label | clips | cosine | R@10 |",
        "|---|---|---|---|",
        *(f"| {label} | {one['n']} | {one['cosine']:.3f} | {one['recall_10']:.3f} |" for label, one in shown),
        "",
    ]
