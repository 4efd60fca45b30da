"""What a run is asked to make: jobs of clips with their requests, from names on the command line or from a list.

A list is a CSV file with a header line: `path`, and as many as wanted of `seed`, `duration` (seconds) and `out` (a folder
or the name of a sound or a film). A path is relative to the list's folder, an `out` to the run's own.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from echoframe.errors import InputError
from echoframe.jobs.plans import Job, looked_at, output_path, plan_jobs, without_clashes
from echoframe.jobs.results import settings_to_make, write_results
from echoframe.jobs.together import render_together
from echoframe.options import Request, RunOptions, Settings, WriteOptions
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback

# made now; done before; made again from a record with the same samples, or with others
How = Literal["made", "kept", "remade", "differs"]
COLUMNS = ("path", "seed", "duration", "out")


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A job, and what is asked of its sound."""

    job: Job
    request: Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A row of a list. where: what messages call it. seed, duration_s: none where the run's own is meant."""

    where: str
    clip: Path
    seed: int | None = None
    duration_s: float | None = None
    out: str = ""


def plan_orders(
    clips: Sequence[Path],
    out: Path,
    request: Request,
    running: RunOptions,
    writing: WriteOptions,
    *,
    with_film: bool = True,
    with_picture: bool = False,
) -> list[Order]:
    """The orders of `clips`, clip after clip, seed after seed. out: as for `plan_jobs`.

    Raises InputError or OutputError as `plan_jobs` and `without_clashes`.
    """
    orders = _planned(clips, out, request, running, with_film=with_film, with_picture=with_picture)
    return _without_clashes(orders, writing)


def _planned(
    clips: Sequence[Path], out: Path, request: Request, running: RunOptions, *, with_film: bool, with_picture: bool
) -> list[Order]:
    seeds = running.seeds_from(request.seed)
    jobs = plan_jobs(clips, out, with_film=with_film, with_picture=with_picture, seeds=seeds)
    asked = [replace(request, seed=seed) for seed in seeds] or [request]
    return [Order(job=job, request=asked[i % len(asked)]) for i, job in enumerate(jobs)]


def _without_clashes(orders: Sequence[Order], writing: WriteOptions) -> list[Order]:
    jobs = without_clashes([order.job for order in orders], writing)
    return [replace(order, job=job) for order, job in zip(orders, jobs, strict=True)]


def plan_list(
    wishes: Sequence[Wish],
    out: Path,
    request: Request,
    running: RunOptions,
    writing: WriteOptions,
    *,
    with_film: bool = True,
    with_picture: bool = False,
) -> list[Order]:
    """The orders of a list's rows. Raises as `plan_orders`, and InputError for seeds that are given twice."""
    orders: list[Order] = []
    for wish in wishes:
        if wish.seed is not None and running.seeds is not None:
            raise InputError(f"{wish.where}: has a seed of its own; leave out --seeds, or use --samples")
        own = replace(
            request,
            seed=request.seed if wish.seed is None else wish.seed,
            duration_s=wish.duration_s or request.duration_s,
        )
        place = out / output_path(wish.out) if wish.out else out
        orders += _planned([wish.clip], place, own, running, with_film=with_film, with_picture=with_picture)
    return _without_clashes(orders, writing)


def read_wishes(path: Path) -> list[Wish]:
    """The rows of the list at `path`. Raises InputError, with the line, for an unknown column or a value that is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as UTF-8 text ({error}); give a CSV file with a column path"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    columns = [cell.strip().lower() for cell in next(reader, [])]
    unknown = [column for column in columns if column not in COLUMNS]
    if unknown or "path" not in columns or len(set(columns)) < len(columns):
        raise InputError(
            f"{path}: columns {', '.join(columns) or 'none'}; expected path, and no others than {', '.join(COLUMNS[1:])}, "
            "each once, in a header line"
        )
    wishes = [
        _wish(dict(zip(columns, map(str.strip, cells), strict=False)), path, f"{path}, line {reader.line_num}")
        for cells in reader
        if _fits(cells, columns, f"{path}, line {reader.line_num}")
    ]
    if not wishes:
        raise InputError(f"{path}: lists no clip; write one in each line below the header")
    return wishes


def _fits(cells: Sequence[str], columns: Sequence[str], where: str) -> bool:
    """Whether the line holds something. Raises InputError if it holds more or less than the header."""
    if any(cell.strip() for cell in cells) and len(cells) != len(columns):
        raise InputError(f"{where}: {len(cells)} cells, the header has {len(columns)}; quote a name that holds a comma")
    return any(cell.strip() for cell in cells)


def _wish(row: dict[str, str], path: Path, where: str) -> Wish:
    if not row["path"]:
        raise InputError(f"{where}: has no path; write the name of a clip")
    seed, duration = row.get("seed", ""), row.get("duration", "")
    try:
        wish = Wish(
            where=where,
            clip=path.parent / row["path"],
            seed=int(seed) if seed else None,
            duration_s=float(duration) if duration else None,
            out=row.get("out", ""),
        )
        Request(seed=wish.seed or 0, duration_s=wish.duration_s)
    except ValueError as error:
        raise InputError(f'{where}: seed "{seed}", duration "{duration}"; expected numbers or nothing') from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return wish


def run_batch(
    model: EchoFrame, orders: Sequence[Order], writing: WriteOptions, *, progress: ProgressCallback | None = None
) -> Iterator[tuple[Job, How | Exception]]:
    """Makes the files of several jobs, their sounds together; each job, with what became of it."""
    to_make: list[tuple[Job, Settings]] = []
    for order in orders:
        try:
            job = looked_at(order.job, writing)
            settings = settings_to_make(model, job, order.request, writing)
        except Exception as error:  # one clip's, which must not cost the others
            yield order.job, error
        else:
            if settings is None:
                yield job, "kept"
            else:
                to_make.append((job, settings))
    sounds = render_together(model, [(job.known, settings) for job, settings in to_make], progress=progress)
    for (job, _), sound in zip(to_make, sounds, strict=True):
        try:
            if isinstance(sound, Exception):
                raise sound
            write_results(sound, job, writing)
        except Exception as error:
            yield job, error
        else:
            yield job, "made"


def share_of(orders: Sequence[Order], share: tuple[int, int]) -> list[Order]:
    """Every n-th order, from the i-th on, for share (i, n)."""
    number, total = share
    return list(orders[number - 1 :: total])
