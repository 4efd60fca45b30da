"""What a video or a still holds, and the frames of one clip: decoded once, small, only as far as they are needed.

Times are seconds from the video stream's first frame. Transparent parts are shown on black, as players do.
Interlaced video is not deinterlaced: scaling down to a model's input blends the two fields.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Bool, UInt8
from PIL import Image

from echoframe.errors import InputError, VideoError
from echoframe.media.animated import is_animated_webp
from echoframe.media.containers import check_held, containers_of
from echoframe.media.decoder import VideoReader
from echoframe.media.demux import film_span, frame_rate, own_sound
from echoframe.media.heif import is_heif
from echoframe.media.heif_grid import assemble, read_grid
from echoframe.media.stills import (
    PICTURE_SUFFIXES,
    check_file,
    check_shape,
    is_picture,
    picture_info,
    read_picture,
    scaled_size,
)
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
        *{".3g2", ".3gp", ".apng", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov"},
        *{".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv"},
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What a video or still holds.

    width, height: pixels as shown, after rotation and pixel aspect. frame_rate: 1/s, the average. duration_s: of the
    video stream, by its packets. A still has frame_rate 0 and duration_s 0: it lasts as long as it is asked for.
    promised_s: what the header says of the length where the film breaks off before, else 0.
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
    promised_s: float = 0.0


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
        return _still_info(path)
    with VideoReader(path) as reader:
        width, height = reader.shown_size
        check_shape(width, height, path)
        codec = reader.stream.codec_context.codec.canonical_name
        rate, has_audio = frame_rate(reader.stream), own_sound(reader.container) is not None
        container, fits = reader.container.format.name, containers_of(reader.container, reader.stream)
    span = film_span(path)
    if span.duration_s <= 0:
        raise VideoError(f"{path}: its video stream lasts 0 s; give a longer video, or its picture as a PNG")
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        frame_rate=rate,
        duration_s=span.duration_s,
        has_audio=has_audio,
        is_still=False,
        video_codec="webp" if is_animated_webp(path) else codec,
        container=container,
        fits=fits,
        promised_s=span.promised_s,
    )


def _still_info(path: Path) -> VideoInfo:
    if is_heif(path):
        grid = read_grid(path)
        with VideoReader(path) as reader:
            width, height = grid.shown_size if grid else reader.shown_size
            codec = reader.stream.codec_context.codec.canonical_name
    else:
        width, height, codec = picture_info(path)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        frame_rate=0.0,
        duration_s=0.0,
        has_audio=False,
        is_still=True,
        video_codec=codec,
    )


def _still_image(path: Path, *, short_side: int) -> UInt8[np.ndarray, "height width 3"]:
    if not is_heif(path):
        return read_picture(path, short_side=short_side)
    grid = read_grid(path)
    if grid:
        size = scaled_size(*grid.shown_size, short_side=short_side, path=path)
        return np.array(Image.fromarray(assemble(path, grid)).resize(size, Image.Resampling.BICUBIC))
    with VideoReader(path) as reader:
        width, height = scaled_size(*reader.shown_size, short_side=short_side, path=path)
        return reader.render(reader.frame_at(0.0)[0], width, height)


def check_fits(info: VideoInfo, out: Path) -> None:
    """Raises VideoError, as `mux` would in the end, if the container of `out` cannot hold the video's stream."""
    check_held(info.fits, info.video_codec, info.container, info.path, out)


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
        images = np.repeat(_still_image(path, short_side=short_side)[None], len(times_s), axis=0)  # (T, H, W, 3)
        return Frames(images=images, mask=np.ones(len(times_s), dtype=bool), times_s=times_s)
    with VideoReader(path, times_s) as reader:
        return collect_frames(reader, times_s, start_s=start_s, short_side=short_side)


def read_windows(info: VideoInfo, spec: ClipSpec, starts_s: Sequence[float], *, short_side: int) -> Iterator[Frames]:
    """The frames of several windows of a clip, as `read_frames` for each start, from one opening of the file.

    starts_s: rising. A window that begins past the end shows the last frame, with mask False.
    """
    offsets = spec.times_s()
    if info.is_still:
        images = np.repeat(_still_image(info.path, short_side=short_side)[None], len(offsets), axis=0)
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
