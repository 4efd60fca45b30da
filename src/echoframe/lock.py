"""One program at a time in a folder, on Linux, macOS and Windows."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

from echoframe.errors import InputError
from echoframe.output import make_folder

LOCK = ".lock"
# Windows keeps others from reading the bytes that are locked: this one is far beyond the holder's name
_LOCKED_BYTE = 1 << 30


@contextmanager
def exclusive_lock(folder: Path, what: str) -> Iterator[None]:
    """Keeps every other `exclusive_lock` of `folder` out until the block ends, or the process does, however it ends.

    what: the program, for the message others get. Raises InputError that names who holds it. On network file systems it
    is as good as their flock. Raises OutputError for a folder that cannot be made or written to.
    """
    make_folder(folder)
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        if not _try_lock(file.fileno(), folder):
            raise InputError(f"{folder}: in use by {_holder(folder / LOCK)}; wait for it, or stop it")
        file.truncate(0)
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        json.dump({"what": what, "process": os.getpid(), "host": socket.gethostname(), "since": now}, file)
        file.flush()
        yield


def _try_lock(number: int, folder: Path) -> bool:
    """Locks the open file of that number; whether nobody else holds it. The system unlocks it when it is closed."""
    fcntl, msvcrt = _module("fcntl"), _module("msvcrt")
    try:
        if fcntl:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt:
            os.lseek(number, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        else:
            raise InputError(f"{folder}: cannot be locked on this system; use Linux, macOS or Windows")
    except (BlockingIOError, PermissionError):
        return False
    return True


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:  # fcntl is for POSIX, msvcrt for Windows
        return None


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"{who['what']} (process {who['process']} on {who['host']} since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another program"  # it has only just begun
