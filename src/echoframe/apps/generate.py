"""`echoframe generate`: many clips, one after another, with their progress and their failures."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from echoframe.apps.allocator import keep_freed_memory
from echoframe.apps.options import flags_given, taken
from echoframe.apps.progress import Reporter
from echoframe.errors import EchoFrameError, InputError
from echoframe.jobs.cluster import Loading, Made, check_for_cluster, run_on_cluster
from echoframe.jobs.orders import (
    How,
    Order,
    plan_list,
    plan_orders,
    plan_words,
    read_wishes,
    run_batch,
    share_of,
    together,
)
from echoframe.jobs.plans import Files, Job, find_clips, looked_at, output_path
from echoframe.jobs.results import check_job, remake_job, run_job, without_lost_film
from echoframe.library import Library
from echoframe.loading import load
from echoframe.lock import exclusive_lock
from echoframe.media.video import probe
from echoframe.options import Request, RunOptions, Settings, WriteOptions, check_duration
from echoframe.output import remove_partials
from echoframe.pipeline import EchoFrame
from echoframe.provenance import Machine, Provenance, changed_versions, check_from_file, read_provenance, record_of
from echoframe.sound.placed import LAYERS


@dataclass(frozen=True, kw_only=True, slots=True)
class Show:
    """What is shown: json: one line a clip instead of text. quiet: failures only. debug: raise the first failure."""

    json: bool
    quiet: bool
    debug: bool


def generate(args: argparse.Namespace) -> int:
    """Runs the command; returns how many clips failed. Raises EchoFrameError where there is but one clip."""
    request, running, writing = taken(Request, args), taken(RunOptions, args), taken(WriteOptions, args)
    check_duration(request.duration_s or 0, force=writing.force)
    record = _record(args)
    if record and record.reencoded:
        writing = replace(writing, reencode=True)
    orders = _orders(args, request, running, writing, record)
    number, total = running.share
    mine = share_of(orders, running.share)
    library = record.settings.library if record else request.library
    source = args.model or (record.bundle.source if record else Library.source_of(library) if library else "") or "mini"
    device = args.device or (record.machine.device if record else "auto")
    dtype = args.dtype or (record.machine.dtype if record else "auto")
    show = Show(json=args.json, quiet=args.quiet, debug=args.debug)
    mapper = args.mapper or (record.mapper.source if record and record.mapper else "") or None
    if args.ray_address is not None:
        check_for_cluster(mine, again=record is not None)
    keep_freed_memory()
    # a cluster has devices of its own, and this machine then only says how the model looks
    model = load(source, mapper=mapper, device=device if args.ray_address is None else "cpu", dtype=dtype)
    with ExitStack() as stack:
        if library:
            model = model.answered_by(stack.enter_context(Library.open(library, model)))
        share = f"{number}-of-{total}" if total > 1 else ""
        for folder in sorted({path.parent.resolve() for order in mine for path in order.job.results}):
            stack.enter_context(exclusive_lock(folder, "echoframe generate", share=share))
            if not share:  # nobody else is writing there
                with suppress(OSError):
                    remove_partials(folder)
        make = partial(_made, model, mine, writing, record, batch_size=running.batch_size)
        if args.ray_address is not None:
            loading = Loading(source=source, mapper=mapper, device=device, dtype=dtype)
            size, address = running.batch_size, args.ray_address
            made = run_on_cluster(model, mine, writing, loading, address=address, batch_size=size)
            make = partial(_in_turn, made)
        return run_orders(mine, make, show)


def _orders(
    args: argparse.Namespace, request: Request, running: RunOptions, writing: WriteOptions, record: Provenance | None
) -> list[Order]:
    """What is to be made. Raises what a single clip would fail with, before the model is loaded."""
    out, files = output_path(args.out), _files(args, record.settings if record else request)
    if args.list:
        if args.inputs or record:
            raise InputError(f"{args.list}: a list names the clips; leave out {'--from' if record else args.inputs[0]}")
        wishes = read_wishes(Path(args.list))
        return plan_list(wishes, out, request, running, writing, files=files)
    inputs = args.inputs or ([record.input.path] if record and record.input.path else [])
    asked = Request(prompt=record.settings.prompt, like=record.settings.like) if record else request
    if not inputs and (asked.prompt or asked.like):
        orders = plan_words(out, asked, running, writing, files=files)
        check_job(orders[0].job, writing)
        return orders
    if not inputs:
        raise InputError(
            "no clip; give a video, a still image or a folder of them: echoframe generate clip.mp4; or say with --prompt "
            "what to make"
        )
    clips = find_clips(inputs)
    if record and len(clips) > 1:
        raise InputError(f"{args.record}: was made from one clip, {len(clips)} are given; give that one or none")
    info = probe(clips[0]) if len(clips) == 1 else None  # a wrong file is told before all else
    orders = plan_orders(clips, out, request, running, writing, files=files)
    if info:
        orders = [replace(order, job=replace(order.job, info=info)) for order in orders]
    if len(orders) == 1:
        check_job(looked_at(orders[0].job, writing), writing)
    return orders


def _files(args: argparse.Namespace, asked: Request | Settings) -> Files:
    """What is made beside each sound. Raises InputError for layers of a sound that has none."""
    if args.stems and not asked.library:
        raise InputError("stems: only a sound that is made of a library has layers; give one with --library")
    n_layers = (len(LAYERS) if asked.blend else len(LAYERS) - 1) if args.stems else 0
    return Files(
        film=args.mux,
        picture=args.picture,
        timeline=Path(args.timeline) if args.timeline else None,
        stems=LAYERS[:n_layers],
    )


def _record(args: argparse.Namespace) -> Provenance | None:
    if not args.record:
        return None
    given = flags_given(args)
    if given:  # a record fixes them: beside it they would be ignored
        raise InputError(f"{args.record}: a record fixes {', '.join(given)}; leave out either --from or that")
    return check_from_file(read_provenance(Path(args.record)))


def run_orders(orders: list[Order], make: Callable[[Reporter], Iterator[Made]], show: Show) -> int:
    """Has every job's files made; returns how many failed. A failure is raised where there is but one, or with debug."""
    what = "clips" if len({order.job.clip for order in orders}) == len(orders) else "sounds"
    with Reporter(len(orders), what=what, quiet=show.quiet) as reporter:
        began = time.monotonic()
        for job, how in make(reporter):
            seconds, began = round(time.monotonic() - began, 3), time.monotonic()
            if isinstance(how, str):
                job = without_lost_film(job)
                for note in [] if how == "kept" else _record_of(job).notes:
                    reporter.remark(f"{job.clip}: {note}")
                reporter.done(_as_json(job, how, seconds) if show.json else "" if show.quiet else _as_text(job, how))
                continue
            # a fault of ours in one clip must not cost the night's other thousand
            known = isinstance(how, EchoFrameError)
            words = str(how) if known else f"{job.clip}: unexpected {type(how).__name__}: {how}"
            if show.json:
                print(json.dumps({"clip": str(job.clip), "status": "failed", "error": words}), flush=True)
            if len(orders) == 1 or show.debug:
                raise how
            reporter.failed(words)
    return reporter.n_failed


def _made(
    model: EchoFrame,
    orders: list[Order],
    writing: WriteOptions,
    record: Provenance | None,
    reporter: Reporter,
    *,
    batch_size: int,
) -> Iterator[Made]:
    """Each job, with what became of it."""
    for batch in together(orders, batch_size):
        if len(batch) > 1:
            progress = reporter.begin(", ".join(dict.fromkeys(order.job.clip.name for order in batch)))
            yield from run_batch(model, batch, writing, progress=progress)
            continue
        for order in batch:
            job = order.job
            try:
                job = looked_at(job, writing)
                yield job, _run_one(model, job, order.request, writing, record, reporter)
            except Exception as error:
                yield job, error


def _in_turn(made: Iterator[Made], reporter: Reporter) -> Iterator[Made]:
    """The same, of jobs that are done elsewhere, in their order."""
    reporter.begin("on Ray")
    yield from made


def _run_one(
    model: EchoFrame,
    job: Job,
    request: Request,
    writing: WriteOptions,
    record: Provenance | None,
    reporter: Reporter,
) -> How:
    progress = reporter.begin(str(job.clip))
    if record is None:
        return "made" if run_job(model, job, request, writing, progress=progress) else "kept"
    same = remake_job(model, job, record, writing, progress=progress)
    changed = changed_versions(record, Machine(device=model.device, dtype=model.dtype))
    if not same:
        reporter.note(f"{job.clip}: not the same samples as then; changed: {', '.join(changed) or 'nothing known'}")
    return "remade" if same else "differs"


def _as_text(job: Job, how: How) -> str:
    names = ", ".join(str(path) for path in job.results)
    if how == "kept":
        return f"{job.clip}: done before ({names})"
    return f"{job.clip} -> {names}{' (the same samples)' if how == 'remade' else ''}"


def _record_of(job: Job) -> Provenance:
    found = record_of(job.results[0])
    assert found is not None
    return found


def _as_json(job: Job, how: How, seconds: float) -> str:
    """One line of JSON: the clip, its files, and what the record says of the sound. seconds: that the work took."""
    found = _record_of(job)
    values = {
        "clip": str(job.clip),
        "status": how,
        "files": [str(path) for path in job.outputs],
        "seconds": seconds,
        "duration_s": found.result.n_samples / found.result.sample_rate,
        "model": f"{found.bundle.name} {found.bundle.version}",
        "seed": found.settings.seed,
        "nearest": found.result.nearest,
        "notes": found.notes,
        "shots": found.result.shots,
        "onsets": found.result.onsets,
        "placed": found.result.placed,
        "candidates": found.result.candidate_reasons,
    }
    return json.dumps(values, ensure_ascii=False)
