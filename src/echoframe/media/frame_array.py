"""A video that is held in memory as an array: its frames by time, scaled as those of a file are."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from echoframe.errors import InputError
from echoframe.media.stills import scaled_size
from echoframe.media.video import Frames, VideoInfo, probe, read_windows
from echoframe.spec import ClipSpec

_NAME = "array of frames"  # what messages call it, where a file has its path


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameArray:
    """Frames in memory. images: (T, H, W, 3) uint8 RGB. frame_rate: 1/s; a single frame is a still image without one.

    Raises InputError for an array of another type or shape, or without a usable frame rate.
    """

    images: np.ndarray
    frame_rate: float | None = None

    def __post_init__(self) -> None:
        shape, dtype = self.images.shape, self.images.dtype
        if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise InputError(
                f"{_NAME}: shape {shape} of {dtype}, expected (frames, height, width, 3) of uint8 in RGB order; "
                "convert the array"
            )
        if len(self.images) > 1 and self.frame_rate is None:
            raise InputError(f"{_NAME}: {shape[0]} frames without a frame rate; give frame_rate, such as 25")
        if self.frame_rate is not None and not (math.isfinite(self.frame_rate) and self.frame_rate > 0):
            raise InputError(f"{_NAME}: frame_rate is {self.frame_rate}; expected frames per second above 0")

    @property
    def is_still(self) -> bool:
        return len(self.images) == 1

    @property
    def duration_s(self) -> float:
        """Seconds; 0 for a still image, which lasts as long as it is asked for."""
        return 0.0 if self.is_still or self.frame_rate is None else len(self.images) / self.frame_rate

    @property
    def sha256(self) -> str:
        """The hash of the shape, the frame rate and the pixels, in hex."""
        digest = hashlib.sha256(f"{self.images.shape} {self.frame_rate}".encode())
        for image in self.images:  # one by one: an array that is not contiguous is not copied whole
            digest.update(np.ascontiguousarray(image).tobytes())
        return digest.hexdigest()

    def windows(self, spec: ClipSpec, starts_s: Sequence[float], *, short_side: int) -> Iterator[Frames]:
        """The frames of several windows, as `echoframe.media.video.read_windows`; past the end the last one is held."""
        height, width = self.images.shape[1:3]
        size = scaled_size(width, height, short_side=short_side, path=Path(_NAME))
        reformatter = VideoReformatter()
        for start_s in starts_s:
            times_s = tuple(start_s + time_s for time_s in spec.times_s())
            shown = [self._index_at(time_s) for time_s in times_s]
            small = {index: self._render(reformatter, index, size) for index in sorted(set(shown))}
            mask = [self.is_still or time_s < self.duration_s - 1e-9 for time_s in times_s]
            yield Frames(images=np.stack([small[i] for i in shown]), mask=np.array(mask), times_s=times_s)

    def small(self, size: tuple[int, int]) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
        """(time in seconds, image) of every frame, brought to `size`, (width, height)."""
        reformatter = VideoReformatter()
        for index in range(len(self.images)):
            yield index / (self.frame_rate or 1.0), self._render(reformatter, index, size)

    def _index_at(self, time_s: float) -> int:
        """The last frame that begins at or before `time_s`; the margin is for times that are not exact in binary."""
        return min(int(time_s * (self.frame_rate or 0.0) + 1e-6), len(self.images) - 1)

    def _render(
        self, reformatter: VideoReformatter, index: int, size: tuple[int, int]
    ) -> UInt8[np.ndarray, "height width 3"]:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(self.images[index]), format="rgb24")
        return reformatter.reformat(frame, *size, format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray()


@dataclass(frozen=True, slots=True)
class NoPicture:
    """Nothing to see: a sound is made of words, or of an example."""

    is_still = True
    duration_s = 0.0


Clip: TypeAlias = VideoInfo | FrameArray | NoPicture


def opened(source: str | Path | np.ndarray | None, frame_rate: float | None) -> Clip:
    """What a user means by `source`: a file, probed, frames in memory, or nothing. Raises InputError if it can be none."""
    if source is None:
        return NoPicture()
    if isinstance(source, np.ndarray):
        return FrameArray(images=source, frame_rate=frame_rate)
    if frame_rate is not None:
        raise InputError(f"{source}: frame_rate is {frame_rate}, but a file knows its own; leave it out")
    return probe(Path(source))


def frames_of(
    clip: VideoInfo | FrameArray, spec: ClipSpec, starts_s: Sequence[float], *, short_side: int
) -> Iterator[Frames]:
    """The frames of each window that begins at one of `starts_s`, from the file or from memory."""
    if isinstance(clip, FrameArray):
        return clip.windows(spec, starts_s, short_side=short_side)
    return read_windows(clip, spec, starts_s, short_side=short_side)
