"""One file looked at: its content, what it says of itself, and, where that content is not known, what is heard in it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from echoframe.errors import EchoFrameError, VideoError
from echoframe.library.described import words_of
from echoframe.library.listening import Heard, listen
from echoframe.library.riff import riff_lie
from echoframe.media.stills import check_file
from echoframe.output import file_sha256


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Examined:
    """A file that a worker looked at. heard: None if the library knows its content.

    vectors: the embeddings of what was heard, (P, D), where that was done already, without waveforms in `heard`.
    """

    path: str
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    words: dict[str, str] = field(default_factory=dict)
    heard: Heard | None = None
    vectors: Float[np.ndarray, "pieces dim"] | None = None


def examine(path: str, *, knows: Callable[[str], bool]) -> Examined:
    """Reads one file, and listens to it unless the library knows its content by the SHA-256. Any failure is in the result."""
    file = Path(path)
    try:
        check_file(file)
        stat, sha256 = file.stat(), file_sha256(file)
    except (EchoFrameError, OSError) as error:
        return unread(file, error)
    heard = None if knows(sha256) else listen(file, lies=riff_lie(file))
    return Examined(
        path=path, size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=sha256, words=words_of(file), heard=heard
    )


def examine_for(path: str, *, library: str) -> Examined:
    """As `examine`, for the library in the file `library`, which is asked."""
    return examine(path, knows=lambda sha256: _is_known(library, sha256))


def unread(file: Path, error: Exception) -> Examined:
    """A file that is empty or cannot be read: its content is not known, so it shares nothing with others like it."""
    try:
        stat = file.stat()
        size, mtime_ns = stat.st_size, stat.st_mtime_ns
    except OSError:
        size, mtime_ns = 0, 0
    detail = " ".join(str(error).split()).removeprefix(f"{file}: ")
    heard = Heard(reason="broken" if isinstance(error, VideoError) else "unreadable", detail=detail)
    return Examined(path=str(file), size=size, mtime_ns=mtime_ns, heard=heard)


def _is_known(library: str, sha256: str) -> bool:
    """Whether the library has pieces of that content, or knows why it cannot have any."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM pieces WHERE sha256 = :sha) "
        "OR EXISTS (SELECT 1 FROM files WHERE sha256 = :sha AND reason <> 'vanished')"
    )
    with closing(sqlite3.connect(library, timeout=30.0)) as connection:
        return bool(connection.execute(query, {"sha": sha256}).fetchone()[0])
