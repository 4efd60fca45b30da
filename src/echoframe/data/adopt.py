"""Clips that somebody already has, under the names other projects give them, taken into a clip folder."""

import filecmp
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from echoframe.data.clip_list import SOUND_SUFFIXES, ClipRow, clip_path, row_named
from echoframe.data.ledger import Ledger, filled
from echoframe.data.verify import ClipFacts, look, problems, remove_partials, run_each
from echoframe.errors import InputError, OutputError
from echoframe.media.video import VIDEO_SUFFIXES
from echoframe.output import atomic_files, partial_path
from echoframe.progress import ProgressCallback

_NAMED = 10  # of the files that are no clips, so many are told by name


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chosen:
    """The file to adopt for one clip, None if none decodes; fault: then, of the first one."""

    path: Path | None
    facts: ClipFacts | None
    fault: str = ""


def adopt_folder(
    source: Path,
    folder: Path,
    ledger: Ledger,
    *,
    rows: Mapping[str, ClipRow] | None = None,
    move: bool = False,
    progress: ProgressCallback | None = None,
    n_workers: int = 1,
) -> dict[str, int]:
    """Takes the videos and sounds under `source` into a clip folder: verified, then hard-linked, copied where that is
    refused, or moved. ID_000030.mp4 and ID_30000_40000.mp4 are clips of a video site; any other name is a clip's own.

    rows: by key, says labels and splits; a clip that it does not have is not adopted. Returns how many clips were
    "adopted", and how many of them have each problem; were "known" (done before), "labelled" (known, but what `rows`
    says was not), "broken", "not-listed"; and how many files are "second-copies" of a clip (one with a picture wins),
    "not-clips" by their kind, "links-outside". The caller holds the folder's lock. Raises InputError for a source that
    is missing, empty or inside `folder`, and for two names that would be one clip.
    """
    _check(source, folder, needs_clips=rows is None)
    remove_partials(folder)
    counts: Counter[str] = Counter(adopted=0)
    found = _find(source, folder, counts, progress)
    wanted = _wanted(found, folder, ledger, rows, counts, move)
    jobs = [(key, tuple(paths)) for key, paths in wanted.items()]
    for i, ((key, paths), chosen) in enumerate(run_each(_choose, jobs, n_workers=n_workers), start=1):
        counts["second-copies"] += len(paths) - 1
        if chosen.path is None or chosen.facts is None:
            ledger.lost(key, reason="broken", detail=chosen.fault)
            how = ["broken"]
        else:
            _take(chosen.path, chosen.facts, key, folder, ledger, move)
            how = ["adopted", *(reason for reason, _ in problems(chosen.facts))]
        counts.update(how)
        if progress is not None:
            progress(i, len(jobs), f"{key}: {', '.join(how)}")
    return {what: n for what, n in counts.items() if n or what == "adopted"}


def _check(source: Path, folder: Path, *, needs_clips: bool) -> None:
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; give the folder that holds the clips to adopt")
    if source.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{source}: lies inside the clip folder {folder}; adopt from another folder")
    if needs_clips and not any(source.iterdir()):
        raise InputError(f"{source}: is empty; give the folder that holds the clips to adopt")


def _find(source: Path, folder: Path, counts: Counter[str], progress: ProgressCallback | None) -> dict[str, list[Path]]:
    """Files by key, in the order they are to be tried: with a picture first, then by name."""
    found: dict[str, list[Path]] = {}
    strange: list[Path] = []
    for path in _walk(source, folder.resolve(), counts):
        is_clip = path.suffix.lower() in VIDEO_SUFFIXES | SOUND_SUFFIXES and not path.name.startswith(".")
        if not is_clip or not path.is_file():
            strange.append(path)
            continue
        row = row_named(path.relative_to(source).as_posix())
        others = found.setdefault(row.key, [])
        if row.name and others and others[0].with_suffix("") != path.with_suffix(""):
            raise InputError(f"{path}: and {others[0]} would both be the clip {row.key}; rename one of them")
        others.append(path)
    counts["not-clips"] += len(strange)
    for i, path in enumerate(strange[:_NAMED] if progress is not None else (), start=1):
        assert progress is not None
        progress(i, len(strange), f"{path.relative_to(source)}: not a clip by its kind")
    return {
        key: sorted(paths, key=lambda path: (path.suffix.lower() in SOUND_SUFFIXES, path))
        for key, paths in found.items()
    }


def _walk(source: Path, folder: Path, counts: Counter[str]) -> Iterator[Path]:
    """Every file under `source`, in order; not what lies in the clip folder, nor what a link shows from elsewhere."""
    root = source.resolve()
    for parent, folders, files in os.walk(source, onerror=_refused):
        here = Path(parent)
        links = [name for name in folders if (here / name).is_symlink()]
        counts["links-outside"] += sum(not (here / name).resolve().is_relative_to(root) for name in links)
        folders[:] = sorted(name for name in folders if name not in links and (here / name).resolve() != folder)
        for name in sorted(files):
            path = here / name
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                counts["links-outside"] += 1
            else:
                yield path


def _refused(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error


def _wanted(
    found: dict[str, list[Path]],
    folder: Path,
    ledger: Ledger,
    rows: Mapping[str, ClipRow] | None,
    counts: Counter[str],
    move: bool,
) -> dict[str, list[Path]]:
    """What of `found` is to be adopted; the ledger knows those clips afterwards."""
    known = {entry.row.key: entry for entry in ledger.entries()}
    wanted: dict[str, list[Path]] = {}
    fresh: list[ClipRow] = []
    for key in sorted(found):
        entry = known.get(key)
        if rows is not None and key not in rows:
            counts["not-listed"] += 1
        elif entry is not None and entry.state == "done" and (folder / entry.file).is_file():
            counts["known"] += 1
            if move:
                _remove_moved(found[key], folder / entry.file)
        else:
            wanted[key] = found[key]
            named = row_named(found[key][0].name) if entry is None else entry.row
            fresh.append(rows[key] if rows is not None else replace(named, name=named.name and key))
    told = [row for key, row in (rows or {}).items() if key in known]
    counts["labelled"] += sum(filled(known[row.key].row, row) != known[row.key].row for row in told)
    ledger.add([*fresh, *told])
    return wanted


def _choose(job: tuple[str, tuple[Path, ...]]) -> _Chosen:
    fault = ""
    for path in job[1]:
        facts = look(path)
        if isinstance(facts, ClipFacts):
            return _Chosen(path=path, facts=facts)
        fault = fault or f"{path.name}: {facts}"
    return _Chosen(path=None, facts=None, fault=fault)


def _take(path: Path, facts: ClipFacts, key: str, folder: Path, ledger: Ledger, move: bool) -> None:
    """Link, then ledger, then (when moving) the old name: a run killed in between does the rest the next time."""
    final = clip_path(folder, key, path.suffix.lower())
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _link(path.resolve(), final)
    except OSError as error:
        raise OutputError(f"{final}: cannot be written ({error.strerror}); check the folder and its disk") from error
    ledger.done(key, file=final.relative_to(folder).as_posix(), facts=asdict(facts))
    if move:
        path.unlink()


def _link(path: Path, final: Path) -> None:
    partial = partial_path(final)
    try:
        os.link(path, partial)
        os.replace(partial, final)
    except OSError:  # another file system, or one without links
        with atomic_files([final]) as (copy,):
            shutil.copyfile(path, copy)
    finally:
        partial.unlink(missing_ok=True)  # renaming one link of a file onto another leaves both


def _remove_moved(paths: list[Path], final: Path) -> None:
    """What a run that was killed while moving has taken and not yet removed."""
    for path in paths:
        if path.samefile(final) or filecmp.cmp(path, final, shallow=False):
            path.unlink()
