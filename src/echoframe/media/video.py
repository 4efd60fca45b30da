"""What a video or a still holds, and the frames of one clip: decoded once, small, only as far as they are needed.

Times are seconds from the video stream's first frame. Transparent parts are shown on black, as players do.
Interlaced video is not deinterlaced: scaling down to a model's input blends the two fields.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Bool, UInt8

from echoframe.errors import InputError, VideoError
from echoframe.media.containers import MUX_FORMATS, containers_of, hidden_order, suffix_for
from echoframe.media.decoder import VideoReader
from echoframe.media.demux import frame_rate, packet_span
from echoframe.media.stills import PICTURE_SUFFIXES, check_file, is_picture, picture_info, read_picture, scaled_size
from echoframe.spec import ClipSpec

__all__ = [
    "PICTURE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Frames",
    "VideoInfo",
    "is_picture",
    "check_fits",
    "probe",
    "read_frames",
    "read_windows",
]

VIDEO_SUFFIXES = frozenset(
    {
        *{".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"},
        *{".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".webm", ".wmv"},
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What a video or still holds.

    width, height: pixels as shown, after rotation and pixel aspect. frame_rate: 1/s, the average. duration_s: of the
    video stream. A still has frame_rate 0 and duration_s 0: it lasts as long as it is asked for.
    video_codec: libav's name of the codec ("h264"), or of the picture's format ("png"). container: libav's name of the
    format ("mov,mp4,m4a,3gp,3g2,mj2"). fits: suffixes of the containers that can hold its video stream beside a sound.
    """

    path: Path
    width: int
    height: int
    frame_rate: float
    duration_s: float
    has_audio: bool
    is_still: bool
    video_codec: str
    container: str = ""
    fits: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """The frames of one clip, all of one size.

    images: (T, H, W, 3) uint8 RGB. mask: (T,), True = a frame of the video, False = the video had ended and its last
    frame is held. times_s: seconds from the stream's first frame at which each was looked at.
    """

    images: UInt8[np.ndarray, "frames height width 3"]
    mask: Bool[np.ndarray, " frames"]
    times_s: tuple[float, ...]


def probe(path: Path) -> VideoInfo:
    """What the video or still at `path` holds; a video's first frame is decoded, so what is said can be read.

    Raises InputError if there is no such file, VideoError if it is no video, has no decodable frame or no duration.
    """
    check_file(path)
    if is_picture(path):
        width, height, codec = picture_info(path)
        rate, duration_s, has_audio, is_still = 0.0, 0.0, False, True
        container, fits = "", ()
    else:
        with VideoReader(path) as reader:
            width, height = reader.shown_size
            codec = reader.stream.codec_context.codec.canonical_name
            rate, duration_s = frame_rate(reader.stream), _duration_s(reader.container, reader.stream)
            has_audio, is_still = bool(reader.container.streams.audio), False
            container, fits = reader.container.format.name, containers_of(reader.container, reader.stream)
        if duration_s <= 0:
            raise VideoError(f"{path}: its video stream lasts 0 s; give a longer video, or its picture as a PNG")
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        frame_rate=rate,
        duration_s=duration_s,
        has_audio=has_audio,
        is_still=is_still,
        video_codec=codec,
        container=container,
        fits=fits,
    )


def check_fits(info: VideoInfo, out: Path) -> None:
    """Raises VideoError, as `mux` would in the end, if the container of `out` cannot hold the video's stream."""
    if out.suffix.lower() in info.fits:
        return
    if not info.fits:
        raise hidden_order(info.path, info.video_codec)
    kind = MUX_FORMATS[out.suffix.lower()]
    suffix = suffix_for(info.video_codec, info.path)
    raise VideoError(f"{out}: {kind} cannot hold {info.video_codec} video; name it {out.stem}{suffix} instead")


def _duration_s(container: InputContainer, stream: VideoStream) -> float:
    tick_s = float(stream.time_base or 0)
    if stream.duration is not None:
        return stream.duration * tick_s
    tag = {key.upper(): value for key, value in stream.metadata.items()}.get("DURATION", "").split(":")
    try:  # Matroska keeps where each stream ends as a tag, "00:00:10.010000000"
        hours, minutes, seconds = tag
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - (stream.start_time or 0) * tick_s
    except ValueError:
        pass
    if container.duration is not None:
        return container.duration / 1e6
    container.seek(0)
    return packet_span(container, stream)[1] * tick_s


def read_frames(path: Path, spec: ClipSpec, *, start_s: float = 0.0, short_side: int = 224) -> Frames:
    """The `spec.n_frames` frames of `path` shown at start_s + spec.times_s(), the shorter side `short_side` pixels.

    The frame shown at t is the last one that begins at or before t. Each wanted frame is scaled (bicubic) as it is
    decoded, the others are never converted: memory does not grow with the video's length or size. A still gives T
    equal frames, all real. Raises InputError for a start past the end, VideoError for what cannot be decoded.
    """
    if not (math.isfinite(start_s) and start_s >= 0):
        raise InputError(f"{path}: start_s is {start_s}; expected 0 or more seconds")
    if short_side < 1:
        raise InputError(f"{path}: short_side is {short_side}; expected at least 1 pixel")
    check_file(path)
    times_s = tuple(start_s + time_s for time_s in spec.times_s())
    if is_picture(path):
        images = np.repeat(read_picture(path, short_side=short_side)[None], len(times_s), axis=0)  # (T, H, W, 3)
        return Frames(images=images, mask=np.ones(len(times_s), dtype=bool), times_s=times_s)
    with VideoReader(path, times_s) as reader:
        return collect_frames(reader, times_s, start_s=start_s, short_side=short_side)


def read_windows(info: VideoInfo, spec: ClipSpec, starts_s: Sequence[float], *, short_side: int) -> Iterator[Frames]:
    """The frames of several windows of a clip, as `read_frames` for each start, from one opening of the file.

    starts_s: rising. A window that begins past the end shows the last frame, with mask False.
    """
    offsets = spec.times_s()
    if info.is_still:
        images = np.repeat(read_picture(info.path, short_side=short_side)[None], len(offsets), axis=0)
        for start_s in starts_s:
            yield Frames(
                images=images, mask=np.ones(len(offsets), dtype=bool), times_s=tuple(start_s + t for t in offsets)
            )
        return
    times_s = [start_s + t for start_s in starts_s for t in offsets]
    order = sorted(range(len(times_s)), key=times_s.__getitem__)  # windows overlap
    collected: dict[int, list[tuple[np.ndarray, bool]]] = {}
    with VideoReader(info.path, [times_s[i] for i in order]) as reader:
        width, height = scaled_size(*reader.shown_size, short_side=short_side, path=info.path)
        previous, image = None, np.empty(0, dtype=np.uint8)
        for i in order:
            frame, real = reader.frame_at(times_s[i])
            image = image if frame is previous else reader.render(frame, width, height)
            previous = frame
            window = i // len(offsets)
            collected.setdefault(window, []).append((image, real))
            if len(collected[window]) == len(offsets):
                images, reals = zip(*collected.pop(window), strict=True)
                first = window * len(offsets)
                yield Frames(
                    images=np.stack(images),
                    mask=np.array(reals, dtype=bool),
                    times_s=tuple(times_s[first : first + len(offsets)]),
                )


def collect_frames(reader: VideoReader, times_s: tuple[float, ...], *, start_s: float, short_side: int) -> Frames:
    """The frames of an open reader at times that grow, as `read_frames`. start_s: for the message when the video is over."""
    width, height = scaled_size(*reader.shown_size, short_side=short_side, path=reader.path)
    images = np.empty((len(times_s), height, width, 3), dtype=np.uint8)
    mask = np.zeros(len(times_s), dtype=bool)
    previous: VideoFrame | None = None
    for i, time_s in enumerate(times_s):
        frame, mask[i] = reader.frame_at(time_s)
        # "uniform" looks half a step after the start, which may be past the end of a very short clip
        if i == 0 and not mask[0] and 0 < reader.end_s <= start_s:
            raise InputError(
                f"{reader.path}: start_s is {start_s}, but the video ends at {reader.end_s:.2f} s; start before that"
            )
        # at a low frame rate, or after the end, one frame is shown at several times
        images[i] = images[i - 1] if frame is previous else reader.render(frame, width, height)
        previous = frame
    return Frames(images=images, mask=mask, times_s=times_s)
