"""Adding by the engine of `extract`: the same rows as without it, and what happens to files that it fails at.

The engine is its plain loop here; tests/test_data_extract_ray.py adds to a library on a Ray cluster.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import soundfile

from echoframe import load
from echoframe.data.engine import run_plain
from echoframe.errors import BundleError
from echoframe.library import Library, cluster
from echoframe.library.ears import Ears
from library_rows import rows
from planted_sounds import RATE, click_at, noise, tone
from tiny_bundles import write_tiny_mini

pytest.importorskip("sqlite_vec")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    write_tiny_mini(path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return load(str(folder), device="cpu")


@pytest.fixture
def sounds(tmp_path) -> Path:
    """Events, one of them twice and one file of several; an ambience; and a file that is no sound."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for hz in (200, 300):
        soundfile.write(sounds / f"{hz}.wav", tone(0.5, hz), RATE)
    soundfile.write(sounds / "clicks.flac", click_at([0.1, 1.0], 2.0), RATE)
    shutil.copy(sounds / "200.wav", sounds / "same.wav")
    soundfile.write(sounds / "wind.wav", noise(4.5, 0.1), RATE)
    (sounds / "empty.wav").touch()
    return sounds


@pytest.fixture
def engine(monkeypatch) -> Callable[..., list[list[int]]]:
    """Puts a plain loop in the place of Ray, from which rows get lost; gives the numbers of the rows of each wave."""

    def put(*lost: int) -> list[list[int]]:
        waves: list[list[int]] = []

        def run(given, steps, *, workers):
            assert (workers, steps.on_gpu) == (3, False)
            waves.append([row["n"] for row in given])
            return (row for row in run_plain(given, steps) if row["n"] not in lost)

        monkeypatch.setattr(cluster, "ray_session", lambda address: nullcontext())
        monkeypatch.setattr(cluster, "cluster_device", lambda device: {"auto": "cpu"}[device])
        monkeypatch.setattr(cluster, "run_ray", run)
        return waves

    return put


def add(library: Library, sounds: Path):
    return library.add(sounds, ray_address="somewhere", workers=3)


def lost(library: Library) -> Iterator[tuple[str, str, str]]:
    return ((entry.path.name, entry.reason, entry.detail) for entry in library if entry.state == "lost")


def test_rows_are_the_same_and_waves_know_what_came_before(tmp_path, sounds, model, engine, monkeypatch):
    waves, told = engine(), []
    monkeypatch.setattr(cluster, "WAVE", 4)
    with Library.create(tmp_path / "here.library", model) as library:
        expected = library.add(sounds)
    with Library.create(tmp_path / "there.library", model) as library:
        found = library.add(sounds, ray_address="a", workers=3, progress=lambda *args: told.append(args[:2]))
        assert waves == [[0, 1, 2, 3], [0, 1]]
        heard = []
        monkeypatch.setattr(cluster, "examine", lambda path, **known: heard.append(path))
        assert add(library, sounds).n_same == 6
        assert heard == []
        assert len(waves) == 2  # nobody was asked
    assert found == expected
    assert told == [(n, 6) for n in range(1, 7)]
    assert rows(tmp_path / "there.library") == rows(tmp_path / "here.library")


def test_a_file_at_which_every_process_died_is_tried_again(tmp_path, sounds, model, engine):
    engine(1, 5)
    with Library.create(tmp_path / "my.library", model) as library:
        assert add(library, sounds).lost_by_reason == {"broken": 1, "unreadable": 2}
        died = "the process that worked on it died each time"
        assert [*lost(library)][::2] == [("300.wav", "unreadable", died), ("wind.wav", "unreadable", died)]
        engine()
        found = add(library, sounds)
        assert (found.n_new, found.n_duplicates, found.lost_by_reason) == (2, 0, {"broken": 1})


def test_pieces_that_cannot_be_embedded_are_a_row_and_tried_again(tmp_path, sounds, model, engine, monkeypatch):
    engine()
    embed = Ears.embed

    def embedded(self, waveforms, sample_rate):
        if len(waveforms) == 2:
            raise RuntimeError("out of\nmemory")
        return embed(self, waveforms, sample_rate)

    monkeypatch.setattr(Ears, "embed", embedded)
    with Library.create(tmp_path / "my.library", model) as library:
        assert add(library, sounds).n_lost == 2
        detail = "its pieces cannot be embedded (RuntimeError: out of memory)"
        assert ("clicks.flac", "unreadable", detail) in lost(library)
        monkeypatch.setattr(Ears, "embed", embed)
        assert add(library, sounds).lost_by_reason == {"broken": 1}
        assert library.check() == []


def test_a_cluster_whose_model_hears_otherwise_is_refused(tmp_path, sounds, folder, engine):
    moved = tmp_path / "model"
    shutil.copytree(folder, moved)
    engine()
    with Library.create(tmp_path / "my.library", load(str(moved), device="cpu")) as library:
        shutil.rmtree(moved)
        write_tiny_mini(moved, seed=1)
        with pytest.raises(
            BundleError, match=r"a known sound lies elsewhere \(cosine .*use the model it was made with"
        ):
            add(library, sounds)
        assert len(library) == 0
