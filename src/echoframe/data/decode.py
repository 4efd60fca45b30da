"""A clip's frames and its sound, from one walk through its packets."""

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av.error
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from jaxtyping import Bool, Float, UInt8

from echoframe.errors import AudioError
from echoframe.media.audio import n_samples
from echoframe.media.decoder import VideoReader
from echoframe.media.demux import MARKED_S, Clock, film_span, of_known_streams, own_sound, shown_picture
from echoframe.media.video import collect_frames
from echoframe.spec import ClipSpec

logger = logging.getLogger(__name__)

GAP_S = 0.04  # clocks of milliseconds jitter by less, and mending that would click; onsets are compared to 0.05 s
MISSING_S = 0.3  # what ends so much before its file says was cut off, as in `verify`
Channels = Literal["mean", "first"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """What the encoders take of one clip.

    images: (T, H, W, 3) uint8 RGB, and mask: (T,), as `video.Frames`. sound: (S,), mono in [-1, 1] at `sample_rate` Hz,
    from the first frame on, as long as the clip spec or shorter; empty, at 0 Hz, where it was not asked for.
    duration_s: of the whole film.
    """

    images: UInt8[np.ndarray, "frames height width 3"]
    mask: Bool[np.ndarray, " frames"]
    sound: Float[np.ndarray, " samples"]
    sample_rate: int
    duration_s: float


def read_clip(path: Path, spec: ClipSpec, *, short_side: int, with_sound: bool = True, threads: int = 0) -> Clip:
    """The frames that `video.read_frames` gives for `path`, and its sound, from one decode. threads: 0 is one per core.

    Sound is mixed to mono by the mean of its channels; broken packets are silent. Raises InputError or VideoError as
    `read_frames`, AudioError if sound was asked for and none can be decoded.
    """
    times_s, span = tuple(spec.times_s()), film_span(path)
    track = SoundTrack(spec.duration_s) if with_sound else None
    reader = _ClipReader(path, times_s, track=track, joins=span.joins, threads=threads)
    with reader:
        frames = collect_frames(reader, times_s, start_s=0.0, short_side=short_side)
        if track is not None:
            reader.hear_out()
        streams = ", ".join(stream.type for stream in reader.container.streams)
    sound = track.samples() if track else np.zeros(0, dtype=np.float32)
    if track is not None and not sound.size:
        raise AudioError(f"{path}: has no sound that can be decoded (streams: {streams}); leave this clip out")
    if track is not None and track.broken:
        at_s, why = track.broken[0]
        logger.warning("%s: %d broken packets of sound, the first at %.1f s (%s)", path, len(track.broken), at_s, why)
    return Clip(
        images=frames.images,
        mask=frames.mask,
        sound=sound,
        sample_rate=track.rate if track else 0,
        duration_s=round(span.duration_s, 3),
    )


class SoundTrack:
    """The first `duration_s` seconds of an audio stream, packet by packet: each frame at the time it says, silence where
    there is none.

    begin_s: second 0 on the container's clock; None is the first sample. clock: what puts the packets on the picture's line
    of time; None leaves them where they are. rate: Hz, 0 before the first frame. loudest: the
    largest sample of any channel, before they are mixed. broken: of each packet from second 0
    on that could not be decoded, or only in part, its time in seconds and its fault.
    """

    def __init__(self, duration_s: float, *, channels: Channels = "mean") -> None:
        self.begin_s: float | None = None
        self.clock: Clock | None = None
        self.rate, self._n_samples, self._duration_s = 0, 0, duration_s
        self._channels: Channels = channels
        self.loudest = 0.0
        self._pieces: list[np.ndarray] = []
        self.broken: list[tuple[float, str]] = []
        self._marked: tuple[float, str] | None = None  # broken, unless another recording follows

    @property
    def is_full(self) -> bool:
        """Whether no more is wanted."""
        return self.rate > 0 and self._n_samples >= n_samples(self._duration_s, self.rate)

    @property
    def lasts_s(self) -> float:
        """Where the last sample ends."""
        return self._n_samples / self.rate if self.rate else 0.0

    def decode(self, stream: AudioStream, packet: Packet | None) -> None:
        """Takes one packet, or with None what the decoder still holds. What cannot be decoded is in `broken`."""
        if packet is not None and not packet.size:
            return
        joins = self.clock.joins if self.clock is not None else []
        n_joins = len(joins)
        if packet is not None and self.clock is not None:
            self.clock.set(packet)
        is_another = len(joins) > n_joins  # recording: what went before says nothing of it
        if is_another or (self._marked and (packet is None or self._time_of(packet) > self._marked[0] + MARKED_S)):
            self.broken += [] if is_another or self._marked is None else [self._marked]
            self._marked = None
        if self.is_full:
            return
        if is_another:
            self._decode(stream, None)
            stream.codec_context.flush_buffers()
        self._decode(stream, packet)

    def _decode(self, stream: AudioStream, packet: Packet | None) -> None:
        at_s, fault = self._time_of(packet), ""
        try:
            for frame in stream.codec_context.decode(packet):
                fault = fault or ("a frame is damaged" if frame.is_corrupt else "")
                self.add(frame)
        except av.error.FFmpegError as error:
            fault = (error.strerror or type(error).__name__).lower()
        if fault and at_s >= 0:
            self.broken.append((at_s, fault))
        elif packet is not None and packet.is_corrupt and at_s >= 0:
            self._marked = at_s, "a packet is cut"

    def _time_of(self, packet: Packet | None) -> float:
        if packet is None or packet.pts is None or self.begin_s is None:
            return self.lasts_s
        return float(packet.pts * packet.time_base) - self.begin_s

    def add(self, frame: AudioFrame) -> None:
        """Takes a frame; one of another sample rate than the first is brought to that."""
        self.rate = self.rate or frame.sample_rate
        channels = channels_of(frame)
        self.loudest = max(self.loudest, float(np.abs(channels).max(initial=0)))
        samples = mixed(channels, self._channels)
        if frame.sample_rate != self.rate:
            samples = soxr.resample(samples, frame.sample_rate, self.rate)
        late = self._late(frame)
        # no more than is wanted: a broken clock can say days
        silence = max(0, min(late, n_samples(self._duration_s, self.rate) - self._n_samples))
        self._pieces += [np.zeros(silence, dtype=np.float32), samples[max(0, -late) :]]
        self._n_samples += silence + len(self._pieces[-1])

    def _late(self, frame: AudioFrame) -> int:
        """How many samples lie between what was taken and `frame`, less than 0 where it is there already; 0 for jitter."""
        if frame.time is None:
            return 0
        if self.begin_s is None:
            self.begin_s = frame.time - self.lasts_s
        late = round((frame.time - self.begin_s) * self.rate) - self._n_samples
        return late if not self._n_samples or abs(late) > GAP_S * self.rate else 0

    def samples(self) -> Float[np.ndarray, " samples"]:
        """All that was taken, cut to the duration."""
        pieces = np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.float32)
        return pieces[: n_samples(self._duration_s, self.rate)]


def fill_track(track: SoundTrack, container: InputContainer, stream: AudioStream, path: Path, *, heard_s: float) -> str:
    """Reads the sound into the track, with second 0 at the first picture, if there is one. What is wrong with its first
    `heard_s` seconds: "is broken at 3.2 s (...)", "breaks off at 3.2 s of 10.0 s", "" if nothing is. path: of the container.
    """
    picture, reached_s = shown_picture(container), 0.0
    track.begin_s, track.clock = _begin_s(picture), Clock(stream, _joins(path, picture))
    for packet in of_known_streams(container.demux()):
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            reached_s = max(reached_s, float((time + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index == stream.index:
            track.decode(stream, packet)
        if track.is_full or track.broken:
            break
    track.decode(stream, None)
    if track.broken and track.broken[0][0] < heard_s:
        return "is broken at {:.1f} s ({})".format(*track.broken[0])
    if track.is_full or container.format.name == "mp3":  # how long an MP3 lasts is guessed from its size
        return ""
    ends_s = float(((stream.start_time or 0) + (stream.duration or 0)) * (stream.time_base or 0)) - (track.begin_s or 0)
    for found_s, whole_s in ((track.lasts_s, ends_s), (reached_s, (container.duration or 0) / 1e6)):
        if found_s < min(whole_s, heard_s) - MISSING_S:
            return f"breaks off at {found_s:.1f} s of {whole_s:.1f} s"
    return ""


def _begin_s(picture: VideoStream | None) -> float | None:
    """When the first picture is shown, on the container's clock; `VideoReader` counts from there. None without pictures."""
    if picture is None or picture.start_time is None:
        return None
    return float(picture.start_time * (picture.time_base or 0))


def _joins(path: Path, picture: VideoStream | None) -> tuple[Fraction, ...]:
    """How the recordings in a film follow each other; none where the picture says nothing of that."""
    if picture is None or picture.codec_context is None:  # pyright: ignore[reportUnnecessaryComparison]
        return ()
    # the times in an MP4 are sums of durations: they cannot go back
    return () if picture.container.format.name.startswith("mov") else film_span(path).joins


def channels_of(frame: AudioFrame) -> Float[np.ndarray, "channels samples"]:
    """A frame's channels in [-1, 1], float64."""
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T  # (C, S)
    samples = data.astype(np.float64)
    if data.dtype == np.uint8:
        samples = (samples - 128) / 128
    elif data.dtype.kind == "i":
        samples /= 2.0 ** (8 * data.dtype.itemsize - 1)
    return samples


def mixed(samples: Float[np.ndarray, "channels samples"], channels: Channels) -> Float[np.ndarray, " samples"]:
    """The mean of the channels, or the first of them, float32."""
    return (samples[:1] if channels == "first" else samples).mean(axis=0).astype(np.float32)


@contextmanager
def as_file(data: bytes, *, suffix: str) -> Iterator[Path]:
    """A path at which `data` can be read until the block ends; in memory where the system has files there (Linux)."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory(prefix="echoframe-") as folder:
            path = Path(folder) / f"clip{suffix}"
            path.write_bytes(data)
            yield path
        return
    number = os.memfd_create("clip")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(data)
        yield Path(f"/proc/self/fd/{number}")
    finally:
        os.close(number)


class _ClipReader(VideoReader):
    """A `VideoReader` that hands the sound's packets on its way to `track`."""

    def __init__(
        self,
        path: Path,
        times_s: Sequence[float],
        *,
        track: SoundTrack | None,
        joins: Sequence[Fraction],
        threads: int,
    ) -> None:
        super().__init__(path, times_s)
        self._can_seek = False  # the sound in between would be lost
        self._track, self._joins, self._threads = track, joins, threads

    def _make_decoder(self) -> VideoCodecContext:
        decoder = super()._make_decoder()
        decoder.thread_count = self._threads
        return decoder

    def _packets(self) -> Iterator[Packet | None]:
        self._walk = self._demux()
        return self._walk

    def _demux(self) -> Iterator[Packet | None]:
        sound = own_sound(self.container) if self._track is not None else None
        if self._track is not None and sound is not None:
            self._track.begin_s, self._track.clock = _begin_s(self.stream), Clock(sound, self._joins)
        clock = Clock(self.stream)
        try:
            for packet in of_known_streams(self.container.demux([self.stream, *([sound] if sound else [])])):
                if sound is not None and packet.stream_index == sound.index:
                    self._hear(sound, packet)
                    continue
                clock.set(packet)
                if packet.size:
                    yield packet
        except av.error.FFmpegError as error:
            logger.warning("%s: cut off (%s)", self.path, error.strerror)
        if sound is not None:
            self._hear(sound, None)
        yield None

    def _hear(self, stream: AudioStream, packet: Packet | None) -> None:
        if self._track is not None:
            self._track.decode(stream, packet)

    def hear_out(self) -> None:
        """Goes on past the frames until the track is full, or the file ends; pictures are not decoded."""
        while self._track is not None and not self._track.is_full and next(self._walk, None) is not None:
            pass
