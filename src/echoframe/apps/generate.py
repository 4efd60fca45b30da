"""`echoframe generate`: many clips, one after another, with their progress and their failures."""

import argparse
from dataclasses import replace
from pathlib import Path

from echoframe.apps.options import flags_given, taken
from echoframe.apps.progress import Reporter
from echoframe.errors import EchoFrameError, InputError
from echoframe.jobs import Job, check_job, find_clips, plan_jobs, remake_job, run_job
from echoframe.media.video import probe
from echoframe.options import Request, WriteOptions, check_duration
from echoframe.pipeline import EchoFrame, load
from echoframe.provenance import Machine, Provenance, changed_versions, check_from_file, read_provenance


def generate(args: argparse.Namespace) -> int:
    """Runs the command; returns how many clips failed. Raises EchoFrameError where there is but one clip."""
    request, writing = taken(Request, args), taken(WriteOptions, args)
    check_duration(request.duration_s or 0, force=writing.force)
    record = _record(args)
    inputs = args.inputs or ([record.input.path] if record else [])
    if not inputs:
        raise InputError("no clip; give a video, a still image or a folder of them: echoframe generate clip.mp4")
    clips = find_clips(inputs)
    if record and len(clips) > 1:
        raise InputError(f"{args.record}: was made from one clip, {len(clips)} are given; give that one or none")
    info = None
    if len(clips) == 1:
        info = probe(clips[0])  # a wrong file is told before all else, and before the model is loaded
    jobs = plan_jobs(clips, Path(args.out), with_film=args.mux, with_picture=args.picture)
    if len(jobs) == 1:
        jobs = [replace(jobs[0], info=info)]
        check_job(jobs[0], writing)
    source = args.model or (record.bundle.source if record else "mini")
    device = args.device or (record.machine.device if record else "auto")
    dtype = args.dtype or (record.machine.dtype if record else "auto")
    return run_jobs(load(source, device=device, dtype=dtype), jobs, request, writing, record, debug=args.debug)


def _record(args: argparse.Namespace) -> Provenance | None:
    if not args.record:
        return None
    given = flags_given(args)
    if given:  # a record fixes them: beside it they would be ignored
        raise InputError(f"{args.record}: a record fixes {', '.join(given)}; leave out either --from or that")
    return check_from_file(read_provenance(Path(args.record)))


def run_jobs(
    model: EchoFrame,
    jobs: list[Job],
    request: Request,
    writing: WriteOptions,
    record: Provenance | None,
    *,
    debug: bool,
) -> int:
    """Makes every job's files; returns how many failed. A failure is raised where there is but one, or with debug."""
    with Reporter(len(jobs)) as reporter:
        for job in jobs:
            try:
                line = _run_one(model, job, request, writing, record, reporter)
            except Exception as error:
                if len(jobs) == 1 or debug:
                    raise
                # a fault of ours in one clip must not cost the night's other thousand
                known = isinstance(error, EchoFrameError)
                reporter.failed(str(error) if known else f"{job.clip}: unexpected {type(error).__name__}: {error}")
            else:
                reporter.done(line)
    return reporter.n_failed


def _run_one(
    model: EchoFrame,
    job: Job,
    request: Request,
    writing: WriteOptions,
    record: Provenance | None,
    reporter: Reporter,
) -> str:
    progress = reporter.begin(str(job.clip))
    names = ", ".join(str(path) for path in job.outputs)
    if record is None:
        made = run_job(model, job, request, writing, progress=progress)
        return f"{job.clip} -> {names}" if made else f"{job.clip}: done before ({names})"
    same = remake_job(model, job, record, writing, progress=progress)
    changed = changed_versions(record, Machine(device=model.device, dtype=model.dtype))
    if not same:
        reporter.note(f"{job.clip}: not the same samples as then; changed: {', '.join(changed) or 'nothing known'}")
    return f"{job.clip} -> {names}{' (the same samples)' if same else ''}"
