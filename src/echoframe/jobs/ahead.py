"""Clips that are read ahead of the generator, in another process: what was read as plain values, and back.

All but the images is JSON, whose numbers come back to the last bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from echoframe.media.frame_array import Clip, NoPicture
from echoframe.media.video import Frames, VideoInfo
from echoframe.options import Settings
from echoframe.provenance import InputId
from echoframe.sound.decoding import Decoded, Eyes, decode, frames_seen, parts_of
from echoframe.timing.cues import Cues, Onset
from echoframe.timing.shots import Border
from echoframe.timing.watch import Watched

MOST_PARTS = 4  # of a clip, whose frames are sent; a longer one's are decoded where they are needed, as they are taken

Values = dict[str, Any]


class Ahead:
    """What was read of some clips: an `EchoFrame` is given it in the place of reading them."""

    def __init__(self, read: Sequence[tuple[Clip, Settings, Values, memoryview]]) -> None:
        """read: each clip, what it was read for, and what `packed` gave of it."""
        self._read = read

    def __call__(self, clip: Clip, settings: Settings, eyes: Eyes) -> Decoded:
        """As `echoframe.sound.decoding.decode`, which is asked for what was not read ahead."""
        for known, asked, values, images in self._read:
            if known == clip and same_frames(asked, settings):
                return unpacked(clip, settings, eyes, values, images)
        return decode(clip, settings, eyes)


def same_frames(one: Settings, other: Settings) -> bool:
    """Whether two sounds of a clip need the same of it."""
    asked, also = ((each.duration_s, each.whole, each.sync > 0, each.prompts) for each in (one, other))
    return asked == also


def packed(clip: Clip, settings: Settings, eyes: Eyes) -> tuple[Values, bytes]:
    """What `decode` reads, and the pixels of all frames. Raises as `decode`."""
    decoded = decode(clip, settings, eyes)
    watched = decoded.watched
    n_parts = sum(len(parts) for _, parts in parts_of(watched, settings, eyes))
    is_sent = decoded.frames is not None and n_parts <= MOST_PARTS
    frames = [*decoded.frames] if is_sent and decoded.frames is not None else []
    values = {
        "input": asdict(decoded.input_id),
        "watched": None if watched is None else _as_values(watched),
        "frames": [
            {"shape": each.images.shape, "mask": each.mask.tolist(), "times_s": each.times_s} for each in frames
        ],
    }
    return values, b"".join(each.images.tobytes() for each in frames)


def unpacked(clip: Clip, settings: Settings, eyes: Eyes, values: Values, images: memoryview) -> Decoded:
    """What `packed` was made of; frames that were not sent are decoded now."""
    watched = None if values["watched"] is None else _watched(values["watched"])
    if isinstance(clip, NoPicture):
        frames = None
    elif values["frames"]:
        frames = _frames(values["frames"], images)
    else:
        frames = frames_seen(clip, watched, settings, eyes)
    return Decoded(input_id=InputId(**values["input"]), watched=watched, frames=frames)


def _as_values(watched: Watched) -> Values:
    cues = watched.cues
    return {
        "onsets": [asdict(onset) for onset in cues.onsets],
        "times_s": cues.times_s.tolist(),
        "activity": cues.activity.tolist(),
        "borders": [asdict(border) for border in watched.borders],
    }


def _watched(values: Values) -> Watched:
    cues = Cues(
        onsets=tuple(Onset(**onset) for onset in values["onsets"]),
        times_s=np.array(values["times_s"], dtype=np.float64),
        activity=np.array(values["activity"], dtype=np.float64),
    )
    return Watched(cues=cues, borders=tuple(Border(**border) for border in values["borders"]))


def _frames(parts: Sequence[Values], images: memoryview) -> Iterator[Frames]:
    start = 0
    for part in parts:
        size = int(np.prod(part["shape"]))
        pixels = np.frombuffer(images[start : start + size], dtype=np.uint8).reshape(part["shape"])
        start += size
        yield Frames(images=pixels, mask=np.array(part["mask"], dtype=bool), times_s=tuple(part["times_s"]))


def clip_values(clip: VideoInfo) -> Values:
    """What `probe` found, as plain values."""
    return {**asdict(clip), "path": str(clip.path)}


def clip_of(values: Values) -> VideoInfo:
    """What `clip_values` was given."""
    return VideoInfo(**{**values, "path": Path(values["path"]), "fits": tuple(values["fits"])})
