"""Listening tests: what a study holds, who is shown what, and what becomes of the answers."""

import json
import os
import random
import re
import shutil
import socket
import sqlite3
from contextlib import closing
from dataclasses import asdict

import numpy as np
import pytest
import soundfile

from echoframe.apps.cli import main
from echoframe.errors import ConfigError, InputError, OutputError
from echoframe.evaluation.sounds import Listening, listen
from echoframe.media.loudness import integrated_loudness
from echoframe.rating.answers import Answer, Answers
from echoframe.rating.make import StudyConfig, make_study
from echoframe.rating.media import SAMPLE_RATE
from echoframe.rating.report import Votes, alpha, make_report, two_way_interval, write_report
from echoframe.rating.study import ANSWERS, MEDIA, PREFERENCE, STUDY, Item, Study, load_study
from planted_video import write_video
from rated import SYSTEMS, small_study, write_sounds


@pytest.fixture
def raters(tmp_path):
    with closing(Answers(tmp_path / ANSWERS)) as answers:
        yield answers


def plain_study(*, clips: int = 4, checks: int = 0, pairs: bool = False, questions=("quality",)) -> Study:
    """Without sounds: what reports need to know."""
    groups = [tuple(SYSTEMS)] if pairs else [(name,) for name in SYSTEMS]
    items = [
        Item(id=f"{n}{'-'.join(some)}", clip=f"clip{n}", systems=some, media=some)
        for n in range(clips)
        for some in groups
    ]
    beeps = (2, 5) if pairs else (4,)
    own = ("check",) * len(beeps)
    given = [Item(id=f"check{n}", clip="", systems=own, media=own, beeps=beeps) for n in range(checks)]
    asked = (PREFERENCE,) if pairs else questions
    return Study(
        title="T",
        kind="pairs" if pairs else "single",
        questions=asked,
        seed=0,
        per_rater=0,
        checks=checks,
        systems=tuple(SYSTEMS),
        items=(*items, *given),
    )


def said(rater: int, item: str, value: int, question: str = "quality") -> Answer:
    return Answer(rater=rater, item=item, question=question, value=value)


def test_a_study_of_films_asks_everything_and_says_nothing_of_whose_a_sound_is(tmp_path):
    study, folder = small_study(tmp_path, films=True, checks=2)
    assert study == load_study(folder)
    assert study.questions == ("quality", "relevance", "synchrony")
    assert len(study.items) == 3 * 2 + 2
    names = [name for item in study.items for name in item.media]
    assert sorted(names) == sorted(path.name for path in (folder / MEDIA).iterdir())
    assert len(set(names)) == 8
    assert all(len(name) == 28 and name.endswith((".mp4", ".wav")) for name in names)
    assert {item.systems for item in study.items} == {("ours",), ("theirs",), ("check",)}
    assert all(item.media[0].endswith(".mp4") for item in study.items if not item.beeps)


def test_sounds_are_played_at_one_loudness(tmp_path):
    study, folder = small_study(tmp_path, checks=0)
    assert study.questions == ("quality",)
    levels = []
    for item in study.items:
        sound = listen(folder / MEDIA / item.media[0], Listening())
        levels.append(integrated_loudness(sound.waveform, sound.sample_rate))
    np.testing.assert_allclose(levels, -23.0, atol=0.3)
    assert study.notes == ()


@pytest.mark.parametrize("pairs", [False, True])
def test_neither_rate_nor_length_nor_time_of_writing_names_a_system(tmp_path, pairs):
    folders = write_sounds(tmp_path)
    (tmp_path / "third").mkdir()
    for n in range(3):
        samples = 0.1 * np.sin(2 * np.pi * 400 * np.arange(16_000 + n * 100) / 16_000)
        soundfile.write(tmp_path / "third" / f"clip{n}.wav", samples, 16_000)  # twice the rate and length of the others
    config = StudyConfig(generated={**folders, "third": tmp_path / "third"}, pairs=pairs, checks=4)
    study = make_study(config, tmp_path / "study")
    found = {path.name: path for path in (tmp_path / "study" / MEDIA).iterdir()}
    assert {soundfile.info(path).samplerate for path in found.values()} == {SAMPLE_RATE}
    assert len({path.stat().st_mtime_ns for path in found.values()}) == 1
    for clip in {item.clip for item in study.items}:
        names = {name for item in study.items if item.clip == clip for name in item.media}
        assert len({found[name].stat().st_size for name in names}) == 1
    longest = next(found[item.media[0]] for item in study.items if item.clip == "clip1")
    assert soundfile.info(longest).frames == 3 * 16_100  # nothing is cut off


def test_a_film_too_short_for_its_beeps_is_not_shown_with_them(tmp_path):
    study, folder = small_study(tmp_path, films=True, clips=1, checks=20)  # films of 0.52 s, a beep each 0.6 s
    assert {item.beeps for item in study.items} == {(), (1,), (2,), (3,), (4,), (5,)}
    for item in study.items:
        assert item.media[0].endswith(".wav") == bool(item.beeps)
        if item.beeps:
            assert soundfile.info(folder / MEDIA / item.media[0]).duration == pytest.approx(0.6 * item.beeps[0])
    write_video(tmp_path / "films" / "clip0.mp4", n_frames=80)
    shown = make_study(
        StudyConfig(generated={"ours": tmp_path / "ours"}, video=tmp_path / "films", checks=9), tmp_path / "s2"
    )
    assert all(item.media[0].endswith(".mp4") for item in shown.items)


def test_what_cannot_be_made_as_loud_as_the_rest_is_said(tmp_path, capsys):
    folders = write_sounds(tmp_path, clips=7)
    for n in range(6):
        clicks = np.zeros(8000)
        clicks[::800] = 0.5
        soundfile.write(folders["theirs"] / f"clip{n}.wav", clicks, 8000)
    soundfile.write(folders["ours"] / "clip3.wav", np.zeros(8000), 8000)
    study = make_study(StudyConfig(generated=folders), tmp_path / "study")
    some = ", ".join(f"theirs clip{n}" for n in range(5))
    assert study.notes == (
        f"Sounds more than 0.5 LU quieter than -23 LUFS, as their peaks allow no more: 6 ({some} and 1 more).",
        "Silent sounds: 1 (ours clip3).",
    )
    report = make_report(study, [said(1, study.items[0].id, 3)])
    assert set(study.notes) < set(report.table.notes)
    generated = [f"{name}={folder}" for name, folder in folders.items()]
    assert main(["rate", "make", str(tmp_path / "again"), "--generated", *generated]) == 0
    assert "echoframe: Silent sounds: 1 (ours clip3).\n" in capsys.readouterr().err


def test_a_check_has_as_many_beeps_as_it_says(tmp_path):
    study, folder = small_study(tmp_path, checks=3, pairs=True)
    checks = [item for item in study.items if item.beeps]
    assert len(checks) == 3
    for item in checks:
        assert item.beeps[0] != item.beeps[1]
        for name, count in zip(item.media, item.beeps, strict=True):
            samples, rate = soundfile.read(folder / MEDIA / name)
            loud = np.abs(samples).reshape(-1, rate // 20).max(axis=1) > 0.01
            assert (np.diff(loud.astype(int), prepend=0) == 1).sum() == count


def test_the_page_shows_labels_and_only_clips_of_the_list(tmp_path):
    folders = write_sounds(tmp_path)
    (tmp_path / "clips.csv").write_text("clip0,dog barking\nclip2,rain\nclip9,wind\n")
    config = StudyConfig(generated=folders, clips=tmp_path / "clips.csv", checks=0, reference=folders["ours"])
    told = []
    study = make_study(config, tmp_path / "study", tell=told.append)
    assert study.questions == ("quality", "relevance")
    assert {(item.clip, item.label) for item in study.items} == {("clip0", "dog barking"), ("clip2", "rain")}
    assert study.systems == ("reference", "ours", "theirs")
    assert "Missing in ours: 1 (clip9)." in study.notes
    assert "Not used, as not in the list, in theirs: 1 (clip1)." in study.notes
    assert told[-1] == "2 of 2 clips ready"


def test_relevance_is_asked_only_if_every_clip_has_a_film_or_a_label(tmp_path):
    folders = write_sounds(tmp_path, films=True)
    (tmp_path / "clips.csv").write_text("clip0,dog barking\nclip1\nclip2,\n")
    given = {"generated": folders, "clips": tmp_path / "clips.csv", "checks": 0}
    study = make_study(StudyConfig(**given), tmp_path / "study")
    assert study.questions == ("quality",)
    assert study.notes == ("Relevance is not asked, as clips have no label: 2 (clip1, clip2).",)
    words = r"clips.csv: no label for 2 \(clip1, clip2\); add them, or leave relevance out of --questions"
    with pytest.raises(InputError, match=words):
        make_study(StudyConfig(**given, questions=("relevance",)), tmp_path / "refused")
    chosen = make_study(StudyConfig(**given, questions=("quality",)), tmp_path / "chosen")
    assert (chosen.questions, chosen.notes) == (("quality",), ())
    films = make_study(StudyConfig(**given, video=tmp_path / "films"), tmp_path / "shown")
    assert films.questions == ("quality", "relevance", "synchrony")
    assert films.notes == ()


def test_films_are_found_beside_sounds_of_the_same_name(tmp_path):
    folders = write_sounds(tmp_path, films=True)
    for n in range(3):  # as echoframe generate leaves them
        shutil.copy(tmp_path / "films" / f"clip{n}.mp4", folders["ours"])
    study = make_study(StudyConfig(generated=folders, video=folders["ours"], checks=0), tmp_path / "study")
    assert len(study.items) == 6
    assert all(item.media[0].endswith(".mp4") for item in study.items)


def test_a_long_sound_is_cut_and_that_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / "long.wav", 0.1 * np.sin(np.arange(61 * 1000)), 1000)
    study = make_study(StudyConfig(generated={"a": tmp_path / "a"}, checks=0), tmp_path / "study")
    assert study.notes == ("Sounds longer than 60 s, whose beginning is played: 1.",)


def test_items_go_round_from_rater_to_rater(tmp_path):
    systems = write_sounds(tmp_path, clips=5)
    study = make_study(StudyConfig(generated=systems, per_rater=2, checks=1), tmp_path / "study")
    given = {number: study.items_for(number) for number in range(1, 6)}
    assert all(len(items) == 5 and sum(bool(item.beeps) for item in items) == 1 for items in given.values())
    assert all(len({item.clip for item in items if not item.beeps}) == 2 for items in given.values())
    counts = [sum(item in items for items in given.values()) for item in study.items if not item.beeps]
    assert counts == [2] * 10  # 5 raters x 2 clips x 2 systems
    assert study.items_for(3) == given[3]
    assert len({tuple(item.id for item in items) for items in given.values()}) == 5


def test_sides_are_thrown_for_each_rater_and_pair():
    study = plain_study(pairs=True, clips=30)
    swapped = [study.is_swapped(rater, item) for rater in range(10) for item in study.items]
    assert 100 < sum(swapped) < 200
    assert swapped == [study.is_swapped(rater, item) for rater in range(10) for item in study.items]
    assert not any(study.is_swapped(rater, item) for rater in range(9) for item in plain_study().items)


def test_studies_that_cannot_be_made(tmp_path):
    folders = write_sounds(tmp_path)

    def refused(words: str, **values) -> None:
        with pytest.raises(InputError, match=words):
            make_study(StudyConfig(**{"generated": folders, **values}), tmp_path / "study")
        assert not [path for path in tmp_path.iterdir() if path.name not in ("ours", "theirs", "films", "study")]

    one = {"ours": folders["ours"]}
    refused("no system to rate; give them as --generated", generated={})
    refused("pairs need two systems, the reference counts; give them", generated=one, pairs=True)
    refused('"reference" cannot be a system\'s name; choose another', generated={"reference": folders["ours"]})
    refused('"video" cannot be a system\'s name; choose another', generated={"video": folders["ours"]})
    refused("a study of pairs only asks which sound is preferred", pairs=True, questions=("quality",))
    refused('"beauty" is not a question; expected some of quality', questions=("beauty",))
    refused('"quality" is asked twice; give each question once', questions=("quality", "relevance", "quality"))
    broken = "a title or name with a control character or a line break; leave it out"
    refused(rf"'a\\nb': {broken}", generated={"a\nb": folders["ours"]})
    for title in ("T\x1b[2J", "T\r", "T\u2028", "T\ud800"):
        refused(broken, title=title)
    refused("synchrony cannot be judged without videos; give them with --video", questions=("synchrony",))
    refused("relevance needs videos or labels; give videos with --video, or labels", questions=("relevance",))
    refused("-1 clips and 2 checks a rater; expected 0 or more", per_rater=-1)
    refused("no such folder", generated={"ours": tmp_path / "nowhere"})
    (tmp_path / "films").mkdir()
    for n in range(3):
        write_video(tmp_path / "films" / f"clip{n}.mp4", n_frames=5, codec="mpeg4")
    refused("clip0.mp4: its video is mpeg4, which browsers do not play; convert it", video=tmp_path / "films")
    make_study(StudyConfig(generated=one), tmp_path / "study")
    refused("study: is there already; choose another name, or delete it with all its answers")
    make_study(StudyConfig(generated=one, pairs=True, reference=folders["theirs"]), tmp_path / "study2")


def test_a_study_is_made_in_new_folders_or_refused(tmp_path):
    folders = write_sounds(tmp_path, clips=1)
    config = StudyConfig(generated=folders, checks=0)
    make_study(config, tmp_path / "new" / "er" / "study")
    assert os.listdir(tmp_path / "new" / "er") == ["study"]
    with pytest.raises(OutputError, match="clip0.wav/study: cannot be made .*; choose another place for the study"):
        make_study(config, folders["ours"] / "clip0.wav" / "study")

    def be_quicker(_: str) -> None:
        (tmp_path / "study" / MEDIA).mkdir(parents=True)

    with pytest.raises(InputError, match="study: is there already; choose another name, or delete it"):
        make_study(config, tmp_path / "study", tell=be_quicker)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "ours", "study", "theirs"]


def test_a_sound_that_cannot_be_heard_leaves_no_half_study(tmp_path):
    folders = write_sounds(tmp_path)
    (folders["ours"] / "clip1.wav").write_bytes(b"RIFF")
    with pytest.raises(Exception, match="clip1.wav: cannot be read as a sound"):
        make_study(StudyConfig(generated=folders), tmp_path / "study")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "theirs"]


def test_damaged_studies_are_named(tmp_path):
    with pytest.raises(InputError, match="holds no study .study.json is not there.; make one with echoframe rate make"):
        load_study(tmp_path)
    for text in (
        "{",
        "[" * 100_000,
        "[]",
        "\ufeff",
        '{"items": [{"id": 3}]}',
        '{"items": 3}',
        '{"title": "T", "items": []}',
    ):
        (tmp_path / "study.json").write_text(text)
        with pytest.raises(InputError, match="study.json: is damaged .*; take it from a copy, or make the study again"):
            load_study(tmp_path)
    (tmp_path / ANSWERS).write_bytes(b"no database, and long enough to be taken for one" * 100)
    with pytest.raises(InputError, match=f"{ANSWERS}: cannot be used for answers .*; take it from a copy"):
        Answers(tmp_path / ANSWERS)


DAMAGES = [
    ('per_rater is "x"; expected a whole number', {"per_rater": "x"}, {}),
    ("checks is None; expected a whole number", {"checks": None}, {}),
    ("systems is 5; expected a list", {"systems": 5}, {}),
    ('kind is "zzz"; expected one of single, pairs', {"kind": "zzz"}, {}),
    ("questions foo; expected some of quality, relevance, synchrony, each once", {"questions": ["foo"]}, {}),
    ("questions none; expected some of quality", {"questions": []}, {}),
    ("questions quality, quality; expected some of quality", {"questions": ["quality", "quality"]}, {}),
    ("questions quality; expected some of preference, each once", {"kind": "pairs"}, {}),
    ("-1 clips and 1 checks a rater; expected 0 or more", {"per_rater": -1}, {}),
    ("two systems have the same name, or two items have the same id", {"systems": ["ours", "ours"]}, {}),
    ("two systems have the same name, or two items have the same id", {}, {"id": "1ours"}),
    ("every item is a check; expected one or more to rate", {"items": []}, {}),
    ("item 0ours: 0 systems of 1 sounds; expected one of each", {}, {"systems": []}),
    ("item 0ours: 2 sounds; expected 1 in a study of kind single", {}, {"systems": ["ours"] * 2, "media": ["a", "b"]}),
    ("item 0ours: 0 sounds; expected 1 in a study of kind", {}, {"systems": [], "media": []}),
    ("item 0ours: systems other; expected some of ours, theirs", {}, {"systems": ["other"]}),
    ("item 0ours: systems ours; expected some of check", {}, {"beeps": [3]}),
    ("item 0ours: beeps 6; expected 1 to 5 in each sound, no two alike", {}, {"beeps": [6]}),
    ("item 0ours: beeps 1, 2; expected 1 to 5 in each sound", {}, {"beeps": [1, 2]}),
    ("clip is None; expected a text", {}, {"clip": None}),
    *(
        (
            f'item 0ours: "{name}" is not the name of a file in media; expected one without folders',
            {},
            {"media": [name]},
        )
        for name in ("../study.json", "..", "", ".", "a/b", "a\\b", "/etc/passwd", "a\n")
    ),
]


@pytest.mark.parametrize(("words", "of_study", "of_item"), DAMAGES)
def test_an_edited_study_is_refused_in_one_line(tmp_path, words, of_study, of_item):
    values = json.loads(json.dumps(asdict(plain_study(checks=1))))
    values["items"][0].update(of_item)
    values.update(of_study)
    (tmp_path / STUDY).write_text(json.dumps(values))
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        load_study(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / STUDY}: is damaged ({STUDY}")
    with pytest.raises(ConfigError, match="beeps 2, 2; expected 1 to 5 in each sound, no two alike"):
        Item(id="x", clip="", systems=("check", "check"), media=("a", "b"), beeps=(2, 2))


@pytest.mark.parametrize("table", ["answers (id integer)", "raters (rater integer, name text)"])
def test_answers_of_another_program_are_refused(tmp_path, table):
    with closing(sqlite3.connect(tmp_path / ANSWERS)) as base:
        base.execute(f"create table {table}")
    with pytest.raises(InputError, match="cannot be used for answers .no such column: .*; take it from a copy"):
        Answers(tmp_path / ANSWERS)


def test_answers_are_kept_whole_and_the_last_one_counts(raters, tmp_path):
    first, second = raters.invite(2)
    assert (first.number, second.number) == (1, 2)
    assert len({first.token, second.token}) == 2
    assert all(len(rater.token) >= 22 for rater in (first, second))
    assert raters.rater(second.token) == second
    assert raters.rater("none") is None
    raters.save(first, "a", {"quality": 2, "relevance": 3})
    raters.save(first, "a", {"quality": 5, "relevance": 3})
    assert raters.of(first) == {"a": {"quality": 5, "relevance": 3}}
    assert raters.of(second) == {}
    assert [rater.number for rater in raters.invite(1)] == [3]
    assert raters.invite(0) == []
    with closing(Answers(tmp_path / ANSWERS)) as again:
        assert again.all() == [said(1, "a", 5), said(1, "a", 3, "relevance")]
        assert [rater.number for rater in again.raters()] == [1, 2, 3]
    assert (tmp_path / ANSWERS).stat().st_mode & 0o077 == 0


def test_mean_opinion_scores_are_those_of_the_answers():
    study = plain_study(clips=2)
    answers = [
        said(1, "0ours", 5),
        said(2, "0ours", 4),
        said(1, "1ours", 3),
        said(1, "0theirs", 1),
        said(2, "1theirs", 2),
    ]
    report = make_report(study, answers)
    ours, theirs, difference = report.table.lines
    assert [line.name for line in report.table.lines] == ["ours", "theirs", "ours - theirs"]
    assert (ours.cells["quality"].value, ours.cells["quality"].n) == (4.0, 3)
    assert (theirs.cells["quality"].value, theirs.cells["quality"].n) == (1.5, 2)
    assert (difference.cells["quality"].value, difference.cells["quality"].n) == (4.0, 1)  # rater 1, clip 0
    assert difference.cells["quality"].low is None
    assert report.table.title == "T: 5 answers of 2 raters on 2 clips."
    assert report.raters[1] == {"items": 3, "of": 4, "checks": 0, "checks_wrong": 0, "counts": True}


def test_preferences_are_shares_of_comparisons():
    study = plain_study(pairs=True, clips=4)
    values = {"0": 1, "1": 1, "2": 2, "3": 0}  # ours, ours, theirs, neither
    report = make_report(study, [said(1, f"{n}ours-theirs", value, PREFERENCE) for n, value in values.items()])
    found = {line.name: line.cells[PREFERENCE].value for line in report.table.lines}
    assert found == {"ours": 0.625, "theirs": 0.375, "ours against theirs": 0.625}
    assert [line.kind for line in report.table.lines] == ["system", "system", "difference"]


@pytest.mark.parametrize("pairs", [False, True])
def test_who_fails_the_checks_does_not_count_and_is_named(pairs):
    study = plain_study(checks=2, pairs=pairs, clips=1)
    right, wrong = (2, 1) if pairs else (4, 5)
    (question,) = study.questions
    item = study.items[0].id

    def rated(rater: int, value: int, *checks: int) -> list[Answer]:
        given = [said(rater, f"check{n}", check, question) for n, check in enumerate(checks)]
        return [said(rater, item, value, question), *given]

    answers = [*rated(1, 1, right, right), *rated(2, 1, right, wrong), *rated(3, 2, wrong, wrong), *rated(4, 1)]
    report = make_report(study, answers)
    assert [some["counts"] for some in report.raters.values()] == [True, True, False, True]
    assert report.table.lines[0].cells[question].n == 3
    assert report.table.lines[0].cells[question].value == 1
    assert "Rater 3 does not count: 2 of 2 checks of attention wrong." in report.table.notes
    with pytest.raises(InputError, match="no answer counts .1 raters answered, none of them right in half"):
        make_report(study, rated(3, 2, wrong, wrong))
    with pytest.raises(InputError, match="T: no answer counts .no rater yet.; send out more links"):
        make_report(study, [])
    with pytest.raises(InputError, match="an answer to item other, which is not in the study"):
        make_report(study, [said(1, "other", 3)])


def test_agreement_is_krippendorff_s():
    # the table of Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), example C
    rows = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .")
    table = [(r, c, int(v)) for r, row in enumerate(rows) for c, v in enumerate(row.split()) if v != "."]
    assert alpha([said(r, str(c), v) for r, c, v in table], "quality") == pytest.approx(0.815, abs=5e-4)
    nominal = alpha([said(r, str(c), v, PREFERENCE) for r, c, v in table], PREFERENCE)
    assert nominal == pytest.approx(0.743, abs=5e-4)
    assert alpha([said(1, "a", 3), said(2, "b", 4)], "quality") is None
    assert alpha([said(1, "a", 3), said(2, "a", 3)], "quality") is None


def test_the_interval_holds_the_mean_where_raters_and_clips_differ():
    rng = np.random.default_rng(1)
    people, clips = (grid.ravel() for grid in np.meshgrid(np.arange(12), np.arange(20)))
    held = narrow = 0
    for trial in range(300):
        values = rng.normal(0, 0.7, 12)[people] + rng.normal(0, 0.7, 20)[clips] + rng.normal(0, 0.7, 240)
        found = two_way_interval(Votes(values=values, raters=people, clips=clips), draws=300, seed=trial)
        assert found is not None
        held += found[0] <= 0 <= found[1]
        narrow += abs(values.mean()) <= 1.96 * values.std() / 240**0.5
    assert 0.90 <= held / 300 <= 0.99
    assert narrow / 300 < 0.6  # what it would be if all 240 were independent
    one = Votes(values=np.ones(1), raters=np.ones(1, dtype=int), clips=np.ones(1, dtype=int))
    assert two_way_interval(one) is None


def test_a_report_is_written_without_running_what_is_in_names(tmp_path):
    evil = "<script>alert(1)</script>"
    items = tuple(Item(id=f"{n}", clip=f"{evil}{n}", systems=(evil,), media=("x",)) for n in range(2))
    study = Study(
        title=evil,
        kind="single",
        questions=("quality",),
        seed=0,
        per_rater=0,
        checks=0,
        systems=(evil,),
        items=items,
    )
    report = make_report(study, [said(r, f"{n}", 1 + (r + n) % 5) for r in range(1, 5) for n in range(2)])
    words, values, page = write_report(report, tmp_path / "out")
    assert evil not in page.read_text()
    assert page.read_text().count("<script") == 1  # the page's own
    assert "&lt;script&gt;" in page.read_text()
    assert "| quality ↑ |" in words.read_text()
    found = json.loads(values.read_text())
    assert found["table"]["lines"][0]["cells"]["quality"]["n"] == 8
    assert found["raters"]["2"]["counts"] is True
    assert set(found["agreement"]) == {"quality"}


def test_the_command_from_folders_to_a_report(tmp_path, capsys):
    folders = write_sounds(tmp_path)
    study = str(tmp_path / "study")
    generated = [f"{name}={folder}" for name, folder in folders.items()]
    assert main(["rate", "make", study, "--generated", *generated, "--raters", "2", "--checks", "1"]) == 0
    assert "7 items for each of 2 raters; next: echoframe rate serve" in capsys.readouterr().out
    assert main(["rate", "links", study, "--add", "1", "--url", "https://sounds.example/x/"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("   0 of 7    https://sounds.example/x/r/" in line for line in lines)
    assert main(["rate", "links", study, "--host", "::1"]) == 0
    assert "http://[::1]:8000/r/" in capsys.readouterr().out
    assert len(load_study(tmp_path / "study").systems) == 2
    assert main(["rate", "report", study]) == 2
    with closing(Answers(tmp_path / "study" / ANSWERS)) as answers:
        rater = answers.raters()[0]
        for item in load_study(tmp_path / "study").items_for(rater.number):
            answers.save(
                rater, item.id, {"quality": item.beeps[0] if item.beeps else random.Random(item.id).choice([2, 4])}
            )
    capsys.readouterr()
    assert main(["rate", "report", study, "-o", str(tmp_path / "report")]) == 0
    assert "6 answers of 1 raters on 3 clips" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"rating.md", "rating.json", "rating.html"}


def test_options_that_are_given_again_add_up(tmp_path):
    folders = write_sounds(tmp_path, films=True)
    again = [word for name, folder in folders.items() for word in ("--generated", f"{name}={folder}")]
    asked = ["--questions", "quality", "--questions", "synchrony", "--video", str(tmp_path / "films")]
    assert main(["rate", "make", str(tmp_path / "study"), *again, *asked, "--checks", "0"]) == 0
    study = load_study(tmp_path / "study")
    assert study.systems == ("ours", "theirs")
    assert study.questions == ("quality", "synchrony")


def test_links_of_a_study_without_raters_say_how_to_invite_some(tmp_path, capsys):
    _, folder = small_study(tmp_path)
    assert main(["rate", "links", str(folder)]) == 0
    found = capsys.readouterr()
    assert found.out == ""
    assert f"no rater is invited yet; echoframe rate links {folder} --add 10 invites ten" in found.err
    assert main(["rate", "links", str(folder), "--add", "1"]) == 0
    assert "invited" not in capsys.readouterr().err


def test_commands_that_cannot_be_carried_out(tmp_path, capsys):
    folders = write_sounds(tmp_path)
    study, ours = str(tmp_path / "study"), f"ours={folders['ours']}"

    def refused(words: str, *arguments: str) -> None:
        assert main(["rate", *arguments]) == 2
        assert words in capsys.readouterr().err

    refused("0 raters; expected 1 or more", "make", study, "--generated", ours, "--raters", "0")
    refused('--generated "ours": expected NAME=FOLDER', "make", study, "--generated", "ours")
    refused("holds no study", "serve", study)
    assert main(["rate", "make", study, "--generated", ours]) == 0
    refused("--add -1; expected 0 or more", "links", study, "--add", "-1")
    for url in ("sounds", "http://[", "http:", "https:///r", "httpx://host", "ftp://host", ""):
        words = f'--url "{url}": expected an address such as https://example.org'
        refused(words, "links", study, "--add", "1", "--url", url)
        refused(words, "serve", study, "--url", url)
    with closing(Answers(tmp_path / "study" / ANSWERS)) as answers:
        assert len(answers.raters()) == 10  # none more of a command that was refused
    refused("no.such.host.invalid:8000: cannot listen there", "serve", study, "--host", "no.such.host.invalid")
    refused("--port 70000: expected 0 to 65535", "serve", study, "--port", "70000")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(f"127.0.0.1:{port}: cannot listen there", "serve", study, "--port", str(port))
