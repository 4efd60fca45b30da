"""The picture of a sound: what was seen, what came out, and what it was made with."""

from pathlib import Path

import numpy as np
from PIL import Image

from echoframe.media.poster import draw_poster
from echoframe.media.poster_cues import PosterCues
from echoframe.sound import Sound
from echoframe.timing.watch import CUT_S, Watched


def picture_of(sound: Sound, title: str) -> Image.Image:
    """The picture of a sound, with its shots and onsets where they are known. title: the clip's name."""
    made_by = sound.provenance
    chosen = made_by.settings
    subtitle = (
        f"{made_by.bundle.name} {made_by.bundle.version}, seed {chosen.seed}, {chosen.steps} steps of "
        f"{chosen.scheduler}, guidance {chosen.guidance:g}, {chosen.duration_s:.2f} s at {sound.sample_rate / 1000:g} kHz"
    )
    if chosen.library:
        subtitle += f", recordings of {Path(chosen.library).name}"
    return draw_poster(
        sound.waveform.mean(dim=0, keepdim=True),
        sound.sample_rate,
        frames=sound.frames,
        times_s=sound.times_s,
        nearest=sound.nearest,
        cues=poster_cues(sound.watched) if sound.watched else None,
        title=title,
        subtitle=subtitle,
    )


def poster_cues(watched: Watched) -> PosterCues | None:
    """What was seen, as it is drawn; none of a still image."""
    cues = watched.cues
    if not len(cues.times_s):
        return None
    away = np.ones(len(cues.times_s), dtype=bool)
    for border in watched.borders:  # there the picture changes, which is not that something moves
        away &= np.abs(cues.times_s - border.time_s) > border.lasts_s / 2 + CUT_S
    kept = away if away.any() else ~away
    return PosterCues(
        borders=tuple((border.time_s, border.kind == "dissolve") for border in watched.borders),
        onsets=tuple((onset.time_s, onset.confidence) for onset in cues.onsets),
        times_s=cues.times_s,
        activity=np.interp(cues.times_s, cues.times_s[kept], cues.activity[kept]),
    )
