"""A film's picture as H.264, for containers that cannot hold it as it is: the same frames at the same times."""

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from echoframe.media.decoder import VideoReader
from echoframe.media.demux import frame_rate

_TICK = Fraction(1, 90_000)
_BT709, _VIDEO_RANGE = 1, 1  # AVCOL_SPC_BT709, AVCOL_RANGE_MPEG
_QUALITY = {"crf": "18", "preset": "medium"}  # hardly to be told from the original


def add_h264(target: OutputContainer, reader: VideoReader) -> VideoStream:
    """A new H.264 stream of the picture's shown size, each side made even, as 4:2:0 needs it."""
    width, height = (side + side % 2 for side in reader.shown_size)
    rate = Fraction(frame_rate(reader.stream)).limit_denominator(1001)
    stream = target.add_stream("libx264", rate=rate, options=_QUALITY)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = _TICK
    stream.codec_context.colorspace, stream.codec_context.color_range = _BT709, _VIDEO_RANGE
    stream.codec_context.color_primaries = stream.codec_context.color_trc = _BT709
    stream.codec_context.flags |= Flags.frame_duration
    return stream


def h264_packets(reader: VideoReader, stream: VideoStream, n_ticks: int) -> Iterator[Packet]:
    """The packets of `add_h264`'s stream. n_ticks: the film's length in the source's ticks, so that its last frame lasts
    as long there.
    """
    length = round(n_ticks * (reader.stream.time_base or Fraction(1)) / _TICK)
    held: tuple[int, VideoFrame] | None = None
    for time_s, frame in reader.frames():
        at = round(Fraction(time_s) / _TICK)
        if held is None or held[0] < at:
            if held is not None:
                yield from _encoded(reader, stream, *held, until=at)
            held = at, frame
    if held is not None:
        yield from _encoded(reader, stream, *held, until=max(length, held[0] + 1))
    yield from stream.encode(None)


def _encoded(reader: VideoReader, stream: VideoStream, at: int, frame: VideoFrame, *, until: int) -> list[Packet]:
    upright = VideoFrame.from_ndarray(reader.render(frame, stream.width, stream.height), format="rgb24")
    picture = upright.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_VIDEO_RANGE)
    picture.pts, picture.time_base, picture.duration = at, _TICK, until - at
    return cast("list[Packet]", stream.encode(picture))
