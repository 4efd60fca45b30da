"""What a sound needs of its clip's file: the hash, the cues and shots, and the frames of each part that is looked at.

No model takes part in it, so another process can do it beside the generator. *Conventions*: times are seconds from the
beginning of the film.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from echoframe.media.frame_array import Clip, FrameArray, NoPicture, frames_of
from echoframe.media.video import Frames, VideoInfo
from echoframe.options import Settings, Spot
from echoframe.provenance import InputId
from echoframe.spec import ClipSpec
from echoframe.timing.passages import Shot, Stretch, shots_of, views_of
from echoframe.timing.shots import Border
from echoframe.timing.watch import Watched, watch

SPOT_FADE_S = 0.2  # how long a spot's sound takes to come and go


@dataclass(frozen=True, kw_only=True, slots=True)
class Eyes:
    """How a model looks. clip_spec: which frames of a part. short_side: their size in pixels. longest_s: of a part."""

    clip_spec: ClipSpec
    short_side: int
    longest_s: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decoded:
    """watched: none if that is not needed. frames: of each part of each shot, in order, which can be taken once; none
    without a picture.
    """

    input_id: InputId
    watched: Watched | None
    frames: Iterator[Frames] | None


Decode: TypeAlias = Callable[[Clip, Settings, Eyes], Decoded]


def decode(clip: Clip, settings: Settings, eyes: Eyes, *, watched_by: Callable[..., Watched] | None = None) -> Decoded:
    """What a sound with these settings needs; frames are decoded as they are taken, so memory does not grow.

    watched_by: in the place of `watch`.
    Raises VideoError for a file that cannot be decoded, InputError for one that cannot be read.
    """
    input_id = InputId.of(clip)
    if isinstance(clip, NoPicture):
        return Decoded(input_id=input_id, watched=None, frames=None)
    is_watched = settings.sync > 0 or not settings.whole
    watched = (watched_by or watch)(clip, until_s=settings.duration_s) if is_watched else None
    frames = frames_seen(clip, watched, settings, eyes)
    return Decoded(input_id=input_id, watched=watched, frames=frames)


def frames_seen(
    clip: VideoInfo | FrameArray, watched: Watched | None, settings: Settings, eyes: Eyes
) -> Iterator[Frames]:
    """The frames of each part of each shot, decoded as they are taken."""
    starts_s = [start_s for _, parts in parts_of(watched, settings, eyes) for start_s, _ in parts]
    return frames_of(clip, eyes.clip_spec, starts_s, short_side=eyes.short_side)


def parts_of(watched: Watched | None, settings: Settings, eyes: Eyes) -> list[tuple[Shot, list[Stretch]]]:
    """The shots of a sound, and the parts of each that are looked at one by one."""
    own = () if settings.whole or not watched else watched.borders
    shots = shots_of(with_spots(own, settings.prompts, settings.duration_s), settings.duration_s)
    return [(shot, views_of(shot, longest_s=eyes.longest_s)) for shot in shots]


def with_spots(borders: Sequence[Border], spots: Sequence[Spot], duration_s: float) -> list[Border]:
    """The borders of shots, and where spots begin and end before `duration_s`, in order."""
    bounds = {time_s for spot in spots for time_s in (spot.start_s, spot.end_s) if 0 < time_s < duration_s}
    own = [Border(time_s=time_s, kind="dissolve", lasts_s=SPOT_FADE_S) for time_s in bounds]
    return sorted([*borders, *own], key=lambda border: border.time_s)
