"""A library of sounds: what adding finds out about files, and what a search finds."""

import json
import math
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echoframe.errors import BundleError, InputError, OutputError, VideoError
from echoframe.library import Library, parts_of_file, target_of_text
from echoframe.library import add as adding
from echoframe.library import examine as examining
from echoframe.library.database import Database
from echoframe.library.ears import ears_of
from echoframe.library.entries import Kind
from echoframe.library.scan import outermost, under
from echoframe.library.search import has_picture
from echoframe.lock import exclusive_lock
from fakes import DIM, FakeEars, calls_of, fake_model
from library_rows import rows
from planted_sounds import RATE, click_at, tone
from planted_video import write_video

pytest.importorskip("sqlite_vec")


@pytest.fixture(scope="module")
def model():
    return fake_model()


@pytest.fixture
def sounds(tmp_path) -> Path:
    """Three sounds that the fake ears tell apart, and a file that is none."""
    folder = tmp_path / "sounds"
    (folder / "low").mkdir(parents=True)
    soundfile.write(folder / "low" / "hum.wav", tone(1.0, 30), RATE)
    soundfile.write(folder / "whistle_01.flac", np.stack([tone(1.5, 80)] * 2, axis=1), RATE)
    soundfile.write(folder / "three clicks.wav", click_at([0.5, 1.5, 2.5], 3.5), RATE)
    (folder / "notes.txt").write_text("no sound")
    (folder / "._hum.wav").write_text("of a Macintosh")
    return folder


def never(path: str, *, library: str) -> None:
    raise AssertionError(path)


def by_name(library: Library) -> dict[str, str]:
    return {entry.path.name: entry.reason or entry.state for entry in library}


def test_files_are_added_by_reference_and_known_the_next_time(tmp_path, sounds, model, monkeypatch):
    told = []
    with Library.create(tmp_path / "my.library", model) as library:
        added = library.add(sounds, progress=lambda *args: told.append(args))
        assert (added.n_files, added.n_new, added.n_same, added.n_lost) == (3, 3, 0, 0)
        assert told == [(1, 3, told[0][2]), (2, 3, told[1][2]), (3, 3, told[2][2])]
        hum, clicks, whistle = library
        assert hum.path == sounds / "low" / "hum.wav"
        assert (hum.sample_rate, hum.channels, hum.duration_s, hum.state) == (RATE, 1, 1.0, "done")
        assert hum.size == hum.path.stat().st_size
        assert hum.words == {"name": "hum", "folder": "low"}
        assert (whistle.channels, whistle.words["name"]) == (2, "whistle 01")
        assert [round(piece.start_s, 1) for piece in clicks.pieces] == [0.5, 1.5, 2.5]
        assert len(library) == 3
        monkeypatch.setattr(adding, "examine_for", never)  # a second run looks at sizes and times alone
        again = library.add([sounds, sounds / "low"])
        assert (again.n_files, again.n_new, again.n_same) == (3, 0, 3)
        assert library.info().size == (tmp_path / "my.library").stat().st_size
    assert not list(tmp_path.glob("*.lock*"))
    assert sorted(path.name for path in sounds.rglob("*.*")) == [
        "._hum.wav",
        "hum.wav",
        "notes.txt",
        "three clicks.wav",
        "whistle_01.flac",
    ]


def test_moved_changed_vanished_and_equal_files_are_told_apart(tmp_path, sounds, model, monkeypatch):
    path = tmp_path / "my.library"
    with Library.create(path, model) as library:
        library.add(sounds)
        before = {entry.path.name: entry for entry in library}
        heard = []
        listen = examining.listen
        monkeypatch.setattr(examining, "listen", lambda file, **lies: heard.append(file.name) or listen(file, **lies))
        (sounds / "low" / "hum.wav").rename(sounds / "moved hum.wav")
        shutil.copy(sounds / "whistle_01.flac", sounds / "whistle_02.flac")
        soundfile.write(sounds / "three clicks.wav", click_at([1.0], 2.5), RATE)
        added = library.add(sounds)
        assert (added.n_files, added.n_new, added.n_moved, added.n_duplicates, added.n_same) == (4, 1, 1, 1, 1)
        assert heard == ["three clicks.wav"]
        now = {entry.path.name: entry for entry in library}
        assert [*now] == ["moved hum.wav", "three clicks.wav", "whistle_01.flac", "whistle_02.flac"]
        assert now["moved hum.wav"].pieces == before["hum.wav"].pieces
        assert now["moved hum.wav"].words["name"] == "moved hum"
        assert now["whistle_02.flac"].pieces == now["whistle_01.flac"].pieces
        assert len(now["three clicks.wav"].pieces) == 1
        assert library.info().n_events == 3
        (found,) = library.search(torch.tensor(angle(80)), k=1)
        assert (found.path.name, [other.name for other in found.also]) == ("whistle_01.flac", ["whistle_02.flac"])

        (sounds / "moved hum.wav").rename(tmp_path / "away.wav")
        added = library.add(sounds)
        assert (added.n_lost, added.lost_by_reason) == (1, {"vanished": 1})
        assert by_name(library)["moved hum.wav"] == "vanished"
        assert all(found.path.name != "moved hum.wav" for found in library.search(torch.tensor(angle(30))))
        (tmp_path / "away.wav").rename(sounds / "moved hum.wav")
        assert library.add(sounds).n_lost == 0
        os.utime(sounds / "moved hum.wav", ns=(1, 1))
        assert library.add(sounds / "moved hum.wav").n_same == 1
        assert heard == ["three clicks.wav"]
        assert library.check() == []


def test_two_files_that_change_places_keep_their_sounds(tmp_path, model):
    """The one's content is known when it is looked at, and gone with the other when it is written."""
    one, other = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(one, tone(1.0, 30), RATE)
    soundfile.write(other, tone(1.0, 80), RATE)
    with Library.create(tmp_path / "my.library", model) as library:
        library.add([one, other])
        one.rename(tmp_path / "c.wav")
        other.rename(one)
        (tmp_path / "c.wav").rename(other)
        os.utime(one, ns=(5, 5))
        os.utime(other, ns=(6, 6))
        library.add([one, other])
        assert [library.search(torch.tensor(angle(hz)), k=1)[0].path.name for hz in (30, 80)] == ["b.wav", "a.wav"]
        assert library.check() == []


def test_what_cannot_be_used_is_a_row_with_its_reason(tmp_path, sounds, model):
    (sounds / "empty.mp3").write_bytes(b"")
    (sounds / "no sound.ogg").write_bytes(b"\0" * 5000)
    soundfile.write(sounds / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(sounds / "short.wav", tone(0.01, 50), RATE)
    lying = bytearray((sounds / "low" / "hum.wav").read_bytes())
    lying[40:44] = struct.pack("<I", 2_000_000_000)
    (sounds / "lying.wav").write_bytes(lying)
    (sounds / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    os.mkfifo(sounds / "pipe.wav")
    with Library.create(tmp_path / "my.library", model) as library:
        added = library.add(sounds)
        found = by_name(library)
        assert found == {
            "hum.wav": "done",
            "three clicks.wav": "done",
            "whistle_01.flac": "done",
            "empty.mp3": "broken",
            "lying.wav": "broken",
            "no sound.ogg": "broken",
            "pipe.wav": "unreadable",
            "short.wav": "too-short",
            "silent.wav": "silent",
        }
        assert (added.n_lost, added.n_new) == (6, 9)
        assert added.lost_by_reason == {"broken": 3, "silent": 1, "too-short": 1, "unreadable": 1}
        details = {entry.path.name: entry.detail for entry in library}
        assert details["empty.mp3"].startswith("is empty (0 bytes)")
        assert details["lying.wav"] == "its header promises 125000.0 s, 1.0 s are there; copy it again"
        assert all("\n" not in detail and str(sounds) not in detail for detail in details.values())
        soundfile.write(sounds / "silent.wav", tone(1.0, 60), RATE)  # mended
        assert library.add(sounds).n_lost == 5
        assert library.info().n_lost == {"broken": 3, "too-short": 1, "unreadable": 1}


def test_a_name_that_is_not_text_is_left_out_and_said(tmp_path, sounds, model):
    odd = os.fsencode(sounds) + b"/bad\xff.wav"
    try:
        with open(odd, "wb") as file:
            file.write((sounds / "low" / "hum.wav").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    with Library.create(tmp_path / "my.library", model) as library:
        assert library.add(sounds).unnamed == (f"{sounds}/bad\\xff.wav",)
        assert len(library) == 3


class Killed(BaseException):
    """As a signal would end the run."""


def test_killed_at_any_of_ten_moments_it_ends_with_the_same_rows(tmp_path, sounds, model, monkeypatch):
    for number in range(3):
        soundfile.write(sounds / f"more {number}.wav", tone(1.0, 40 + 10 * number), RATE)
    shutil.copy(sounds / "more 1.wav", sounds / "same.wav")
    (sounds / "empty.wav").write_bytes(b"")
    whole = tmp_path / "whole.library"
    with Library.create(whole, model) as library:
        library.add(sounds)
    expected = rows(whole)
    change, left = Database.change, [0]

    @contextmanager
    def dying(self: Database, late: bool) -> Iterator[object]:
        left[0] -= 1
        with change(self) as connection:
            yield connection
            if left[0] == 0 and not late:
                raise Killed  # what this block wrote is not on the disk yet
        if left[0] == 0:
            raise Killed

    for moment in range(10):
        path, late = tmp_path / f"killed{moment}.library", moment % 2 == 1
        left[0] = moment + 1
        monkeypatch.setattr(Database, "change", lambda self, late=late: dying(self, late))
        with pytest.raises(Killed), at(path, model) as library:
            library.add(sounds)
        monkeypatch.setattr(Database, "change", change)
        with at(path, model) as library:
            library.add(sounds)
        assert rows(path) == expected, moment


def at(path: Path, model) -> Library:
    """The library at `path`, as the command opens it."""
    return Library.open(path, model) if Library.source_of(path) else Library.create(path, model)


def test_several_processes_write_the_same_rows(tmp_path, model):
    for number in range(10):
        soundfile.write(tmp_path / f"{number}.wav", tone(0.5, 20 + 9 * number), RATE)
    for workers in (1, 2):
        with Library.create(tmp_path / f"{workers}.library", model) as library:
            assert library.add(tmp_path, workers=workers).n_new == 10
    assert rows(tmp_path / "1.library") == rows(tmp_path / "2.library")


def angle(hz: float) -> list[float]:
    """Where the fake ears hear a tone."""
    turn = hz / 110 * math.pi
    return [math.cos(turn), math.sin(turn), math.cos(turn), math.sin(turn)]


def test_the_nearest_is_found_by_target_by_sound_and_by_words(tmp_path, model):
    for hz in range(20, 100, 10):
        name = {50: "a dog that barks", 70: "door slam"}.get(hz, f"tone {hz}")
        soundfile.write(tmp_path / f"{name}.wav", tone(1.0, hz), RATE)
    with Library.create(tmp_path / "my.library", model) as library:
        library.add(tmp_path)
        found = library.search(torch.tensor([angle(42)]), k=3)
        assert [each.path.stem for each in found] == ["tone 40", "a dog that barks", "tone 30"]
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
        assert found[0].similarity == found[0].score == pytest.approx(math.cos(2 / 110 * math.pi), abs=1e-3)
        assert (found[0].piece.start_s, found[0].piece.kind, found[0].sample_rate) == (0.0, "event", RATE)
        assert [each.path for each in library.search(np.array(angle(42)) * 7, k=3)] == [each.path for each in found]
        (heard,) = library.search(tone(2.0, 80), sample_rate=RATE, k=1)
        assert heard.path.stem == "tone 80"
        (heard,) = library.search(torch.from_numpy(np.stack([tone(12.0, 61)] * 2)), sample_rate=RATE, k=1)
        assert heard.path.stem == "tone 60"
        (said,) = library.search("slam of a door", k=1)
        assert said.path.stem == "door slam"
        assert said.similarity == 0.0  # no label is like these words
        assert 0.7 <= said.score <= 1.0
        assert library.search("hums and whistles of no file", k=1) == []
        # "hum" is a label, whose vector is the first axis: what is nearest to it comes first
        nearest = library.search(torch.eye(DIM)[0], k=1)[0].path
        assert library.search("a hum", k=1)[0].path == nearest
        assert len(library.search(torch.tensor(angle(42)), k=4096)) == 8


def test_events_and_ambiences_are_found_apart_and_several_targets_at_once(tmp_path, model):
    for hz in (30, 50, 70):
        soundfile.write(tmp_path / f"{hz} short.wav", tone(1.0, hz), RATE)
        soundfile.write(tmp_path / f"{hz} long.wav", tone(5.0, hz + 5), RATE)
    with Library.create(tmp_path / "my.library", model) as library:
        library.add(tmp_path)
        target = torch.tensor(angle(54))
        best: dict[Kind | None, str] = {None: "50 long", "event": "50 short", "ambience": "50 long"}
        for kind, stem in best.items():
            (found,) = library.search(target, k=1, kind=kind)
            assert found.path.stem == stem
        assert len(library.search(target, kind="event")) == len(library.search(target, kind="ambience")) == 3
        assert {each.piece.kind for each in library.search("short long", kind="ambience")} == {"ambience"}
        (heard,) = library.search(tone(1.0, 70), sample_rate=RATE, k=1, kind="ambience")
        assert heard.path.stem == "70 long"
        targets = 3 * torch.tensor([angle(31), angle(77), angle(54)])
        for given in (targets, targets.numpy()):
            together = library.nearest(given, k=2, kind="event")
            assert together == [library.search(each, k=2, kind="event") for each in targets]
        assert [found[0].path.stem for found in library.nearest(targets, k=1)] == ["30 short", "70 long", "50 long"]
        assert library.nearest(torch.zeros(0, DIM)) == []
        (turned,) = library.nearest(targets[:1], k=2, fit=lambda target, vectors: -(vectors @ target))
        (usual,) = library.nearest(targets[:1], k=4096)
        assert [each.path for each in turned] == [each.path for each in usual[::-1][:2]]
        assert [each.score for each in turned] == pytest.approx([-each.similarity for each in turned], abs=1e-6)


def test_what_is_gone_makes_room_for_what_is_there(tmp_path, model):
    """More neighbours are asked for where the nearest ones have vanished."""
    for number in range(12):
        soundfile.write(tmp_path / f"{number:02d}.wav", tone(1.0, 20 + 5 * number), RATE)
    with Library.create(tmp_path / "my.library", model) as library:
        library.add(tmp_path)
        for number in range(10):
            (tmp_path / f"{number:02d}.wav").unlink()
        library.add(tmp_path)
        assert [each.path.stem for each in library.search(torch.tensor(angle(20)), k=1)] == ["10"]


def test_words_have_a_place_where_a_model_knows_them(model):
    assert torch.equal(target_of_text(model, "a hum"), torch.eye(1, DIM))  # type: ignore[arg-type]
    assert target_of_text(model, "zebra") is None
    assert target_of_text(fake_model(with_ears=False), "hum") is None
    tower = fake_model()
    tower.generator.texts = {"anything at all": torch.full((DIM,), 0.5)}  # type: ignore[attr-defined]
    assert target_of_text(tower, "anything at all") == pytest.approx(torch.full((1, DIM), 0.5))
    assert ears_of(tower).rate == tower.generator.sample_rate  # its own conditions were made so
    assert ears_of(model).rate == 0


def test_a_film_is_its_shots_and_a_sound_is_itself(tmp_path, model):
    film = write_video(tmp_path / "film.mp4", n_frames=75)
    parts = parts_of_file(model, film, seed=3)
    assert (parts[0].start_s, parts[-1].stop_s) == (0.0, pytest.approx(3.0))
    assert all(one.stop_s == other.start_s for one, other in zip(parts, parts[1:], strict=False))
    for part in parts:
        assert part.target.shape == (1, DIM)
        assert float(part.target.norm()) == pytest.approx(1, abs=1e-5)
    picture = Path(__file__).parent / "data" / "chelsea.jpg"
    assert [(part.start_s, part.stop_s) for part in parts_of_file(model, picture)] == [(0.0, 10.0)]
    soundfile.write(tmp_path / "tone.wav", tone(2.0, 55), RATE)
    (part,) = parts_of_file(model, tmp_path / "tone.wav")
    assert part.target[0].tolist() == pytest.approx((torch.tensor(angle(55)) / math.sqrt(2)).tolist(), abs=0.05)
    assert not has_picture(tmp_path / "tone.wav")
    (tmp_path / "bad.mp4").write_text("no film")
    with pytest.raises(VideoError, match="cannot be read as a clip"):
        parts_of_file(model, tmp_path / "bad.mp4")
    with pytest.raises(InputError, match="no such file"):
        parts_of_file(model, tmp_path / "none.mp4")


def test_the_targets_of_shots_are_those_that_generate_aims_at(tmp_path, model):
    film = write_video(tmp_path / "film.mp4", n_frames=75)
    ((shot, target),) = model.predict_targets(film, seed=3)
    assert (shot.start_s, shot.stop_s) == (0.0, pytest.approx(3.0))
    model.generate(film, seed=3)
    assert calls_of(model)[-1]["target"] == pytest.approx(target, abs=1e-6)


def test_another_audio_space_is_refused_by_name_and_by_ear(tmp_path, model):
    path = tmp_path / "my.library"
    Library.create(path, model).close()
    other = fake_model()
    other.audio_encoder = FakeEars()
    other.audio_encoder.name = "other"
    other.identity = replace(other.identity, name="another", version="2")
    with pytest.raises(
        BundleError, match=r'are in the audio space "fake" \(4\) of fake 1, not in "other" \(4\) of ano'
    ):
        Library.open(path, other)

    class Turned(FakeEars):
        def __call__(self, waveform, sample_rate):
            return -super().__call__(waveform, sample_rate)

    other.audio_encoder = Turned()
    with pytest.raises(BundleError, match=r"a known sound lies elsewhere \(cosine -1.000\); use the model it was made"):
        Library.open(path, other)
    with pytest.raises(InputError, match="has no audio encoder, which a library needs"):
        Library.open(path, fake_model(with_ears=False))
    assert Library.source_of(path) == "fake"


def test_files_are_forgotten_and_stay_on_the_disk(tmp_path, sounds, model):
    with Library.create(tmp_path / "my.library", model) as library:
        library.add(sounds)
        shutil.copy(sounds / "whistle_01.flac", sounds / "low" / "twin.flac")
        library.add(sounds)
        assert library.info().n_events == 5
        assert library.remove(sounds / "low") == 2
        assert [entry.path.name for entry in library] == ["three clicks.wav", "whistle_01.flac"]
        assert library.info().n_events == 4
        (found,) = library.search(torch.tensor(angle(80)), k=1)
        assert (found.path.name, found.also) == ("whistle_01.flac", ())
        assert (sounds / "low" / "hum.wav").exists()
        with pytest.raises(InputError, match="the library knows nothing there"):
            library.remove(sounds / "low")
        assert library.remove([sounds / "three clicks.wav", sounds]) == 2
        assert (len(library), library.search(torch.tensor(angle(80)))) == (0, [])
        assert library.check() == []


def test_check_compares_with_the_disk_and_changes_nothing(tmp_path, sounds, model):
    path = tmp_path / "my.library"
    with Library.create(path, model) as library:
        library.add(sounds)
        (sounds / "low" / "hum.wav").unlink()
        with (sounds / "whistle_01.flac").open("ab") as file:
            file.write(b"more")
        lines = [f"{sounds / 'low' / 'hum.wav'}: is not there any more", f"{sounds / 'whistle_01.flac'}: has changed; "]
        for _ in range(2):
            found = library.check()
            assert len(found) == 2
            assert all(line.startswith(words) for line, words in zip(found, lines, strict=True))
        library.add(sounds / "low")
        soundfile.write(sounds / "low" / "hum.wav", tone(1.0, 30), RATE)
        assert library.check()[0].endswith("hum.wav: is there again; add it")
        library._database.connection.execute("DELETE FROM pieces WHERE id = 1")
        assert library.check()[0] == f"{path}: 4 pieces, but 5 embeddings"


@pytest.mark.parametrize("most", [1, 2, 3, 8, 40])
def test_outermost_folders_hold_all_the_others(most):
    random = np.random.default_rng(most)
    for _ in range(50):
        paths = random.integers(0, 3, (random.integers(1, 30), random.integers(1, 6))).tolist()
        folders = ["/" + "/".join(map(str, path[: random.integers(1, 6)])) for path in paths]
        found = outermost(folders, most=most)
        assert 1 <= len(found) <= most
        assert all(sum(under(folder, root) for root in found) == 1 for folder in folders)
        kept = [folder for folder in set(folders) if not any(under(folder, other) for other in {*folders} - {folder})]
        if len(kept) <= most:
            assert sorted(found) == sorted(kept)
    assert outermost([], most=most) == []


def test_info_counts_what_is_there(tmp_path, sounds, model):
    with Library.create(tmp_path / "my.library", model) as library:
        soundfile.write(sounds / "rain.wav", np.random.default_rng(0).normal(0, 0.1, 9 * RATE), RATE)
        library.add(sounds)
        info = library.info()
    assert (info.model, info.source, info.space, info.dim) == ("fake 1", "fake", "fake", DIM)
    assert (info.n_files, info.n_lost, info.n_events, info.n_ambiences) == (4, {}, 5, 1)
    assert info.duration_s == pytest.approx(1.0 + 1.5 + 3.5 + 9.0)


def test_what_cannot_be_done_is_one_line(tmp_path, sounds, model, monkeypatch):
    path = tmp_path / "my.library"
    for call, words in (
        (lambda: Library.open(path), "no such library; make one with echoframe library add FOLDER"),
        (lambda: Library.create(tmp_path / "no" / "my.library", model), "no is not there; make it, or choose another"),
    ):
        with pytest.raises(InputError, match=words):
            call()
    assert Library.source_of(path) == ""
    with Library.create(path, model) as library:
        library.add(sounds)
        for call, words in (
            (lambda: Library.create(path, model), "is there already; open it"),
            (lambda: library.add(sounds / "none"), "no such file or folder; give sound files"),
            (lambda: library.search("hum", k=0), "k 0; expected a number of pieces from 1 to 4096"),
            (lambda: library.nearest(torch.ones(2, DIM), k=4097), "k 4097; expected a number of pieces from 1 to 4096"),
            (lambda: library.nearest(torch.ones(2, 3)), "a target of 3 numbers and length 1.73; the library's embedd"),
            (lambda: library.search("  "), "an empty text; give words, a target or a waveform"),
            (lambda: library.search(torch.ones(3)), "a target of 3 numbers and length 1.73; the library's embeddings"),
            (lambda: library.search(torch.zeros(DIM)), "a target of 4 numbers and length 0"),
            (lambda: library.search(torch.zeros(0), sample_rate=RATE), "a waveform of 0 samples; give at least one"),
        ):
            with pytest.raises(InputError, match=words):
                call()
        with exclusive_lock(tmp_path, "another program", share="my.library"):
            with pytest.raises(InputError, match="in use by another program"):
                library.add(sounds)
        library._database.connection.execute("PRAGMA query_only = 1")
        with pytest.raises(OutputError, match="cannot be written .*free some space and try again"):
            library.remove(sounds)
    with Library.open(path) as library:
        with pytest.raises(InputError, match="adding needs the model it was made with; open it with that model"):
            library.add(sounds)
        assert library.search(torch.tensor(angle(30)), k=1)[0].path.name == "hum.wav"
        assert library.check() == []
        library._database.connection.execute("UPDATE about SET value = '2' WHERE name = 'format'")
    with pytest.raises(InputError, match='a library of format "2", expected 1; update echoframe'):
        Library.open(path)
    with pytest.raises(InputError, match='a library of format "2", expected 1'):
        Library.source_of(path)
    (tmp_path / "text.library").write_text("no database at all " * 100)
    with sqlite3.connect(tmp_path / "other.library") as connection:
        connection.execute("CREATE TABLE a (b)")
    connection.close()
    for name in ("text", "other"):
        with pytest.raises(InputError, match=rf"{name}.library: not a library of sounds \(.*; give the file of one"):
            Library.open(tmp_path / f"{name}.library")


def test_without_extensions_or_without_sqlite_vec_it_says_so(tmp_path, model, monkeypatch):
    import sys

    class Plain:
        """A Python whose SQLite was built without extensions."""

        class Connection:
            pass

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sqlite3", Plain)
        patch.setitem(sys.modules, "pysqlite3", None)
        with pytest.raises(
            InputError, match="sqlite3: this Python's own cannot load extensions, which a library needs"
        ):
            Library.create(tmp_path / "a.library", model)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sqlite_vec", None)
        with pytest.raises(InputError, match=r"sqlite_vec is not installed; pip install 'echoframe\[library\]'"):
            Library.create(tmp_path / "a.library", model)
    assert not (tmp_path / "a.library").exists()


def test_the_rows_are_plain_sqlite(tmp_path, sounds, model):
    """Files, words and pieces can be read by any SQLite, without sqlite-vec."""
    with Library.create(tmp_path / "my.library", model) as library:
        library.add(sounds)
    connection = sqlite3.connect(tmp_path / "my.library")
    assert connection.execute("SELECT COUNT(*) FROM pieces WHERE kind = 'event'").fetchone() == (5,)
    names = dict(connection.execute("SELECT value, field FROM words WHERE field = 'name'"))
    assert set(names) == {"hum", "whistle 01", "three clicks"}
    assert [len(json.loads(text)) for (text,) in connection.execute("SELECT onsets_s FROM pieces")] == [0, 1, 1, 1, 0]
    connection.close()
