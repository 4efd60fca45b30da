"""`echoframe generate --ray-address`: the files of the plain loop, and what is told of those that cannot be made.

The engine is its plain loop here; tests/test_data_extract_ray.py generates on a Ray cluster.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from echoframe.apps import cli
from echoframe.data.engine import run_plain
from echoframe.errors import VideoError
from echoframe.jobs import ahead, cluster
from echoframe.jobs.ahead import Ahead, packed
from echoframe.media.video import probe
from echoframe.options import Request
from echoframe.pipeline import EchoFrame
from echoframe.sound.decoding import decode
from fakes import fake_model
from listed_films import names, write_films


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def engine(monkeypatch) -> Callable[..., list[int]]:
    """Puts a plain loop in the place of Ray, at which the given rows get lost, the first time or always.

    Returns how many rows each run has, to be filled.
    """

    def put(*lost: int, again: bool = False) -> list[int]:
        runs: list[int] = []

        def run(given, steps, *, workers):
            assert (workers, steps.on_gpu) == (None, False)
            runs.append(len(given))
            gone = lost if len(runs) == 1 or again else ()
            return run_plain([row for row in given if row["n"] not in gone], steps)

        monkeypatch.setattr(cluster, "ray_session", lambda address, *, row_bytes: nullcontext())
        monkeypatch.setattr(cluster, "cluster_device", lambda device: {"auto": "cpu", "cpu": "cpu"}[device])
        monkeypatch.setattr(cluster, "run_ray", run)
        return runs

    return put


def generate(folder: Path, *args: object) -> int:
    words = ["generate", "--model", folder / "tiny", "--duration", "0.2", *args]
    return cli.main([str(word) for word in words])


def on_ray(folder: Path, *args: object) -> int:
    return generate(folder, "--ray-address", "local", *args)


def test_files_lines_and_records_are_those_of_the_plain_loop(films, tmp_path, engine, monkeypatch, capsys):
    """With a clip that is no film, relative names, seeds that share what was read, films and pictures."""
    runs = engine()
    monkeypatch.chdir(films)
    (films / "bad.mp4").write_text("no film")
    command = ["one.mp4", "bad.mp4", "two.mp4", "--seeds", "0-1", "--batch-size", "4", "--picture"]
    reads, read = [], ahead.decode
    monkeypatch.setattr(ahead, "decode", lambda clip, *args: (reads.append(clip.path.name), read(clip, *args))[1])
    assert on_ray(films, *command, "-o", tmp_path / "out") == 1
    assert runs == [2]
    assert reads == ["one.mp4", "two.mp4"]
    there = capsys.readouterr()
    shutil.move(tmp_path / "out", tmp_path / "there")
    assert generate(films, *command, "-o", tmp_path / "out") == 1
    here = capsys.readouterr()
    assert (there.out, there.err) == (here.out, here.err)
    assert here.err.count("bad.mp4: ") == 2
    assert names(tmp_path / "there") == names(tmp_path / "out")
    assert len(names(tmp_path / "out")) == 4 * 6
    for name in names(tmp_path / "out"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name


def test_what_is_done_is_not_read_again(films, tmp_path, engine, monkeypatch, capsys):
    engine()
    clips = [films / f"{name}.mp4" for name in ("one", "two")]
    assert on_ray(films, clips[0], "-o", tmp_path, "--no-mux") == 0
    before = (tmp_path / "one.wav").stat().st_mtime_ns
    assert on_ray(films, *clips, "-o", tmp_path, "--no-mux", "--json") == 0
    monkeypatch.setattr(ahead, "decode", None)  # nobody is asked
    monkeypatch.setattr(cluster, "run_batch", lambda model, orders, writing: iter(orders and [1 / 0]))
    assert on_ray(films, *clips, "-o", tmp_path, "--no-mux", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line["status"] for line in lines] == ["kept", "made", "kept", "kept"]
    assert (tmp_path / "one.wav").stat().st_mtime_ns == before
    assert on_ray(films, *clips, "-o", tmp_path, "--no-mux", "--seed", 3) == 1
    assert capsys.readouterr().err.count("is an earlier result, made with seed 0; replace it with --overwrite") == 2


def test_a_batch_whose_process_died_is_tried_again_clip_by_clip(films, tmp_path, engine, capsys):
    clips = [films / f"{name}.mp4" for name in ("one", "two", "six")]
    runs = engine(0)
    assert on_ray(films, *clips, "-o", tmp_path / "out", "--no-mux", "--batch-size", 2) == 0
    assert runs == [2, 2]
    assert [name for name in names(tmp_path / "out") if name.endswith(".wav")] == ["one.wav", "six.wav", "two.wav"]
    engine(0, again=True)
    capsys.readouterr()
    assert on_ray(films, *clips, "-o", tmp_path / "lost", "--no-mux", "--batch-size", 2) == 1
    assert f"{clips[0]}: the process that worked on it died each time" in capsys.readouterr().err
    assert [name for name in names(tmp_path / "lost") if name.endswith(".wav")] == ["six.wav", "two.wav"]


def test_failures_of_the_actor_are_told_as_here(films, tmp_path, engine, monkeypatch, capsys):
    engine()
    clips = [films / "one.mp4", films / "two.mp4"]
    assert on_ray(films, *clips, "-o", tmp_path, "--prompt", "qqqq xxxx") == 1
    assert on_ray(films, clips[0], "-o", tmp_path, "--prompt", "qqqq xxxx") == 2
    assert capsys.readouterr().err.count("names no sound that is known") == 3

    def broken(sound, job, writing):
        raise RuntimeError("no luck") if job.clip.stem == "one" else VideoError("two: no film")

    monkeypatch.setattr("echoframe.jobs.orders.write_results", broken)
    assert on_ray(films, *clips, "-o", tmp_path, "--batch-size", 2) == 1
    told = capsys.readouterr().err
    assert f"{clips[0]}: unexpected RuntimeError: no luck" in told
    assert "echoframe: two: no film" in told


def test_a_generator_that_fails_at_a_batch_is_asked_for_one_clip_at_a_time(
    films, tmp_path, engine, monkeypatch, capsys
):
    clips = [films / "one.mp4", films / "two.mp4"]
    real, given = cluster.RowMaker.__call__, []

    def called(self, row):
        given.append(len(self._work.batches[row["n"]]))
        try:
            return real(self, row)
        except MemoryError:  # as Ray does it
            return {"n": -1}

    def broken(self, target, **options):
        raise MemoryError("too much")

    engine()
    monkeypatch.setattr(cluster.RowMaker, "__call__", called)
    monkeypatch.setattr(EchoFrame, "generate_candidates", broken)
    assert on_ray(films, *clips, "-o", tmp_path, "--batch-size", 2) == 1
    assert given == [2, 1, 1]
    assert capsys.readouterr().err.count("unexpected MemoryError: too much") == 2


def test_a_sound_of_words_needs_no_clip(films, tmp_path, engine):
    engine()
    assert on_ray(films, "--prompt", "rain", "-o", tmp_path) == 0
    assert names(tmp_path) == ["rain.wav", "rain.wav.json"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--library", "my.library"], "a library is open on one machine alone; leave out --library or"),
        (["--device", "gpu7"], 'device "gpu7" is not known; choose auto'),
    ],
)
def test_what_a_cluster_does_not_do(args, words, films, tmp_path, engine, capsys):
    engine()
    assert on_ray(films, films / "one.mp4", "-o", tmp_path / "out", *args) == 2
    assert words in capsys.readouterr().err


def test_a_record_is_made_again_on_one_machine(films, tmp_path, capsys):
    assert generate(films, films / "one.mp4", "-o", tmp_path / "a.wav", "--no-mux") == 0
    words = ["generate", "--from", tmp_path / "a.wav.json", "-o", tmp_path / "b.wav", "--ray-address", "local"]
    assert cli.main([str(word) for word in words]) == 2
    assert "makes one sound again, which a cluster does no sooner; leave out --ray-address" in capsys.readouterr().err


@pytest.mark.parametrize("most_parts", [0, 4])
def test_what_was_read_ahead_is_what_would_be_read(most_parts, films, monkeypatch):
    """Images too; those of a film of many parts are decoded where they are needed."""
    monkeypatch.setattr(ahead, "MOST_PARTS", most_parts)
    model, clip = fake_model(), probe(films / "six.mp4")
    settings = model.resolve(clip, Request(duration_s=9.0, sync=0.5))
    values, images = packed(clip, settings, model.eyes)
    assert bool(images) == bool(most_parts)
    values = json.loads(json.dumps(values))
    found = Ahead([(clip, settings, values, memoryview(images))])(clip, settings, model.eyes)
    expected = decode(clip, settings, model.eyes)
    assert found.input_id == expected.input_id
    assert found.watched is not None
    assert expected.watched is not None
    assert found.watched.borders == expected.watched.borders
    assert found.watched.cues.onsets == expected.watched.cues.onsets
    np.testing.assert_array_equal(found.watched.cues.activity, expected.watched.cues.activity)
    for one, other in zip(found.frames or (), expected.frames or (), strict=True):
        assert one.times_s == other.times_s
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.images, other.images)
