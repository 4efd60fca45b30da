"""One file listened to: what can be laid into films, cut and measured, and the samples that are to be embedded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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


def _listen(recording: Recording) -> Heard:
    rate, hop = recording.sample_rate, max(round(FRAME_S * recording.sample_rate), 1)
    n_frames = recording.block_frames(hop)
    powers: list[np.ndarray] = []
    kept: list[np.ndarray] | None = []
    n, peak, is_cut = 0, 0.0, False
    for block in recording.blocks(n_frames):
        left = round(FIRST_S * rate) - n
        if left <= 0:
            is_cut = True
            break
        block = block[:left]
        n += len(block)
        peak = max(peak, float(np.abs(block).max()))
        powers.append(_powers(block, hop))
        kept = [*kept, block] if kept is not None and n <= _KEPT_S * rate else None
    facts = {"sample_rate": rate, "channels": recording.channels, "duration_s": n / rate}
    if is_cut:
        facts["duration_s"] = max(recording.promised_s, n / rate)
    missing_s = 0.0 if is_cut else recording.promised_s - n / rate
    if missing_s > MISSING_S:
        detail = f"its header promises {recording.promised_s:.1f} s, {n / rate:.1f} s are there; copy it again"
        return Heard(reason="broken", detail=detail, **facts)
    if n < SHORTEST_S * rate:
        return Heard(reason="too-short", detail=f"{n / rate:.3f} s; expected {SHORTEST_S} s or more", **facts)
    spans = cut(level_db(np.concatenate(powers))) if peak >= SILENT_PEAK else []
    if not spans:
        return Heard(reason="silent", detail=f"its peak is {peak_db(peak):.0f} dBFS, which nobody hears", **facts)
    parts = _parts(spans, kept if kept is not None else recording.blocks(n_frames), hop)
    measured = [_measured(span, part, rate, hop) for span, part in zip(spans, parts, strict=True)]
    detail = f"only its first {FIRST_S / 60:.0f} minutes are cut" if is_cut else ""
    return Heard(
        detail=detail, pieces=tuple(piece for piece, _ in measured), waveforms=tuple(w for _, w in measured), **facts
    )


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
