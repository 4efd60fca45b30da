"""`echoframe library add`, killed with SIGKILL at ten random moments: after going on, the library is as if unbroken.

The moments are drawn with a fixed seed. Each is counted from where the command begins to write a file, and at most as much
later as a file takes, so every one of them is a moment of the work.
"""

import random
import shutil
import signal
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import pytest
import soundfile

from echoframe.apps import cli
from echoframe.library import Library
from echoframe.library.database import Database
from forked import ready_processes
from library_rows import rows
from planted_sounds import RATE, click_at, noise, tone
from tiny_bundles import write_tiny_mini

pytest.importorskip("sqlite_vec")
N_KILLS = 10


def run_add(library: Path, sounds: Path, model: Path, told: Connection) -> None:
    """The command, in a process of its own. It tells when it begins to change the library."""
    change = Database.change

    def telling(self: Database) -> object:
        told.send_bytes(b".")
        return change(self)

    words = ["library", "add", sounds, "-o", library, "--model", model, "--workers", 1, "--device", "cpu", "--quiet"]
    with mock.patch.object(Database, "change", telling):
        sys.exit(cli.main([str(word) for word in words]))


@pytest.fixture(scope="module")
def processes():
    return ready_processes()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """Sixteen files: events, an ambience, one of three pieces, a copy, and one that is no sound."""
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(12):
        soundfile.write(folder / f"{number:02d} tone.wav", tone(0.3, 200 + 30 * number), RATE)
    soundfile.write(folder / "03 wind.wav", noise(5.0, 0.1), RATE)
    soundfile.write(folder / "05 three clicks.flac", click_at([0.1, 1.0, 2.0], 2.6), RATE)
    shutil.copy(folder / "02 tone.wav", folder / "07 same.wav")
    (folder / "08 empty.wav").touch()
    return folder


def start(processes, *args: Path):
    """The running command, and the end of a pipe where it tells."""
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=run_add, args=(*args, sender))
    process.start()
    sender.close()
    return process, receiver


def gaps(receiver: Connection) -> list[float]:
    """Seconds between one thing told and the next, until the command ends."""
    times = []
    try:
        while True:
            receiver.recv_bytes()
            times.append(time.monotonic())
    except EOFError:
        return [later - earlier for earlier, later in zip(times, times[1:], strict=False)]


def test_ten_kills_leave_no_trace(processes, sounds, tmp_path):
    write_tiny_mini(tmp_path / "model")
    whole, path = tmp_path / "whole.library", tmp_path / "killed.library"
    process, receiver = start(processes, whole, sounds, tmp_path / "model")
    found = gaps(receiver)
    process.join()
    assert (process.exitcode, len(found)) == (
        1,
        17,
    )  # 1: one file is no sound; what is told: the tables, files, the end
    step_s, draw, met = statistics.median(found), random.Random("EchoFrame library"), 0
    for _ in range(N_KILLS):
        process, receiver = start(processes, path, sounds, tmp_path / "model")
        receiver.recv_bytes()
        time.sleep(draw.uniform(0.0, step_s))
        process.kill()
        process.join()
        met += process.exitcode == -signal.SIGKILL
    assert met > N_KILLS // 2  # a machine that is busy may let some of them end before
    process, receiver = start(processes, path, sounds, tmp_path / "model")
    process.join()
    assert process.exitcode == 1
    assert rows(path) == rows(whole)
    with Library.open(path) as library:
        assert (len(library), library.info().n_lost, library.check()) == (16, {"broken": 1}, [])
