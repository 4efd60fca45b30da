"""A film is taken into a sitting, and looked at: its frames, shots, onsets and the labels that are expected of it."""

import base64
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from echoframe.config import from_dict
from echoframe.errors import ConfigError, InputError
from echoframe.media.video import VideoInfo, probe
from echoframe.pipeline import EchoFrame
from echoframe.studio.hiding import hidden, named
from echoframe.studio.limits import Limits
from echoframe.studio.pictures import film_strip
from echoframe.studio.remembered import watch_once
from echoframe.studio.sitting import FILM, Sitting, cleaned

MAX_LABELS = 6  # as many have a slider
SEEN = "seen.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What was seen in a film.

    duration_s: 0 for a picture. strip: a picture of its frames, shots and onsets, as an address that holds it.
    labels: names with the chances that are expected of them, the greatest first; what has none has its cosine.
    """

    name: str
    duration_s: float
    n_shots: int
    n_onsets: int
    strip: str
    labels: tuple[tuple[str, float], ...] = ()


def bring_film(sitting: Sitting, source: Path, limits: Limits, *, name: str = "") -> VideoInfo:
    """Takes a film or a picture into the sitting, in the place of an earlier one. name: what it is called.

    Raises InputError for one that is too long or too large, VideoError for what is neither.
    """
    called = cleaned(name or source.name)
    with named(source, called), hidden(sitting.folder):
        info = probe(source)
        if source.stat().st_size > limits.upload_bytes:
            raise InputError(f"{called}: {limits.too_large}")
    limits.check_length(called, info.duration_s)
    (sitting.folder / SEEN).unlink(missing_ok=True)
    return probe(sitting.bring(source, FILM, called))


def look(model: EchoFrame, sitting: Sitting, info: VideoInfo) -> Seen:
    """What is seen in the sitting's film; it is written down there. Raises as `EchoFrame.look`."""
    with hidden(sitting.folder):
        watched = watch_once(info)
        shots = model.look(info.path)
    total_s = sum(shot.stop_s - shot.start_s for shot in shots)
    worth: dict[str, float] = {}
    for shot in shots:
        for label, chance in shot.labels:
            worth[label] = worth.get(label, 0.0) + chance * (shot.stop_s - shot.start_s) / total_s
    best = sorted(worth.items(), key=lambda item: -item[1])[:MAX_LABELS]
    held = io.BytesIO()
    film_strip(info, watched).save(held, format="JPEG", quality=82)
    seen = Seen(
        name=info.path.name,
        duration_s=info.duration_s,
        n_shots=len(shots),
        n_onsets=len(watched.cues.onsets),
        strip="data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode(),
        labels=tuple((label, round(chance, 4)) for label, chance in best),
    )
    sitting.write(sitting.folder / SEEN, json.dumps(asdict(seen)))
    return seen


def seen_before(sitting: Sitting) -> Seen | None:
    """What was seen in the sitting's film when it was brought."""
    try:
        return from_dict(Seen, json.loads((sitting.folder / SEEN).read_text(encoding="utf-8")), name=SEEN)
    except (OSError, ValueError, ConfigError):
        return None
