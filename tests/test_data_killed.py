"""Download, pack and extract, killed with SIGKILL at random moments: after going on, everything is as if unbroken.

The moments are drawn with a fixed seed, as shares of the time that an unbroken run takes in the same process tree. Three
times by default; seven times each with -m slow.
"""

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from echoframe.data.clip_list import ClipRow
from echoframe.data.download import Pace, download
from echoframe.data.embedding_set import plan_shards, read_rows
from echoframe.data.extract import extract
from echoframe.data.fetch import FetchOptions, fetcher
from echoframe.data.ledger import Entry, open_ledger
from echoframe.data.pack import pack
from echoframe.data.sources import list_source
from echoframe.lock import exclusive_lock
from film_server import Films, serve
from forked import ready_processes
from planted_video import write_video
from tiny_bundles import write_tiny_mini

often = pytest.mark.parametrize("n_kills", [3, pytest.param(7, marks=pytest.mark.slow)])
N_CLIPS = 6
SHARD_BYTES = 40_960  # a tar of one or two clips


def run_download(clips: Path, address: str) -> None:
    fetch = fetcher(FetchOptions(url=f"{address}/{{id}}.mp4"))
    with exclusive_lock(clips, "download"), open_ledger(clips) as ledger:
        ledger.add(rows())
        download(clips, ledger, fetch, pace=Pace(workers=2, backoff_s=0.0, tries=1))


def run_pack(tars: Path, clips: Path) -> None:
    with exclusive_lock(tars, "pack"), open_ledger(clips, create=False) as ledger:
        pack(clips, tars, ledger, shard_bytes=SHARD_BYTES)


def run_extract(out: Path, clips: Path, model: Path) -> None:
    extract(clips, out, model=model, shard_clips=2, workers=0, device="cpu")


def rows() -> list[ClipRow]:
    return [ClipRow(youtube_id=f"clip{n:07d}", start_s=n % 2, label="rain", split="train") for n in range(N_CLIPS)]


@pytest.fixture(scope="module")
def processes():
    return ready_processes()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Every clip but the last, which is not there."""
    folder = tmp_path_factory.mktemp("films")
    films = {}
    for n, row in enumerate(rows()[:-1]):
        path = folder / f"{row.youtube_id}.mp4"
        films[row.youtube_id] = write_video(path, n_frames=60, rate=Fraction(5), tone_hz=200.0 + 100 * n)
    with serve(Films(films)) as server:
        yield server


@pytest.fixture(scope="module")
def clips(served, tmp_path_factory):
    """An unbroken download."""
    folder = tmp_path_factory.mktemp("whole")
    run_download(folder, served.address)
    return folder


def unbroken_s(processes, work: Callable[..., None], out: Path, *args: object) -> float:
    """Seconds of an unbroken run in a process of its own."""
    process = processes.Process(target=work, args=(out, *args))
    began = time.monotonic()
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - began


def kill_and_go_on(
    processes, work: Callable[..., None], out: Path, *args: object, within_s: float, n_kills: int
) -> int:
    """Runs `work` until killed, so many times, then to its end; how many of the kills met it at work."""
    draw = random.Random(f"EchoFrame {work.__name__}")
    met = 0
    for _ in range(n_kills):
        process = processes.Process(target=work, args=(out, *args))
        process.start()
        process.join(draw.uniform(0.05, 0.9) * within_s)
        process.kill()
        process.join()
        met += process.exitcode == -9
    unbroken_s(processes, work, out, *args)
    return met


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", "ledger.sqlite"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def entries(folder: Path) -> list[Entry]:
    """The ledger, without when and how often."""
    with open_ledger(folder, create=False) as ledger:
        return [replace(entry, tries=0, changed="") for entry in ledger.entries()]


@often
def test_download(processes, served, clips, tmp_path, n_kills):
    within_s = unbroken_s(processes, run_download, tmp_path / "once", served.address)
    out = tmp_path / "killed"
    assert kill_and_go_on(processes, run_download, out, served.address, within_s=within_s, n_kills=n_kills) > 0
    assert files(out) == files(clips) == files(tmp_path / "once")
    assert entries(out) == entries(clips)
    with open_ledger(out) as ledger:
        assert ledger.counts() == {"done": N_CLIPS - 1, "removed": 1}


@often
def test_pack(processes, clips, tmp_path, n_kills):
    within_s = unbroken_s(processes, run_pack, tmp_path / "once", clips)
    out = tmp_path / "killed"
    assert kill_and_go_on(processes, run_pack, out, clips, within_s=within_s, n_kills=n_kills) > 0
    assert files(tmp_path / "killed") == files(tmp_path / "once")
    assert sum(name.endswith(".tar") for name in files(tmp_path / "once")) > 2


@often
def test_extract(processes, clips, tmp_path, n_kills):
    model = tmp_path / "model"
    write_tiny_mini(model)
    source = tmp_path / "source"
    shutil.copytree(clips, source)
    within_s = unbroken_s(processes, run_extract, tmp_path / "once", source, model)
    out = tmp_path / "killed"
    assert kill_and_go_on(processes, run_extract, out, source, model, within_s=within_s, n_kills=n_kills) > 0
    found, expected = files(tmp_path / "killed"), files(tmp_path / "once")
    assert found.keys() == expected.keys()
    for shard in plan_shards(tmp_path / "killed", list_source(source).items, 2):
        assert found[shard.path.name] == expected[shard.path.name]
        assert [key for key, _ in read_rows(shard)] == [item.key for item in shard.items]
    assert found["manifest.json"] == expected["manifest.json"]
