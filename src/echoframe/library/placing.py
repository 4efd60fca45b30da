"""Which recordings answer a target, and where they lie: an ambience that goes on, events at the picture's onsets.

Where nothing is seen to be struck, events come as they do in their recordings, one recording after the other. Nothing is
heard twice in a row if there is something else, and what comes again is a little higher or lower, louder or softer.

*Conventions*: times are seconds; those of what is placed count from the passage's beginning.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from echoframe.generators.events import gain_db
from echoframe.library.entries import Found, Piece
from echoframe.sound.placed import AMBIENCE, EVENTS, Placed
from echoframe.timing.cues import Onset

# scores, by how well pieces meet the target: what fits so much worse than the best still counts as the same sound
ALIKE, MOST = 0.08, 8
STEADIER = 0.03  # how much nearer an ambience is, or how little further, so that it is meant and events are not
STRUCK = 0.05  # the same where something is struck: there, events are tried harder
UNDER, UNDER_DB = 0.1, -10.0  # an ambience goes with events if it is so near; how much softer it is
LEVEL_LUFS, LEVEL_DBFS = -23.0, -9.0  # what each piece is brought to: its loudness, or the peak of what is too short
MOST_GAIN_DB = 30.0
BEFORE_S = 0.01  # of a recording, before its onset
APART_S = 0.15  # onsets that are nearer to each other are one stroke
STRETCH_GAP_S = 2.0  # events of one recording that are nearer than this are laid as they lie in it
PAUSE_S = (0.2, 1.0)
LONG_S, REST_S = 1.5, 0.5  # for so long nothing is struck, the pauses before and after not counted
EVENT_FADE_S, CUT_FADE_S, JOIN_S = (0.003, 0.02), 0.08, 1.0
HIGHER, LOUDER_DB = 0.5, 1.5  # semitones and decibels by which a take differs at most


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording that is laid as it is. onset_s: how long after its beginning it is heard to begin."""

    found: Found
    in_s: float
    out_s: float
    onset_s: float = 0.0

    @property
    def lasts_s(self) -> float:
        return self.out_s - self.in_s

    @property
    def place(self) -> tuple[Path, float]:
        return self.found.path, self.in_s

    def placed(
        self, layer: str, at_s: float, *, gain_db: float = 0.0, fades_s: tuple[float, float], speed: float = 1.0
    ) -> Placed:
        return Placed(
            layer=layer,
            file=str(self.found.path),
            in_s=self.in_s,
            out_s=self.out_s,
            at_s=at_s,
            gain_db=level_gain_db(self.found.piece) + gain_db,
            fade_in_s=min(fades_s[0], self.lasts_s / 2),
            fade_out_s=min(fades_s[1], self.lasts_s / 2),
            speed=speed,
        )

    def cut(self, lasts_s: float) -> "Stretch":
        """Its beginning, no longer than `lasts_s`."""
        return Stretch(self.found, self.in_s, min(self.out_s, self.in_s + lasts_s), self.onset_s)


def level_gain_db(piece: Piece) -> float:
    """What brings a piece to the common level, by its loudness or, where it is too short or soft for one, by its peak."""
    loud = LEVEL_LUFS - piece.loudness_lufs if math.isfinite(piece.loudness_lufs) else LEVEL_DBFS - piece.peak_db
    return float(np.clip(loud, -MOST_GAIN_DB, MOST_GAIN_DB))


def placed(
    events: Sequence[Found],
    ambiences: Sequence[Found],
    struck: Sequence[Onset],
    *,
    duration_s: float,
    random: np.random.Generator,
) -> list[Placed]:
    """What answers a target: the pieces nearest to it, of both kinds, the nearest first. struck: onsets to be heeded."""
    nearest_event = events[0].score if events else -math.inf
    nearest_ambience = ambiences[0].score if ambiences else -math.inf
    if not events or nearest_ambience >= nearest_event + (STRUCK if struck else -STEADIER):
        return bed(alike(ambiences), duration_s=duration_s, random=random)
    if not struck:
        return as_recorded(alike(events), duration_s=duration_s, random=random)
    found = on_onsets(alike(events), struck, duration_s=duration_s, random=random)
    if nearest_ambience >= nearest_event - UNDER:
        found += bed(alike(ambiences), duration_s=duration_s, random=random, gain_db=UNDER_DB)
    return found


def alike(found: Sequence[Found]) -> list[Found]:
    """Those that are about as near as the nearest."""
    return [each for each in found if each.score >= found[0].score - ALIKE][:MOST]


def bed(
    ambiences: Sequence[Found], *, duration_s: float, random: np.random.Generator, gain_db: float = 0.0
) -> list[Placed]:
    """Ambiences one after the other, each fading into the next, from the beginning to the end."""
    laid: list[Placed] = []
    at_s = 0.0
    for found in _in_turn(ambiences, random):
        missing_s = duration_s - at_s
        piece = found.piece
        again = len(ambiences) == 1 and laid and piece.loop_s is not None
        start_s, stop_s = piece.loop_s if again and piece.loop_s else (piece.start_s, piece.stop_s)
        spare_s = max(stop_s - start_s - missing_s, 0.0)
        in_s = start_s + float(random.uniform(0, spare_s))
        stretch = Stretch(found, in_s, min(in_s + missing_s, stop_s))
        before_s = laid[-1].fade_out_s if laid else EVENT_FADE_S[0]
        is_last = stretch.lasts_s >= missing_s - 1e-3
        join_s = EVENT_FADE_S[1] if is_last else min(JOIN_S, stretch.lasts_s / 4)
        laid.append(stretch.placed(AMBIENCE, at_s, gain_db=gain_db, fades_s=(before_s, join_s)))
        if is_last:
            break
        at_s = laid[-1].end_s - join_s
    return laid


def as_recorded(events: Sequence[Found], *, duration_s: float, random: np.random.Generator) -> list[Placed]:
    """Events as they come in their recordings, with pauses between one recording and the next."""
    laid: list[Placed] = []
    at_s = 0.0
    heard = set[tuple[Path, float]]()
    for stretch in _in_turn(stretches(events), random):
        room_s = duration_s - at_s
        if room_s < 2 * EVENT_FADE_S[1]:
            break
        gain, speed = _varied(random) if stretch.place in heard else (0.0, 1.0)
        is_cut = stretch.lasts_s / speed > room_s
        fades_s = (EVENT_FADE_S[0], CUT_FADE_S if is_cut else EVENT_FADE_S[1])
        laid.append(stretch.cut(room_s * speed).placed(EVENTS, at_s, gain_db=gain, fades_s=fades_s, speed=speed))
        heard.add(stretch.place)
        at_s = laid[-1].end_s + float(random.uniform(*PAUSE_S))
    return laid


def on_onsets(
    events: Sequence[Found], struck: Sequence[Onset], *, duration_s: float, random: np.random.Generator
) -> list[Placed]:
    """A stroke at each onset, louder where more is seen to change. It rings on unless another one begins in its recording.

    Where nothing is struck for long, events come as they do in their recordings: not all that is heard is seen.
    """
    takes = _in_turn([stroke for found in events for stroke in strokes(found)], random)
    laid, silent_s = list[Placed](), 0.0
    for now in struck:
        laid += _meanwhile(events, silent_s, now.time_s, random)
        gain, speed = _varied(random)
        stroke = next(takes)
        at_s = now.time_s - stroke.onset_s / speed
        if at_s < 0:  # what of it lies before the beginning
            stroke, at_s = Stretch(stroke.found, stroke.in_s - at_s * speed, stroke.out_s), 0.0
        gain += gain_db(now.strength)
        laid.append(stroke.placed(EVENTS, at_s, gain_db=gain, fades_s=EVENT_FADE_S, speed=speed))
        silent_s = laid[-1].end_s
    return laid + _meanwhile(events, silent_s, duration_s, random)


def _meanwhile(events: Sequence[Found], start_s: float, stop_s: float, random: np.random.Generator) -> list[Placed]:
    room_s = stop_s - start_s - 2 * REST_S
    if room_s < LONG_S:
        return []
    return [
        replace(each, at_s=each.at_s + start_s + REST_S)
        for each in as_recorded(events, duration_s=room_s, random=random)
    ]


def strokes(found: Found) -> list[Stretch]:
    """The parts of a piece that begin to be heard at one of its onsets, each up to the next one."""
    piece = found.piece
    begins: list[float] = []
    for onset_s in piece.onsets_s or (piece.start_s,):
        if not begins or onset_s - begins[-1] >= APART_S:
            begins.append(onset_s)
    starts = [max(begin - BEFORE_S, piece.start_s) for begin in begins]
    return [
        Stretch(found, start, stop, begin - start)
        for start, stop, begin in zip(starts, [*starts[1:], piece.stop_s], begins, strict=True)
    ]


def stretches(events: Sequence[Found]) -> list[Stretch]:
    """Events of one recording that are near to each other are one stretch, with what is between them."""
    found: list[Stretch] = []
    for each in sorted(events, key=lambda each: (str(each.path), each.piece.start_s)):
        last = found[-1] if found else None
        if last and last.found.path == each.path and each.piece.start_s - last.out_s <= STRETCH_GAP_S:
            found[-1] = Stretch(last.found, last.in_s, max(each.piece.stop_s, last.out_s))
        else:
            found.append(Stretch(each, each.piece.start_s, each.piece.stop_s))
    return found


Item = TypeVar("Item")


def _in_turn(items: Sequence[Item], random: np.random.Generator) -> Iterator[Item]:
    """All of them in random order, again and again; none twice in a row if there are two."""
    last = -1
    while items:
        order = random.permutation(len(items)).tolist()
        if order[0] == last:
            order.append(order.pop(0))
        last = order[-1]
        yield from (items[n] for n in order)


def _varied(random: np.random.Generator) -> tuple[float, float]:
    """A small difference in gain, in dB, and in speed."""
    return float(random.uniform(-LOUDER_DB, LOUDER_DB)), float(2 ** (random.uniform(-HIGHER, HIGHER) / 12))
