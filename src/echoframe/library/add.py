"""Adding files to a library: worker processes look at them, this one embeds their pieces and writes the rows.

On a Ray cluster the pieces are embedded there; the rows are written by this process alone.

A file is one transaction, so a run that is killed loses the file that it was at, and the next one goes on there.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from echoframe.data.verify import run_each
from echoframe.library.cluster import examine_on_cluster
from echoframe.library.ears import Ears
from echoframe.library.entries import Entry
from echoframe.library.examine import Examined, examine_for
from echoframe.library.listening import listen
from echoframe.library.scan import scan, under_any
from echoframe.library.store import Cut, Store, absolute
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


def add(
    store: Store,
    ears: Ears,
    paths: Iterable[str | Path],
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> Added:
    """Adds files and folders, see `Library.add`."""
    roots = [absolute(path) for path in paths]
    scanned = scan(roots, store.files())
    counts: Counter[str] = Counter()
    n = len(scanned.todo)
    if ray_address is None:
        work = partial(examine_for, library=str(store.database.path))
        examined = run_each(work, scanned.todo, n_workers=(workers or 1) if n > _FEW else 1)
    else:
        examined = examine_on_cluster(scanned.todo, store, ears, address=ray_address, workers=workers, device=device)
    for i, (path, seen) in enumerate(examined, start=1):
        what, entry = _take(store, ears, seen)
        counts[what] += 1
        if progress is not None:
            progress(i, n, f"{path}: {entry.reason}: {entry.detail}" if entry.reason else "")
    # only now: what lies elsewhere now was found there, and is not lost
    known = store.files()
    store.vanish([path for path in scanned.vanished if path in known])
    some = set(roots)
    here = [entry for path, entry in store.files().items() if under_any(path, some)]
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
    vectors = seen.vectors if seen.vectors is not None else ears.embed(heard.waveforms, heard.sample_rate)
    store.put(entry, Cut(pieces=heard.pieces, vectors=vectors))
    return "new", entry
