"""What there is of a set of clips, and what is lost and why: figures, a table, a picture."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from echoframe.data.clip_list import SPLITS, ClipRow
from echoframe.data.ledger import Entry
from echoframe.data.units import size_words, time_words
from echoframe.data.verify import SILENT_DB
from echoframe.optional import require_extra
from echoframe.output import atomic_files

SHOWN = 10  # labels at each end of the table, bars of a chart
NO_SPLIT, NO_LABEL = "no split", "no label"
QUANTILES = {"min": 0.0, "1%": 0.01, "10%": 0.1, "50%": 0.5, "90%": 0.9, "99%": 0.99, "max": 1.0}
_BLUE, _RED, _GREEN, _VIOLET = "#4878a8", "#b5605a", "#6a9a5b", "#8a7bb0"
_DPI = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Clips that are listed, those of them that are here, and those that are lost; what remains is wanted."""

    n_listed: int
    n_done: int
    n_lost: int = 0

    @property
    def n_wanted(self) -> int:
        """Clips not tried yet."""
        return self.n_listed - self.n_done - self.n_lost

    @property
    def share(self) -> float:
        """Here, of those listed, 0 to 1."""
        return self.n_done / self.n_listed if self.n_listed else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Counts of the clips that are listed. n_unlisted: clips that are here and on no list; they count nowhere else.

    lost: clips by reason. Of the clips that are here: durations by seconds to a tenth ("10.0"), of the longer stream;
    duration_s: QUANTILES of it, {} without clips; resolutions by "WIDTHxHEIGHT", frame_rates by 1/s, sample_rates by
    Hz; n_films: YouTube ids; n_silent: with sound that is silent; n_still: of one picture; hours, bytes: together.
    """

    whole: Coverage
    n_unlisted: int
    splits: Mapping[str, Coverage]
    labels: Mapping[str, Coverage]
    lost: Mapping[str, int]
    durations: Mapping[str, int]
    duration_s: Mapping[str, float]
    resolutions: Mapping[str, int]
    frame_rates: Mapping[str, int]
    sample_rates: Mapping[str, int]
    n_films: int
    n_silent: int
    n_black: int
    n_still: int
    hours: float
    bytes: int


def collect(entries: Iterable[Entry], official: Sequence[ClipRow] = ()) -> Stats:
    """The figures of a ledger's lines. official: the clips that count as listed; without it, all that the ledger knows.

    A label or split that `official` does not say is the ledger's.
    """
    known = {entry.row.key: entry for entry in entries}
    listed = {row.key: _filled(row, known.get(row.key)) for row in official}
    listed = listed or {key: entry.row for key, entry in known.items()}
    state = {key: known[key].state if key in known else "wanted" for key in listed}
    done = [known[key] for key in listed if state[key] == "done"]
    facts = [entry.facts for entry in done]
    lengths = [max(one.get("video_s") or 0.0, one.get("audio_s") or 0.0) for one in facts]
    measured = [length for length in lengths if length > 0]
    return Stats(
        whole=_covered(dict.fromkeys(listed, ""), state).get("", Coverage(n_listed=0, n_done=0)),
        n_unlisted=sum(entry.state == "done" and key not in listed for key, entry in known.items()),
        splits=_covered({key: row.split or NO_SPLIT for key, row in listed.items()}, state),
        labels=_covered({key: row.label or NO_LABEL for key, row in listed.items()}, state),
        lost=_counted(known[key].reason for key in listed if state[key] == "lost"),
        durations=_counted(f"{length:.1f}" for length in measured),
        duration_s={name: float(np.quantile(measured, q)) for name, q in QUANTILES.items()} if measured else {},
        resolutions=_counted(f"{one['width']}x{one['height']}" for one in facts if one.get("width")),
        frame_rates=_counted(f"{round(one['frame_rate'], 2):g}" for one in facts if one.get("frame_rate")),
        sample_rates=_counted(str(one["sample_rate"]) for one in facts if one.get("sample_rate")),
        n_films=len({entry.row.film for entry in done}),
        n_silent=sum(_silent(one) for one in facts),
        n_black=sum(bool(one.get("black")) for one in facts),
        n_still=sum(bool(one.get("still")) for one in facts),
        hours=sum(lengths) / 3600,
        bytes=sum(one.get("size", 0) for one in facts),
    )


def _filled(row: ClipRow, entry: Entry | None) -> ClipRow:
    if entry is None:
        return row
    return replace(row, label=row.label or entry.row.label, split=row.split or entry.row.split)


def _silent(facts: Mapping[str, Any]) -> bool:
    peak_db = facts.get("peak_db")
    return bool(facts.get("sample_rate")) and (peak_db is None or peak_db < SILENT_DB)


def _counted(values: Iterable[str]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _covered(group_of: Mapping[str, str], state: Mapping[str, str]) -> dict[str, Coverage]:
    counts = Counter((group, state[key]) for key, group in group_of.items())
    listed = Counter(group_of.values())
    return {
        group: Coverage(n_listed=n, n_done=counts[group, "done"], n_lost=counts[group, "lost"])
        for group, n in sorted(listed.items())
    }


def to_json(stats: Stats) -> dict[str, Any]:
    """All figures as plain values."""
    return asdict(stats)


def table(stats: Stats) -> str:
    """The figures that matter first, as Markdown."""
    whole = stats.whole
    lines = [
        f"{whole.n_done:,} of {whole.n_listed:,} clips are here ({whole.share:.1%}), {whole.n_lost:,} are lost, "
        f"{whole.n_wanted:,} not tried yet; {stats.n_films:,} videos, {time_words(3600 * stats.hours)}, "
        f"{size_words(stats.bytes)}; "
        f"{stats.n_silent} silent, {stats.n_black} black, {stats.n_still} with one unchanging picture",
        *([f"{stats.n_unlisted:,} clips more are here and not on the list"] if stats.n_unlisted else []),
        *([_length_line(stats.duration_s)] if stats.duration_s else []),
        *_rows("split", {name: stats.splits[name] for name in (*SPLITS, NO_SPLIT) if name in stats.splits}),
    ]
    if stats.lost:
        lines += ["", "| lost | clips |", "|---|---:|", *(f"| {why} | {n:,} |" for why, n in stats.lost.items())]
    ranked = sorted(stats.labels.items(), key=lambda item: (item[1].share, item[0]))
    if len(ranked) > 2 * SHOWN:
        lines += _rows(f"label, the {SHOWN} least covered", dict(ranked[:SHOWN]))
        lines += _rows(f"label, the {SHOWN} best covered", dict(ranked[: -SHOWN - 1 : -1]))
    else:
        lines += _rows("label", dict(ranked))
    return "\n".join(lines)


def _length_line(quantiles: Mapping[str, float]) -> str:
    low, middle, high = (f"{quantiles[name]:.2f}" for name in ("1%", "50%", "99%"))
    return f"lengths: {low} s (1 of 100 is shorter), {middle} s in the middle, {high} s (1 of 100 is longer)"


def _rows(title: str, groups: Mapping[str, Coverage]) -> list[str]:
    if not groups:
        return []
    rows = [
        f"| {name} | {c.n_listed:,} | {c.n_done:,} | {c.n_lost:,} | {c.n_wanted:,} | {c.share:.1%} |"
        for name, c in groups.items()
    ]
    return ["", f"| {title} | listed | here | lost | not tried | share |", "|---|---:|---:|---:|---:|---:|", *rows]


def draw(stats: Stats, path: Path) -> None:
    """Writes the figures as a PNG: coverage of every label, why clips are missing, lengths, resolutions."""
    require_extra("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    FigureCanvasAgg(figure)  # no window, and no state that others share
    axes = figure.subplot_mosaic([["labels"] * 3, ["missing", "lengths", "resolutions"]])
    whole, long = stats.whole, time_words(3600 * stats.hours)
    figure.suptitle(f"{whole.n_done:,} of {whole.n_listed:,} clips are here ({whole.share:.1%}), {long}")
    _draw_labels(axes["labels"], stats.labels)
    not_tried = {"not tried yet": whole.n_wanted} if whole.n_wanted else {}
    _draw_bars(axes["missing"], dict(stats.lost) | not_tried, "why clips are missing", color=_RED)
    _draw_lengths(axes["lengths"], stats.durations)
    _draw_bars(axes["resolutions"], stats.resolutions, "pixels, width x height", color=_VIOLET)
    for one in axes.values():
        one.spines[["top", "right"]].set_visible(False)
    with atomic_files([path]) as (partial,):
        figure.savefig(partial, format="png", dpi=_DPI)


def _draw_labels(axes: Any, labels: Mapping[str, Coverage]) -> None:
    ranked = sorted(labels.items(), key=lambda item: (-item[1].share, item[0]))
    axes.set(title=f"labels ({len(ranked)}), the best covered first", ylabel="% of its clips", ylim=(0, 100))
    if not ranked:
        _draw_nothing(axes)
        return
    here = np.array([100 * c.share for _, c in ranked])
    lost = np.array([100 * c.n_lost / c.n_listed for _, c in ranked])
    ranks = np.arange(1, len(ranked) + 1)
    axes.bar(ranks, 100 - here - lost, width=1.0, bottom=here + lost, color="#dddddd", label="not tried yet")
    axes.bar(ranks, lost, width=1.0, bottom=here, color=_RED, alpha=0.45, label="lost")
    axes.bar(ranks, here, width=1.0, color=_BLUE, label="here")
    axes.set(xlim=(0.5, len(ranked) + 0.5), xlabel="rank of the label")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.legend(loc="upper right", framealpha=0.9)
    worst = "\n".join(f"{c.share:4.0%}  {name}" for name, c in ranked[: -SHOWN // 2 - 1 : -1])
    text = f"half of the labels: {np.median(here):.0f} % or more\nleast covered:\n{worst}"
    box = {"facecolor": "white", "alpha": 0.9, "edgecolor": "none"}
    axes.text(0.01, 0.05, text, transform=axes.transAxes, va="bottom", parse_math=False, fontsize=9, bbox=box)


def _draw_lengths(axes: Any, durations: Mapping[str, int]) -> None:
    """Half a second to a bar, on a logarithmic scale: nearly all clips last ten seconds, the others are the news."""
    axes.set(title="length of a clip", xlabel="seconds", ylabel="clips")
    if not durations:
        _draw_nothing(axes)
        return
    lengths, counts = zip(*((float(length), n) for length, n in durations.items()), strict=True)
    # so that 10.0 lies in the middle of its bar; what is much longer than that counts in the last one
    edges = np.arange(-0.25, min(max(lengths), 60.0) + 0.75, 0.5)
    heights, _ = np.histogram(np.minimum(lengths, edges[-1] - 0.01), bins=edges, weights=counts)
    axes.bar((edges[:-1] + edges[1:]) / 2, heights, width=0.45, color=_GREEN)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.5)


def _draw_bars(axes: Any, counts: Mapping[str, int], title: str, *, color: str) -> None:
    """The most frequent, in the order given, the others as one."""
    axes.set(title=title, xlabel="clips")
    if not counts:
        _draw_nothing(axes)
        return
    kept = set(sorted(counts, key=lambda name: -counts[name])[:SHOWN])
    shown = {name: n for name, n in counts.items() if name in kept}
    if len(counts) > len(kept):
        shown[f"{len(counts) - len(kept)} others"] = sum(n for name, n in counts.items() if name not in kept)
    bars = axes.barh(range(len(shown)), list(shown.values()), color=color)
    axes.bar_label(bars, labels=[f"{n:,}" for n in shown.values()], padding=3)
    axes.set_yticks(range(len(shown)), list(shown))
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.locator_params(axis="x", nbins=5, integer=True)


def _draw_nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color="gray")
    axes.set(xticks=[], yticks=[])
