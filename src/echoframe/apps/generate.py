"""`echoframe generate`: many clips, one after another, with their progress and their failures."""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from echoframe.apps.options import flags_given, taken
from echoframe.apps.progress import Reporter
from echoframe.errors import EchoFrameError, InputError
from echoframe.jobs import (
    Job,
    check_job,
    find_clips,
    looked_at,
    output_path,
    plan_jobs,
    remake_job,
    remove_leftovers,
    run_job,
)
from echoframe.loading import load
from echoframe.media.video import probe
from echoframe.options import Request, WriteOptions, check_duration
from echoframe.pipeline import EchoFrame
from echoframe.provenance import Machine, Provenance, changed_versions, check_from_file, read_provenance

# made now; done before; made again from a record with the same samples, or with others
How = Literal["made", "kept", "remade", "differs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Show:
    """What is shown: json: one line a clip instead of text. quiet: failures only. debug: raise the first failure."""

    json: bool
    quiet: bool
    debug: bool


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
    jobs = plan_jobs(clips, output_path(args.out), with_film=args.mux, with_picture=args.picture)
    if len(jobs) == 1:
        jobs = [looked_at(replace(jobs[0], info=info), writing)]
        check_job(jobs[0], writing)
    source = args.model or (record.bundle.source if record else "mini")
    device = args.device or (record.machine.device if record else "auto")
    dtype = args.dtype or (record.machine.dtype if record else "auto")
    remove_leftovers(jobs)
    show = Show(json=args.json, quiet=args.quiet, debug=args.debug)
    return run_jobs(load(source, device=device, dtype=dtype), jobs, request, writing, record, show)


def _record(args: argparse.Namespace) -> Provenance | None:
    if not args.record:
        return None
    given = flags_given(args)
    if given:  # a record fixes them: beside it they would be ignored
        raise InputError(f"{args.record}: a record fixes {', '.join(given)}; leave out either --from or that")
    return check_from_file(read_provenance(Path(args.record)))


def run_jobs(
    model: EchoFrame, jobs: list[Job], request: Request, writing: WriteOptions, record: Provenance | None, show: Show
) -> int:
    """Makes every job's files; returns how many failed. A failure is raised where there is but one, or with debug."""
    with Reporter(len(jobs), quiet=show.quiet) as reporter:
        for job in jobs:
            began = time.monotonic()
            try:
                job = looked_at(job, writing)
                how = _run_one(model, job, request, writing, record, reporter)
            except Exception as error:
                # a fault of ours in one clip must not cost the night's other thousand
                known = isinstance(error, EchoFrameError)
                words = str(error) if known else f"{job.clip}: unexpected {type(error).__name__}: {error}"
                if show.json:
                    print(json.dumps({"clip": str(job.clip), "status": "failed", "error": words}), flush=True)
                if len(jobs) == 1 or show.debug:
                    raise
                reporter.failed(words)
            else:
                seconds = round(time.monotonic() - began, 3)
                reporter.done(_as_json(job, how, seconds) if show.json else "" if show.quiet else _as_text(job, how))
    return reporter.n_failed


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
        if not run_job(model, job, request, writing, progress=progress):
            return "kept"
        for note in read_provenance(job.record).notes:
            reporter.remark(f"{job.clip}: {note}")
        return "made"
    same = remake_job(model, job, record, writing, progress=progress)
    changed = changed_versions(record, Machine(device=model.device, dtype=model.dtype))
    if not same:
        reporter.note(f"{job.clip}: not the same samples as then; changed: {', '.join(changed) or 'nothing known'}")
    return "remade" if same else "differs"


def _as_text(job: Job, how: How) -> str:
    names = ", ".join(str(path) for path in _files(job, read_provenance(job.record)))
    if how == "kept":
        return f"{job.clip}: done before ({names})"
    return f"{job.clip} -> {names}{' (the same samples)' if how == 'remade' else ''}"


def _files(job: Job, record: Provenance) -> list[Path]:
    """Those that were written: a film can be left out."""
    return [path for path in job.outputs if path == job.record or path.name in record.outputs]


def _as_json(job: Job, how: How, seconds: float) -> str:
    """One line of JSON: the clip, its files, and what the record says of the sound. seconds: that the work took."""
    found = read_provenance(job.record)
    values = {
        "clip": str(job.clip),
        "status": how,
        "files": [str(path) for path in _files(job, found)],
        "seconds": seconds,
        "duration_s": found.result.n_samples / found.result.sample_rate,
        "model": f"{found.bundle.name} {found.bundle.version}",
        "seed": found.settings.seed,
        "nearest": found.result.nearest,
        "notes": found.notes,
    }
    return json.dumps(values, ensure_ascii=False)
