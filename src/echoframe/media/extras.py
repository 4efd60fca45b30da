"""What a film has beside the picture and the sound that are played: subtitles, covers, attachments, second sounds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream
from av.video.stream import VideoStream

from echoframe.media.containers import holds
from echoframe.media.demux import Clock, Span, check_cut, demuxed, open_video, own_sound

_IMAGES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Extra:
    """One stream beside those that are played. words: what people call it. add: puts it into another container; gives
    the stream that takes its packets, or None where the header holds all of it; raises ValueError if the container
    cannot hold it. is_picture: one packet, without a time.
    """

    source: Stream
    words: str
    add: Callable[[OutputContainer], Stream | None]
    is_picture: bool = False


def find_extras(source: InputContainer, shown: VideoStream, path: Path) -> tuple[Extra, ...]:
    """All that is worth keeping of the open film at `path`, but for the picture `shown` and the sound that is played.

    Data streams (time code, a phone's motion) are no part of what is seen or heard, and are not among them.
    """
    played = own_sound(source)
    return tuple(
        extra
        for stream in source.streams
        if stream.index not in (shown.index, played.index if played else -1)
        for extra in _extra(stream, path)
    )


def _extra(stream: Stream, path: Path) -> tuple[Extra, ...]:
    if isinstance(stream, AttachmentStream):
        name = stream.name or f"attachment {stream.index}"
        return (Extra(source=stream, words=name, add=_adding_file(name, stream.mimetype or "", stream.data)),)
    codec = getattr(stream.codec_context, "name", "unknown codec")
    about = ", ".join(word for word in (codec, stream.language) if word and word != "und")
    if stream.type == "subtitle":
        return (Extra(source=stream, words=f"subtitle {stream.index} ({about})", add=_copying(stream)),)
    if isinstance(stream, AudioStream):
        return (Extra(source=stream, words=f"second sound {stream.index} ({about})", add=_copying(stream)),)
    if isinstance(stream, VideoStream) and stream.disposition & Disposition.attached_pic:
        return (Extra(source=stream, words="cover", add=_adding_cover(stream, path), is_picture=True),)
    if isinstance(stream, VideoStream) and not stream.disposition & (
        Disposition.dependent | Disposition.timed_thumbnails
    ):
        return (Extra(source=stream, words=f"second video {stream.index} ({about})", add=_refusing),)
    return ()


def _copying(stream: Stream) -> Callable[[OutputContainer], Stream]:
    def add(target: OutputContainer) -> Stream:
        if stream.codec_context is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise ValueError
        copy = target.add_stream_from_template(stream, opaque=True)
        copy.disposition = stream.disposition & ~Disposition.default  # the new sound is played
        copy.metadata.update(language_of(stream))
        return copy

    return add


def language_of(stream: Stream) -> dict[str, str]:
    """What of a stream's metadata is true of its copy."""
    return {
        key: value for key, value in stream.metadata.items() if key.lower() in ("language", "title", "handler_name")
    }


def _adding_cover(stream: VideoStream, path: Path) -> Callable[[OutputContainer], Stream | None]:
    def add(target: OutputContainer) -> Stream | None:
        if target.format.name not in ("mp4", "mov"):  # Matroska would play it as a second video
            suffix, mime = _IMAGES.get(stream.codec_context.codec.canonical_name, ("", ""))
            name = stream.metadata.get("filename") or f"cover.{suffix}"
            return _adding_file(name, mime, _picture(path, stream.index) if mime else b"")(target)
        copy = target.add_stream_from_template(stream, opaque=True)
        copy.disposition = Disposition.attached_pic
        return copy

    return add


def _picture(path: Path, index: int) -> bytes:
    """The one packet of a cover, from an opening of its own: another must not lose what lies before it."""
    with open_video(path) as (container, _):
        return next((bytes(packet) for packet in demuxed(container, container.streams[index]) if packet.size), b"")


def _adding_file(name: str, mime: str, data: bytes) -> Callable[[OutputContainer], None]:
    def add(target: OutputContainer) -> None:
        if target.format.name != "matroska" or not mime or not data:
            raise ValueError
        target.add_attachment(name, mime, data)

    return add


def _refusing(_: OutputContainer) -> None:
    """For a second video: what is written has one."""
    raise ValueError


def kept_extras(extras: tuple[Extra, ...], kind: str) -> tuple[tuple[Extra, ...], tuple[Extra, ...]]:
    """Those that the container of that name can hold, and those that it cannot."""
    kept = tuple(extra for extra in extras if holds(kind, extra.add))
    return kept, tuple(extra for extra in extras if extra not in kept)


class ExtraWriter:
    """Copies the packets of extras into an open container, each on the film's clock and only while its picture lasts."""

    def __init__(self, target: OutputContainer, extras: tuple[Extra, ...], span: Span) -> None:
        self._target, self._span = target, span
        self._copies = {extra.source.index: (extra, copy) for extra in extras if (copy := extra.add(target))}
        self._clocks = {index: Clock(extra.source, span.joins) for index, (extra, _) in self._copies.items()}

    @property
    def sources(self) -> list[Stream]:
        """The streams whose packets `write` takes."""
        return [extra.source for extra, _ in self._copies.values()]

    def write(self, packet: Packet) -> None:
        """Writes one packet; what its muxer refuses of it is left out: a film is not lost for a broken subtitle."""
        extra, copy = self._copies[packet.stream_index]
        if not extra.is_picture:
            self._clocks[packet.stream_index].set(packet)
            begin = round(self._span.first * self._span.tick_s / packet.time_base)
            packet.pts, packet.dts = (None if time is None else time - begin for time in (packet.pts, packet.dts))
            at = packet.pts if packet.pts is not None else packet.dts
            if at is None or not 0 <= at * packet.time_base < Fraction(self._span.n_ticks * self._span.tick_s):
                return
        packet.stream = copy
        try:
            self._target.mux(packet)
        except (av.error.InvalidDataError, av.error.ArgumentError):
            return

    def beside(self, pictures: Iterator[Packet], source: InputContainer, path: Path) -> Iterator[Packet]:
        """`pictures` as they are, and before each of them what the open film at `path` has up to its time."""
        waiting = demuxed(source, *self.sources) if self._copies else iter(())
        at_s = -1.0
        for picture in pictures:
            until_s = float((picture.dts or 0) * picture.time_base)
            try:
                while at_s <= until_s and (packet := next(waiting, None)):
                    at_s = float((packet.dts or 0) * packet.time_base - self._span.first * self._span.tick_s)
                    self.write(packet)
            except av.error.FFmpegError as error:
                check_cut(error, path)
            yield picture
