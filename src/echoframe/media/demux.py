"""An open video file: its container, the streams that count, their packets on one clock, over libav (PyAV)."""

import errno
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, cast

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from echoframe.errors import VideoError
from echoframe.media.animated import as_apng, is_animated_webp
from echoframe.media.stills import check_file

# Only true containers: libav would also "play" a .txt file as ANSI art, and follow a playlist to other files.
# The sound formats are here so that a song is told from a broken file.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,flv,asf,mpegts,mpeg,mxf,ogg,ivf,nut,rm,dv,"
    "mp3,wav,flac,aac,ac3,eac3,aiff,caf,w64,amr,ape,au,wv,tta"
)
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
_JUMP_S = 1.0  # a clock that goes back by less is damaged, by more is another clock: two recordings joined
_REORDERED = 16  # frames: more than any codec shows later than it sends them
_LEAP_S = 10.0  # a clock that goes on by more, where clocks may start again: as ffmpeg's -dts_delta_threshold
_CLOCKS_START_AGAIN = ("mpegts", "mpeg", "dv", "flv")
MARKED_S = 0.5  # packets that end a recording may be marked as cut, if so near to where another was joined to it
_MISSING_S = 0.5  # a film that ends so much before its header says was cut off


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The open container at `path` and its video stream that players show; libav's errors leave as VideoError."""
    check_file(path)
    # "file:", as libav would take "a:b.mp4" for a protocol named "a"; it cannot play an animated WebP
    source = io.BytesIO(as_apng(path)) if is_animated_webp(path) else f"file:{path}"
    try:
        with av.open(
            source,
            mode="r",
            container_options={"format_whitelist": CONTAINERS},
            metadata_errors="replace",
        ) as container:
            yield container, _video_stream(container, path)
    except av.error.FFmpegError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise VideoError(
            f"{path}: not a video that can be read ({reason}); expected MP4, MOV, MKV, WebM, AVI or GIF"
        ) from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    chosen = shown_picture(container)
    if chosen is None:
        found = ", ".join(_describe(stream) for stream in container.streams) or "nothing"
        question = "is this an audio file?" if container.streams.audio else "give a video or a picture"
        raise VideoError(f"{path}: no video stream (found: {found}); {question}")
    if not _is_known(chosen):
        raise VideoError(f"{path}: its video codec is not known here; convert it to H.264 in an MP4")
    return chosen


def shown_picture(container: InputContainer) -> VideoStream | None:
    """The video stream that players show, whether it can be decoded or not; None where there is none but covers."""
    # the cover picture of a song is a video stream too
    streams = [stream for stream in container.streams.video if not stream.disposition & _COVERS]
    return min(streams, key=_rank, default=None)


def _rank(stream: VideoStream) -> tuple[bool, ...]:
    """The lowest is shown: what can be decoded, is whole, moves, and is marked as the one to show; then the first."""
    is_image = stream.duration is None and stream.frames == 1  # the poster in the header of an AVIF sequence
    part, default = stream.disposition & Disposition.dependent, stream.disposition & Disposition.default
    return not _is_known(stream), bool(part), is_image, not default


def own_sound(container: InputContainer) -> AudioStream | None:
    """The audio stream that players play: the first that is marked so, or the first; None if none can be decoded."""
    known = [stream for stream in container.streams.audio if _is_known(stream)]
    return min(known, key=lambda stream: not stream.disposition & Disposition.default, default=None)


def _is_known(stream: Stream) -> bool:
    return cast("VideoCodecContext | None", stream.codec_context) is not None


def _describe(stream: Stream) -> str:
    return f"{stream.type} {stream.codec_context.name}" if _is_known(stream) else stream.type


def frame_rate(stream: VideoStream) -> float:
    """Average frame rate in 1/s."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate else 25.0  # what libav assumes where a container says nothing


def demuxed(container: InputContainer, *streams: Stream) -> Iterator[Packet]:
    """The packets of `streams` in the order of the file, whole ones only, and no empty ones at the end."""
    # libav gives what is left of a packet where an MP4 is cut off; in other files the mark can mean a gap before it
    is_whole = container.format.name.startswith("mov")
    packets = of_known_streams(container.demux(streams))
    return _without_strays(
        packet for packet in packets if (packet.size or packet.dts is not None) and not (is_whole and packet.is_corrupt)
    )


def _without_strays(packets: Iterator[Packet]) -> Iterator[Packet]:
    """A single packet whose time lies far behind its neighbours', as after a flipped bit, follows the one before it."""
    last: dict[int, int] = {}  # by stream
    leapt: dict[int, Packet] = {}
    for packet in packets:
        index, tick = packet.stream_index, packet.time_base or Fraction(1)
        before, stray = last.get(index), leapt.pop(index, None)
        if stray is not None and before is not None:
            if packet.dts is not None and (packet.dts - before) * tick <= _LEAP_S:
                late = cast(int, stray.dts) - before - max(stray.duration or 0, 1)
                stray.pts, stray.dts = (None if time is None else time - late for time in (stray.pts, stray.dts))
            before = last[index] = cast(int, stray.dts)
            yield stray
        if packet.dts is not None and before is not None and (packet.dts - before) * tick > _LEAP_S:
            leapt[index] = packet
            continue
        if packet.dts is not None:
            last[index] = packet.dts
        yield packet
    yield from leapt.values()


def of_known_streams(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets up to where PyAV 18 fails, which is at the end of a file in which streams appeared on the way."""
    try:
        yield from packets
    except IndexError:
        return


class Clock:
    """Puts the packets of one stream, given in the order of the file, on one line of time.

    Where the stamps jump back, or leap far in a format whose clocks may start again, two recordings were joined: the
    second goes on where the first ended. joins: by how many seconds each recording after the first is moved. A sound
    takes those of its picture, so that they stay together.
    """

    def __init__(self, stream: Stream, joins: Sequence[Fraction] = ()) -> None:
        self.joins: list[Fraction] = []
        self._given = joins
        self._tick = stream.time_base or Fraction(1)
        self._may_leap = stream.container.format.name in _CLOCKS_START_AGAIN
        self._step = round(1 / (frame_rate(stream) * self._tick)) if isinstance(stream, VideoStream) else 0
        self._moved = 0
        self._last_dts: int | None = None
        self._last_pts: int | None = None

    def set(self, packet: Packet) -> Packet:
        """The packet itself, with its time on the line."""
        if packet.dts is not None:
            self._follow(packet, packet.dts, self._last_dts, _JUMP_S)
        elif packet.pts is not None and self._last_dts is None:
            # shown times alone go back by some frames where pictures refer to later ones
            self._follow(packet, packet.pts, self._last_pts, max(_JUMP_S, _REORDERED * float(self._step * self._tick)))
        packet.pts, packet.dts = (None if time is None else time + self._moved for time in (packet.pts, packet.dts))
        if packet.dts is not None:
            if self._last_dts is not None and packet.dts <= self._last_dts:
                self._go_on(packet, self._last_dts + 1)
            self._last_dts = packet.dts if self._last_dts is None else max(packet.dts, self._last_dts)
        self._last_pts = packet.pts
        return packet

    @staticmethod
    def _go_on(packet: Packet, dts: int) -> None:
        """A clock that stands still: no decoder minds, but every muxer. Shown times out of order stay what they are."""
        if packet.pts == packet.dts:
            packet.pts = packet.dts = dts
        elif packet.pts is None or packet.pts >= dts:
            packet.dts = dts

    def _follow(self, packet: Packet, stamp: int, last: int | None, jump_s: float) -> None:
        if last is None:
            return
        late_s = (stamp + self._moved - last) * self._tick
        if late_s < -jump_s or (self._may_leap and late_s > _LEAP_S):
            self._join(last + (packet.duration or self._step) - stamp)

    def _join(self, moved: int) -> None:
        number = len(self.joins)
        self._moved = round(self._given[number] / self._tick) if number < len(self._given) else moved
        self.joins.append(self._moved * self._tick)


class Span(NamedTuple):
    """Where a film begins and ends. first: its first presentation time, and n_ticks: its length, in ticks of tick_s
    seconds; 0 if it has no packet. joins: as `Clock`. promised_s: how long its header says it is, if it breaks off before.
    """

    first: int
    n_ticks: int
    tick_s: Fraction
    joins: tuple[Fraction, ...] = ()
    promised_s: float = 0.0

    @property
    def duration_s(self) -> float:
        """The length in seconds."""
        return float(self.n_ticks * self.tick_s)


def film_span(path: Path) -> Span:
    """How long the film at `path` is, by the packets of its video stream: what headers say can be untrue.

    Everything that needs a film's length takes it from here. Raises InputError or VideoError as `open_video`.
    """
    check_file(path)
    found = path.stat()
    return _film_span(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _film_span(path: Path, _size: int, _changed: int) -> Span:
    with open_video(path) as (container, stream):
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        return packet_span(container, stream, path)


def packet_span(container: InputContainer, stream: VideoStream, path: Path) -> Span:
    """The span of an open video stream that was not read yet."""
    first, last, end = math.inf, -math.inf, -math.inf
    clock, tick_s = Clock(stream), stream.time_base or Fraction(1)
    try:
        for packet in demuxed(container, stream):
            clock.set(packet)
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None or packet.is_discard:
                continue
            first, last = min(first, time), max(last, time)
            end = max(end, time + (packet.duration or 0))
    except av.error.FFmpegError as error:
        check_cut(error, path)
    if last < first:
        return Span(0, 0, tick_s)
    if end == last > first:  # the last packet does not say how long it lasts
        end += 1 / (frame_rate(stream) * float(tick_s))
    n_ticks = round(end - first)
    promised_s = _promised_s(stream)
    breaks_off = not clock.joins and n_ticks * tick_s < promised_s - _MISSING_S
    return Span(int(first), n_ticks, tick_s, tuple(clock.joins), promised_s if breaks_off else 0.0)


def _promised_s(stream: VideoStream) -> float:
    """What the header says of the stream's length, in seconds; 0 if nothing."""
    tick_s = float(stream.time_base or 0)
    if stream.duration is not None:
        return stream.duration * tick_s
    tag = {key.upper(): value for key, value in stream.metadata.items()}.get("DURATION", "").split(":")
    try:  # Matroska keeps where each stream ends as a tag, "00:00:10.010000000"
        hours, minutes, seconds = tag
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - (stream.start_time or 0) * tick_s
    except ValueError:
        return 0.0


def check_cut(error: av.error.FFmpegError, path: Path) -> None:
    """A file that ends too early can be used as far as it goes. Raises VideoError where it is the disk that fails."""
    if error.errno == errno.EIO:
        raise VideoError(f"{path}: is cut off ({error.strerror}); copy or download it again") from error
