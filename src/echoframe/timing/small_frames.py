"""Every frame of a clip, small and grey, in which the cues and the shots are found."""

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
    ((96, 54), (84, 62))
    """
    scale = math.sqrt(N_PIXELS / (width * height))
    wide, high = (max(2 * round(scale * side / 2), 16) for side in (width, height))
    return wide, high


def small_frames(
    clip: VideoInfo | FrameArray, *, until_s: float = math.inf
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width"]]]:
    """(time in seconds, luma) of a video's frames before `until_s`, rising in time.

    Memory does not grow with the video's length. Raises VideoError for a file that cannot be decoded.
    """
    step_s = 1 / MOST_RATE
    last_s, due_s = -math.inf, -math.inf  # the next frame is not taken before both
    for time_s, image in _images(clip, small_size(*_shown_size(clip))):
        if time_s >= until_s:
            return
        if time_s > last_s and time_s >= due_s - 1e-6:
            # a frame that comes late does not delay the next; after a gap, only one is owed
            due_s = time_s + step_s if last_s == -math.inf else max(due_s + step_s, time_s - step_s)
            last_s = time_s
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
