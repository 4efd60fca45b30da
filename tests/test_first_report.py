"""The first report's recipe: what it asks for, the lists, the table, and a whole trial, unbroken and killed."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from echoframe.errors import InputError
from echoframe.evaluation.table import Cell, Column
from planted_embeddings import write_set

RECIPES = Path(__file__).parents[1] / "recipes"
FOLDER = RECIPES / "first_report"
N_KILLS = 10
SEEDS = "mlp: mean of 2 seeds"


@pytest.fixture
def programs(monkeypatch):
    """The recipe's modules, which are forgotten after the test."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    import clip_lists
    import judged
    import report_table
    import settings
    import systems

    yield SimpleNamespace(
        clip_lists=clip_lists, judged=judged, report_table=report_table, settings=settings, systems=systems
    )
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def asked(tmp_path) -> list[str]:
    """What the Makefile asks of settings.py, of a folder with a film's name."""
    (tmp_path / "films").mkdir()
    (tmp_path / "theirs").mkdir()
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("clip,rain\n")
    words = [f"--work={tmp_path / 'work'}", f"--start={tmp_path}", "--clips=films", "--train=train.csv"]
    words += ["--test=test.csv", "--model=mini", "--sampling=--whole", "--systems", "mlp.s0", "mlp.s1", "prior.s0"]
    return [*words, "--protocols", "seed", "echoframe", "--baselines", "Im2Wav=theirs"]


def test_what_is_asked_for_is_written_down_and_held_to(programs, asked, tmp_path):
    settings, work = programs.settings, tmp_path / "work"
    settings.main(asked)
    given, judging = (settings.read(work, name) for name in ("given.json", "judging.json"))
    assert given["clips"] == str(tmp_path / "films")
    assert (work / "given").resolve() == tmp_path / "films"
    assert judging["baselines"] == {"Im2Wav": str(tmp_path / "theirs")}
    written = (work / "judging.json").stat().st_mtime_ns
    settings.main(asked)
    assert (work / "judging.json").stat().st_mtime_ns == written
    (tmp_path / "theirs" / "clip.wav").write_bytes(b"sound")
    settings.main(asked)
    assert (work / "judging.json").stat().st_mtime_ns > written
    settings.main([*asked, "--sampling=--steps 9"])
    settings.main(asked)
    (work / "done" / "sounds-mlp.s0").touch()
    with pytest.raises(
        InputError, match='was begun with sampling "--whole", and this is "--steps 3"; give another folder'
    ):
        settings.main([*asked, "--sampling=--steps 3"])
    (tmp_path / "test.csv").write_text("another,rain\n")
    with pytest.raises(InputError, match="was begun with test list's sha256"):
        settings.main(asked)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--clips=nowhere"], "CLIPS=nowhere: there is nothing at .*nowhere; give a path that exists"),
        (["--baselines", "theirs"], 'BASELINES "theirs": expected NAME=PATH, and each name once'),
        (["--weights", "yamnet=gone.tflite"], "WEIGHTS=gone.tflite: there is nothing at"),
        (["--systems", "gru.s0"], 'there is no mapper "gru" here; choose of bilstm, mlp'),
        (["--protocols", "sede"], '"sede" is not a protocol'),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(programs, asked, tmp_path, words, match):
    with pytest.raises(InputError, match=match):
        programs.settings.main([*asked, *words])
    assert not (tmp_path / "work").exists()


def test_weights_that_were_fetched_are_found(programs, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(programs.settings, "find_weights", lambda judge: Path("fetched") / judge)
    (tmp_path / "own.pth").touch()
    programs.settings.main([*asked, "--weights", "passt=own.pth"])
    weights = programs.settings.read(tmp_path / "work", "judging.json")["weights"]
    assert weights == {"passt": str(tmp_path / "own.pth"), "vggish": "fetched/vggish"}


def test_no_film_is_learned_from_and_judged(programs, tmp_path):
    join = programs.clip_lists.join
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("aaaaaaaaaaa_000001,rain,train\nbbbbbbbbbbb_000001,rain,val\nccccccccccc_000001,rain,test\n")
    test.write_text("ddddddddddd_000001,rain\naaaaaaaaaaa_000009,rain\n")
    with pytest.raises(InputError, match=r"train.csv: gives no clip of split train; list more clips"):
        join(train, test)
    test.write_text("ddddddddddd_000001,rain\n")
    assert {row.key: row.split for row in join(train, test)} == {
        "aaaaaaaaaaa_000001": "train",
        "bbbbbbbbbbb_000001": "val",
        "ddddddddddd_000001": "test",
    }
    both = tmp_path / "both.csv"
    both.write_text("".join(f"clip{n},rain,{'test' if n < 3 else 'train'}\n" for n in range(40)))
    splits = [row.split for row in join(both, both)]
    assert splits.count("test") == 3
    assert splits.count("val") >= 1


def test_films_that_are_not_there_are_said_before_any_is_embedded(programs, tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    (tmp_path / "given").mkdir()
    for name in ("film1", "film2", "film3"):
        (tmp_path / "clips" / f"{name}.mp4").touch()
    listed = tmp_path / "split.csv"
    listed.write_text("film1,rain,train\nfilm2,rain,val\nfilm3,rain,test\nfilm4,rain,test\n")
    programs.clip_lists.check(tmp_path)
    assert "1 of 2 test films are there" in capsys.readouterr().out
    listed.write_text("film1,rain,train\nfilm2,rain,val\nfilm4,rain,test\n")
    with pytest.raises(InputError, match=r"has none of the films of split test; expected files that are named"):
        programs.clip_lists.check(tmp_path)


def test_only_films_with_embeddings_are_judged(programs, tmp_path):
    points, splits = np.ones((3, 2, 4)), ("train", "val", "test")
    (tmp_path / "clips").mkdir()
    listed = []
    for n, split in [*enumerate(splits), (3, "test")]:
        (tmp_path / "clips" / f"film{n:07d}_000010.mp4").touch()
        listed.append(f"film{n:07d}_000010,rain,{split}\n")
    (tmp_path / "split.csv").write_text("".join(listed))
    write_set(tmp_path / "embeddings", points, points[:, 0], splits=splits)
    programs.clip_lists.gather(tmp_path)
    assert [path.name for path in (tmp_path / "test").iterdir()] == ["film0000002_000010.mp4"]
    assert (tmp_path / "generate.csv").read_text() == "path\ntest/film0000002_000010.mp4\n"
    counts = programs.settings.read(tmp_path, "clips.json")["counts"]
    assert counts["test"] == {"listed": 2, "used": 1}
    (tmp_path / "clips" / "film0000002_000010.mp4").unlink()
    with pytest.raises(InputError, match=r"no clip of split test was embedded; see its failures.jsonl"):
        programs.clip_lists.gather(tmp_path)


def test_sounds_of_others_are_called_as_the_clips_are(programs, tmp_path):
    assert programs.judged.name_here("aaaaaaaaaaa_30000_40000") == "aaaaaaaaaaa_000030"
    assert programs.judged.name_here("aaaaaaaaaaa_30000_40000.s1") == "aaaaaaaaaaa_000030.s1"
    assert programs.judged.name_here("bouncing_4") == "bouncing_4"
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "aaaaaaaaaaa_30000_40000.WAV").touch()
    for _ in range(2):
        place = programs.judged.baseline("a/b", theirs, tmp_path)
        assert [path.name for path in place.iterdir()] == ["aaaaaaaaaaa_000030.wav"]


def test_each_system_is_trained_bundled_and_heard_once(programs, asked, tmp_path):
    work, ran = tmp_path / "work", []
    programs.settings.main([*asked, "--training=--set steps=3", "--training-prior=--set prior.depth=1"])

    def run(words: list[str]) -> int:
        ran.append(words)
        return 2 if len(ran) == 3 else 0

    assert programs.systems.main(["--work", str(work), "--generate=--batch-size 8"], run) == 2
    assert [words[0] for words in ran] == ["train", "models", "generate"]
    assert ran[2][-3:] == ["--whole", "--batch-size", "8"]
    assert programs.systems.main(["--work", str(work)], run) == 0
    assert [words[0] for words in ran[3:]] == ["generate", *["train", "models", "generate"] * 2]
    assert "seed=1" in ran[4]
    assert ran[4][-2:] == ["--set", "steps=3"]
    assert ran[7][-4:] == ["--set", "steps=3", "--set", "prior.depth=1"]


def test_a_few_films_without_a_sound_stop_nothing(programs, asked, tmp_path):
    work, sounds = tmp_path / "work", tmp_path / "work" / "sounds" / "mlp.s0"
    programs.settings.main([*asked, "--systems", "mlp.s0"])
    (work / "test.csv").write_text("".join(f"clip{n},rain\n" for n in range(40)))
    sounds.mkdir(parents=True)

    def run(words: list[str]) -> int:
        return 1 if words[0] == "generate" else 0

    for n in range(37):
        (sounds / f"clip{n}.wav").touch()
    assert programs.systems.main(["--work", str(work)], run) == 1
    (sounds / "clip37.wav").touch()
    assert programs.systems.main(["--work", str(work)], run) == 0


def test_a_protocol_is_left_out_only_where_no_judge_has_weights(programs, asked, tmp_path, capsys):
    work, ran = tmp_path / "work", []
    (tmp_path / "theirs" / "clip.wav").touch()
    (tmp_path / "weights.pth").touch()
    programs.settings.main(asked)
    assert programs.judged.main(["--work", str(work)], lambda words: ran.append(words) or 1) == 0
    assert [words[2] for words in ran] == ["echoframe"]
    assert f"Im2Wav={work / 'baselines' / 'Im2Wav'}" in ran[0]
    assert "protocol seed: not judged" in capsys.readouterr().out
    programs.settings.main([*asked, "--weights", "passt=weights.pth"])
    assert programs.judged.main(["--work", str(work)], lambda words: ran.append(words) or 2) == 2
    assert ran[1][2] == "seed"
    assert f"passt={tmp_path / 'weights.pth'}" in ran[1]


def evaluated(path: Path, *systems: str) -> None:
    """An evaluation.json with a FAD for each row: 1, 2, ..."""
    names = [*systems, SEEDS, "floor: reference against itself", "chance: mlp.s0, pairs shuffled"]
    columns = [Column(key="fad", title="FAD VGGish", better="lower", digits=2)]
    cells = [
        {"fad": asdict(Cell(value=float(i), n=3, deviation=0.5 if name == SEEDS else None))}
        for i, name in enumerate(names, start=1)
    ]
    lines = [{"name": name, "cells": each} for name, each in zip(names, cells, strict=True)]
    table = {"columns": [asdict(column) for column in columns], "lines": lines, "notes": ["On 3 clips."]}
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"table": table}))


def test_the_table_has_the_reports_rows_and_figures_and_its_doubts(programs, asked, tmp_path):
    work = tmp_path / "work"
    programs.settings.main([*asked, "--baselines", "Im2Wav=theirs", "Another=theirs"])
    counts = {"test": {"listed": 4, "used": 3}}
    programs.settings.write(work, "clips.json", {"counts": counts, "visual space": "clip"})
    evaluated(work / "judged" / "seed" / "evaluation.json", "mlp.s0", "mlp.s1", "prior.s0", "Im2Wav", "Another")
    programs.report_table.main(["--work", str(work)])
    text = (work / "table.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    by_mapper = {(row[0], row[2]): row for row in rows[2:]}
    assert by_mapper["EchoFrame", "MLP without residual"][1] == "clip"
    assert by_mapper["EchoFrame", "MLP without residual"][5:] == ["6.00 ± 0.50", "3"]
    assert by_mapper["Im2Wav", "-"][5:] == ["4.00", "3"]
    assert "11.44" in by_mapper["Im2Wav", "-"][3]
    assert [row[0] for row in rows[2:5]] == ["SpecVQGAN", "Im2Wav", "Diff-Foley"]
    assert [row[0] for row in rows[-3:]] == [
        "Another",
        "floor: reference against itself",
        "chance: mlp.s0, pairs shuffled",
    ]
    assert not any(mapper.startswith("best regression") for _, mapper in by_mapper)
    for words in (
        "Two metrics seem to be mixed",
        "3 of 4 test",
        "Protocol echoframe: not judged",
        "On 3 clips.",
        "What follows ±",
    ):
        assert words in text
    assert "Not measured here: SpecVQGAN, Diff-Foley, EchoFrame (Bi-LSTM)" in text
    with (work / "table.csv").open(newline="") as file:
        numbers = list(csv.DictReader(file))
    assert {line["value"] for line in numbers if line["model"] == "Diff-Foley"} == {"9.87", "6.43"}
    (work / "judged" / "seed" / "evaluation.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"evaluation.json: not an evaluation .*; remove its folder, and run make again"
    ):
        programs.report_table.main(["--work", str(work)])


def trial(work: Path) -> subprocess.Popen[str]:
    words = ["make", "-C", str(FOLDER), "SMALL=1", f"WORK={work}", f"PYTHON={sys.executable}"]
    environment = {**os.environ, "PYTHONPATH": str(RECIPES.parent / "src"), "OMP_NUM_THREADS": "1"}
    out: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(words, env=environment, text=True, start_new_session=True, **out)


def finished(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, out[-2000:]
    return out


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, float]:
    """The folder of a whole trial, and the seconds that it took."""
    work, begun = tmp_path_factory.mktemp("first_report") / "work", time.monotonic()
    finished(trial(work))
    return work, time.monotonic() - begun


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_trial_ends_with_a_table_and_is_not_made_twice(unbroken):
    work, _ = unbroken
    text = (work / "table.md").read_text()
    assert text.count("| EchoFrame |") == 6
    assert "This is a trial" in text
    with (work / "table.csv").open(newline="") as file:
        figures = [
            line for line in csv.DictReader(file) if line["protocol"] == "echoframe" and line["model"] == "EchoFrame"
        ]
    assert len({line["mapper"] for line in figures}) == 6
    assert {line["n"] for line in figures} == {"6"}
    assert "echoframe" not in finished(trial(work)).partition("# The first report's experiment")[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_killed_ten_times_the_table_is_the_same(unbroken, tmp_path):
    (whole, seconds), work, chance, reached = unbroken, tmp_path / "work", random.Random(0), []
    for _ in range(N_KILLS):
        process = trial(work)
        time.sleep(chance.uniform(0.02, 0.3) * seconds)
        assert process.poll() is None, "it ended before it was killed: draw shorter times"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        reached.append(len([*work.glob("done/*")]))
    print("steps done at each kill:", *reached)
    assert len(set(reached)) >= 4, f"killed at {reached} steps: draw other times"
    finished(trial(work))
    for name in ("table.md", "table.csv"):
        assert (work / name).read_bytes() == (whole / name).read_bytes()
