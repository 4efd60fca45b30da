"""The walk through a video's frames by presentation time, over libav (PyAV)."""

import logging
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, cast

import av
import av.error
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from echoframe.errors import VideoError
from echoframe.media.demux import Clock, check_cut, demuxed, frame_rate, open_video

logger = logging.getLogger(__name__)

_SEEKABLE = ("mov", "matroska")  # their index says where the keyframes are
_ROUNDING_S = 0.0006  # Matroska writes 1/29.97 s as 33 ms, and an MP4 made from it keeps that half millisecond
_SEEK_PAYS_S = 2.0  # decoding on is as fast as a jump over less than this
_SKIPPABLE = ("h264", "hevc")  # their decoders can leave out a frame that no other frame refers to
_LOOK_AHEAD = 24  # packets: more than any codec reorders frames by
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # libav's own decoders drop the alpha plane


class _Timed(NamedTuple):
    time_s: float
    frame: VideoFrame


class VideoReader:
    """Frames of the video at `path` by presentation time, for times that do not go back. A context manager.

    times_s: all the times that `frame_at` will be asked for, rising; what is not shown then need not be decoded.
    shown_size: (width, height) in pixels after rotation and pixel aspect. end_s: where the last frame ends, known
    once `frame_at` has gone past it. Raises VideoError if nothing can be decoded.
    """

    def __init__(self, path: Path, times_s: Sequence[float] = ()) -> None:
        self.path = path
        self._times_s = times_s
        self._stack = ExitStack()
        self._reformatter = VideoReformatter()
        self._can_seek = True
        self._n_broken = 0

    def __enter__(self) -> "VideoReader":
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None and self._n_broken and self._times_s:  # once, and not beside the line of an error
            logger.warning("%s: %d broken packets left out", self.path, self._n_broken)

    def _open(self) -> None:
        self._stack.close()
        with ExitStack() as stack:  # closes again if the first frame cannot be decoded
            self.container, self.stream = stack.enter_context(open_video(self.path))
            self._tick_s = float(self.stream.time_base or 0)
            self._is_avi = self.container.format.name == "avi"
            self._decoder = self._make_decoder()
            # two fields may come as two packets: neither may be left out alone
            progressive = self._decoder.field_order <= 1
            self._can_skip = progressive and not self._is_avi and self._decoder.codec.canonical_name in _SKIPPABLE
            self._origin: int | None = None
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                raise VideoError(f"{self.path}: no frame of its video stream can be decoded; the file may be cut off")
            self._shown, self._ahead = first, next(self._frames, None)
            self._axes = _axes(first.frame)
            self._stack = stack.pop_all()

    def _make_decoder(self) -> VideoCodecContext:
        decoder = self.stream.codec_context
        tags = {key.lower(): value for key, value in self.stream.metadata.items()}
        if tags.get("alpha_mode") == "1" and decoder.codec.canonical_name in _ALPHA_DECODERS:
            extradata = decoder.extradata
            decoder = av.CodecContext.create(_ALPHA_DECODERS[decoder.codec.canonical_name], "r")
            decoder.extradata = extradata
        decoder.thread_type = "AUTO"
        return cast(VideoCodecContext, decoder)

    def _decode(self) -> Iterator[_Timed]:
        self._n_broken = next_time = 0
        packet_times: deque[int | None] = deque()
        for packet, needed in self._marked_packets():
            if packet is not None:
                packet_times.append(packet.dts)
            self._decoder.skip_frame = "DEFAULT" if needed else "NONREF"
            try:
                frames = self._decoder.decode(packet)
            except av.error.FFmpegError:
                self._n_broken += 1
                continue
            for frame in frames:
                # AVI has no presentation times: frames leave the decoder in order, one tick or more apart
                time = packet_times.popleft() if self._is_avi and packet_times else frame.pts
                time = next_time if time is None else time
                next_time = time + (frame.duration or 1)
                self._origin = time if self._origin is None else self._origin
                yield _Timed((time - self._origin) * self._tick_s, frame)

    def _packets(self) -> Iterator[Packet | None]:
        """The stream's packets, then None: "no more". A file that is cut off ends where it is cut."""
        clock = Clock(self.stream)
        try:
            for packet in demuxed(self.container, self.stream):
                clock.set(packet)
                # an empty packet repeats the last frame (AVI); given to the decoder it would mean "no more"
                if packet.size:
                    yield packet
        except av.error.FFmpegError as error:
            check_cut(error, self.path)
            logger.info("%s: cut off (%s)", self.path, error.strerror)
        yield None

    def _marked_packets(self) -> Iterator[tuple[Packet | None, bool]]:
        """Each packet, and False if it is certain that its frame is shown at none of the times asked for."""
        window: deque[Packet | None] = deque()
        known: list[int] = []  # presentation times of the packets around, rising
        for packet in self._packets():
            window.append(packet)
            if packet is not None and packet.pts is not None:
                insort(known, packet.pts)
            del known[: max(0, len(known) - 4 * _LOOK_AHEAD)]
            if len(window) > _LOOK_AHEAD:
                yield window[0], self._is_needed(window.popleft(), known)
        for packet in window:
            yield packet, self._is_needed(packet, known)

    def _is_needed(self, packet: Packet | None, known: list[int]) -> bool:
        if packet is None or packet.pts is None or self._origin is None or not (self._can_skip and self._times_s):
            return True
        following = bisect_right(known, packet.pts)
        if following == len(known):
            return True
        # a frame is shown until the next one: a time asked for in between needs it. The margin is for float errors.
        begin, end = (
            (time - self._origin) * self._tick_s - _ROUNDING_S + margin
            for time, margin in ((packet.pts, -1e-6), (known[following], 1e-6))
        )
        asked = bisect_left(self._times_s, begin)
        return asked < len(self._times_s) and self._times_s[asked] < end

    def frame_at(self, time_s: float) -> tuple[VideoFrame, bool]:
        """The last frame that begins at or before `time_s`, and whether the video has not ended by then."""
        limit_s = time_s + _ROUNDING_S
        if self._ahead is not None and limit_s - self._ahead.time_s > _SEEK_PAYS_S:
            self._seek(limit_s)
        while self._ahead is not None and self._ahead.time_s <= limit_s:
            self._shown, self._ahead = self._ahead, next(self._frames, None)
        return self._shown.frame, self._ahead is not None or time_s < self.end_s - 1e-9

    def frames(self) -> Iterator[tuple[float, VideoFrame]]:
        """Every frame from the first on, with its time in seconds. To be asked for before any `frame_at`."""
        yield self._shown
        if self._ahead is not None:
            yield self._ahead
        yield from self._frames

    @property
    def end_s(self) -> float:
        """Where the frame shown last ends, in seconds."""
        lasts_s = (self._shown.frame.duration or 0) * self._tick_s
        return self._shown.time_s + (lasts_s or 1 / frame_rate(self.stream))

    def _seek(self, limit_s: float) -> None:
        """Jumps to a keyframe before `limit_s`, or stays on the slow way where that cannot be trusted."""
        if not self._can_seek or self.container.format.name.split(",")[0] not in _SEEKABLE:
            return
        shown_s, origin = self._shown.time_s, self._origin or 0
        try:
            self.container.seek(int(limit_s / self._tick_s) + origin, stream=self.stream, backward=True)
            self._decoder.flush_buffers()
            self._frames = self._decode()
            # frames before the keyframe in an open group refer to what was jumped over
            landed = next((timed for timed in self._frames if timed.frame.key_frame), None)
        except av.error.FFmpegError:
            landed = None
        if landed is None or landed.time_s > limit_s:
            self._can_seek = False
            self._open()
        else:
            self._can_seek = landed.time_s > shown_s  # one group of pictures this long: a jump only goes back
            self._shown, self._ahead = landed, next(self._frames, None)

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in pixels, after rotation and pixel aspect."""
        frame, aspect = self._shown.frame, self.stream.sample_aspect_ratio
        squeeze = float(aspect) if aspect and 0.1 <= aspect <= 10 else 1.0  # anything else is a writer's mistake
        width, height = max(round(frame.width * squeeze), 1), frame.height
        return (height, width) if self._axes.transposed else (width, height)

    def render(self, frame: VideoFrame, width: int, height: int) -> UInt8[np.ndarray, "height width 3"]:
        """`frame` upright, on black, at `width` x `height` pixels: (H, W, 3) uint8 RGB."""
        if any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8":
            frame = _on_black(frame)
        size = (height, width) if self._axes.transposed else (width, height)
        # one thread: for so small an image, starting more costs more than they save
        small = self._reformatter.reformat(frame, *size, format="rgb24", interpolation="BICUBIC", threads=1)
        return self._axes.apply(small.to_ndarray())


class _Axes(NamedTuple):
    """How a stored image is turned to be upright: transposed first, then mirrored."""

    transposed: bool
    mirror_x: bool
    mirror_y: bool

    def apply(self, image: np.ndarray) -> np.ndarray:
        image = image.transpose(1, 0, 2) if self.transposed else image
        image = image[:, ::-1] if self.mirror_x else image
        return image[::-1] if self.mirror_y else image


def _axes(frame: VideoFrame) -> _Axes:
    """The nearest quarter turn of the display matrix; `VideoFrame.rotation` alone would lose a mirror."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV 18 fails on kinds of side data that it does not know, such as the EXIF block of a camera's Motion JPEG
        turns = round(frame.rotation / 90) % 4  # anticlockwise
        return _Axes(turns % 2 == 1, turns in (2, 3), turns in (1, 2))
    if data is None:
        return _Axes(False, False, False)
    # libavutil/display.h: (x, y) is shown at (a x + c y, b x + d y), in 16.16 fixed point
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].tolist()
    if abs(a) >= abs(b):
        return _Axes(False, a < 0, d < 0)
    return _Axes(True, c < 0, b < 0)


def _on_black(frame: VideoFrame) -> VideoFrame:
    rgba = frame.reformat(format="rgba").to_ndarray().astype(np.uint16)  # (H, W, 4)
    # before scaling: the colour of transparent pixels must not bleed into their neighbours
    rgb = (rgba[..., :3] * rgba[..., 3:] + 127) // 255
    return VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")
