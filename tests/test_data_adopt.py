"""Clips of other projects' names taken over: which, under what label, how often, and after a kill."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echoframe.data.adopt import adopt_folder
from echoframe.data.clip_list import ClipRow, clip_path, read_clip_list
from echoframe.data.ledger import Entry, open_ledger
from echoframe.data.verify import inspect_clip, verify_folder
from echoframe.errors import InputError, OutputError
from planted_video import as_nobody, write_video

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"
A, B, C, D = "aaaaaaaaaaa", "bb-bb_bb_bb", "ccccccccccc", "-dddddddddd"


def film(path: Path, *, tone_hz: float = 440.0, n_frames: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, n_frames=n_frames, rate=Fraction(10), tone_hz=tone_hz)


def tone(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.25 * np.sin(np.arange(32_000) / 10), 16_000)
    return path


def adopted(source: Path, folder: Path, **settings: object) -> tuple[dict[str, int], dict[str, Entry]]:
    folder.mkdir(exist_ok=True)
    with open_ledger(folder) as ledger:
        counts = adopt_folder(source, folder, ledger, **settings)  # type: ignore[arg-type]
        return counts, {entry.row.key: entry for entry in ledger.entries()}


def test_every_kind_of_name(tmp_path):
    source, folder = tmp_path / "Geräusche 水", tmp_path / "o"
    film(source / f"{A}_000030.mp4")
    film(source / "train" / f"{B}_30000_40000.MKV")
    tone(source / "sound" / f"{C}_5000_15000.wav")
    tone(source / "sound" / f"{D}_7.flac")
    counts, entries = adopted(source, folder)
    assert counts == {"adopted": 4, "too-short": 4, "no-video": 2}
    assert list(entries) == [f"{D}_000007", f"{A}_000030", f"{B}_000030", f"{C}_000005"]
    for key, suffix in ((f"{A}_000030", ".mp4"), (f"{B}_000030", ".mkv"), (f"{C}_000005", ".wav")):
        entry = entries[key]
        assert (entry.state, entry.row.label, entry.row.split, entry.tries) == ("done", "", "", 0)
        assert folder / entry.file == clip_path(folder, key, suffix)
        assert entry.facts["sha256"] == inspect_clip(folder / entry.file).sha256
    assert (source / f"{A}_000030.mp4").samefile(folder / entries[f"{A}_000030"].file)
    assert adopted(source, folder) == ({"adopted": 0, "known": 4}, entries)


def test_nothing_is_passed_over_in_silence(tmp_path):
    source, folder = tmp_path / "s", tmp_path / "o"
    film(source / f"{A}_000030.mp4")
    tone(source / f"{A}_000030.wav")
    film(source / "again" / f"{A}_30000_40000.mp4")
    for name in ("holiday.mp4", f"{B}.mp4", f"{B}_30500_40500.mp4", f"{B}_000030.json", "ünlesbar.txt"):
        (source / name).write_text("x")
    (source / f"{C}_000001.mp4").write_bytes(film(tmp_path / "x.mp4").read_bytes()[:3000])
    os.mkfifo(source / f"{D}_000001.mp4")
    told: list[tuple[int, int, str]] = []
    counts, entries = adopted(source, folder, progress=lambda *words: told.append(words))
    assert counts == {"adopted": 1, "broken": 4, "second-copies": 2, "not-clips": 3, "too-short": 1}
    assert [words for _, _, words in told if "not a clip" in words] == [
        f"{name}: not a clip by its kind" for name in sorted([f"{B}_000030.json", "ünlesbar.txt", f"{D}_000001.mp4"])
    ]
    assert [words for words in told if "adopted" in words[2]] == [(1, 5, f"{A}_000030: adopted, too-short")]
    assert {"holiday", B, f"{B}_30500_40500"} < entries.keys()
    assert entries[f"{A}_000030"].file.endswith(".mp4")
    lost = entries[f"{C}_000001"]
    assert (lost.state, lost.reason) == ("lost", "broken")
    assert lost.detail.startswith(f"{C}_000001.mp4: cannot be read as a clip")


def test_any_name_and_any_label(tmp_path):
    source, folder = tmp_path / "s", tmp_path / "o"
    for name in ("dogs/Take 1.mp4", "dogs/take.2.v3.mp4", "水 音.mp4", "cats/1.mp4", "._cats.mp4"):
        film(source / name)
    tone(source / "cats" / "1.wav")
    (tmp_path / "own.csv").write_text(
        "name,label,split\ndogs/Take 1.mp4,barks twice,test\ndogs/take.2.v3,barks twice\n水 音.mp4,,train\n",
        encoding="utf-8",
    )
    rows = {row.key: row for row in read_clip_list(tmp_path / "own.csv").rows}
    counts, entries = adopted(source, folder, rows=rows)
    assert counts == {"adopted": 3, "not-listed": 1, "not-clips": 1, "too-short": 3}
    found = {key: (entry.row.label, entry.row.split) for key, entry in entries.items()}
    assert found == {
        "dogs_Take_1": ("barks twice", "test"),
        "dogs_take_2_v3": ("barks twice", ""),
        "水_音": ("", "train"),
    }
    assert (folder / entries["水_音"].file).name == "水_音.mp4"
    counts, entries = adopted(source, folder)
    assert (counts["adopted"], counts["known"], counts["second-copies"]) == (1, 3, 1)
    assert entries["cats_1"].row == ClipRow(name="cats_1")


def test_labels_come_later(tmp_path):
    source, folder = tmp_path / "s", tmp_path / "o"
    film(source / "a.mp4")
    film(source / f"{A}_000030.mp4")
    adopted(source, folder, move=True)
    (tmp_path / "own.csv").write_text(f"a.mp4,creaking\n{A}_000030,rain,test\nelsewhere.mp4,rain\n")
    rows = {row.key: row for row in read_clip_list(tmp_path / "own.csv").rows}
    counts, entries = adopted(source, folder, rows=rows)  # which is empty by now
    assert counts == {"adopted": 0, "labelled": 2}
    assert [(entry.row.label, entry.row.split, entry.state) for entry in entries.values()] == [
        ("creaking", "", "done"),
        ("rain", "test", "done"),
    ]
    assert adopted(source, folder, rows=rows)[0] == {"adopted": 0}
    with pytest.raises(InputError, match='a is "creaking"  there, "knocking"  in the list; use another folder'):
        adopted(source, folder, rows={"a": ClipRow(name="a", label="knocking")})


def test_two_names_that_would_be_one_clip(tmp_path):
    film(tmp_path / "s" / "a b.mp4")
    film(tmp_path / "s" / "a_b.mp4")
    with pytest.raises(InputError, match="a_b.mp4: and .*a b.mp4 would both be the clip a_b; rename one of them"):
        adopted(tmp_path / "s", tmp_path / "o")


def test_many_strange_names_are_told_by_the_first_ten(tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    for i in range(15):
        (source / f"{i:02}.txt").touch()
    told: list[tuple[int, int, str]] = []
    assert adopted(source, tmp_path / "o", progress=lambda *words: told.append(words))[0]["not-clips"] == 15
    assert told[0] == (1, 15, "00.txt: not a clip by its kind")
    assert len(told) == 10


def test_the_sound_is_taken_if_the_film_is_broken(tmp_path):
    source = tmp_path / "s"
    tone(source / f"{A}_000030.wav")
    (source / f"{A}_000030.mp4").write_text("not a film")
    counts, entries = adopted(source, tmp_path / "o")
    assert counts == {"adopted": 1, "second-copies": 1, "no-video": 1, "too-short": 1}
    assert entries[f"{A}_000030"].file.endswith(".wav")


def test_labels_of_a_list(tmp_path):
    source, folder = tmp_path / "s", tmp_path / "o"
    film(source / f"{A}_000030.mp4")
    film(source / f"{B}_000030.mp4")
    row = ClipRow(youtube_id=A, start_s=30, label="dog barking", split="test")
    counts, entries = adopted(source, folder, rows={row.key: row})
    assert counts == {"adopted": 1, "not-listed": 1, "too-short": 1}
    assert [entry.row for entry in entries.values()] == [row]
    counts, entries = adopted(source, folder)  # without a list, what the ledger knows stays
    assert counts == {"adopted": 1, "known": 1, "too-short": 1}
    assert [entry.row.label for entry in entries.values()] == ["dog barking", ""]
    other = ClipRow(youtube_id=A, start_s=30, label="duck quacking")
    clip_path(folder, other.key, ".mp4").unlink()
    with pytest.raises(InputError, match="use another folder"):
        adopted(source, folder, rows={other.key: other})


def test_a_clip_that_was_lost_or_has_gone_is_taken_again(tmp_path):
    source, folder = tmp_path / "s", tmp_path / "o"
    film(source / f"{A}_000030.mp4")
    film(source / f"{B}_000030.mp4")
    folder.mkdir()
    with open_ledger(folder) as ledger:
        ledger.add([ClipRow(youtube_id=A, start_s=30, label="dog barking")])
        ledger.lost(f"{A}_000030", reason="removed", detail="gone", fetched=True)
    _, entries = adopted(source, folder)
    assert (entries[f"{A}_000030"].state, entries[f"{A}_000030"].tries) == ("done", 1)
    clip_path(folder, f"{B}_000030", ".mp4").unlink()
    assert adopted(source, folder)[0] == {"adopted": 1, "known": 1, "too-short": 1}
    (source / f"{B}_000030.mp4").write_text("broken since")
    assert adopted(source, folder)[0] == {"adopted": 0, "known": 2}


def test_links(tmp_path):
    source, elsewhere = tmp_path / "s", tmp_path / "e"
    film(elsewhere / f"{A}_000030.mp4")
    film(elsewhere / "more" / f"{B}_000030.mp4")
    film(source / "real" / "film.mp4")
    (source / f"{A}_000030.mp4").symlink_to(elsewhere / f"{A}_000030.mp4")
    (source / "more").symlink_to(elsewhere / "more")
    (source / "again").symlink_to(source / "real")
    (source / f"{C}_000001.mp4").symlink_to("real/film.mp4")
    (source / f"{D}_000001.mp4").symlink_to("nothing.mp4")
    counts, entries = adopted(source, tmp_path / "o")
    assert counts == {"adopted": 2, "links-outside": 2, "not-clips": 1, "too-short": 2}
    taken = tmp_path / "o" / entries[f"{C}_000001"].file
    assert taken.is_file()
    assert not taken.is_symlink()


def test_moving(tmp_path):
    source, folder = tmp_path / "s", tmp_path / "o"
    film(source / f"{A}_000030.mp4")
    tone(source / f"{A}_000030.wav")
    (source / f"{C}_000001.mp4").write_text("broken")
    counts, entries = adopted(source, folder, move=True)
    assert (counts["adopted"], counts["broken"]) == (1, 1)
    assert sorted(path.name for path in source.iterdir()) == [f"{A}_000030.wav", f"{C}_000001.mp4"]
    assert (folder / entries[f"{A}_000030"].file).is_file()


def test_copied_where_links_are_refused(tmp_path, monkeypatch):
    source, folder = tmp_path / "s", tmp_path / "o"
    path = film(source / f"{A}_000030.mp4")
    path.chmod(0o444)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    _, entries = adopted(source, folder)
    taken = folder / entries[f"{A}_000030"].file
    assert taken.read_bytes() == path.read_bytes()
    assert not taken.samefile(path)
    assert [found.name for found in taken.parent.iterdir()] == [taken.name]
    # a run that was killed while moving them has left both; they are the same by their bytes
    assert adopted(source, folder, move=True)[0] == {"adopted": 0, "known": 1}
    assert not path.exists()


def test_another_file_than_the_one_adopted_is_not_moved_away(tmp_path):
    source, folder = tmp_path / "s", tmp_path / "o"
    path = film(source / f"{A}_000030.mp4")
    adopted(source, folder)
    path.unlink()
    film(path, tone_hz=880.0)
    assert adopted(source, folder, move=True)[0] == {"adopted": 0, "known": 1}
    assert path.exists()


def test_a_disk_that_cannot_be_written(tmp_path, monkeypatch):
    film(tmp_path / "s" / f"{A}_000030.mp4")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="the disk is full"):
        adopted(tmp_path / "s", tmp_path / "o")
    monkeypatch.setattr(Path, "mkdir", full)
    with (
        pytest.raises(OutputError, match="cannot be written .No space left on device"),
        open_ledger(tmp_path / "o") as ledger,
    ):
        adopt_folder(tmp_path / "s", tmp_path / "o", ledger)


def test_sources_that_are_none(tmp_path):
    folder = tmp_path / "o"
    folder.mkdir()
    (folder / "in").mkdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no such folder; give the folder that holds"):
        adopted(tmp_path / "nothing", folder)
    with pytest.raises(InputError, match="is empty; give the folder"):
        adopted(tmp_path / "empty", folder)
    with pytest.raises(InputError, match="lies inside the clip folder"):
        adopted(folder / "in", folder)


def test_folders_that_cannot_be_read_are_said(tmp_path):
    film(tmp_path / "s" / f"{A}_000030.mp4")
    closed = tmp_path / "s" / "closed"
    closed.mkdir(mode=0o000)
    (tmp_path / "o").mkdir()
    with (
        open_ledger(tmp_path / "o") as ledger,
        as_nobody(tmp_path),
        pytest.raises(InputError, match=r"closed: cannot be read .Permission denied.; check its permissions"),
    ):
        adopt_folder(Path("s"), Path("o"), ledger)


def test_a_clip_folder_inside_the_source_is_left_alone(tmp_path):
    film(tmp_path / f"{A}_000030.mp4")
    folder = tmp_path / "clips of mine"
    (folder / "quarantine").mkdir(parents=True)
    film(folder / "quarantine" / f"{B}_000030.mp4")
    assert adopted(tmp_path, folder)[0] == {"adopted": 1, "too-short": 1}


KILLED = """
import os, signal, sys
from pathlib import Path
from echoframe.data.adopt import adopt_folder
from echoframe.data.ledger import Ledger, open_ledger

def run(source, folder, kill_at, move):
    steps = 0
    def counted(function):
        def step(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return step
    os.replace, os.link, Path.unlink = map(counted, (os.replace, os.link, Path.unlink))
    Ledger._set, Ledger.add = map(counted, (Ledger._set, Ledger.add))
    with open_ledger(folder) as ledger:
        adopt_folder(source, folder, ledger, move=move)

def forked(*args):
    child = os.fork()
    if child == 0:
        run(*args)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

move = sys.argv[1] == "move"
for trial in map(Path, sys.argv[2:]):
    (trial / "o").mkdir()
    ended = forked(trial / "s", trial / "o", int(trial.name), move)
    assert ended in (0, -signal.SIGKILL), ended
    assert forked(trial / "s", trial / "o", 0, move) == 0
    print(trial)
    if ended == 0:
        break  # there is no such step any more
"""


@pytest.mark.parametrize("how", ["move", "link"])
def test_killed_at_every_step(tmp_path, how):
    source = tmp_path / "source"
    film(source / f"{A}_000030.mp4")
    tone(source / f"{B}_000030.wav")
    (source / f"{C}_000001.mp4").write_text("broken")
    trials = [tmp_path / str(i) for i in range(1, 30)]
    for trial in (tmp_path / "unbroken", *trials):
        shutil.copytree(source, trial / "s")
    adopted(tmp_path / "unbroken" / "s", tmp_path / "unbroken" / "o", move=how == "move")
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    ended = subprocess.run([sys.executable, script, how, *trials], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    tried = ended.stdout.splitlines()
    assert 10 <= len(tried) < len(trials)

    def state(trial: Path) -> tuple[list[object], list[str]]:
        with open_ledger(trial / "o") as ledger:
            lines: list[object] = [(e.row, e.state, e.reason, e.detail, e.file, e.facts) for e in ledger.entries()]
        return lines, sorted(p.relative_to(trial).as_posix() for p in trial.rglob("*") if "ledger" not in p.name)

    for trial in tried:
        assert state(Path(trial)) == state(tmp_path / "unbroken"), trial


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the VGGSound samples are not here")
def test_real_clips(tmp_path):
    """Three of the samples, as they are: adopted, then verified; the other nine are the same kind."""
    source = tmp_path / "s"
    source.mkdir()
    for path in sorted(SAMPLES.glob("*.mp4"), key=lambda path: path.stat().st_size)[:3]:
        shutil.copyfile(path, source / path.name)
    shutil.copyfile(SAMPLES / "README.md", source / "README.md")
    counts, entries = adopted(source, tmp_path / "o")
    assert counts == {"adopted": 3, "not-clips": 1}
    assert sorted(entries) == ["0nib7bMm8BA_000015", "1aDnyPubxdY_000118", "6zlMP_kQ_-w_000030"]
    with open_ledger(tmp_path / "o") as ledger:
        assert verify_folder(tmp_path / "o", ledger) == {"checked": 3, "good": 3}
