"""Several runs into one folder: each result keeps its record, and nothing is replaced that was not asked for."""

import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import soundfile

from echoframe.apps import cli
from echoframe.errors import InputError
from echoframe.lock import exclusive_lock
from echoframe.provenance import read_provenance, record_of, record_path
from planted_video import write_video
from tiny_bundles import write_tiny_mini


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a film, a model, and what a first run made of them: out/one.wav and out/one.mp4."""
    folder = tmp_path_factory.mktemp("made")
    write_video(folder / "one.mp4", n_frames=10, rate=Fraction(10))
    write_tiny_mini(folder / "tiny")
    assert generate(folder, "-o", folder / "out") == 0
    return folder


@pytest.fixture
def again(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "again"))


def generate(folder: Path, *args: object) -> int:
    clip = folder / "one.mp4"
    words = ["generate", clip, "--model", folder / "tiny", "--duration", 0.3, "--quiet", *args]
    return cli.main([str(word) for word in words])


def seed_of(path: Path) -> int:
    return read_provenance(record_path(path)).settings.seed


def test_every_result_has_its_record_beside_it(made):
    names = sorted(path.name for path in (made / "out").iterdir())
    assert names == ["one.mp4", "one.mp4.json", "one.wav", "one.wav.json"]
    assert (made / "out" / "one.wav.json").read_bytes() == (made / "out" / "one.mp4.json").read_bytes()
    assert read_provenance(made / "out" / "one.wav.json").outputs.keys() == {"one.wav", "one.mp4"}


def test_a_second_name_does_not_orphan_the_first(again, capsys):
    assert generate(again, "-o", again / "out" / "one.flac", "--seed", 1) == 0
    assert generate(again, "-o", again / "out", "--no-mux", "--seed", 2, "--overwrite") == 0
    assert [seed_of(again / "out" / name) for name in ("one.flac", "one.wav", "one.mp4")] == [1, 2, 0]
    assert generate(again, "-o", again / "out") == 2
    assert "not written by EchoFrame" not in capsys.readouterr().err


def test_another_way_of_making_it_is_told_and_needs_overwrite(again, capsys):
    before = (again / "out" / "one.wav").read_bytes()
    for asked, words in (
        (["--seed", 1], "out/one.wav: is an earlier result, made with seed 0; replace it with --overwrite, or choose"),
        (["--steps", 3, "--original-level", -6], "made with steps 2, original level None; replace it"),
    ):
        assert generate(again, "-o", again / "out", *asked) == 2
        assert words in capsys.readouterr().err
    record = again / "out" / "one.wav.json"
    values = json.loads(record.read_text())
    for change, words in (
        ({"bundle": {"name": "other", "version": "2"}}, "made by another model, other 2; replace it"),
        ({"input": {"path": "", "sha256": "0"}}, "made from another clip, or from this one before it changed; replace"),
        ({"machine": values["machine"] | {"device": "cuda"}}, "made on cuda in float32; replace it"),
    ):
        record.write_text(json.dumps(values | change))
        assert generate(again, "-o", again / "out") == 2
        assert words in capsys.readouterr().err
    assert (again / "out" / "one.wav").read_bytes() == before
    assert generate(again, "-o", again / "out", "--overwrite") == 0
    assert seed_of(again / "out" / "one.wav") == 0


def test_what_was_made_so_is_completed_without_a_word(again):
    assert generate(again, "-o", again / "out", "--picture") == 0
    (again / "out" / "one.wav").unlink()
    assert generate(again, "-o", again / "out") == 0
    assert soundfile.info(again / "out" / "one.wav").frames == 4800


def test_a_record_of_an_earlier_version_is_read(again, capsys):
    out = again / "out"
    (out / "one.wav.json").rename(out / "one.json")
    (out / "one.mp4.json").unlink()
    (out / "one.mp4").rename(out / "one.sound.mp4")
    old = json.loads((out / "one.json").read_text())
    old["outputs"]["one.sound.mp4"] = old["outputs"].pop("one.mp4")
    (out / "one.json").write_text(json.dumps(old))
    assert all(record_of(out / name) == read_provenance(out / "one.json") for name in ("one.wav", "one.sound.mp4"))
    assert record_of(out / "one.mp4") is None
    assert generate(again, "-o", out, "--no-mux", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "kept"
    assert generate(again, "-o", out, "--no-mux", "--seed", 1) == 2
    assert generate(again, "-o", out, "--no-mux", "--seed", 1, "--overwrite") == 0
    assert (seed_of(out / "one.wav"), read_provenance(out / "one.json").settings.seed) == (1, 0)


def test_a_file_in_the_place_of_a_record_is_kept(again, capsys):
    (again / "out" / "two.wav.json").write_text("{}")
    assert generate(again, "-o", again / "out" / "two.wav") == 2
    assert "two.wav.json: exists and was not written by EchoFrame" in capsys.readouterr().err


def test_each_seed_has_a_name_of_its_own(again, capsys):
    assert generate(again, "-o", again / "all", "--seeds", "0,4-5") == 0
    assert [seed_of(again / "all" / f"one.s{seed}.{kind}") for seed in (0, 4, 5) for kind in ("wav", "mp4")] == [
        *(0, 0, 4, 4, 5, 5)
    ]
    assert len({path.read_bytes() for path in (again / "all").glob("*.wav")}) == 3
    assert (again / "all" / "one.s0.wav").read_bytes() == (again / "out" / "one.wav").read_bytes()
    assert generate(again, "-o", again / "all" / "two.flac", "--seed", 7, "--samples", 2) == 0
    assert [seed_of(again / "all" / name) for name in ("two.s7.flac", "two.s8.flac")] == [7, 8]
    assert generate(again, "-o", again / "all", "--seeds", "0,4-5", "--steps", 3) == 1
    assert "0 of 3 sounds done, 3 failed" in capsys.readouterr().err


def test_two_runs_into_one_folder(again, capsys):
    with exclusive_lock(again / "out", "echoframe generate"):
        assert generate(again, "-o", again / "out" / "two.wav") == 2
    words = f"out: in use by echoframe generate (process {os.getpid()} on "
    assert words in capsys.readouterr().err
    assert generate(again, "-o", again / "out" / "two.wav") == 0
    assert not (again / "out" / ".lock").exists()


def test_shares_of_one_work_let_each_other_in_and_nobody_else(tmp_path):
    with exclusive_lock(tmp_path, "first", share="1-of-2"), exclusive_lock(tmp_path, "second", share="2-of-2"):
        for share, holder in (("1-of-2", "first"), ("", "first|second")):
            with pytest.raises(InputError, match=f"in use by ({holder}) .*; wait for it"):
                exclusive_lock(tmp_path, "third", share=share).__enter__()
    with (
        exclusive_lock(tmp_path, "whole"),
        pytest.raises(InputError, match="in use by whole"),
        exclusive_lock(tmp_path, "share", share="1-of-2"),
    ):
        pass
    assert not list(tmp_path.iterdir())
