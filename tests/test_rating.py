"""Listening tests: what a study holds, who is shown what, and what becomes of the answers."""

import json
import random
import socket
from contextlib import closing

import numpy as np
import pytest
import soundfile

from echoframe.apps.cli import main
from echoframe.errors import InputError
from echoframe.evaluation.sounds import Listening, listen
from echoframe.loudness import integrated_loudness
from echoframe.rating.answers import Answer, Answers
from echoframe.rating.report import Votes, alpha, make_report, two_way_interval, write_report
from echoframe.rating.study import ANSWERS, MEDIA, PREFERENCE, Item, Study, StudyConfig, load_study, make_study
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
    given = [Item(id=f"check{n}", clip="", systems=("check",), media=("x",), beeps=beeps) for n in range(checks)]
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
    assert all(len(name) == 28 and name.endswith(".mp4") for name in names)
    assert {item.systems for item in study.items} == {("ours",), ("theirs",), ("check",)}


def test_sounds_are_played_at_one_loudness(tmp_path):
    study, folder = small_study(tmp_path, checks=0)
    assert study.questions == ("quality",)
    levels = []
    for item in study.items:
        sound = listen(folder / MEDIA / item.media[0], Listening())
        levels.append(integrated_loudness(sound.waveform, sound.sample_rate))
    np.testing.assert_allclose(levels, -23.0, atol=0.3)


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
    assert "Missing in ours: clip9." in study.notes
    assert told[-1] == "2 of 2 clips ready"


def test_a_long_sound_is_cut_and_that_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / "long.wav", 0.1 * np.ones(61 * 1000), 1000)
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
    refused("pairs ask which sound is preferred, and nothing else", pairs=True, questions=("quality",))
    refused('"beauty" is no question; expected some of quality', questions=("beauty",))
    refused("synchrony cannot be judged without films; give them with --video", questions=("synchrony",))
    refused("relevance to what\\? give films with --video, or labels", questions=("relevance",))
    refused("-1 clips and 2 checks a rater; expected 0 or more", per_rater=-1)
    refused("no such folder", generated={"ours": tmp_path / "nowhere"})
    (tmp_path / "films").mkdir()
    for n in range(3):
        write_video(tmp_path / "films" / f"clip{n}.mp4", n_frames=5, codec="mpeg4")
    refused("clip0.mp4: its video is mpeg4, which browsers do not play; convert it", video=tmp_path / "films")
    make_study(StudyConfig(generated=one), tmp_path / "study")
    refused("study: is there already; choose another name, or delete it with all its answers")
    make_study(StudyConfig(generated=one, pairs=True, reference=folders["theirs"]), tmp_path / "study2")


def test_a_sound_that_cannot_be_heard_leaves_no_half_study(tmp_path):
    folders = write_sounds(tmp_path)
    (folders["ours"] / "clip1.wav").write_bytes(b"RIFF")
    with pytest.raises(Exception, match="clip1.wav: not a sound that can be read"):
        make_study(StudyConfig(generated=folders), tmp_path / "study")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "theirs"]


def test_damaged_studies_are_named(tmp_path):
    with pytest.raises(InputError, match="holds no study .study.json is not there.; make one with echoframe rate make"):
        load_study(tmp_path)
    for text in ("{", "[]", '{"items": [{"id": 3}]}', '{"items": 3}', '{"title": "T", "items": []}'):
        (tmp_path / "study.json").write_text(text)
        with pytest.raises(InputError, match="study.json: is damaged .*; take it from a copy, or make the study again"):
            load_study(tmp_path)
    (tmp_path / ANSWERS).write_bytes(b"no database, and long enough to be taken for one" * 100)
    with pytest.raises(InputError, match=f"{ANSWERS}: cannot be used for answers .*; take it from a copy"):
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
    with pytest.raises(InputError, match="no answers that count .1 raters answered, none of them right in half"):
        make_report(study, rated(3, 2, wrong, wrong))
    with pytest.raises(InputError, match="T: no answers that count .no rater yet.; send out more links"):
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
    assert "<script" not in page.read_text()
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
    refused('--url "sounds": expected an address such as https://example.org', "links", study, "--url", "sounds")
    refused("no.such.host.invalid:8000: cannot listen there", "serve", study, "--host", "no.such.host.invalid")
    refused("--port 70000: expected 0 to 65535", "serve", study, "--port", "70000")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(f"127.0.0.1:{port}: cannot listen there", "serve", study, "--port", str(port))
