"""What a run is asked to make: jobs of clips with their requests, from names on the command line or from a list.

A list is a CSV file with a header line: `path`, and as many as wanted of `seed`, `duration` (seconds), `out` (a folder or
the name of a sound or a film) and `prompt`. A path is relative to the list's folder, an `out` to the run's own. A row with a
prompt needs no path.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from echoframe.errors import InputError
from echoframe.jobs.plans import Files, Job, looked_at, output_path, plan_jobs, without_clashes
from echoframe.jobs.results import settings_to_make, write_results
from echoframe.jobs.together import render_together
from echoframe.media.frame_array import NoPicture
from echoframe.options import Request, RunOptions, Settings, WriteOptions
from echoframe.options.table import read_table
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback

# made now; done before; made again from a record with the same samples, or with others
How = Literal["made", "kept", "remade", "differs"]
COLUMNS = ("path", "seed", "duration", "out", "prompt")
LONGEST_NAME = 60  # characters of a prompt in a file's name


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A job, and what is asked of its sound."""

    job: Job
    request: Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A row of a list. where: what messages call it. seed, duration_s: none where the run's own is meant."""

    where: str
    clip: Path | None
    seed: int | None = None
    duration_s: float | None = None
    out: str = ""
    prompt: str = ""


def plan_orders(
    clips: Sequence[Path],
    out: Path,
    request: Request,
    running: RunOptions,
    writing: WriteOptions,
    *,
    files: Files = Files(),
) -> list[Order]:
    """The orders of `clips`, clip after clip, seed after seed. out: as for `plan_jobs`.

    Raises InputError or OutputError as `plan_jobs` and `without_clashes`.
    """
    orders = _planned(clips, out, request, running, files)
    return _without_clashes(orders, writing)


def plan_words(
    out: Path, request: Request, running: RunOptions, writing: WriteOptions, *, files: Files = Files()
) -> list[Order]:
    """The orders of sounds without a picture, of the request's words or example. Raises as `plan_orders`."""
    called = Path(_called(request.prompt or Path(request.like).stem))
    orders = _planned([called], out, request, running, replace(files, film=False))
    orders = [replace(order, job=replace(order.job, info=NoPicture())) for order in orders]
    return _without_clashes(orders, writing)


def _called(words: str) -> str:
    """A file's name for what was asked for in words.

    >>> _called("A dog barks: 'woof'... twice/thrice?")
    'A dog barks woof twice thrice'
    """
    return " ".join(re.sub(r"[^\w,-]+", " ", words).split())[:LONGEST_NAME].strip() or "sound"


def _planned(clips: Sequence[Path], out: Path, request: Request, running: RunOptions, files: Files) -> list[Order]:
    seeds = running.seeds_from(request.seed)
    if running.keep > request.candidates:
        raise InputError(
            f"keep {running.keep}: {request.candidates} candidates are made of each sound; ask for more with --candidates"
        )
    jobs = plan_jobs(clips, out, files=files, seeds=seeds, keep=running.keep)
    nths = range(1, running.keep + 1) if running.keep > 1 else (request.nth,)
    asked = [replace(request, seed=seed, nth=nth) for seed in seeds or (request.seed,) for nth in nths]
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
    files: Files = Files(),
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
            prompt=wish.prompt or request.prompt,
        )
        place = out / output_path(wish.out) if wish.out else out
        if wish.clip is None:
            orders += plan_words(place, own, running, writing, files=files)
        else:
            orders += _planned([wish.clip], place, own, running, files)
    return _without_clashes(orders, writing)


def read_wishes(path: Path) -> list[Wish]:
    """The rows of the list at `path`. Raises InputError, with the line, for an unknown column or a value that is none."""
    rows = read_table(path, COLUMNS, needed=COLUMNS[:1])
    wishes = [_wish(row, path, where) for where, row in rows]
    if not wishes:
        raise InputError(f"{path}: lists no clip; write one in each line below the header")
    return wishes


def _wish(row: dict[str, str], path: Path, where: str) -> Wish:
    if not row["path"] and not row.get("prompt"):
        raise InputError(f"{where}: has no path; write the name of a clip, or a prompt")
    seed, duration = row.get("seed", ""), row.get("duration", "")
    try:
        wish = Wish(
            where=where,
            clip=path.parent / row["path"] if row["path"] else None,
            seed=int(seed) if seed else None,
            duration_s=float(duration) if duration else None,
            out=row.get("out", ""),
            prompt=row.get("prompt", ""),
        )
        Request(seed=wish.seed or 0, duration_s=wish.duration_s, prompt=wish.prompt)
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


def together(orders: Sequence[Order], batch_size: int) -> Iterator[list[Order]]:
    """The orders in batches of so many sounds; those that keep several candidates of one sound stay together."""
    batch: list[Order] = []
    n_sounds = 0
    for order in orders:
        another = not batch or not _same_sound(batch[-1], order)
        if another and n_sounds == batch_size:
            yield batch
            batch, n_sounds = [], 0
        batch.append(order)
        n_sounds += another
    if batch:
        yield batch


def _same_sound(one: Order, other: Order) -> bool:
    """Whether two orders differ in which of the candidates they keep, and in nothing else."""
    return one.job.clip == other.job.clip and replace(one.request, nth=1) == replace(other.request, nth=1)


def share_of(orders: Sequence[Order], share: tuple[int, int]) -> list[Order]:
    """Every n-th sound's orders, from the i-th on, for share (i, n)."""
    number, total = share
    sounds = list(together(orders, 1))
    return [order for sound in sounds[number - 1 :: total] for order in sound]
