"""`echoframe library`. All work is in `library/`."""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from echoframe.apps.progress import Reporter
from echoframe.errors import InputError
from echoframe.library import Found, Library, LibraryInfo, parts_of_file
from echoframe.library.scan import SUFFIXES, outermost
from echoframe.loading import load
from echoframe.media.stills import PICTURE_SUFFIXES, check_file

OK, SOME_FAILED = 0, 1
MOST_FOLDERS = 8  # that are printed
HEADS = ("score", "begins", "ends", "kind", "LUFS", "file")
# a part of a query, from when to when; None where it has no parts
Answers = list[tuple[tuple[float, float] | None, list[Found]]]


def add(args: argparse.Namespace) -> int:
    """Adds files. Returns 1 if some of them have no pieces or are not there any more."""
    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers {args.workers}; expected 1 or more processes")
    path = Path(args.out)
    source = Library.source_of(path)
    # a cluster has a device of its own, and this machine then only checks that both hear alike
    model = load(args.model or source or "mini", device=args.device if args.ray_address is None else "cpu")
    with Library.open(path, model) if source else Library.create(path, model) as library:
        with Reporter(0, what="files", quiet=args.quiet) as reporter:

            def tell(done: int, total: int, wrong: str) -> None:
                reporter.expect(total)
                if wrong:
                    reporter.failed(wrong)
                else:
                    reporter.done("")

            found = library.add(
                args.paths,
                workers=args.workers or (os.cpu_count() if args.ray_address is None else None),
                ray_address=args.ray_address,
                device=args.device,
                progress=tell,
            )
    for name in found.unnamed:
        print(f"echoframe: {name}: left out, as its name is not text; rename it", file=sys.stderr)
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(found.lost_by_reason.items()))
    print(
        f"{path}: {found.n_files} files ({found.n_new} new, {found.n_same} known, {found.n_moved} moved, "
        f"{found.n_duplicates} duplicates), {found.n_lost} lost" + (f" ({reasons})" if reasons else "")
    )
    return SOME_FAILED if found.n_lost else OK


def search(args: argparse.Namespace) -> int:
    """Lists what fits best."""
    path = Path(args.library)
    if not path.is_file():
        Library.open(path)  # says so before a model is loaded
    model = load(args.model or Library.source_of(path) or "mini", device=args.device)
    with Library.open(path, model) as library:
        if _is_file(args.query):
            parts = parts_of_file(model, Path(args.query), seed=args.seed)
            found = library.nearest(torch.cat([part.target for part in parts]), k=args.top)
            answers: Answers = [((part.start_s, part.stop_s), some) for part, some in zip(parts, found, strict=True)]
        else:
            answers = [(None, library.search(args.query, k=args.top))]
    if args.json:
        values = [{**_times(part), "found": [_as_values(each) for each in found]} for part, found in answers]
        print(json.dumps({"query": args.query, "parts": values}, ensure_ascii=False))
    else:
        print("\n".join(_as_lines(answers)))
    return OK


def info(args: argparse.Namespace) -> int:
    """Counts what there is."""
    with Library.open(args.library) as library:
        found = library.info()
        folders = sorted({str(entry.path.parent) for entry in library})
    if args.json:
        print(json.dumps({**asdict(found), "path": str(found.path), "folders": folders}, ensure_ascii=False))
    else:
        print("\n".join(_told(found, outermost(folders, most=MOST_FOLDERS))))
    return OK


def remove(args: argparse.Namespace) -> int:
    """Forgets files."""
    with Library.open(args.library) as library:
        n = library.remove(args.paths)
    print(f"{args.library}: {n} files forgotten; none was deleted")
    return OK


def check(args: argparse.Namespace) -> int:
    """Compares with the disk. Returns 1 if something is not as it was."""
    with Library.open(args.library) as library:
        lines, n = library.check(), len(library)
    print("\n".join(lines) if lines else f"{args.library}: {n} files, all as they were")
    return SOME_FAILED if lines else OK


def _is_file(query: str) -> bool:
    """Whether a query names a file. Raises InputError for a name of one that is not there."""
    if os.path.exists(query):
        return True
    if Path(query).suffix.lower() in SUFFIXES | PICTURE_SUFFIXES:
        check_file(Path(query))
    return False


def _times(part: tuple[float, float] | None) -> dict[str, float]:
    return {} if part is None else {"start_s": round(part[0], 3), "stop_s": round(part[1], 3)}


def _as_values(found: Found) -> dict[str, Any]:
    piece = found.piece
    return {
        "file": str(found.path),
        "also": [str(path) for path in found.also],
        "score": round(found.score, 4),
        "similarity": round(found.similarity, 4),
        "start_s": round(piece.start_s, 3),
        "stop_s": round(piece.stop_s, 3),
        "kind": piece.kind,
        "loudness_lufs": round(piece.loudness_lufs, 2) if math.isfinite(piece.loudness_lufs) else None,
        "peak_db": round(piece.peak_db, 2),
        "onsets_s": list(piece.onsets_s),
        "loop_s": None if piece.loop_s is None else [round(place, 5) for place in piece.loop_s],
        "sample_rate": found.sample_rate,
        "channels": found.channels,
        "words": dict(found.words),
    }


def _as_lines(answers: Answers) -> Iterator[str]:
    """A table; of a film one for each shot."""
    for number, (part, found) in enumerate(answers, 1):
        if part is not None and len(answers) > 1:
            yield ("" if number == 1 else "\n") + f"shot {number}, {part[0]:.2f} to {part[1]:.2f} s"
        yield from _table(found)


def _table(found: Sequence[Found]) -> Iterator[str]:
    if not found:
        yield "nothing fits"
        return
    yield f"{HEADS[0]:>6} {HEADS[1]:>9} {HEADS[2]:>9}  {HEADS[3]:<8} {HEADS[4]:>6}  {HEADS[5]}"
    for each in found:
        piece = each.piece
        yield (
            f"{each.score:>6.3f} {piece.start_s:>9.2f} {piece.stop_s:>9.2f}  {piece.kind:<8} "
            f"{piece.loudness_lufs:>6.1f}  {each.path}"
        )


def _told(found: LibraryInfo, folders: Sequence[str]) -> Iterator[str]:
    yield f"{found.path}: {found.n_files} files, {found.duration_s / 60:.1f} minutes of sound, {found.size / 1e6:.1f} MB"
    yield f"  {found.n_events} events, {found.n_ambiences} ambiences"
    if found.n_lost:
        yield "  lost: " + ", ".join(f"{n} {reason}" for reason, n in found.n_lost.items())
    yield f'  audio space "{found.space}" ({found.dim}) of {found.model}, loaded as {found.source}'
    yield from (f"  {folder}" for folder in folders)
