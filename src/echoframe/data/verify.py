"""Whether a clip is what it should be: decoded once to its end, its streams measured, its faults named."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import av
import av.error
from av.container import InputContainer
from av.packet import Packet

from echoframe import output
from echoframe.data.ledger import Ledger
from echoframe.data.measure import Picture, Sound
from echoframe.errors import AudioError, InputError, VideoError
from echoframe.media.demux import CONTAINERS, MARKED_S, Clock, frame_rate, of_known_streams, own_sound, shown_picture
from echoframe.media.stills import check_file
from echoframe.progress import ProgressCallback

SILENT_DB = -60.0  # dBFS of the loudest sample
_MISSING_S = 0.3  # a stream that ends so much before what the file declares was cut off
_FILE_MISSING_S = 0.15  # the same for the longest stream, where no delay of a codec counts
_SOUND_MISSING_S = 0.02  # and for a sound alone: WAV and FLAC declare their samples

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipFacts:
    """What decoding a clip to its end has shown.

    sha256, size: of the file, size in bytes. video_s, audio_s: decoded length of each stream in s, None without such a
    stream. width, height: pixels as shown; frame_rate: 1/s, the average; these and n_frames are 0 without video.
    sample_rate: Hz, 0 without audio, as channels. peak_db: dBFS of the loudest sample, None if all are zero or there is
    no audio. black: every frame looked at is black; still: all look alike. video_codec, audio_codec: libav's names, ""
    without.
    """

    sha256: str
    size: int
    video_s: float | None
    audio_s: float | None
    width: int
    height: int
    frame_rate: float
    n_frames: int
    sample_rate: int
    channels: int
    peak_db: float | None
    black: bool
    still: bool
    video_codec: str
    audio_codec: str


def inspect_clip(path: Path) -> ClipFacts:
    """What the clip at `path` holds: all of the picture that players show and of the sound that they play is decoded, once.

    A song's cover picture is no video. Raises VideoError for a file that is missing, is cut off, holds neither picture
    nor sound, or whose picture breaks off; AudioError if its sound does.
    """
    try:
        check_file(path)
        sha256 = output.file_sha256(path)
    except InputError as error:
        raise VideoError(str(error)) from error
    with opened(path) as container:
        picture, sound = _streams(container, path)
        _decode(container, [found for found in (picture, sound) if found is not None], path)
        _check_length(container, picture, sound, path)
    return ClipFacts(
        sha256=sha256,
        size=path.stat().st_size,
        video_s=picture.lasts_s if picture else None,
        audio_s=sound.lasts_s if sound else None,
        width=picture.size[0] if picture else 0,
        height=picture.size[1] if picture else 0,
        frame_rate=round(frame_rate(picture.stream), 6) if picture else 0.0,
        n_frames=picture.n_frames if picture else 0,
        sample_rate=sound.rate if sound else 0,
        channels=sound.channels if sound else 0,
        peak_db=sound.peak_db if sound else None,
        black=picture.black if picture else False,
        still=picture.still if picture else False,
        video_codec=picture.codec if picture else "",
        audio_codec=sound.codec if sound else "",
    )


def problems(facts: ClipFacts, *, duration_s: float = 10.0, tolerance_s: float = 0.1) -> list[tuple[str, str]]:
    """What is wrong with a clip of those facts: (reason of `ledger.REASONS`, one line), ... in order of weight."""
    found: list[tuple[str, str]] = []
    if facts.audio_s is None:
        found.append(("no-audio", f"no sound (found: {facts.video_codec} video)"))
    if facts.video_s is None:
        found.append(("no-video", f"no picture (found: {facts.audio_codec} sound)"))
    lasts = {what: s for what, s in (("picture", facts.video_s), ("sound", facts.audio_s)) if s is not None}
    if lasts and min(lasts.values()) < duration_s - tolerance_s:
        lengths = ", ".join(f"{what} {s:.2f} s" for what, s in lasts.items())
        found.append(("too-short", f"lasts {min(lasts.values()):.2f} s ({lengths}); expected {duration_s:g} s"))
    if facts.audio_s is not None and (facts.peak_db is None or facts.peak_db < SILENT_DB):
        level = (
            "all samples are zero" if facts.peak_db is None else f"its loudest sample is at {facts.peak_db:.0f} dBFS"
        )
        found.append(("silent", f"silent: {level}; expected {SILENT_DB:g} dBFS or more"))
    if facts.black:
        found.append(("black", "every frame looked at is black"))
    return found


def verify_folder(
    folder: Path, ledger: Ledger, *, progress: ProgressCallback | None = None, n_workers: int = 1
) -> dict[str, int]:
    """Looks at every clip that the ledger of `folder` calls done, and writes into the ledger what it finds.

    Lost are clips whose file is "missing" or "broken": it does not decode to its end, or is not the one that was
    verified before. What else is wrong (`problems`) loses no clip. The caller holds the folder's lock. Returns how many
    were "checked", how many are "good", and how many have each problem; one clip may have several.
    """
    entries = list(ledger.entries(state="done"))
    looks = run_each(look, [folder / entry.file for entry in entries], n_workers=n_workers)
    counts: Counter[str] = Counter(checked=len(entries), good=0)
    for i, (entry, (path, facts)) in enumerate(zip(entries, looks, strict=True), start=1):
        key = entry.row.key
        found = _loss(path, facts, str(entry.facts.get("sha256", "")))
        if found:
            ledger.lost(key, reason=found[0][0], detail=found[0][1])
        elif not isinstance(facts, str):
            ledger.done(key, file=entry.file, facts=asdict(facts))
            found = problems(facts)
        reasons = [reason for reason, _ in found] or ["good"]
        counts.update(reasons)
        if progress is not None:
            progress(i, len(entries), f"{key}: {', '.join(reasons)}")
    return dict(counts)


def _loss(path: Path, facts: ClipFacts | str, sha256: str) -> list[tuple[str, str]]:
    if isinstance(facts, str):
        return [("broken", facts) if path.exists() else ("missing", f"{path.name} is not in its folder")]
    if sha256 in ("", facts.sha256):
        return []
    return [("broken", f"the file was changed: its sha256 was {sha256}, now it is {facts.sha256}")]


def look(path: Path) -> ClipFacts | str:
    """As `inspect_clip`, but for a broken clip one line that says how, without the path."""
    try:
        return inspect_clip(path)
    except (VideoError, AudioError) as error:
        return str(error).removeprefix(f"{path}: ")


def run_each(work: Callable[[Job], Result], jobs: Iterable[Job], *, n_workers: int = 1) -> Iterator[tuple[Job, Result]]:
    """Each job with what `work` gives for it, in the order of the jobs, made by `n_workers` processes.

    Raises InputError for less than one worker, VideoError if a worker is killed.
    """
    if n_workers < 1:
        raise InputError(f"workers {n_workers}; expected 1 or more processes")
    if n_workers == 1:
        yield from ((job, work(job)) for job in jobs)
        return
    pool = ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"))
    waiting: deque[tuple[Job, Future[Result]]] = deque()
    try:
        for job in jobs:
            waiting.append((job, pool.submit(work, job)))
            if len(waiting) >= 4 * n_workers:  # enough that no worker waits, whatever one slow clip does
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except BrokenProcessPool as error:
        raise VideoError(
            "a worker process was killed or could not start; try fewer workers, and in a program of your own guard its "
            'start by if __name__ == "__main__"'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def remove_partials(folder: Path) -> None:
    """Removes what a killed run left half written in the clip folder. The caller holds the folder's lock."""
    for place in (*folder.glob("clips/*"), folder / "quarantine"):
        output.remove_partials(place)


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The open container at `path`, with picture or without; libav's errors leave as VideoError."""
    options = {"format_whitelist": CONTAINERS}
    try:
        with av.open(f"file:{path}", mode="r", container_options=options, metadata_errors="replace") as container:
            yield container
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: cannot be read as a clip ({_words(error)}); fetch it again") from error


def _words(error: av.error.FFmpegError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _streams(container: InputContainer, path: Path) -> tuple[Picture | None, Sound | None]:
    picture, sound = shown_picture(container), own_sound(container) or next(iter(container.streams.audio), None)
    streams = [stream for stream in (picture, sound) if stream is not None]
    if not streams:
        raise VideoError(f"{path}: has neither picture nor sound; fetch it again")
    for stream in streams:
        if stream.codec_context is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise VideoError(f"{path}: its {stream.type} codec is not known here; convert it to MP4")
        stream.codec_context.options = {"err_detect": "explode"}  # else a damaged picture is mended without a word
    return (Picture(picture) if picture else None), (Sound(sound) if sound else None)


def _decode(container: InputContainer, streams: list[Picture | Sound], path: Path) -> None:
    by_index = {found.stream.index: found for found in streams}
    clocks = {found.stream.index: Clock(found.stream) for found in streams}
    cut: dict[int, tuple[float, float]] = {}  # when a packet is marked so, and where its stream ends before it
    try:
        for packet in of_known_streams(container.demux([found.stream for found in streams])):
            if not packet.size and packet.dts is None:
                continue
            found, clock = by_index[packet.stream_index], clocks[packet.stream_index]
            n_joins = len(clock.joins)
            time_s = float((clock.set(packet).dts or 0) * packet.time_base)
            if len(clock.joins) > n_joins:
                cut.pop(packet.stream_index, None)
            elif packet.stream_index in cut and time_s > cut[packet.stream_index][0] + MARKED_S:
                break
            if packet.is_corrupt:
                cut.setdefault(packet.stream_index, (time_s, found.end_s))
            _decode_packet(found, packet, path)
    except av.error.FFmpegError as error:
        at_s = max(found.end_s for found in streams)
        raise VideoError(f"{path}: breaks off at {at_s:.1f} s ({_words(error)}); fetch it again") from error
    for number, (_, end_s) in cut.items():
        found = by_index[number]
        raise found.fault(f"{path}: its {found.what} breaks off at {end_s:.1f} s (a packet is cut); fetch it again")
    for found in streams:
        _decode_packet(found, None, path)


def _decode_packet(found: Picture | Sound, packet: Packet | None, path: Path) -> None:
    fault, cause = "", None
    try:
        found.decode(packet)
        fault = "a frame is damaged" if found.damaged else ""
    except av.error.FFmpegError as error:
        fault, cause = _words(error), error
    if fault:
        raise found.fault(
            f"{path}: its {found.what} breaks off at {found.end_s:.1f} s ({fault}); fetch it again"
        ) from cause


def _check_length(container: InputContainer, picture: Picture | None, sound: Sound | None, path: Path) -> None:
    streams = [found for found in (picture, sound) if found is not None]
    for found in streams:
        if found.lasts_s <= 0:
            raise found.fault(f"{path}: nothing of its {found.what} can be decoded; fetch it again")
        declared_s = float((found.stream.duration or 0) * (found.stream.time_base or 0))
        if found.lasts_s < declared_s - (_MISSING_S if picture else _SOUND_MISSING_S):
            raise found.fault(
                f"{path}: its {found.what} breaks off at {found.lasts_s:.2f} s of {declared_s:.2f} s; fetch it again"
            )
    # Matroska counts from 0 even if its streams begin later
    longest_s, whole_s = max(max(found.lasts_s, found.end_s) for found in streams), (container.duration or 0) / 1e6
    if longest_s < whole_s - _FILE_MISSING_S:
        raise VideoError(f"{path}: breaks off at {longest_s:.1f} s of {whole_s:.1f} s; fetch it again")
