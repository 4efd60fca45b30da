"""A small evaluation as `evaluate` gives one, without judges: films, two systems' sounds, a table with rows of all kinds."""

from pathlib import Path

import numpy as np
import soundfile

from echoframe.evaluation.evaluate import REFERENCE, Evaluation
from echoframe.evaluation.sounds import Pairing, find_sounds
from echoframe.evaluation.table import Cell, Column, Line, Table
from planted_video import numbered, write_video

CLIPS: tuple[str, ...] = ("cat & dog", "rain")
SECONDS = 3
GROUPS = {
    "distance of the sets": ("fd", "kad"),
    "what is heard": ("kl", "cosine", "recall"),
    "when it is heard": ("f1", "lag"),
}


def small_table() -> Table:
    """Two systems, their seeds, a bound, and a difference that excludes 0 in one column."""
    columns = [
        Column(
            key=key, title=f"{key} of {group[:4]}", better="higher" if key == "f1" else "lower", group=group, digits=2
        )
        for group, keys in GROUPS.items()
        for key in keys
    ]
    keys = [column.key for column in columns]
    interval = {key: Cell(value=0.5, low=0.4, high=0.6, n=12) for key in keys}
    apart = {key: Cell(value=-0.1, low=-0.3, high=0.1, n=12) for key in keys}
    lines = [
        Line(name="ours_100%", cells=interval),
        Line(name="theirs, whose name goes on and on for longer than a phone is wide", cells=interval),
        Line(
            name="ours_100%: mean of 3 seeds",
            kind="seeds",
            cells={key: Cell(value=0.5, deviation=0.02, n=12) for key in keys},
        ),
        Line(
            name="chance: ours_100%, pairs shuffled", kind="bound", cells={key: Cell(value=0.9, n=12) for key in keys}
        ),
        Line(
            name="ours - theirs", kind="difference", cells=apart | {"kl": Cell(value=-0.2, low=-0.3, high=-0.1, n=12)}
        ),
    ]
    title = "Protocol small: one that a test made up, and that says so at some length."
    return Table(title=title, short="Evaluation: small", columns=columns, lines=lines, notes=["On 12 clips."])


def small_evaluation(folder: Path) -> Evaluation:
    """Films of three seconds under `folder`/films, sounds under `folder`/ours and `folder`/theirs."""
    rng = np.random.default_rng(0)
    for name in ("films", "ours", "theirs"):
        (folder / name).mkdir(parents=True)
    for clip in CLIPS:
        images = [numbered(i % 240, (160, 120)) for i in range(25 * SECONDS)]
        write_video(folder / "films" / f"{clip}.mp4", images=images, tone_hz=300)
        for name in ("ours", "theirs"):
            soundfile.write(folder / name / f"{clip}.wav", 0.1 * rng.normal(size=16_000 * SECONDS), 16_000)
    places = {REFERENCE: folder / "films", "ours": folder / "ours", "theirs": folder / "theirs"}
    found = {name: {"kl": dict.fromkeys(CLIPS, 0.25)} for name in ("ours", "theirs")}
    return Evaluation(
        table=small_table(),
        clips=found,
        stems=CLIPS,
        dropped={},
        pairing=Pairing(stems=CLIPS, files={name: find_sounds(place) for name, place in places.items()}),
        judged=dict.fromkeys(places, CLIPS),
        remarks={},
        config={"reference": str(folder / "films"), "video": None},
    )
