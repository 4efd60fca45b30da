"""What was seen in a film as an OpenTimelineIO timeline, which editors import: a clip for each shot, a marker for each onset.

The JSON is written here by its published schemas, so that no library is needed; a test reads it with OpenTimelineIO's own.

*Conventions*: times are counted in frames, at the film's frame rate, from 0 at its first frame.
"""

import json
from pathlib import Path
from typing import Any

from echoframe.timing.cues import Onset
from echoframe.timing.listed import Shot, shots_of
from echoframe.timing.watch import Watched

# an average that is measured is a little off; editors know only these
RATES = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48000 / 1001, 48.0, 50.0, 60000 / 1001, 60.0, 100.0, 120.0)
NEAR = 4e-4  # of a rate; 24000 / 1001 and 24 are 1e-3 apart
COLOUR = "CYAN"


def as_otio(watched: Watched, film: Path, *, duration_s: float, frame_rate: float) -> str:
    """The timeline as JSON. film: the file that its clips refer to. duration_s, frame_rate: the film's."""
    rate = editors_rate(frame_rate)
    n_frames = max(round(duration_s * rate), 1)
    clips = [_clip(shot, n, film, rate, n_frames) for n, shot in enumerate(shots_of(watched, duration_s), 1)]
    track = _item("Track.1", "shots", kind="Video", children=clips)
    markers = [_marker(onset, rate, n_frames) for onset in watched.cues.onsets]
    stack = _item("Stack.1", "tracks", children=[track], markers=markers)
    timeline = {
        "OTIO_SCHEMA": "Timeline.1",
        "name": film.stem,
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
    reference = {
        "OTIO_SCHEMA": "ExternalReference.1",
        "name": film.name,
        "metadata": {},
        "available_range": _range(0, n_frames, rate),
        "available_image_bounds": None,
        "target_url": film.resolve().as_uri(),
    }
    return _item(
        "Clip.2",
        f"{film.stem} shot {number}",
        source_range=_range(start, end - start, rate),
        metadata={"echoframe": {"border": shot.border}},
        media_references={"DEFAULT_MEDIA": reference},
        active_media_reference_key="DEFAULT_MEDIA",
    )


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
