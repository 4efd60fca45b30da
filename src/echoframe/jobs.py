"""Clips to files: which files a run makes of which clips, what is done already, and writing one clip's results.

A clip's results are a sound, for a film the film with that sound, maybe a picture, and a JSON that says how they were
made. They appear together or not at all, the JSON last; a clip whose JSON names files that are there is done. The sound
is always made: where no container holds a film's picture beside it, the film is left out, and a note says so.
"""

import contextlib
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from echoframe.errors import EchoFrameError, InputError, OutputError, VideoError
from echoframe.loading import remake
from echoframe.media.containers import MUX_FORMATS, best_suffix
from echoframe.media.mux import mux
from echoframe.media.poster import draw_poster
from echoframe.media.stills import PICTURE_SUFFIXES
from echoframe.media.video import VIDEO_SUFFIXES, VideoInfo, check_fits, probe
from echoframe.options import Request, Settings, WriteOptions
from echoframe.output import (
    SOUND_FORMATS,
    atomic_files,
    check_name,
    check_place,
    encode_sound,
    file_sha256,
    remove_partials,
)
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback
from echoframe.provenance import Provenance, find_provenance, to_json
from echoframe.sound import Sound


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One clip and the files to make of it. film: a film's copy with the sound; picture: the PNG to look at.

    info: what the clip holds, once it was looked at; film and notes, which the record keeps, follow from that. reencode:
    whether the film's picture is written as H.264. refused: why nothing is made, where two clips would make one file.
    """

    clip: Path
    info: VideoInfo | None = None
    sound: Path | None
    film: Path | None
    picture: Path | None
    record: Path
    reencode: bool = False
    notes: tuple[str, ...] = ()
    refused: str = ""

    @property
    def known(self) -> VideoInfo:
        """What the clip holds; `looked_at` has been here."""
        assert self.info is not None
        return self.info

    @property
    def outputs(self) -> list[Path]:
        """All files in the order they appear, the JSON last."""
        return [path for path in (self.sound, self.film, self.picture, self.record) if path is not None]


def find_clips(inputs: Sequence[str]) -> list[Path]:
    """The clips that files, folders and globs name, each once, in the order given; a folder's own, sorted by name.

    Raises InputError for an address, and for a folder or glob without clips. A file is not opened yet, it may even not
    be there.
    """
    clips: dict[Path, Path] = {}
    for name in inputs:
        path = Path(name)
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
            raise InputError(f"{name}: is an address, not a file; download it first, then give the file")
        if path.is_dir():
            found = _clips_in(path)
            if not found:
                raise InputError(
                    f"{path}: there is no video or still image in this folder; give a file or another folder"
                )
        elif not path.exists() and glob.has_magic(name):
            matches = (Path(match) for match in sorted(glob.glob(name, recursive=True)))
            found = [match for match in matches if match.is_file() and not _is_hidden(match)]
            if not found:
                raise InputError(f"{name}: matches no file; check the pattern")
        else:
            found = [path]
        for clip in found:
            clips.setdefault(clip.resolve(), clip)
    return list(clips.values())


def _clips_in(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if not _is_hidden(path) and path.is_file()]
    films = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    # a picture with a film's name is the film's thumbnail
    named = {film.stem for film in films}
    stills = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES and path.stem not in named]
    return sorted(clip for clip in [*films, *stills] if not _is_own(clip))


def _is_hidden(path: Path) -> bool:
    """Whether nobody means the file: what macOS puts beside one (._clip.mp4), or what a killed run left half written."""
    return path.name.startswith(".")


def _is_own(path: Path) -> bool:
    """Whether an earlier run wrote the file: a second run over the same folder must not feed on the first."""
    records = (path.with_name(f"{path.stem.removesuffix('.sound')}.json"), path.with_suffix(".json"))
    return any(path.name in found.outputs for found in map(find_provenance, records) if found)


def output_path(name: str) -> Path:
    """The path that a user called `name`. Raises OutputError if it seems to be a file of a format that is not known."""
    path, suffix = Path(name), Path(name).suffix.lower()
    is_known = not suffix or suffix in SOUND_FORMATS or suffix in MUX_FORMATS
    if not is_known and not path.is_dir() and not name.endswith(("/", os.sep)):
        known = ", ".join([*SOUND_FORMATS, *MUX_FORMATS])
        raise OutputError(
            f'{name}: suffix "{path.suffix}" is not a format that can be written; use one of {known}, or write {name}/ '
            "for a folder"
        )
    return path


def plan_jobs(clips: Sequence[Path], out: Path, *, with_film: bool = True, with_picture: bool = False) -> list[Job]:
    """What to make of each clip. out: a folder, or for a single clip the name of a sound or film file.

    Two clips that would make the same file are refused, each in its job; so is one that would overwrite a clip. Raises
    InputError if nothing is left, and OutputError for a place that cannot be written to.
    """
    named = out.suffix.lower() in SOUND_FORMATS or out.suffix.lower() in MUX_FORMATS
    if named and not out.is_dir():
        if len(clips) > 1:
            raise InputError(f"{out}: is one output file, but there are {len(clips)} clips; give a folder with -o")
        check_place(out.parent)
        jobs = [_named_job(clips[0], out, with_picture=with_picture)]
    else:
        check_place(out)
        jobs = [_job_in_folder(clip, out, with_film=with_film, with_picture=with_picture) for clip in clips]
    jobs = _refuse_clashes(jobs)
    if jobs and all(job.refused for job in jobs):
        raise InputError(jobs[0].refused)
    return jobs


def _named_job(clip: Path, out: Path, *, with_picture: bool) -> Job:
    is_sound = out.suffix.lower() in SOUND_FORMATS
    return Job(
        clip=clip,
        sound=out if is_sound else None,
        film=None if is_sound else out,
        picture=out.with_suffix(".png") if with_picture else None,
        record=out.with_suffix(".json"),
    )


def _job_in_folder(clip: Path, folder: Path, *, with_film: bool, with_picture: bool) -> Job:
    # a film's container follows from what the clip holds, which is not known yet: a thousand clips are not opened here
    suffix = clip.suffix.lower() if clip.suffix.lower() in MUX_FORMATS else ".mp4"
    return Job(
        clip=clip,
        sound=folder / f"{clip.stem}.wav",
        film=_beside(clip, folder, suffix) if with_film else None,
        picture=_beside(clip, folder, ".png") if with_picture else None,
        record=folder / f"{clip.stem}.json",
    )


def _beside(clip: Path, folder: Path, suffix: str) -> Path:
    path = folder / f"{clip.stem}{suffix}"
    return folder / f"{clip.stem}.sound{suffix}" if path.resolve() == clip.resolve() else path


def _refuse_clashes(jobs: Sequence[Job]) -> list[Job]:
    clips = {job.clip.resolve() for job in jobs}
    makers: dict[Path, list[Path]] = {}
    for job in jobs:
        for path in job.outputs:
            makers.setdefault(path.resolve(), []).append(job.clip)
    return [replace(job, refused=_clash(job, clips, makers)) for job in jobs]


def _clash(job: Job, clips: set[Path], makers: dict[Path, list[Path]]) -> str:
    for path in job.outputs:
        if path.resolve() in clips:
            return f"{path}: would overwrite an input; choose another name or folder with -o"
        others = [clip for clip in makers[path.resolve()] if clip != job.clip]
        if others:
            return f"{job.clip} and {others[0]} would both make {path}; run them separately, each with its own -o"
    return ""


def remove_leftovers(jobs: Sequence[Job]) -> None:
    """Removes what a killed run left half written where the jobs write. No other run may be writing there."""
    for folder in {path.parent for job in jobs for path in job.outputs}:
        with contextlib.suppress(OSError):
            remove_partials(folder)


def is_done(model: EchoFrame, job: Job, settings: Settings, original_level_db: float | None) -> bool:
    """Whether the job's files are there, unaltered, made by this bundle from this clip with these settings."""
    found = find_provenance(job.record)
    if found is None or found.settings != settings or found.original_level_db != original_level_db:
        return False
    if (found.machine.device, found.machine.dtype) != (model.device, model.dtype):
        return False
    if found.bundle.sha256 != model.identity.sha256 or found.input.sha256 != file_sha256(job.clip):
        return False
    wanted = {path.name for path in job.outputs} - {job.record.name}
    files = {path.name: path for path in job.outputs if path.is_file()}
    return wanted <= found.outputs.keys() & files.keys() and all(
        file_sha256(files[name]) == found.outputs[name] for name in wanted
    )


def looked_at(job: Job, writing: WriteOptions) -> Job:
    """The job with what its clip holds, so that a clip is opened once to look at it, and with the film to make of that.

    Raises as `probe`, and InputError for a job that is refused.
    """
    if job.refused:
        raise InputError(job.refused)
    info = job.info or probe(job.clip)
    if job.film is None or job.sound is None:  # no film is wanted, or the user named it
        reencode = writing.reencode and job.film is not None and _can_reencode(info, job.film)
        return replace(job, info=info, reencode=reencode)
    if info.is_still:
        return replace(job, info=info, film=None)
    own = job.clip.suffix.lower()
    suffix = own if own in info.fits else best_suffix(info.fits, info.video_codec)
    if suffix is None or info.video_codec == "gif":
        if writing.reencode:
            film, notes = _beside(job.clip, job.film.parent, ".mp4"), ("its picture was written again, as H.264",)
            return replace(job, info=info, film=film, notes=notes, reencode=True)
        if suffix is None:
            return _without_film(replace(job, info=info), info)
    notes = ("its picture is still a GIF, which few players show in a MOV; --reencode writes an MP4",)
    film = _beside(job.clip, job.film.parent, suffix)
    return replace(job, info=info, film=film, notes=notes if info.video_codec == "gif" else ())


def _can_reencode(info: VideoInfo, film: Path) -> bool:
    suffix = film.suffix.lower()
    return not info.is_still and suffix != ".webm" and (suffix not in info.fits or info.video_codec == "gif")


def _without_film(job: Job, info: VideoInfo) -> Job:
    try:
        check_fits(info, job.clip.with_suffix(".mp4"))
    except VideoError as error:
        return replace(job, film=None, notes=(_only_sound(job, error),))
    return job


def run_job(
    model: EchoFrame, job: Job, request: Request, writing: WriteOptions, *, progress: ProgressCallback | None = None
) -> bool:
    """Makes a job's files; False if they were there already. Raises EchoFrameError, and then leaves nothing new."""
    job = looked_at(job, writing)
    settings = model.resolve(job.known, request, force=writing.force)
    check_job(job, writing)
    if is_done(model, job, settings, writing.original_level_db):
        return False
    write_results(model.render(job.known, settings, progress=progress), job, writing.original_level_db)
    return True


def remake_job(
    model: EchoFrame,
    job: Job,
    record: Provenance,
    writing: WriteOptions,
    *,
    progress: ProgressCallback | None = None,
) -> bool:
    """Makes a job's files again as `record` says; whether the samples are the same to the bit.

    Raises EchoFrameError, and then leaves nothing new: for another clip or bundle than the record's too.
    """
    job = looked_at(job, writing)
    check_job(job, writing)
    sound = remake(model, record, info=job.known, progress=progress)
    write_results(sound, job, record.original_level_db)
    return sound.provenance.result.samples_sha256 == record.result.samples_sha256


def check_job(job: Job, writing: WriteOptions) -> None:
    """Raises unless the clip can be read and none of the files to be made is someone else's, unless forced."""
    job = looked_at(job, writing)
    if job.film is not None:
        if job.known.is_still:
            raise InputError(
                f"{job.film}: {job.clip} is a still image, so no video can be made of it; give the name of a sound file"
            )
        if not job.reencode:
            check_fits(job.known, job.film)
    earlier = find_provenance(job.record)
    own = {job.record.name, *earlier.outputs} if earlier else set()
    for path in job.outputs:
        check_name(path)
        if path.exists() and path.name not in own and not writing.force:
            raise OutputError(
                f"{path}: exists and was not written by EchoFrame; move it, choose another folder with -o, "
                "or replace it with --force"
            )


def write_results(sound: Sound, job: Job, original_level_db: float | None) -> None:
    """Writes sound, film, picture and JSON of a job: all of them, or none. A film whose picture cannot be copied in the
    end is left out where there is the sound beside it.
    """
    try:
        _write_all(sound, job, original_level_db)
    except VideoError as error:
        if job.film is None or job.sound is None:
            raise
        notes = (*job.notes, _only_sound(job, error))
        _write_all(sound, replace(job, film=None, notes=notes), original_level_db)


def _only_sound(job: Job, error: VideoError) -> str:
    return f"only the sound was written: {str(error).removeprefix(f'{job.clip}: ')}"


def _write_all(sound: Sound, job: Job, original_level_db: float | None) -> None:
    made: dict[str, str] = {}
    notes = [*sound.provenance.notes, *job.notes]
    with atomic_files(job.outputs) as partials:
        for path, partial in zip(job.outputs, partials, strict=True):
            if path == job.sound:
                partial.write_bytes(encode_sound(sound.waveform.numpy(), sound.sample_rate, suffix=path.suffix))
            elif path == job.film:
                left_out = _write_film(sound, job, partial, path, original_level_db)
                notes += [f"{path.name} is without {', '.join(left_out)}, which it cannot hold"] if left_out else []
            elif path == job.picture:
                _draw(sound, job.clip.name).save(partial, format="PNG")
            else:
                level = original_level_db
                record = replace(sound.provenance, outputs=made, original_level_db=level, notes=tuple(notes))
                partial.write_text(to_json(record), encoding="utf-8")
                continue
            made[path.name] = file_sha256(partial)


def _write_film(sound: Sound, job: Job, partial: Path, final: Path, original_level_db: float | None) -> tuple[str, ...]:
    try:
        return mux(
            job.clip,
            sound.waveform,
            sound.sample_rate,
            partial,
            original_level_db=original_level_db,
            reencode=job.reencode,
        )
    except EchoFrameError as error:
        # the user knows the film by its final name
        raise type(error)(str(error).replace(partial.stem, final.stem)) from error


def _draw(sound: Sound, title: str) -> Image.Image:
    made_by: Provenance = sound.provenance
    chosen = made_by.settings
    subtitle = (
        f"{made_by.bundle.name} {made_by.bundle.version}, seed {chosen.seed}, {chosen.steps} steps of "
        f"{chosen.scheduler}, guidance {chosen.guidance:g}, {chosen.duration_s:.2f} s at {sound.sample_rate / 1000:g} kHz"
    )
    return draw_poster(
        sound.waveform,
        sound.sample_rate,
        frames=sound.frames,
        times_s=sound.times_s,
        nearest=sound.nearest,
        title=title,
        subtitle=subtitle,
    )
