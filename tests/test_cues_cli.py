"""`echoframe cues`: the table, JSON, CSV, and the timeline that OpenTimelineIO's own library reads."""

import csv
import json
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

from echoframe.apps import cli
from echoframe.timing.cues import Cues, Onset
from echoframe.timing.listed import COLUMNS, Shot, shots_of
from echoframe.timing.otio import as_otio
from echoframe.timing.shots import Border
from echoframe.timing.watch import Watched
from moving_pictures import bouncing, coloured, held, joined, wall
from planted_video import write_film, write_video

NTSC = Fraction(30000, 1001)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """29.97 frames a second: a block that bounces, then two walls, each a second long; its name has a space."""
    first = bouncing([0.5, 1.1, 1.7], length_s=2.0, rate=float(NTSC))
    walls = coloured(joined([held(wall(seed, patch=30, low=10, high=245), 30) for seed in (1, 2)]))
    path = tmp_path_factory.mktemp("films") / "a film.mp4"
    return write_video(path, images=[*first, *walls], rate=NTSC)


def run(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """The one line of a command that ends with 2 and makes nothing."""
    assert run("cues", *args) == 2
    found = capsys.readouterr()
    (line,) = found.err.splitlines()
    return line


def seen() -> Watched:
    onsets = tuple(Onset(time_s=t, strength=0.5, confidence=c) for t, c in ((0.5, 0.25), (2.0, 0.75), (9.99, 1.0)))
    borders = (Border(time_s=1.5, kind="cut"), Border(time_s=4.0, kind="dissolve", lasts_s=1.0))
    return Watched(cues=Cues(onsets=onsets, times_s=np.zeros(0), activity=np.zeros(0)), borders=borders)


def test_a_table_is_printed(film, capsys):
    assert run("cues", film) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{film}: 4.00 s, 29.97 frames a second"
    assert lines[2].split() == ["shot", "begins", "ends", "border"]
    assert [line.split() for line in lines[3:6]] == [
        ["1", "0.00", "2.00", "start"],
        ["2", "2.00", "3.00", "cut"],
        ["3", "3.00", "4.00", "cut"],
    ]
    assert lines[7].split() == ["onset", "time", "strength", "confidence"]
    assert any(abs(float(line.split()[1]) - hit) < 0.1 for line in lines[8:] for hit in (0.5, 1.1, 1.7))


def test_a_film_without_onsets_says_so(tmp_path, capsys):
    path = write_video(tmp_path / "still.mp4", images=list(coloured(held(wall(), 25))))
    assert run("cues", path) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no onsets: nothing is seen to be struck"


def test_json_and_csv_say_the_same(film, tmp_path, capsys):
    out = tmp_path / "new" / "cues.csv"
    assert run("cues", film, "-o", out, "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    values = json.loads(line)
    assert (values["clip"], values["status"], values["files"]) == (str(film), "seen", [str(out)])
    assert (values["duration_s"], values["frame_rate"]) == (4.004, 29.97)
    assert [shot["border"] for shot in values["shots"]] == ["start", "cut", "cut"]
    assert values["shots"][-1]["end_s"] == 4.004
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["time_s"]) for row in rows] == sorted(float(row["time_s"]) for row in rows)
    shots, onsets = ([row for row in rows if row["what"] == what] for what in ("shot", "onset"))
    assert [(float(row["time_s"]), float(row["end_s"]), row["border"]) for row in shots] == [
        tuple(shot.values()) for shot in values["shots"]
    ]
    assert [{name: float(row[name]) for name in ("time_s", "strength", "confidence")} for row in onsets] == values[
        "onsets"
    ]


def test_an_editor_finds_clips_and_markers_at_their_frames(film, tmp_path, capsys):
    otio = pytest.importorskip("opentimelineio")
    out = tmp_path / "cues.otio"
    assert run("cues", film, "-o", out) == 0
    assert capsys.readouterr().out == f"{film} -> {out}\n"
    timeline = otio.adapters.read_from_file(str(out))
    assert timeline.schema_name() == "Timeline"
    (track,) = timeline.video_tracks()
    assert [clip.schema_name() for clip in track] == ["Clip"] * 3
    spans = [clip.source_range for clip in track]
    assert [(span.start_time.value, span.duration.value) for span in spans] == [(0, 60), (60, 30), (90, 30)]
    assert {span.start_time.rate for span in spans} == {30000 / 1001}
    assert otio.opentime.RationalTime.is_valid_timecode_rate(spans[0].start_time.rate)
    assert timeline.duration().to_seconds() == pytest.approx(4.004)
    assert [track.range_of_child(clip).start_time.value for clip in track] == [0, 60, 90]
    reference = track[1].media_reference
    assert Path(url2pathname(urlsplit(reference.target_url).path)) == film
    assert reference.available_range.duration.value == 120
    assert track[1].metadata["echoframe"]["border"] == "cut"
    markers = list(timeline.tracks.markers)
    assert run("cues", film, "--json") == 0
    onsets = json.loads(capsys.readouterr().out)["onsets"]
    assert len(markers) == len(onsets) > 0
    for marker, onset in zip(markers, onsets, strict=True):
        assert abs(marker.marked_range.start_time.to_seconds() - onset["time_s"]) <= 0.5 / 29.97 + 1e-3
        assert dict(marker.metadata["echoframe"]) == onset
        assert f"confidence {onset['confidence']:.2f}" in marker.comment


def test_the_library_writes_the_same_again(tmp_path):
    """Nothing is lost or added but the defaults of newer schemas."""
    otio = pytest.importorskip("opentimelineio")
    text = as_otio(seen(), tmp_path / "b.mp4", duration_s=10.0, frame_rate=25.0)
    again = json.loads(otio.adapters.write_to_string(otio.adapters.read_from_string(text, "otio_json"), "otio_json"))

    def same(here: object, there: object) -> None:
        if isinstance(here, dict):
            assert isinstance(there, dict)
            assert all(there[name] is None for name in there.keys() - here.keys())
            for name, value in here.items():
                same(value, there[name])
        elif isinstance(here, list):
            assert isinstance(there, list)
            for one, other in zip(here, there, strict=True):
                same(one, other)
        else:
            assert here == there

    same(json.loads(text), again)


def test_a_marker_never_lies_past_the_last_frame_and_odd_rates_are_kept(tmp_path):
    timeline = json.loads(as_otio(seen(), tmp_path / "b.mp4", duration_s=9.99, frame_rate=12.34))
    starts = [marker["marked_range"]["start_time"] for marker in timeline["tracks"]["markers"]]
    assert [start["value"] for start in starts] == [6, 25, round(9.99 * 12.34) - 1]
    assert {start["rate"] for start in starts} == {12.34}


def test_shots_lie_between_the_borders():
    assert shots_of(seen(), 10.0) == (
        Shot(start_s=0.0, end_s=1.5, border="start"),
        Shot(start_s=1.5, end_s=4.0, border="cut"),
        Shot(start_s=4.0, end_s=10.0, border="dissolve"),
    )


def test_what_cannot_be_watched_is_one_line(film, tmp_path, capsys):
    tone = write_film(tmp_path / "tone.mkv", {Fraction(0): np.zeros((1, 16_000), dtype=np.float32)}, n_frames=0)
    photograph = Path(__file__).parent / "data" / "chelsea.jpg"
    (tmp_path / "taken.csv").mkdir()
    for args, words in (
        ([tmp_path / "none.mp4"], "none.mp4: no such file"),
        ([tone], "tone.mkv: no video stream (found: audio pcm_s16le)"),
        ([photograph], "chelsea.jpg: is a still image, in which nothing happens; give a video"),
        ([film, "-o", tmp_path / "a.xml"], 'a.xml: suffix ".xml" is neither a table nor a timeline; use .csv or .otio'),
        ([film, "-o", tmp_path / "taken.csv"], "taken.csv: is a folder, expected the name of a file; choose another"),
    ):
        assert words in refused(capsys, *args)
    copy = tmp_path / "film.csv"
    copy.write_bytes(film.read_bytes())
    assert "film.csv: is the video itself; choose another name with -o" in refused(capsys, copy, "-o", copy)
    assert copy.read_bytes() == film.read_bytes()
    assert run("cues", photograph, "--json") == 2
    failed = json.loads(capsys.readouterr().out)
    assert (failed["clip"], failed["status"]) == (str(photograph), "failed")
    assert "is a still image" in failed["error"]


def test_a_film_that_cannot_be_read_leaves_the_earlier_file(tmp_path, capsys):
    (tmp_path / "bad.mp4").write_text("no film")
    (tmp_path / "cues.csv").write_text("earlier")
    assert "bad.mp4: " in refused(capsys, tmp_path / "bad.mp4", "-o", tmp_path / "cues.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.mp4", "cues.csv"]
    assert (tmp_path / "cues.csv").read_text() == "earlier"
