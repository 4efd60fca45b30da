"""One file listened to: what can be laid into films, cut and measured, and the samples that are to be embedded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from echoframe.errors import AudioError, EchoFrameError, InputError
from echoframe.library.cutting import FRAME_S, Span, cut
from echoframe.library.entries import Piece
from echoframe.library.loops import loop_points
from echoframe.library.recording import MISSING_S, NoSoundError, Recording, level_db, open_recording, peak_db
from echoframe.media.loudness import integrated_loudness
from echoframe.media.onsets import onsets
from echoframe.windows import SILENT_PEAK

FIRST_S = 3600.0  # of a longer file, only this much is cut
SHORTEST_S = 0.05
_KEPT_S = 60.0  # a sound up to this long is decoded once, a longer one twice


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Heard:
    """What a file holds. reason: one of `entries.REASONS` if it has no pieces, else "". detail: one line.

    waveforms: the mono sound of each piece, (S,) float32 at `sample_rate`.
    """

    sample_rate: int = 0
    channels: int = 0
    duration_s: float = 0.0
    reason: str = ""
    detail: str = ""
    pieces: tuple[Piece, ...] = ()
    waveforms: tuple[Float[np.ndarray, " samples"], ...] = ()


def listen(path: Path, *, lies: str = "") -> Heard:
    """Listens to a file; whatever is wrong with it is in the result. lies: what is wrong with its header, if anything."""
    try:
        recording = open_recording(path)
        if lies:
            raise AudioError(f"{path}: {lies}")
        return _listen(recording)
    except NoSoundError as error:
        return Heard(reason="no-sound", detail=_without(path, error))
    except InputError as error:
        return Heard(reason="unreadable", detail=_without(path, error))
    except (EchoFrameError, MemoryError, OverflowError) as error:
        return Heard(reason="broken", detail=_without(path, error))


def _without(path: Path, error: BaseException) -> str:
    return " ".join(str(error).split()).removeprefix(f"{path}: ") or type(error).__name__


@dataclass(kw_only=True, slots=True)
class _Scanned:
    """A recording gone through once: its frames, its level, and all of it if it is short."""

    n: int = 0
    peak: float = 0.0
    is_cut: bool = False
    powers: list[np.ndarray] = field(default_factory=list)
    kept: list[np.ndarray] | None = field(default_factory=list)


def _scan(recording: Recording, hop: int) -> _Scanned:
    found, rate = _Scanned(), recording.sample_rate
    most = round(FIRST_S * rate)
    for block in recording.blocks(recording.block_frames(hop)):
        found.is_cut = found.n + len(block) > most
        block = block[: most - found.n]
        if len(block):
            found.n += len(block)
            found.peak = max(found.peak, float(np.abs(block).max()))
            found.powers.append(_powers(block, hop))
            found.kept = [*found.kept, block] if found.kept is not None and found.n <= _KEPT_S * rate else None
        if found.is_cut:
            break
    return found


def _listen(recording: Recording) -> Heard:
    rate, hop = recording.sample_rate, max(round(FRAME_S * recording.sample_rate), 1)
    scanned = _scan(recording, hop)
    there_s, promised_s = scanned.n / rate, recording.promised_s
    facts = {
        "sample_rate": rate,
        "channels": recording.channels,
        "duration_s": max(promised_s, there_s) if scanned.is_cut else there_s,
    }
    if not scanned.is_cut and promised_s - there_s > MISSING_S:
        detail = f"its header promises {promised_s:.1f} s, {there_s:.1f} s are there; copy it again"
        return Heard(reason="broken", detail=detail, **facts)
    if there_s < SHORTEST_S:
        return Heard(reason="too-short", detail=f"{there_s:.3f} s; expected {SHORTEST_S} s or more", **facts)
    spans = cut(level_db(np.concatenate(scanned.powers))) if scanned.peak >= SILENT_PEAK else []
    if not spans:
        detail = f"its peak is {peak_db(scanned.peak):.0f} dBFS, which nobody hears"
        return Heard(reason="silent", detail=detail, **facts)
    again = recording.blocks(recording.block_frames(hop)) if scanned.kept is None else scanned.kept
    measured = [_measured(span, part, rate, hop) for span, part in zip(spans, _parts(spans, again, hop), strict=True)]
    pieces, waveforms = zip(*measured, strict=True)
    detail = f"only its first {FIRST_S / 60:.0f} minutes are cut" if scanned.is_cut else ""
    return Heard(detail=detail, pieces=pieces, waveforms=waveforms, **facts)


def _powers(block: np.ndarray, hop: int) -> np.ndarray:
    """The mean square of each `hop` frames, over all channels; the last ones may be fewer."""
    squares = np.square(block, dtype=np.float64).mean(axis=1)
    starts = np.arange(0, len(squares), hop)
    return np.add.reduceat(squares, starts) / np.minimum(hop, len(squares) - starts)


def _parts(spans: Iterable[Span], blocks: Iterable[np.ndarray], hop: int) -> Iterator[np.ndarray]:
    """The samples of spans that follow each other by their starts, (n, C) each; blocks are let go when they are past."""
    held, first, rest = np.zeros((0, 1), dtype=np.float32), 0, iter(blocks)
    for span in spans:
        start, stop = span.start * hop, span.stop * hop
        gathered = [held]
        while first + sum(map(len, gathered)) < stop:
            block = next(rest, None)
            if block is None:
                break
            ends = first + sum(map(len, gathered))
            if ends <= start:  # nothing of what is held is asked for again
                gathered, first = [], ends
            gathered.append(block)
        held = np.concatenate([part for part in gathered if len(part)] or [held[:0]])
        held, first = held[max(start - first, 0) :], max(start, first)
        yield held[: stop - start]


def _measured(span: Span, samples: np.ndarray, rate: int, hop: int) -> tuple[Piece, np.ndarray]:
    mono = samples.mean(axis=1, dtype=np.float32)
    offset_s = span.start * hop / rate
    loop = loop_points(mono, rate) if span.kind == "ambience" else None
    peak = float(np.abs(samples).max())
    piece = Piece(
        start_s=offset_s,
        stop_s=offset_s + len(mono) / rate,
        kind=span.kind,
        loudness_lufs=integrated_loudness(torch.from_numpy(mono)[None], rate),
        peak_db=peak_db(peak),
        onsets_s=tuple(round(offset_s + time_s, 3) for time_s in onsets(mono, rate).tolist()),
        loop_s=None if loop is None else (offset_s + loop[0] / rate, offset_s + loop[1] / rate),
    )
    return piece, mono
