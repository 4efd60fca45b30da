"""What the decoded frames of one picture or sound stream say, gathered one at a time."""

import math

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from echoframe.errors import AudioError, VideoError
from echoframe.media.demux import frame_rate

BLACK_LUMA = 24  # of 255, of the brightest spot of a picture
STILL_LUMA = 6  # of 255: what coding alone changes in a spot of a photograph
_LOOK_EVERY = 8  # frames
_SPOTS = (64, 36)  # a picture is looked at in so many spots: neither noise nor the grain of coding counts


class Picture:
    """A video stream. size: (width, height) in pixels as shown. begin_s, end_s: on the container's clock.

    damaged: a frame was decoded only in part.
    """

    what, fault = "picture", VideoError

    def __init__(self, stream: VideoStream) -> None:
        self.stream, self.n_frames, self.size = stream, 0, (0, 0)
        self.codec = stream.codec_context.codec.canonical_name
        self.begin_s, self.end_s, self.damaged = 0.0, 0.0, False
        self._reformatter = VideoReformatter()
        self._first: np.ndarray | None = None
        self._brightest, self._change = 0, 0
        stream.thread_type = "AUTO"

    def _add(self, frame: VideoFrame) -> None:
        self.damaged = self.damaged or frame.is_corrupt
        tick_s = float(self.stream.time_base or 0)
        begin_s = self.end_s if frame.pts is None else frame.pts * tick_s
        end_s = begin_s + ((frame.duration or 0) * tick_s or 1 / frame_rate(self.stream))
        if self.n_frames == 0:
            self.size, self.begin_s, self.end_s = self._shown_size(frame), begin_s, end_s
        self.begin_s, self.end_s = min(self.begin_s, begin_s), max(self.end_s, end_s)
        if self.n_frames % _LOOK_EVERY == 0 or frame.key_frame:
            self._look(frame)
        self.n_frames += 1

    def decode(self, packet: Packet | None) -> None:
        """Counts the frames of one packet, or, for None, those that the decoder still holds. libav's errors leave."""
        if packet is None or packet.size:
            for frame in self.stream.codec_context.decode(packet):
                self._add(frame)
        elif packet.dts is not None:  # by an empty packet an AVI says that the last frame stays
            self.end_s = max(self.end_s, float((packet.dts + (packet.duration or 0)) * packet.time_base))

    def _shown_size(self, frame: VideoFrame) -> tuple[int, int]:
        aspect = self.stream.sample_aspect_ratio
        squeeze = float(aspect) if aspect and 0.1 <= aspect <= 10 else 1.0  # anything else is a writer's mistake
        width, height = max(round(frame.width * squeeze), 1), frame.height
        return (height, width) if round(frame.rotation / 90) % 2 else (width, height)

    def _look(self, frame: VideoFrame) -> None:
        small = self._reformatter.reformat(frame, *_SPOTS, format="gray", interpolation="AREA", threads=1)
        spots = small.to_ndarray().astype(np.int16)
        self._first = spots if self._first is None else self._first
        self._brightest = max(self._brightest, int(spots.max()))
        self._change = max(self._change, int(np.abs(spots - self._first).max()))

    @property
    def lasts_s(self) -> float:
        """From the first frame to where the last one ends."""
        return round(self.end_s - self.begin_s, 6)

    @property
    def black(self) -> bool:
        """Every frame looked at is black."""
        return self._brightest <= BLACK_LUMA

    @property
    def still(self) -> bool:
        """Every frame looked at is as the first one."""
        return self._change <= STILL_LUMA


class Sound:
    """An audio stream. rate: Hz. begin_s, end_s: on the container's clock. lasts_s: its samples, gaps not counted.

    damaged: a frame was decoded only in part.
    """

    what, fault = "sound", AudioError

    def __init__(self, stream: AudioStream) -> None:
        self.stream = stream
        self.codec = stream.codec_context.codec.canonical_name
        self.rate, self.channels, self.lasts_s, self.begin_s = 0, 0, 0.0, 0.0
        self._n_samples, self._peak, self.damaged = 0, 0.0, False

    def _add(self, frame: AudioFrame) -> None:
        self.damaged = self.damaged or frame.is_corrupt
        if not self._n_samples:
            # from the frame: what the header of an HE-AAC stream says is half its rate
            self.rate, self.channels = frame.sample_rate, frame.layout.nb_channels
            self.begin_s = float((frame.pts or 0) * (self.stream.time_base or 0))
        self._n_samples += frame.samples
        self.lasts_s = round(self._n_samples / self.rate, 6)
        self._peak = max(self._peak, peak(frame.to_ndarray()))

    def decode(self, packet: Packet | None) -> None:
        """Counts the frames of one packet, or, for None, those that the decoder still holds. libav's errors leave."""
        if packet is None or packet.size:
            for frame in self.stream.codec_context.decode(packet):
                self._add(frame)

    @property
    def end_s(self) -> float:
        """Where the last sample ends."""
        return self.begin_s + self.lasts_s

    @property
    def peak_db(self) -> float | None:
        """dBFS of the loudest sample; None if all are zero."""
        return round(20 * math.log10(self._peak), 2) if self._peak > 0 else None


def peak(samples: np.ndarray) -> float:
    """The loudest of `samples`; 1 is full scale, whatever their type.

    >>> peak(np.array([0, -16384], dtype=np.int16)), peak(np.array([128, 192], dtype=np.uint8))
    (0.5, 0.5)
    """
    if not samples.size:
        return 0.0
    if samples.dtype == np.uint8:
        return float(np.abs(samples.astype(np.int16) - 128).max()) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return max(float(samples.max()), -float(samples.min())) / -float(np.iinfo(samples.dtype).min)
    return float(np.abs(np.nan_to_num(samples)).max())
