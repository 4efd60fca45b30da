"""Where a recording is cut: events that stand out, and ambiences that go on. Works on its level alone, in float64.

*Conventions*: a level is the mean square of 10 ms, (T,), in dB of full scale; places are counted in those frames.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from echoframe.library.entries import Kind
from echoframe.library.recording import level_db

FRAME_S = 0.01
RANGE_DB = 60.0  # under the loudest frame: what lies lower is silence, so an event keeps its tail
SILENT_DB = -75.0  # a mean square that nobody hears
GAP_S = 0.3  # of silence, between two events
SMOOTH_S = 0.2
STEADY_DB = 15.0  # an ambience's loudest moment above its quiet ones
ABOVE_DB = 10.0  # an event's rise above what goes on around it
ENDED_DB = 2.0  # above what goes on around it, an event has died away
QUIET = 10  # percent of the time: the quiet moments
AMBIENCE_S = 4.0  # the shortest that is an ambience
WINDOW_S = 10.0  # the longest piece
BEFORE_S, LEAST_S = 0.01, 0.06  # of an event: before its first loud frame, and in all
MOST_EVENTS, MOST_AMBIENCES = 48, 24  # of one file


class Span(NamedTuple):
    """Frames start to stop, and what they are."""

    start: int
    stop: int
    kind: Kind


def cut(level: Float[np.ndarray, " frames"]) -> list[Span]:
    """The pieces of a recording, by their starts: not more than 48 events, the loudest, and 24 ambiences, spread evenly."""
    if not level.size:
        return []
    heard = level >= max(float(level.max()) - RANGE_DB, SILENT_DB)
    spans = [
        Span(start + span.start, start + span.stop, span.kind)
        for start, stop in runs(heard, gap=round(GAP_S / FRAME_S))
        for span in _in_stretch(level[start:stop])
    ]
    events = [_padded(span, len(level)) for span in spans if span.kind == "event"]
    events = sorted(events, key=lambda span: -level[span.start : span.stop].max())[:MOST_EVENTS]
    ambiences = [span for span in spans if span.kind == "ambience"]
    if len(ambiences) > MOST_AMBIENCES:
        chosen = np.linspace(0, len(ambiences) - 1, MOST_AMBIENCES).round().astype(int)
        ambiences = [ambiences[i] for i in chosen.tolist()]
    return sorted(events + ambiences)


def runs(marked: Bool[np.ndarray, " frames"], *, gap: int) -> list[tuple[int, int]]:
    """From where to where frames are marked; fewer than `gap` frames between two runs do not part them.

    >>> runs(np.array([0, 1, 1, 0, 1, 0, 0, 0, 1], dtype=bool), gap=2)
    [(1, 5), (8, 9)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    found: list[tuple[int, int]] = []
    for start, stop in edges.reshape(-1, 2).tolist():
        if found and start - found[-1][1] < gap:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


def smoothed(level: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
    """The level of the mean square of 0.2 s around each frame."""
    width = round(SMOOTH_S / FRAME_S)
    power = np.pad(10.0 ** (level / 10), (width // 2, width - width // 2 - 1), mode="edge")
    total = np.concatenate([[0.0], np.cumsum(power)])
    return level_db(np.maximum(total[width:] - total[:-width], 0.0) / width)


def _in_stretch(level: np.ndarray) -> list[Span]:
    """The pieces of a stretch without silence."""
    n = len(level)
    if n * FRAME_S < AMBIENCE_S:
        return [Span(0, n, "event")]
    smooth = smoothed(level)
    quiet = float(np.percentile(smooth, QUIET))
    if smooth.max() - quiet < STEADY_DB:
        return _windows(0, n)
    found: list[Span] = []
    loud = runs(smooth >= quiet + ABOVE_DB, gap=round(GAP_S / FRAME_S))
    ends = [start for start, _ in loud[1:]] + [n]
    before = 0
    for (start, stop), end in zip(loud, ends, strict=True):
        found += _between(before, start)
        died = np.flatnonzero(smooth[stop:end] <= quiet + ENDED_DB)
        before = stop + int(died[0]) if died.size else end
        sharp = _begin(level, start, stop)
        found += [Span(sharp, before, "event")] if (before - sharp) * FRAME_S <= WINDOW_S else _windows(start, before)
    return found + _between(before, n)


def _begin(level: np.ndarray, start: int, stop: int) -> int:
    """Where an event begins that the smoothed level shows up to a tenth of a second too early: its first loud frame."""
    near = level[start : min(start + round(SMOOTH_S / FRAME_S), stop)]
    loud = np.flatnonzero(near >= near.max() - STEADY_DB)
    return start + int(loud[0])


def _between(start: int, stop: int) -> list[Span]:
    """What goes on before, between and after events is an ambience if it lasts."""
    return _windows(start, stop) if (stop - start) * FRAME_S >= AMBIENCE_S else []


def _windows(start: int, stop: int) -> list[Span]:
    """Equal parts of ten seconds at most."""
    n = max(-(-(stop - start) // round(WINDOW_S / FRAME_S)), 1)
    length = (stop - start) // n
    return [Span(start + i * length, start + (i + 1) * length, "ambience") for i in range(n)]


def _padded(span: Span, n: int) -> Span:
    start = max(span.start - round(BEFORE_S / FRAME_S), 0)
    return Span(start, min(max(span.stop + 1, start + round(LEAST_S / FRAME_S)), n), "event")
