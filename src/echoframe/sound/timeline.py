"""A sound and its film as a timeline for editors: the film on one track, what its sound is made of on others."""

from pathlib import Path

from echoframe.sound import Sound
from echoframe.sound.placed import Placed, read_placed
from echoframe.timing.otio import Laid, as_otio
from echoframe.timing.watch import Watched

SUFFIX = ".otio"
STILL_RATE = 25.0  # frames per second of what has no picture that moves


def timeline_of(sound: Sound, file: Path, film: Path | None, *, frame_rate: float, name: str) -> str:
    """The timeline as OpenTimelineIO's JSON.

    file: that the sound is written to, which stands on a track of its own where no recordings were placed. film: the video
    or still image, if there is one. Relative paths are as seen from the timeline. frame_rate: its frames per second, 0 if it
    does not move.
    """
    laid = [_laid(each) for each in read_placed(sound.provenance.result.placed)]
    return as_otio(
        sound.watched or Watched(),
        film,
        duration_s=sound.duration_s,
        frame_rate=frame_rate or STILL_RATE,
        laid=laid or [Laid(layer="sound", file=file, in_s=0.0, at_s=0.0, end_s=sound.duration_s)],
        name=name,
    )


def _laid(placed: Placed) -> Laid:
    about = {name: value for name, value in placed.record().items() if name not in ("layer", "file")}
    return Laid(
        layer=placed.layer,
        file=Path(placed.file),
        in_s=placed.in_s,
        at_s=placed.at_s,
        end_s=placed.end_s,
        speed=placed.speed,
        about=about,
    )
