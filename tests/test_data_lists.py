"""Lists of clips, the ledger, and the lock of a clip folder."""

import os
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from echoframe.data.clip_list import ClipRow, clip_path, parse_clip_name, read_clip_list
from echoframe.data.ledger import PERMANENT, REASONS, TEMPORARY, open_ledger
from echoframe.errors import InputError, OutputError
from echoframe.lock import exclusive_lock
from echoframe.optional import require_extra

SHARED = Path(__file__).parents[2] / "shared" / "vggsound"
A, B = "aaaaaaaaaaa", "bb-bb_bb_bb"


def listed(tmp_path: Path, text: str | bytes, name: str = "list.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_clip_list(path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (f"{A}_000030.mp4", (A, 30)),
        (f"{B}_000030", (B, 30)),
        (f"{B}_30000_40000.wav", (B, 30)),
        (f"{A}_30.flac", (A, 30)),
        (f"{A}_30500_40500.mp4", None),  # VGGSound cuts at whole seconds
        (f"{A}_40000_30000.mp4", None),
        (f"{A}.mp4", None),
        ("holiday.mp4", None),
        (f"x{A}_000030.mp4", None),
    ],
)
def test_names(name, found):
    assert parse_clip_name(name) == found


def test_the_official_columns(tmp_path):
    text = f'{A},30,"duck quacking",train\r\n{B},5,"playing marimba, xylophone",test\r\n'
    rows = listed(tmp_path, text).rows
    assert rows[0] == ClipRow(youtube_id=A, start_s=30, label="duck quacking", split="train")
    assert [row.key for row in rows] == [f"{A}_000030", f"{B}_000005"]
    assert rows[1].label == "playing marimba, xylophone"


def test_lists_of_names(tmp_path):
    assert listed(tmp_path, f"{A}_000030.mp4,dog barking\n").rows[0].key == f"{A}_000030"
    tsv = listed(tmp_path, f"id\tlabel\n{A}_000030\tdog barking\n{B}_000001\tplaying marimba, xylophone\n", "list.tsv")
    assert [row.split for row in tsv.rows] == ["", ""]
    assert listed(tmp_path, f"\ufeffYouTube ID,start,label,split\n{A},1,,\n\n").rows == (
        ClipRow(youtube_id=A, start_s=1),
    )


def test_labels_that_are_not_vggsounds_are_counted(tmp_path):
    found = listed(tmp_path, f"{A},1,dog barkin,train\n{A},2,dog barking,train\nx.wav,été où\ny.wav,été où,val\n")
    assert found.other_labels == {"été où": 2, "dog barkin": 1}
    assert found.rows[2:] == (ClipRow(name="x", label="été où"), ClipRow(name="y", label="été où", split="val"))
    assert [row.film for row in found.rows] == [A, A, "x", "y"]


def test_duplicates_are_one(tmp_path):
    found = listed(tmp_path, f"{A},30,dog barking,train\n{B},1,dog barking,train\n{A},30,dog barking,train\n")
    assert (len(found.rows), found.n_duplicates) == (2, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{A},30,dog barking\n", r"line 1: 3 columns .*expected YouTube id, start seconds"),
        (f"{A};30;dog barking;train\n", "line 1: 1 columns"),
        ("a,b,c,d,e\n", "5 columns"),
        (f"{A},30,dog barking,train\nshort,1,dog barking,train\n", 'line 2: "short" is not a YouTube id'),
        (f"{A},-5,dog barking,train\n", 'start "-5" is not a number of seconds'),
        (f"{A},1.5,dog barking,train\n", 'start "1.5" is not a number'),
        ("holiday.mp4,30,dev\n", "3 columns .*or the name of a file and a label"),
        ("holiday.mp4,sea,dev\n", 'split "dev" is not known; expected train'),
        (f"{A},1,dog barking,dev\n", 'split "dev" is not known; expected train, val, test'),
        (f"{A},1,dog barking,train\n{A},1,cat purring,train\n", 'on line 1 "dog barking" train; keep one'),
        ("", "lists no clip"),
        (f"{A},1,d\xe9,train\n".encode("latin-1"), "not UTF-8 at byte 15; save the list as UTF-8"),
    ],
)
def test_lists_that_are_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        listed(tmp_path, text)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="give the path of a list of clips"):
        read_clip_list(tmp_path / "no.csv")


@pytest.mark.skipif(not SHARED.exists(), reason="VGGSound's lists are not here")
@pytest.mark.parametrize(("name", "n"), [("test.csv", 15446), ("vgg-test.tsv", 15221), ("vgg-val.tsv", 2048)])
def test_the_published_lists(name, n):
    found = read_clip_list(SHARED / name)
    assert len(found.rows) + found.n_duplicates == n
    assert all(row.label for row in found.rows)


def test_folders_stay_small():
    paths = {clip_path(Path("d"), f"{n:011d}_000001", ".mp4").parent for n in range(3000)}
    assert len(paths) == 256
    assert clip_path(Path("d"), f"{A}_000030", ".mp4").name == f"{A}_000030.mp4"


ROWS = [
    ClipRow(youtube_id=B, start_s=1, label="dog barking", split="train"),
    ClipRow(youtube_id=A, start_s=30, label="rope skipping", split="test"),
    ClipRow(youtube_id=A, start_s=40),
]


def test_a_ledger_keeps_what_it_is_told(tmp_path):
    with open_ledger(tmp_path) as ledger:
        assert ledger.add(ROWS) == 3
        assert ledger.add(ROWS) == 0
        assert [row.key for row in ledger.to_fetch()] == sorted(row.key for row in ROWS)
        ledger.done(ROWS[0].key, file="clips/00/x.mp4", facts={"size": 5}, fetched=True)
        ledger.lost(ROWS[1].key, reason="network", detail="timed\n out", fetched=True)
        assert [row.key for row in ledger.to_fetch()] == [ROWS[2].key]
        assert [row.key for row in ledger.to_fetch(["network"])] == [ROWS[1].key, ROWS[2].key]
    with open_ledger(tmp_path, create=False) as ledger:
        assert ledger.counts() == {"done": 1, "wanted": 1, "network": 1}
        (lost,) = ledger.entries(state="lost")
        assert (lost.row, lost.reason, lost.detail, lost.tries) == (ROWS[1], "network", "timed out", 1)
        (done,) = ledger.entries(state="done")
        assert (done.file, done.facts) == ("clips/00/x.mp4", {"size": 5})
        ledger.want(ROWS[0].key)
        assert ledger.counts() == {"wanted": 2, "network": 1}


def test_a_clip_has_one_label(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.add(ROWS)
        other = ClipRow(youtube_id=B, start_s=1, label="cat purring", split="train")
        with pytest.raises(InputError, match='is "dog barking" train there, "cat purring" train in the list'):
            ledger.add([other])
        assert len(list(ledger.entries())) == 3
        assert ledger.add([replace(ROWS[2], label="rain"), replace(ROWS[0], label="", split="")]) == 0
        assert ledger.row(ROWS[2].key) == replace(ROWS[2], label="rain")
        assert ledger.row(ROWS[0].key) == ROWS[0]


def test_reasons_are_permanent_or_pass():
    assert not set(PERMANENT) & set(TEMPORARY)
    assert len(set(REASONS)) == len(REASONS)


def test_no_ledger_or_none_that_can_be_read(tmp_path):
    with pytest.raises(InputError, match="not a clip folder; make one"), open_ledger(tmp_path, create=False):
        pass
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(InputError, match="not a ledger"), open_ledger(tmp_path):
        pass


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            raise sqlite3.OperationalError("database or disk is full")

        def __exit__(self, *_):
            return False

    with open_ledger(tmp_path) as ledger:
        ledger.add(ROWS)
        monkeypatch.setattr(ledger, "_connection", Full())
        with pytest.raises(OutputError, match="disk is full.; free some space"):
            ledger.want(ROWS[0].key)


def test_two_programs_in_one_folder(tmp_path):
    with exclusive_lock(tmp_path, "echoframe data download"):
        other = textwrap.dedent(f"""
            from pathlib import Path
            from echoframe.lock import exclusive_lock
            with exclusive_lock(Path({str(tmp_path)!r}), "echoframe data pack"):
                pass
        """)
        ended = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
        assert f"in use by echoframe data download (process {os.getpid()} on" in ended.stderr
    assert subprocess.run([sys.executable, "-c", other], check=False).returncode == 0


def test_a_lock_without_words(tmp_path):
    with exclusive_lock(tmp_path, "x"):
        (tmp_path / ".lock").write_text("")
        with pytest.raises(InputError, match="in use by another program"), exclusive_lock(tmp_path, "y"):
            pass


def test_a_library_that_is_not_installed():
    with pytest.raises(InputError, match=r"no_such_library is not installed; pip install 'echoframe\[data\]'"):
        require_extra("no_such_library")
