"""One program at a time in a clip folder."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from echoframe.errors import InputError
from echoframe.output import make_folder

LOCK = ".lock"


@contextmanager
def exclusive_lock(folder: Path, what: str) -> Iterator[None]:
    """Keeps every other `exclusive_lock` of `folder` out until the block ends, or the process does, however it ends.

    what: the program, for the message others get. Raises InputError that names who holds it. On network file systems it
    is as good as their flock. Raises OutputError for a folder that cannot be made or written to.
    """
    make_folder(folder)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder}: in use by {_holder(folder / LOCK)}; wait for it, or stop it") from error
        file.truncate(0)
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        json.dump({"what": what, "process": os.getpid(), "host": socket.gethostname(), "since": now}, file)
        file.flush()
        yield


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text())
        return f"{who['what']} (process {who['process']} on {who['host']} since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another program"  # it has only just begun
