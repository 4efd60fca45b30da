"""Every frame of a clip, small and grey: what the cues and the shots are found in, from one opening of the file."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from echoframe.media.decoder import VideoReader
from echoframe.media.frame_array import FrameArray
from echoframe.media.video import VideoInfo

N_PIXELS = 96 * 54  # of any shape: a tall video has frames of 54 x 96
MOST_RATE = 32.0  # frames a second: of a video with more, some are left out
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of about `N_PIXELS` in the same proportion, even numbers, 16 at least.

    >>> small_size(1920, 1080), small_size(320, 240)
    ((96, 54), (82, 62))
    """
    scale = math.sqrt(N_PIXELS / (width * height))
    wide, high = (max(2 * round(scale * side / 2), 16) for side in (width, height))
    return wide, high


def small_frames(
    clip: VideoInfo | FrameArray, *, until_s: float = math.inf
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width"]]]:
    """(time in seconds, luma) of a video's frames before `until_s`, rising; memory does not grow with its length."""
    due_s = -math.inf  # the next frame is not taken before that
    size = small_size(*_shown_size(clip))
    for time_s, image in _images(clip, size):
        if time_s >= until_s:
            return
        if time_s >= due_s - 1e-6:
            due_s = (
                max(due_s + 1 / MOST_RATE, time_s - 1 / MOST_RATE) if math.isfinite(due_s) else time_s + 1 / MOST_RATE
            )
            yield time_s, (image @ LUMA + 0.5).astype(np.uint8)


def _shown_size(clip: VideoInfo | FrameArray) -> tuple[int, int]:
    if isinstance(clip, FrameArray):
        return clip.images.shape[2], clip.images.shape[1]
    return clip.width, clip.height


def _images(clip: VideoInfo | FrameArray, size: tuple[int, int]) -> Iterator[tuple[float, np.ndarray]]:
    if isinstance(clip, FrameArray):
        yield from clip.small(size)
        return
    with VideoReader(clip.path) as reader:
        for time_s, frame in reader.frames():
            yield time_s, reader.render(frame, *size)
