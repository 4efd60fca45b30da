"""What was seen in a film, and what was laid into it, as an OpenTimelineIO timeline, which editors import.

One track has a clip for each shot, the timeline a marker for each onset. Sounds lie on as many tracks of each layer as it
takes for none to overlap.

The JSON is written here by its published schemas, so that no library is needed; a test reads it with OpenTimelineIO's own.

*Conventions*: times are counted in frames, at the film's frame rate, from 0 at its first frame.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from echoframe.timing.cues import Onset
from echoframe.timing.listed import Shot, shots_of
from echoframe.timing.watch import Watched

# an average that is measured is a little off; editors know only these
RATES = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48000 / 1001, 48.0, 50.0, 60000 / 1001, 60.0, 100.0, 120.0)
NEAR = 4e-4  # of a rate; 24000 / 1001 and 24 are 1e-3 apart
COLOUR = "CYAN"


@dataclass(frozen=True, kw_only=True, slots=True)
class Laid:
    """A part of a sound file in a film. layer: what its track is called. about: what else is known of it.

    in_s: where it begins in the file; at_s, end_s: when it is heard in the film. speed: how much faster it is played.
    """

    layer: str
    file: Path
    in_s: float
    at_s: float
    end_s: float
    speed: float = 1.0
    about: Mapping[str, Any] = field(default_factory=dict)


def as_otio(
    watched: Watched,
    film: Path | None,
    *,
    duration_s: float,
    frame_rate: float,
    laid: Sequence[Laid] = (),
    name: str = "",
) -> str:
    """The timeline as JSON.

    film: the file that the shots' clips refer to, if there is one. duration_s, frame_rate: the film's. laid: sounds. name: of
    the timeline; the film's if it has none. Files that are given by relative paths lie there as seen from the timeline.
    """
    rate = editors_rate(frame_rate)
    n_frames = max(round(duration_s * rate), 1)
    tracks: list[dict[str, Any]] = []
    if film is not None:
        clips = [_clip(shot, n, film, rate, n_frames) for n, shot in enumerate(shots_of(watched, duration_s), 1)]
        tracks = [_item("Track.1", "shots", kind="Video", children=clips)]
    tracks += _sound_tracks(laid, rate)
    markers = [_marker(onset, rate, n_frames) for onset in watched.cues.onsets]
    stack = _item("Stack.1", "tracks", children=tracks, markers=markers)
    timeline = {
        "OTIO_SCHEMA": "Timeline.1",
        "name": name or (film.stem if film else ""),
        "metadata": {},
        "global_start_time": _time(0, rate),
        "tracks": stack,
    }
    return json.dumps(timeline, indent=2, ensure_ascii=False) + "\n"


def editors_rate(frame_rate: float) -> float:
    """The frame rate that editors know and that is as good as `frame_rate`, or else that itself.

    >>> editors_rate(29.9701), editors_rate(25.0002), editors_rate(27.3)
    (29.97002997002997, 25.0, 27.3)
    """
    return next((rate for rate in RATES if abs(frame_rate - rate) <= NEAR * rate), frame_rate)


def _clip(shot: Shot, number: int, film: Path, rate: float, n_frames: int) -> dict[str, Any]:
    start, end = (min(round(time_s * rate), n_frames) for time_s in (shot.start_s, shot.end_s))
    return _item(
        "Clip.2",
        f"{film.stem} shot {number}",
        source_range=_range(start, end - start, rate),
        metadata={"echoframe": {"border": shot.border}},
        **_media(film, _range(0, n_frames, rate)),
    )


def _sound_tracks(laid: Sequence[Laid], rate: float) -> list[dict[str, Any]]:
    """For each layer the tracks that hold its sounds, in the order of their beginnings."""
    tracks: dict[str, list[list[dict[str, Any]]]] = {}
    ends: dict[str, list[int]] = {}
    for each in sorted(laid, key=lambda each: each.at_s):
        start = round(each.at_s * rate)
        length = max(round(each.end_s * rate) - start, 1)
        own, own_ends = tracks.setdefault(each.layer, []), ends.setdefault(each.layer, [])
        free = next((n for n, end in enumerate(own_ends) if end <= start), len(own))
        if free == len(own):
            own.append([])
            own_ends.append(0)
        if start > own_ends[free]:
            own[free].append(_item("Gap.1", "", source_range=_range(0, start - own_ends[free], rate)))
        own[free].append(_sound_clip(each, length, rate))
        own_ends[free] = start + length
    return [
        _item("Track.1", layer if len(own) == 1 else f"{layer} {n}", kind="Audio", children=children)
        for layer, own in tracks.items()
        for n, children in enumerate(own, 1)
    ]


def _sound_clip(each: Laid, length: int, rate: float) -> dict[str, Any]:
    warp = {
        "OTIO_SCHEMA": "LinearTimeWarp.1",
        "name": "",
        "metadata": {},
        "effect_name": "LinearTimeWarp",
        "time_scalar": each.speed,
        "enabled": True,
    }
    return _item(
        "Clip.2",
        each.file.stem,
        source_range=_range(round(each.in_s * rate), length, rate),
        metadata={"echoframe": dict(each.about)},
        effects=[warp] if each.speed != 1 else [],
        **_media(each.file, None),
    )


def _media(file: Path, available: dict[str, Any] | None) -> dict[str, Any]:
    reference = {
        "OTIO_SCHEMA": "ExternalReference.1",
        "name": file.name,
        "metadata": {},
        "available_range": available,
        "available_image_bounds": None,
        "target_url": file.as_uri() if file.is_absolute() else quote(file.as_posix()),
    }
    return {"media_references": {"DEFAULT_MEDIA": reference}, "active_media_reference_key": "DEFAULT_MEDIA"}


def _marker(onset: Onset, rate: float, n_frames: int) -> dict[str, Any]:
    seen = {"time_s": round(onset.time_s, 3)}
    seen |= {name: round(getattr(onset, name), 3) for name in ("strength", "confidence")}
    return {
        "OTIO_SCHEMA": "Marker.2",
        "name": "onset",
        "color": COLOUR,
        "comment": f"confidence {onset.confidence:.2f}, strength {onset.strength:.2f}",
        "marked_range": _range(min(round(onset.time_s * rate), n_frames - 1), 1, rate),
        "metadata": {"echoframe": seen},
    }


def _item(schema: str, name: str, **values: Any) -> dict[str, Any]:
    nothing = {"metadata": {}, "source_range": None, "effects": [], "markers": [], "enabled": True}
    return {"OTIO_SCHEMA": schema, "name": name} | nothing | values


def _range(start: int, length: int, rate: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": _time(start, rate), "duration": _time(length, rate)}


def _time(frame: int, rate: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "value": float(frame), "rate": rate}
