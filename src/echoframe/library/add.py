"""Adding files to a library: worker processes look at them, this one embeds their pieces and writes the rows.

A file is one transaction, so a run that is killed loses the file that it was at, and the next one goes on there.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from echoframe.data.verify import run_each
from echoframe.errors import EchoFrameError, VideoError
from echoframe.library.described import words_of
from echoframe.library.ears import Ears
from echoframe.library.entries import Entry
from echoframe.library.listening import Heard, listen
from echoframe.library.riff import riff_lie
from echoframe.library.scan import scan, under
from echoframe.library.store import Cut, Store, absolute
from echoframe.media.stills import check_file
from echoframe.output import file_sha256
from echoframe.progress import ProgressCallback

_FEW = 8  # files that are done before another process has begun


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """What a run of adding did, and what the library holds now under the paths that it was given.

    Attributes:
        n_files: how many files there are.
        n_new: how many of them were listened to in this run.
        n_same: how many were as the library knew them.
        n_moved: how many were known under a path that is no more.
        n_duplicates: how many new paths have the content of another file.
        n_lost: how many files have no pieces, or are not there any more.
        lost_by_reason: of those.
        unnamed: names that are not text, and were left out.
    """

    n_files: int
    n_new: int
    n_same: int
    n_moved: int
    n_duplicates: int
    n_lost: int
    lost_by_reason: dict[str, int] = field(default_factory=dict)
    unnamed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Examined:
    """A file that a worker looked at. heard: None if the library knows its content."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    words: dict[str, str] = field(default_factory=dict)
    heard: Heard | None = None


def add(
    store: Store, ears: Ears, paths: Iterable[str | Path], *, workers: int = 1, progress: ProgressCallback | None = None
) -> Added:
    """Adds files and folders, see `Library.add`."""
    roots = [absolute(path) for path in paths]
    scanned = scan(roots, store.files())
    counts: Counter[str] = Counter()
    work = partial(examine, library=str(store.database.path))
    n = len(scanned.todo)
    for i, (path, seen) in enumerate(run_each(work, scanned.todo, n_workers=workers if n > _FEW else 1), start=1):
        what, entry = _take(store, ears, seen)
        counts[what] += 1
        if progress is not None:
            progress(i, n, f"{path}: {entry.reason}: {entry.detail}" if entry.reason else "")
    # only now: what lies elsewhere now was found there, and is not lost
    known = store.files()
    store.vanish([path for path in scanned.vanished if path in known])
    here = [entry for path, entry in store.files().items() if any(under(path, root) for root in roots)]
    lost = Counter(entry.reason for entry in here if entry.state == "lost")
    return Added(
        n_files=len(here),
        n_new=counts["new"],
        n_same=len(scanned.same) + counts["same"],
        n_moved=counts["moved"],
        n_duplicates=counts["duplicate"],
        n_lost=lost.total(),
        lost_by_reason=dict(lost),
        unnamed=tuple(os.fsencode(path).decode("utf-8", "backslashreplace") for path in scanned.unnamed),
    )


def examine(path: str, *, library: str) -> Examined:
    """Reads one file, and listens to it if its content is not known. Any failure is in the result."""
    file = Path(path)
    try:
        check_file(file)
        stat, sha256 = file.stat(), file_sha256(file)
    except (EchoFrameError, OSError) as error:
        return _unread(file, error)
    heard = None if _is_known(library, sha256) else listen(file, lies=riff_lie(file))
    return Examined(
        path=path, size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=sha256, words=words_of(file), heard=heard
    )


def _unread(file: Path, error: Exception) -> Examined:
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


def _take(store: Store, ears: Ears, seen: Examined) -> tuple[str, Entry]:
    """Writes what a worker saw. Returns what it was, "new", "moved", "duplicate" or "same", and the row."""
    others = [entry for entry in store.of_content(seen.sha256) if str(entry.path) != seen.path]
    gone = [str(entry.path) for entry in others if not entry.path.exists()]
    known = store.content(seen.sha256)
    if known is not None:
        entry = replace(known, path=Path(seen.path), size=seen.size, mtime_ns=seen.mtime_ns, words=seen.words)
        store.put(entry, None, instead_of=gone)
        return ("moved" if gone else "duplicate" if others else "same"), entry
    # None where the pieces were there when the worker looked, and have gone with another file since
    heard = seen.heard or listen(Path(seen.path))
    entry = Entry(
        path=Path(seen.path),
        size=seen.size,
        mtime_ns=seen.mtime_ns,
        sha256=seen.sha256,
        sample_rate=heard.sample_rate,
        channels=heard.channels,
        duration_s=heard.duration_s,
        state="lost" if heard.reason else "done",
        reason=heard.reason,
        detail=heard.detail,
        words=seen.words,
    )
    store.put(entry, Cut(pieces=heard.pieces, vectors=ears.embed(heard.waveforms, heard.sample_rate)))
    return "new", entry
