"""What was seen in a film as plain values: its shots and onsets for JSON, and as a table in CSV.

*Conventions*: times are seconds from the film's first frame, rounded to a thousandth; strengths and confidences likewise.
"""

import csv
import io
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from echoframe.timing.watch import Watched

COLUMNS = ("what", "time_s", "end_s", "border", "strength", "confidence")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """A stretch of film between two borders.

    Attributes:
        start_s: when it begins, in seconds; for a dissolve, its middle.
        end_s: when the next shot begins, or the film ends.
        border: how it begins: "start" of the film, "cut" or "dissolve".
    """

    start_s: float
    end_s: float
    border: Literal["start", "cut", "dissolve"]


def shots_of(watched: Watched, duration_s: float) -> tuple[Shot, ...]:
    """The shots of a film that lasts `duration_s`, one at least, in their order."""
    kinds: list[Literal["start", "cut", "dissolve"]] = ["start", *(border.kind for border in watched.borders)]
    times = [0.0, *(border.time_s for border in watched.borders), duration_s]
    return tuple(
        Shot(start_s=start_s, end_s=end_s, border=kind)
        for kind, (start_s, end_s) in zip(kinds, pairwise(times), strict=True)
    )


def as_values(watched: Watched, duration_s: float) -> dict[str, list[dict[str, Any]]]:
    """ "shots" and "onsets", each a list of dicts that JSON can hold."""
    return {
        "shots": [_rounded(asdict(shot)) for shot in shots_of(watched, duration_s)],
        "onsets": [_rounded(asdict(onset)) for onset in watched.cues.onsets],
    }


def as_csv(watched: Watched, duration_s: float) -> str:
    """A table with a line for each shot and each onset, rising in time, under a line of `COLUMNS`."""
    values = as_values(watched, duration_s)
    rows: list[dict[Any, Any]] = [
        {"what": "shot", "time_s": shot["start_s"], "end_s": shot["end_s"], "border": shot["border"]}
        for shot in values["shots"]
    ]
    rows += [{"what": "onset", **onset} for onset in values["onsets"]]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["time_s"]))
    return text.getvalue()


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
