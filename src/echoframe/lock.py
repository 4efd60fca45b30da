"""One program at a time in a folder, or several that have shared its work out, on Linux, macOS and Windows."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO

from echoframe.errors import InputError
from echoframe.output import make_folder

LOCK = ".lock"
# Windows keeps others from reading the bytes that are locked: this one is far beyond the holder's name
_LOCKED_BYTE = 1 << 30
_PATIENCE_S = 0.3  # another program may hold a lock for a moment, only to see whether it is free


@contextmanager
def exclusive_lock(folder: Path, what: str, *, share: str = "") -> Iterator[None]:
    """Keeps every other `exclusive_lock` of `folder` out until the block ends, or the process does, however it ends.

    what: the program, for the message others get. share: a name for one share of the work; programs with other shares
    are let in. Raises InputError that names who holds it. On network file systems it is as good as their flock. Raises
    OutputError for a folder that cannot be made or written to.
    """
    make_folder(folder)
    with _held(folder / (f"{LOCK}-{share}" if share else LOCK), what):
        for other in [folder / LOCK] if share else sorted(folder.glob(f"{LOCK}-*")):
            with contextlib.suppress(FileNotFoundError), other.open("r+", encoding="utf-8") as file:
                _lock(file.fileno(), other)  # free again at once
        yield


@contextmanager
def _held(path: Path, what: str) -> Iterator[None]:
    with _opened(path) as file:
        try:
            file.truncate(0)
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
            json.dump({"what": what, "process": os.getpid(), "host": socket.gethostname(), "since": now}, file)
            file.flush()
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows does not remove what is open
                path.unlink()


def _opened(path: Path) -> IO[str]:
    """The file at `path`, open and locked."""
    while True:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(path.open("a+", encoding="utf-8"))
            _lock(file.fileno(), path)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    stack.pop_all()
                    return file  # and not one that its last holder has removed since


def _lock(number: int, path: Path) -> None:
    """Locks the open file of that number. Raises InputError if somebody holds it for longer than a moment."""
    until = time.monotonic() + _PATIENCE_S
    while not _try_lock(number, path.parent):
        if time.monotonic() > until:
            raise InputError(f"{path.parent}: in use by {_holder(path)}; wait for it, or stop it")
        time.sleep(0.02)


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
