"""Every clip of a folder in the normal form; what cannot be had in it is put into quarantine, with the reason."""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile

from echoframe.data.clip_list import CLIP_S, SOUND_SUFFIXES, clip_path
from echoframe.data.ledger import Entry, Ledger
from echoframe.data.normal_form import Form, write_normal
from echoframe.data.verify import ClipFacts, inspect_clip, look, problems, remove_partials, run_each
from echoframe.errors import AudioError, VideoError
from echoframe.media.video import VIDEO_SUFFIXES
from echoframe.output import atomic_files
from echoframe.progress import ProgressCallback

QUARANTINE = "quarantine"
_PADDED_S = 0.5  # a clip shorter by no more is made as long
_QUARANTINED = ("broken", "no-audio", "no-video", "too-short", "silent", "black")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    source: Path
    stem: Path  # of what is written, without its suffix
    form: Form


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """path, facts: the clip as it is now. reason, detail: why there is none, "" if there is."""

    path: Path
    facts: ClipFacts | None
    reason: str = ""
    detail: str = ""


def normalise(
    source: Path,
    target: Path,
    *,
    duration_s: float = CLIP_S,
    sample_rate: int = 48_000,
    short_side: int = 360,
    frame_rate: int = 25,
) -> ClipFacts:
    """Writes the clip at `source` to `target` in the normal form, and gives what `target` holds.

    A clip that is too long is cut, one shorter by up to 0.5 s holds its last picture and is silent to the end; picture
    and sound stay in time, mono stays mono, the picture is upright, keeps its aspect and is never enlarged. target: .mp4,
    or .flac for a sound alone; it appears whole or not at all. Raises VideoError or AudioError for a clip that is broken,
    too short or without sound, InputError for another suffix, OutputError if `target` cannot be written.
    """
    form = Form(duration_s=duration_s, sample_rate=sample_rate, short_side=short_side, frame_rate=frame_rate)
    facts = inspect_clip(source)
    for reason, detail in problems(facts, duration_s=duration_s, tolerance_s=_PADDED_S):
        if reason in ("no-audio", "too-short"):
            raise VideoError(f"{source}: has no normal form, as it {detail}; leave it out")
    return write_normal(source, facts, target, form)


def repair_folder(
    folder: Path, ledger: Ledger, *, form: Form = Form(), progress: ProgressCallback | None = None, n_workers: int = 1
) -> dict[str, int]:
    """Brings every clip that the ledger of `folder` calls done into the normal form, as clips/XX/KEY.mp4 or .flac.

    One that is broken, has no sound, no picture (unless it came as a sound alone), is too short, silent or black is
    moved to quarantine/, with KEY.json that says why, and is lost; so are files of clips that were lost for one of these
    reasons before. A run that was killed at any moment is ended by the next one. The caller holds the folder's lock.
    Returns how many were "checked", are "normal" already, were "repaired", and were lost for each reason.
    """
    remove_partials(folder)
    entries = list(ledger.entries(state="done"))
    todo = [entry for entry in entries if not _is_normal(folder, entry, form)]
    counts: Counter[str] = Counter(checked=len(entries), normal=len(entries) - len(todo), repaired=0)
    jobs = (_Job(source=folder / e.file, stem=clip_path(folder, e.row.key, ""), form=form) for e in todo)
    for i, (entry, (_, outcome)) in enumerate(
        zip(todo, run_each(_repair, jobs, n_workers=n_workers), strict=True), start=1
    ):
        how = _settle(folder, ledger, entry, outcome)
        counts[how] += 1
        if progress is not None:
            progress(i, len(todo), f"{entry.row.key}: {how}")
    _tidy(folder, ledger)
    return dict(counts)


def _is_normal(folder: Path, entry: Entry, form: Form) -> bool:
    try:
        facts = ClipFacts(**entry.facts)
    except TypeError:
        return False  # facts of another version, or none
    return _fits(folder / entry.file, facts, form) and _fault(facts, Path(entry.file).suffix, form) is None


def _fits(path: Path, facts: ClipFacts, form: Form) -> bool:
    if not form.fits(facts, path.suffix):
        return False
    try:  # a FLAC of 24 bits has the same facts
        return path.suffix != ".flac" or soundfile.info(path).subtype == "PCM_16"
    except soundfile.LibsndfileError:
        return False


def _fault(facts: ClipFacts, suffix: str, form: Form) -> tuple[str, str] | None:
    """The first thing for which a clip is put into quarantine."""
    found = problems(facts, duration_s=form.duration_s, tolerance_s=_PADDED_S)
    return next((fault for fault in found if fault[0] != "no-video" or suffix not in SOUND_SUFFIXES), None)


def _repair(job: _Job) -> _Outcome:
    source = job.source
    facts = look(source)
    if isinstance(facts, str):
        reason = "broken" if source.exists() else "missing"
        return _Outcome(path=source, facts=None, reason=reason, detail=facts)
    if fault := _fault(facts, source.suffix, job.form):
        return _Outcome(path=source, facts=facts, reason=fault[0], detail=fault[1])
    if _fits(source, facts, job.form):
        return _Outcome(path=source, facts=facts)
    target = job.stem.with_name(job.stem.name + (".flac" if facts.video_s is None else ".mp4"))
    try:
        return _Outcome(path=target, facts=write_normal(source, facts, target, job.form))
    except (VideoError, AudioError) as error:
        return _Outcome(path=source, facts=facts, reason="broken", detail=str(error).removeprefix(f"{source}: "))


def _settle(folder: Path, ledger: Ledger, entry: Entry, outcome: _Outcome) -> str:
    """Writes into the ledger what became of a clip; "repaired", or the reason of its loss.

    First the new file, then the ledger, then the old file: a run that is killed before the ledger does the same again,
    and what one leaves that is killed after it, `_tidy` removes.
    """
    key, path = entry.row.key, outcome.path
    if not outcome.reason and outcome.facts is not None:
        ledger.done(key, file=path.relative_to(folder).as_posix(), facts=asdict(outcome.facts))
        if path != folder / entry.file:
            (folder / entry.file).unlink(missing_ok=True)
        return "repaired"
    reason, detail = outcome.reason, outcome.detail
    if reason == "missing":
        reason, detail = _interrupted(folder, entry) or (reason, detail)
    else:
        facts = asdict(outcome.facts) if outcome.facts is not None else {}
        quarantine(folder, entry, path, reason=reason, detail=detail, facts=facts)
    ledger.lost(key, reason=reason, detail=detail)
    return reason


def quarantine(folder: Path, entry: Entry, path: Path, *, reason: str, detail: str, facts: dict[str, Any]) -> None:
    """Moves the clip at `path` to quarantine/KEY.SUFFIX, after KEY.json that says why. The ledger is the caller's."""
    (folder / QUARANTINE).mkdir(exist_ok=True)
    row = entry.row
    words = {"key": row.key, "label": row.label, "split": row.split, "reason": reason, "detail": detail}
    words |= {"facts": facts, "verified_sha256": entry.facts.get("sha256", "")}
    with atomic_files([_record(folder, row.key)]) as (partial,):
        partial.write_text(json.dumps(words, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(path, folder / QUARANTINE / path.name)


def _record(folder: Path, key: str) -> Path:
    return folder / QUARANTINE / f"{key}.json"


def _interrupted(folder: Path, entry: Entry) -> tuple[str, str] | None:
    """Reason and detail of a clip that a run killed just then had moved to quarantine."""
    record = _record(folder, entry.row.key)
    if not record.exists() or not (folder / QUARANTINE / Path(entry.file).name).exists():
        return None
    words = json.loads(record.read_text(encoding="utf-8"))
    is_it = words["verified_sha256"] == entry.facts.get("sha256", "")
    return (words["reason"], words["detail"]) if is_it else None


def _tidy(folder: Path, ledger: Ledger) -> None:
    """Removes what done clips were before, and moves to quarantine what lost ones have left."""
    entries = {entry.row.key: entry for entry in ledger.entries()}
    for path in sorted(folder.glob("clips/*/*")):
        entry = entries.get(path.stem)
        if entry is None or path.suffix not in VIDEO_SUFFIXES | SOUND_SUFFIXES:
            continue
        if entry.state == "done" and folder / entry.file != path and (folder / entry.file).exists():
            path.unlink()
        elif entry.state == "lost" and entry.reason in _QUARANTINED:
            quarantine(folder, entry, path, reason=entry.reason, detail=entry.detail, facts={})
