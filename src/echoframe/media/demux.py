"""An open video file: its container, its one video stream, and what they say, over libav (PyAV)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from echoframe.errors import VideoError
from echoframe.media.stills import check_file

# Only true containers: libav would also "play" a .txt file as ANSI art, and follow a playlist to other files.
# The sound formats are here so that a song is told from a broken file.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,flv,asf,mpegts,mpeg,mxf,ogg,ivf,nut,rm,dv,"
    "mp3,wav,flac,aac,ac3,eac3,aiff,caf,w64,amr,ape,au,wv,tta"
)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The open container at `path` and its first real video stream; libav's errors leave as VideoError."""
    check_file(path)
    try:
        # "file:", as libav would take "a:b.mp4" for a protocol named "a"
        with av.open(
            f"file:{path}",
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
    # the cover picture of a song is a video stream too
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        found = ", ".join(_describe(stream) for stream in container.streams) or "nothing"
        question = "is this an audio file?" if container.streams.audio else "give a video or a picture"
        raise VideoError(f"{path}: no video stream (found: {found}); {question}")
    if cast("VideoCodecContext | None", streams[0].codec_context) is None:
        raise VideoError(f"{path}: its video codec is not known here; convert it to H.264 in an MP4")
    return streams[0]


def _describe(stream: Stream) -> str:
    context = cast("VideoCodecContext | None", stream.codec_context)
    return f"{stream.type} {context.name}" if context is not None else stream.type


def frame_rate(stream: VideoStream) -> float:
    """Average frame rate in 1/s."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate else 25.0  # what libav assumes where a container says nothing


def packet_span(container: InputContainer, stream: VideoStream) -> tuple[int, int]:
    """First presentation time and duration of a video stream, in its ticks, from its packets alone: (0, 0) if none."""
    first, last, end = math.inf, -math.inf, -math.inf
    for packet in container.demux(stream):
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or packet.is_discard:
            continue
        first, last = min(first, time), max(last, time)
        end = max(end, time + (packet.duration or 0))
    if last < first:
        return 0, 0
    if end == last > first:  # the last packet does not say how long it lasts
        end += 1 / (frame_rate(stream) * float(stream.time_base or 1))
    return int(first), round(end - first)
