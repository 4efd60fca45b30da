"""`echoframe generate`: many clips, one after another, with their progress and their failures."""

import argparse
from pathlib import Path

from echoframe.apps.progress import Reporter
from echoframe.errors import EchoFrameError, InputError
from echoframe.jobs import Job, Request, check_job, check_request, find_clips, plan_jobs, remake_job, run_job
from echoframe.media.loudness import TARGET_LUFS
from echoframe.media.video import probe
from echoframe.pipeline import EchoFrame, load
from echoframe.provenance import Machine, Provenance, changed_versions, read_provenance

# what a record fixes: given beside --from it would be ignored, so it is refused
FIXED = ("seed", "duration", "steps", "guidance", "scheduler", "candidates", "loudness", "original_level")


def generate(args: argparse.Namespace) -> int:
    """Runs the command; returns how many clips failed. Raises EchoFrameError where there is but one clip."""
    request = Request(
        seed=0 if args.seed is None else args.seed,
        duration_s=args.duration,
        steps=args.steps,
        guidance=args.guidance,
        scheduler=args.scheduler,
        candidates=1 if args.candidates is None else args.candidates,
        loudness_lufs={None: TARGET_LUFS, "off": None}.get(args.loudness, args.loudness),
        force=args.force,
        original_level_db=args.original_level,
    )
    check_request(request)
    record = _record(args)
    inputs = args.inputs or ([record.input.path] if record else [])
    if not inputs:
        raise InputError("no clip; give a film, a still or a folder of them: echoframe generate clip.mp4")
    clips = find_clips(inputs)
    if record and len(clips) > 1:
        raise InputError(f"{args.record}: was made from one clip, {len(clips)} are given; give that one or none")
    if len(clips) == 1:
        probe(clips[0])  # a wrong file is told before all else, and before the model is loaded
    jobs = plan_jobs(clips, Path(args.out), with_film=args.mux, with_picture=args.picture)
    if len(jobs) == 1:
        check_job(jobs[0], force=args.force)
    source = args.model or (record.bundle.source if record else "mini")
    device = args.device or (record.machine.device if record else "auto")
    dtype = args.dtype or (record.machine.dtype if record else "auto")
    return run_jobs(load(source, device=device, dtype=dtype), jobs, request, record, debug=args.debug)


def _record(args: argparse.Namespace) -> Provenance | None:
    if not args.record:
        return None
    given = [f"--{name.replace('_', '-')}" for name in FIXED if getattr(args, name) is not None]
    if given:
        raise InputError(f"{args.record}: a record fixes {', '.join(given)}; leave out either --from or that")
    return read_provenance(Path(args.record))


def run_jobs(model: EchoFrame, jobs: list[Job], request: Request, record: Provenance | None, *, debug: bool) -> int:
    """Makes every job's files; returns how many failed. A failure is raised where there is but one, or with debug."""
    with Reporter(len(jobs)) as reporter:
        for job in jobs:
            try:
                line = _run_one(model, job, request, record, reporter)
            except Exception as error:
                if len(jobs) == 1 or debug:
                    raise
                # a fault of ours in one clip must not cost the night's other thousand
                known = isinstance(error, EchoFrameError)
                reporter.failed(str(error) if known else f"{job.clip}: unexpected {type(error).__name__}: {error}")
            else:
                reporter.done(line)
    return reporter.n_failed


def _run_one(model: EchoFrame, job: Job, request: Request, record: Provenance | None, reporter: Reporter) -> str:
    progress = reporter.begin(str(job.clip))
    names = ", ".join(str(path) for path in job.outputs)
    if record is None:
        made = run_job(model, job, request, progress=progress)
        return f"{job.clip} -> {names}" if made else f"{job.clip}: done before ({names})"
    same = remake_job(model, job, record, force=request.force, progress=progress)
    changed = changed_versions(record, Machine(device=model.device, dtype=model.dtype))
    if not same:
        reporter.note(f"{job.clip}: not the same samples as then; changed: {', '.join(changed) or 'nothing known'}")
    return f"{job.clip} -> {names}{' (the same samples)' if same else ''}"
