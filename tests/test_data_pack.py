"""Tars: the same bytes every time, nothing that climbs out, nothing lost to damage but what is damaged."""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from echoframe.data.clip_list import ClipRow, clip_path
from echoframe.data.ledger import Ledger, open_ledger
from echoframe.data.pack import INDEX, pack, read_index
from echoframe.data.units import size_words
from echoframe.data.unpack import find_tars, unpack
from echoframe.errors import InputError, OutputError

SHARD = 10240  # bytes: three or four clips and their JSONs
LABELS = ("dog barking", "cat purring", "playing marimba, xylophone")


def clip_bytes(n: int) -> bytes:
    return hashlib.sha256(str(n).encode()).digest() * (10 + n)


def fill(folder: Path, ledger: Ledger, n_clips: int = 12) -> list[ClipRow]:
    """Clips that are done: files of bytes, which is all that packing looks at."""
    rows = [
        ClipRow(
            youtube_id=f"{n:011d}", start_s=n, label=LABELS[n % len(LABELS)], split=("train", "test", "")[n % 4 % 3]
        )
        for n in range(n_clips)
    ]
    ledger.add(rows)
    for n, row in enumerate(rows):
        data = clip_bytes(n)
        path = clip_path(folder, row.key, ".mp4" if n % 5 else ".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        facts = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "video_s": 9.9, "audio_s": 10.0}
        ledger.done(row.key, file=path.relative_to(folder).as_posix(), facts=facts)
    return rows


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips here"
    folder.mkdir()
    with open_ledger(folder) as ledger:
        fill(folder, ledger)
        yield folder, ledger


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_bytes_every_time(clips, tmp_path):
    folder, ledger = clips
    one, two = tmp_path / "one", tmp_path / "two"
    result = pack(folder, one, ledger, shard_bytes=SHARD)
    assert pack(folder, two, ledger, shard_bytes=SHARD) == result
    assert bytes_of(one) == bytes_of(two)
    assert {shard.name.rsplit("-", 1)[0] for shard in result.shards} == {"train", "test", "all"}
    assert sum(shard.n for shard in result.shards) == 12
    assert (result.n_written, result.n_removed) == (len(result.shards), 0)
    for shard in result.shards:
        with tarfile.open(one / shard.name) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
    assert sorted(read_index(one), key=str) == sorted(result.shards, key=str)


def test_the_bytes_of_a_tar(tmp_path):
    """As they have always been: who packed with an older version needs not pack again."""
    with open_ledger(tmp_path) as ledger:
        fill(tmp_path, ledger, 1)
        (shard,) = pack(tmp_path, tmp_path / "out", ledger).shards
    told = (
        b'{"duration_s": 10.0, "facts": {"audio_s": 10.0, "sha256": "%(sha256)b", "size": 320, "video_s": 9.9}, '
        b'"key": "00000000000_000000", "label": "dog barking", "sha256": "%(sha256)b", "size": 320, "split": "train", '
        b'"start_s": 0, "youtube_id": "00000000000"}\n'
    ) % {b"sha256": hashlib.sha256(clip_bytes(0)).hexdigest().encode()}
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        assert tar.getnames() == ["00000000000_000000.wav", "00000000000_000000.json"]
        json_file = tar.extractfile("00000000000_000000.json")
        assert json_file is not None
        assert json_file.read() == told
    assert shard.bytes == 10240
    assert shard.sha256 == "ed60458c6a1ef7987c64598244ebda00f8ee649d127797b511292497c08ffa68"


def test_what_lies_beside_a_tar(clips, tmp_path):
    folder, ledger = clips
    entries = {entry.row.key: entry for entry in ledger.entries()}
    for shard in pack(folder, tmp_path / "out", ledger, shard_bytes=SHARD).shards:
        tar = tmp_path / "out" / shard.name
        told = json.loads((tmp_path / "out" / f"{shard.name}.json").read_text())
        assert (told["n"], told["bytes"], told["sha256"]) == (shard.n, tar.stat().st_size, shard.sha256)
        assert hashlib.sha256(tar.read_bytes()).hexdigest() == shard.sha256
        assert tar.stat().st_size <= max(SHARD, 10240)
        with tarfile.open(tar) as opened:
            names = [f for clip in told["clips"] for f in (clip["file"], f"{clip['key']}.json")]
            assert opened.getnames() == names
            sums = [s for clip in told["clips"] for s in (clip["sha256"], clip["json_sha256"])]
            assert [hashlib.sha256(stream_of(opened, name)).hexdigest() for name in names] == sums
        assert [entries[clip["key"]].facts["sha256"] for clip in told["clips"]] == sums[::2]
        order = [hashlib.sha1(clip["key"].encode()).hexdigest() for clip in told["clips"]]
        assert order == sorted(order)


def stream_of(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    assert stream is not None
    return stream.read()


def test_one_split_after_the_other(clips, tmp_path):
    """Gives the same folder as all at once, and packing one split again leaves the others."""
    folder, ledger = clips
    one, two = tmp_path / "one", tmp_path / "two"
    pack(folder, one, ledger, shard_bytes=SHARD)
    for splits in (["test"], ["train", "all"], ["test"]):
        result = pack(folder, two, ledger, shard_bytes=SHARD, splits=splits)
        assert {shard.name.rsplit("-", 1)[0] for shard in result.shards} == set(splits)
    assert bytes_of(one) == bytes_of(two)
    size = size_words(sum(shard.bytes for shard in result.shards))
    words = f"3 clips in 1 tars, {size}; {result.n_written} tars written, 1 were there, 0 removed"
    assert str(result) == words
    with pytest.raises(InputError, match='split "tset" is not known; expected some of train, val, test, all'):
        pack(folder, two, ledger, splits=["tset"])
    with pytest.raises(InputError, match="no clip of val is done, nothing to pack"):
        pack(folder, two, ledger, splits=["val"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files to the collector
def test_clips_with_their_json_in_webdataset(clips, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    folder, ledger = clips
    seen = {}
    for shard in pack(folder, tmp_path / "out", ledger).shards:
        for sample in webdataset.WebDataset(str(tmp_path / "out" / shard.name), shardshuffle=False, empty_check=False):
            about = json.loads(sample["json"])
            data = sample.get("mp4") or sample["wav"]
            assert hashlib.sha256(data).hexdigest() == about["sha256"] == about["facts"]["sha256"]
            assert (about["size"], about["duration_s"]) == (len(data), 10.0)
            seen[sample["__key__"]] = about["label"]
    assert seen == {entry.row.key: entry.row.label for entry in ledger.entries()}


def test_a_second_run_writes_only_what_is_missing(clips, tmp_path):
    folder, ledger = clips
    out = tmp_path / "out"
    names = [shard.name for shard in pack(folder, out, ledger, shard_bytes=SHARD).shards]
    assert len(names) == 4
    before = bytes_of(out)
    (out / names[1]).unlink()
    (out / names[2]).write_bytes(b"half")
    (out / f"{names[3]}.json").write_text("[]")
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    for left in ("train-000000.0123abcd.tmp.tar", "all-000001.tar.0123abcd.tmp.json", "shards.0123abcd.tmp.json"):
        (out / f".{left}").write_bytes(b"left by a kill")
    assert all(tar.name[0] != "." for tar in find_tars(out))
    said: list[tuple[int, int, str]] = []
    assert pack(folder, out, ledger, shard_bytes=SHARD, progress=lambda *told: said.append(told)).n_written == 3
    assert bytes_of(out) == before
    kept = [name for name, time in times.items() if (out / name).stat().st_mtime_ns == time]
    assert kept == [name for name in times if name not in names[1:4]]
    assert said[0][0] == 1
    assert "was there" in said[0][2]
    assert said[1][:2] == (2, len(said))
    assert said[1][2].endswith("written")


def test_a_changed_label_changes_its_tar_only(clips, tmp_path):
    folder, ledger = clips
    out = tmp_path / "out"
    pack(folder, out, ledger, shard_bytes=SHARD)
    entry = next(iter(ledger.entries()))
    ledger.done(entry.row.key, file=entry.file, facts={**entry.facts, "still": True})
    assert pack(folder, out, ledger, shard_bytes=SHARD).n_written == 1


def test_tars_that_are_planned_no_more_go_and_others_stay(clips, tmp_path):
    folder, ledger = clips
    out = tmp_path / "out"
    assert len(pack(folder, out, ledger, shard_bytes=1).shards) == 12
    for mine in ("mine.tar", "train-000099.tar", ".hidden.tmp.tar"):
        (out / mine).write_bytes(b"")
    result = pack(folder, out, ledger)
    assert (len(result.shards), result.n_written, result.n_removed) == (3, 3, 9)
    ours = {f"{shard.name}{end}" for shard in result.shards for end in ("", ".json")}
    assert {path.name for path in out.iterdir()} == {*ours, "mine.tar", "train-000099.tar", ".hidden.tmp.tar", INDEX}


def test_what_cannot_be_packed(clips, tmp_path):
    folder, ledger = clips
    with pytest.raises(InputError, match="shard bytes 0; expected 1 or more, 1000000000 is usual"):
        pack(folder, tmp_path / "out", ledger, shard_bytes=0)
    first = next(iter(ledger.entries()))
    for changed in (b"changed", bytes(first.facts["size"])):
        (folder / first.file).write_bytes(changed)
        with pytest.raises(InputError, match="not the file the ledger knows; run echoframe data verify"):
            pack(folder, tmp_path / "out", ledger)
    (folder / first.file).unlink()
    with pytest.raises(InputError, match="cannot be read .No such file.*run echoframe data verify"):
        pack(folder, tmp_path / "out", ledger)
    assert not list((tmp_path / "out").glob(".*"))
    ledger.done(first.row.key, file=first.file, facts={})
    with pytest.raises(InputError, match="its size and sha256 are not in the ledger; run echoframe data verify"):
        pack(folder, tmp_path / "out", ledger)
    (tmp_path / "file").touch()
    ledger.done(first.row.key, file=first.file, facts=first.facts)
    with pytest.raises(OutputError, match="cannot be made a folder .* choose another with -o"):
        pack(folder, tmp_path / "file", ledger)
    for entry in list(ledger.entries()):
        ledger.want(entry.row.key)
    with pytest.raises(InputError, match="nothing to pack; run echoframe data download"):
        pack(folder, tmp_path / "out", ledger)


def test_an_index_that_is_none(clips, tmp_path):
    folder, ledger = clips
    (tmp_path / INDEX).write_text('{"format": 7}')
    with pytest.raises(InputError, match="not an index of tars of format 1 .format 7"):
        pack(folder, tmp_path, ledger)
    climbs = {"name": "../mine.tar", "n": 1, "bytes": 1, "sha256": ""}
    (tmp_path / INDEX).write_text(json.dumps({"format": 1, "shards": [climbs]}))
    with pytest.raises(InputError, match="not an index of tars of format 1 .names '../mine.tar'"):
        pack(folder, tmp_path, ledger)


def test_a_clip_that_cannot_be_read_to_its_end(clips, tmp_path, monkeypatch):
    folder, ledger = clips

    class Bad(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("echoframe.data.pack._Clip.__init__", lambda self, path, file: setattr_all(self, path, Bad()))
    with pytest.raises(InputError, match="breaks off .Input/output error.; run echoframe data verify"):
        pack(folder, tmp_path / "out", ledger)


def setattr_all(clip, path: Path, file: io.BytesIO) -> None:
    clip._path, clip._file, clip.sha256 = path, file, hashlib.sha256()


KILLED = """
import os, sys
from pathlib import Path
from echoframe.data.ledger import open_ledger
from echoframe.data.pack import pack
from echoframe.data.unpack import unpack

what, source, out, shard_bytes = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
real = {name: getattr(os, name) for name in ("replace", "fsync")}

def run(n):
    def counted(name):
        def call(*args):
            nonlocal n
            n -= 1
            if n == 0:
                os._exit(9)  # as SIGKILL: nothing is tidied up
            return real[name](*args)
        return call

    for name in real:
        setattr(os, name, counted(name))
    with open_ledger(source if what == "pack" else out) as ledger:
        if what == "pack":
            pack(source, out, ledger, shard_bytes=shard_bytes)
        else:
            unpack(source, out, ledger)
    os._exit(0)

for n in map(int, sys.argv[5:]):
    child = os.fork()
    if child == 0:
        run(n)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def kill_runs(what: str, source: Path, out: Path, *at: int) -> list[int]:
    """Exit codes of runs, each killed at the n-th time that a file is flushed or renamed."""
    command = [sys.executable, "-c", KILLED, what, source, out, str(SHARD), *map(str, at)]
    return [int(code) for code in subprocess.run(command, check=True, capture_output=True).stdout.split()]


def test_killed_again_and_again(clips, tmp_path):
    """Each run gets a little further than the one before; what comes out is as if none had been killed."""
    folder, ledger = clips
    whole, out = tmp_path / "whole", tmp_path / "out"
    pack(folder, whole, ledger, shard_bytes=1)
    pack(folder, out, ledger, shard_bytes=1)  # another plan to begin with, whose tars have to go
    pack(folder, whole, ledger, shard_bytes=SHARD)
    assert kill_runs("pack", folder, out, 1, 3, 4, 6, 7, 9) == [9] * 6
    assert list(out.glob(".*.tmp*"))
    pack(folder, out, ledger, shard_bytes=SHARD)
    assert bytes_of(out) == bytes_of(whole)

    again = tmp_path / "again"
    again.mkdir()
    assert kill_runs("unpack", whole, again, 1, 2, 3, 7) == [9] * 4
    with open_ledger(again) as other:
        assert 0 < other.counts()["done"] < 12
        counts = unpack(whole, again, other)
        assert counts["unpacked"] + counts["known"] == 12
        assert [(e.row, e.file, e.facts) for e in other.entries()] == [
            (e.row, e.file, e.facts) for e in ledger.entries()
        ]
    found = {path.relative_to(again): path.read_bytes() for path in again.glob("clips/*/*")}
    assert found == {path.relative_to(folder): path.read_bytes() for path in folder.glob("clips/*/*")}


def test_there_and_back_again(clips, tmp_path):
    folder, ledger = clips
    pack(folder, tmp_path / "out", ledger, shard_bytes=SHARD)
    again = tmp_path / "again"
    again.mkdir()
    said: list[str] = []
    with open_ledger(again) as other:
        counts = unpack(tmp_path / "out", again, other, progress=lambda done, total, what: said.append(what))
        assert counts == {"unpacked": 12, "known": 0, "not-clips": 0, "damaged-clips": 0, "damaged-tars": 0}
        assert [(e.row, e.file, e.facts) for e in other.entries()] == [
            (e.row, e.file, e.facts) for e in ledger.entries()
        ]
        for entry in other.entries():
            assert (again / entry.file).read_bytes() == (folder / entry.file).read_bytes()
        assert unpack(tmp_path / "out", again, other)["known"] == 12
        for sidecar in (tmp_path / "out").glob("*.tar.json"):
            sidecar.unlink()
        first = again / next(iter(other.entries())).file
        first.write_bytes(b"not of the size it was")
        assert unpack(tmp_path / "out", again, other) | {"unpacked": 1, "known": 11} == dict.fromkeys(counts, 0) | {
            "unpacked": 1,
            "known": 11,
        }
        assert first.read_bytes() == (folder / first.relative_to(again)).read_bytes()
    assert len(said) == len(find_tars(tmp_path / "out"))
    assert not list(again.glob("clips/*/.*"))


Members = Sequence[tuple[tarfile.TarInfo | str, bytes]]


def write_tar(path: Path, members: Members, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    with open_ledger(folder) as ledger:
        yield folder, ledger


def test_a_mirror_without_json(empty, tmp_path):
    """Names as VGGSound's mirror has them; labels come from the list that was added before."""
    folder, ledger = empty
    known = ClipRow(youtube_id="a" * 11, start_s=30, label="dog barking", split="test")
    ledger.add([known])
    members = [
        ("scratch/shared/beegfs/video/aaaaaaaaaaa_000030.mp4", b"one"),
        ("scratch/shared/beegfs/video/bbbbbbbbbbb_000001.mp4", b"two"),
        ("scratch/shared/beegfs/video/bbbbbbbbbbb_000001.mp4", b"two"),
        ("README.txt", b"hello"),
        ("scratch/vggsound.csv", b"x"),
    ]
    counts = unpack(write_tar(tmp_path / "vggsound_00.tar.gz", members, "w:gz"), folder, ledger)
    assert (counts["unpacked"], counts["known"], counts["not-clips"]) == (2, 1, 2)
    rows = {entry.row.key: entry for entry in ledger.entries(state="done")}
    assert rows[known.key].row == known
    assert rows["bbbbbbbbbbb_000001"].row.label == ""
    assert rows[known.key].facts == {"sha256": hashlib.sha256(b"one").hexdigest(), "size": 3}


@pytest.mark.parametrize("name", [f"{climb}aaaaaaaaaaa_000030.mp4" for climb in ("../", "/tmp/", "x/../../", "..\\")])
def test_names_that_climb_out_are_refused(empty, tmp_path, name):
    folder, ledger = empty
    good: Members = [("bbbbbbbbbbb_000001.mp4", b"good"), ("ccccccccccc_000001.mp4", b"good")]
    tar = write_tar(tmp_path / "bad.tar", [*good, (name, b"bad")])
    with pytest.raises(InputError, match="leads out of the folder; do not use this tar"):
        unpack(tar, folder, ledger)
    assert not list(folder.rglob("*.mp4"))
    assert not list(ledger.entries())
    packed = tmp_path / "bad.tar.gz"  # what comes before was looked at, and is taken
    packed.write_bytes(gzip.compress(tar.read_bytes()))
    with pytest.raises(InputError, match="leads out of the folder; do not use this tar"):
        unpack(packed, folder, ledger)
    assert [path.name for path in folder.rglob("*.mp4")] == ["bbbbbbbbbbb_000001.mp4"]
    assert not list(folder.glob("clips/*/.*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(empty, tmp_path, kind):
    folder, ledger = empty
    link = tarfile.TarInfo("aaaaaaaaaaa_000030.mp4")
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(InputError, match="is a link or a device; expected plain files"):
        unpack(write_tar(tmp_path / "bad.tar", [(link, b"")]), folder, ledger)
    assert not list(folder.rglob("*.mp4"))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_what_lies_before_the_damage_is_kept(empty, tmp_path, suffix):
    folder, ledger = empty
    source = tmp_path / "tars"
    source.mkdir()
    # bytes that do not compress, so that half a file is half the clips
    members = [
        (f"{n:011d}_000001.mp4", b"".join(hashlib.sha256(f"{n} {k}".encode()).digest() for k in range(999)))
        for n in range(8)
    ]
    whole = write_tar(tmp_path / f"x{suffix}", members, "w:gz" if suffix.endswith("gz") else "w").read_bytes()
    (source / f"a{suffix}").write_bytes(whole[: len(whole) * 6 // 10])
    write_tar(source / "b.tar", [("zzzzzzzzzzz_000002.mp4", b"whole")])
    said: list[str] = []
    counts = unpack(source, folder, ledger, progress=lambda done, total, what: said.append(what))
    assert counts["damaged-tars"] == 1
    assert counts["unpacked"] == 4 + 1  # 60 % of eight, and the good tar's
    assert said[0].startswith(f"a{suffix}: breaks off after 4 clips (")
    assert said[1] == "b.tar: 1 clips unpacked"
    for entry in ledger.entries(state="done"):
        assert hashlib.sha256((folder / entry.file).read_bytes()).hexdigest() == entry.facts["sha256"]
    assert not list(folder.glob("clips/*/.*"))


def test_gzip_that_is_corrupt_in_the_middle(empty, tmp_path):
    """Bytes stored as they are: the members look well, and only gzip's checksum at the end shows it."""
    folder, ledger = empty
    members: Members = [(f"{n:011d}_000001.mp4", bytes(5000)) for n in range(9)]
    data = bytearray(gzip.compress(write_tar(tmp_path / "x.tar", members).read_bytes(), compresslevel=0))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "x.tar.gz").write_bytes(data)
    said: list[str] = []
    counts = unpack(tmp_path / "x.tar.gz", folder, ledger, progress=lambda done, total, what: said.append(what))
    assert (counts["unpacked"], counts["damaged-tars"]) == (9, 1)
    assert said[0].startswith("x.tar.gz: breaks off after 9 clips (CRC check failed")
    assert said[0].endswith("fetch this tar again, and run echoframe data verify " + str(folder))


def test_what_tarfile_takes_for_the_end(empty, tmp_path):
    """A bad header in the middle, a tar without an end mark, an error page instead of a tar."""
    folder, ledger = empty
    source = tmp_path / "tars"
    source.mkdir()
    members: Members = [(f"{n:011d}_000001.mp4", b"x") for n in range(4)]
    whole = write_tar(source / "a.tar", members).read_bytes()
    (source / "a.tar").write_bytes(whole[:2100] + b"?" + whole[2101:])
    (source / "b.tar").write_bytes(whole[:3072])
    (source / "c.tar.gz").write_bytes(b"<html>429</html>" * 99)
    (source / "d.tar").write_bytes(b"")
    said: list[str] = []
    counts = unpack(source, folder, ledger, progress=lambda done, total, what: said.append(what))
    assert (counts["unpacked"], counts["known"], counts["damaged-tars"]) == (3, 2, 4)
    for line, start in zip(
        said,
        (
            "a.tar: breaks off after 2 clips (no tar header: ",
            "b.tar: breaks off after 3 clips (ends without an end mark, at byte 3072)",
            "c.tar.gz: breaks off after 0 clips (no tar header: ",
            "d.tar: breaks off after 0 clips (ends without an end mark, at byte 0)",
        ),
        strict=True,
    ):
        assert line.startswith(start)


def test_a_tar_that_is_not_what_its_sidecar_says(clips, tmp_path):
    folder, ledger = clips
    (shard, *_) = pack(folder, tmp_path / "out", ledger).shards
    tar = tmp_path / "out" / shard.name
    data = bytearray(tar.read_bytes())
    data[600] ^= 1  # within the first clip
    tar.write_bytes(data)
    again, said = tmp_path / "again", []
    again.mkdir()
    with open_ledger(again) as other:
        counts = unpack(tar, again, other, progress=lambda done, total, what: said.append(what))
        (lost,) = (entry for entry in other.entries() if entry.state == "lost")
        assert lost.reason == "broken"
    assert (counts["unpacked"], counts["damaged-clips"], counts["damaged-tars"]) == (shard.n - 1, 1, 1)
    assert said[0].endswith(f"{lost.row.key} is not the sha256 that the JSON beside it says")
    assert said[1].startswith(f"{tar.name}: not the sha256 that {tar.name}.json says; fetch this tar again")


def test_a_clip_whose_json_is_cut_off_is_not_taken(clips, tmp_path):
    folder, ledger = clips
    pack(folder, tmp_path / "out", ledger, splits=["train"])
    tar = tmp_path / "out" / "train-000000.tar"
    with tarfile.open(tar) as opened:
        third = opened.getmembers()[5]
    tar.write_bytes(tar.read_bytes()[: third.offset_data + 9])
    (tmp_path / "again").mkdir()
    with open_ledger(tmp_path / "again") as other:
        assert unpack(tar, tmp_path / "again", other)["unpacked"] == 2
    assert len(list((tmp_path / "again").glob("clips/*/*"))) == 2


def test_json_before_its_clip_and_files_in_between(empty, tmp_path):
    """The order webdataset's own writer has; and JSONs that say nothing of a clip."""
    folder, ledger = empty
    told = json.dumps({"label": "dog barking", "split": "nowhere", "facts": 3}).encode()
    members: Members = [
        ("aaaaaaaaaaa_000030.json", told),
        ("aaaaaaaaaaa_000030.mp4", b"one"),
        ("bbbbbbbbbbb_000030.mp4", b"two"),
        ("bbbbbbbbbbb_000030.txt", b"words"),
        ("bbbbbbbbbbb_000030.json", told),
        ("ccccccccccc_000030.mp4", b"three"),
        ("ccccccccccc_000030.json", b"[" * 100_000),
        ("ddddddddddd_000030.mp4", b"four"),
        ("ddddddddddd_000030.wav", b"its sound"),
    ]
    counts = unpack(write_tar(tmp_path / "x.tar", members), folder, ledger)
    assert counts == {"unpacked": 4, "known": 1, "not-clips": 1, "damaged-clips": 0, "damaged-tars": 0}
    rows = [entry.row for entry in ledger.entries(state="done")]
    assert [(row.label, row.split) for row in rows] == [("dog barking", "")] * 2 + [("", "")] * 2


def test_a_clip_that_is_not_what_its_json_says(empty, tmp_path):
    folder, ledger = empty
    about = json.dumps({"facts": {"sha256": "0" * 64}}).encode()
    tar = write_tar(tmp_path / "x.tar", [("aaaaaaaaaaa_000030.mp4", b"one"), ("aaaaaaaaaaa_000030.json", about)])
    assert unpack(tar, folder, ledger)["damaged-clips"] == 1
    assert not list(folder.rglob("*.mp4"))
    assert ledger.counts() == {"broken": 1}
    good = write_tar(tmp_path / "y.tar", [("aaaaaaaaaaa_000030.mp4", b"one")])
    assert unpack(good, folder, ledger)["unpacked"] == 1
    assert ledger.counts() == {"done": 1}


def test_no_tar_there(empty, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no tar here; expected a .tar"):
        unpack(tmp_path / "no", *empty)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    tar = write_tar(tmp_path / "x.tar", [("aaaaaaaaaaa_000030.mp4", b"one")])
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read .Permission denied.; check its permissions"):
        unpack(tar, *empty)


def test_a_disk_that_is_full(empty, tmp_path, monkeypatch):
    folder, ledger = empty
    tar = write_tar(tmp_path / "x.tar", [("aaaaaaaaaaa_000030.mp4", b"one")])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("echoframe.data.unpack.os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device.; free some space"):
        unpack(tar, folder, ledger)
    assert not [path for path in folder.rglob("*") if path.is_file() and "ledger" not in path.name]


def test_clips_with_names_of_their_own_go_into_tars_and_back(tmp_path):
    row, source = ClipRow(name="dogs_Take_1", label="barks twice", split="test"), tmp_path / "clips"
    source.mkdir()
    (tmp_path / "again").mkdir()
    with open_ledger(source) as ledger, open_ledger(tmp_path / "again") as other:
        ledger.add([row])
        path = clip_path(source, row.key, ".mp4")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"a film")
        facts = {"sha256": hashlib.sha256(b"a film").hexdigest(), "size": 6}
        ledger.done(row.key, file=path.relative_to(source).as_posix(), facts=facts)
        pack(source, tmp_path / "tars", ledger)
        assert unpack(tmp_path / "tars", tmp_path / "again", other)["unpacked"] == 1
        (entry,) = other.entries(state="done")
    assert entry.row == row
    assert (tmp_path / "again" / entry.file).read_bytes() == b"a film"
