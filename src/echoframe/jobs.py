"""Clips to files: which files a run makes of which clips, what is done already, and writing one clip's results.

A clip's results are a sound, for a film the film with that sound, maybe a picture, and a JSON that says how they were
made, once beside each file. They appear together or not at all, the JSON last. What is there already: `earlier`.
"""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from echoframe.earlier import Asked, are_done, check_earlier, check_foreign
from echoframe.errors import EchoFrameError, InputError, OutputError, VideoError
from echoframe.loading import remake
from echoframe.media.audio import resample
from echoframe.media.containers import MUX_FORMATS, suffix_for
from echoframe.media.mux import mux
from echoframe.media.poster import draw_poster
from echoframe.media.stills import PICTURE_SUFFIXES
from echoframe.media.video import VIDEO_SUFFIXES, VideoInfo, check_fits, probe
from echoframe.options import WRITE_FIELDS, Request, Settings, WriteOptions
from echoframe.output import SOUND_FORMATS, atomic_files, check_place, encode_sound, file_sha256
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback
from echoframe.provenance import Provenance, record_of, record_path, to_json
from echoframe.sound import Sound


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One clip and the files to make of it. film: a film's copy with the sound; picture: the PNG to look at.

    info: what the clip holds, once it was looked at.
    """

    clip: Path
    info: VideoInfo | None = None
    sound: Path | None
    film: Path | None
    picture: Path | None

    @property
    def known(self) -> VideoInfo:
        """What the clip holds; `looked_at` has been here."""
        assert self.info is not None
        return self.info

    @property
    def results(self) -> list[Path]:
        """The files that people want, in the order they appear."""
        return [path for path in (self.sound, self.film, self.picture) if path is not None]

    @property
    def record(self) -> Path:
        """The JSON beside the first of them."""
        return record_path(self.results[0])

    @property
    def outputs(self) -> list[Path]:
        """All files in the order they appear, the JSON beside each result last."""
        return self.results + [record_path(path) for path in self.results]


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
            found = [Path(match) for match in sorted(glob.glob(name, recursive=True)) if Path(match).is_file()]
            if not found:
                raise InputError(f"{name}: matches no file; check the pattern")
        else:
            found = [path]
        for clip in found:
            clips.setdefault(clip.resolve(), clip)
    return list(clips.values())


def _clips_in(folder: Path) -> list[Path]:
    films = [p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    # a picture with a film's name is the film's thumbnail
    named = {film.stem for film in films}
    stills = [p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.stem not in named]
    return sorted(clip for clip in [*films, *stills] if not _is_own(clip))


def _is_own(path: Path) -> bool:
    """Whether an earlier run wrote the file: a second run over the same folder must not feed on the first."""
    return record_of(path) is not None


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


def plan_jobs(
    clips: Sequence[Path],
    out: Path,
    *,
    with_film: bool = True,
    with_picture: bool = False,
    seeds: Sequence[int] = (),
) -> list[Job]:
    """What to make of each clip. out: a folder, or for a single clip the name of a sound or film file.

    seeds: of which each clip gets a job each, clip after clip, whose files are called NAME.sSEED.
    Raises InputError or OutputError if two clips would make the same file, or an output would be one of the clips.
    """
    suffix = out.suffix.lower()
    named = not out.is_dir() and (suffix in SOUND_FORMATS or suffix in MUX_FORMATS)
    if named and len(clips) > 1:
        raise InputError(f"{out}: is one output file, but there are {len(clips)} clips; give a folder with -o")
    check_place(out.parent if named else out)
    jobs: list[Job] = []
    for clip in clips:
        for tag in [f".s{seed}" for seed in seeds] or [""]:
            own = out.with_name(f"{out.stem}{tag}{out.suffix}")
            jobs.append(
                _named_job(clip, own, with_picture=with_picture)
                if named
                else _job_in_folder(clip, out, tag, with_film=with_film, with_picture=with_picture)
            )
    check_distinct(jobs)
    return jobs


def _named_job(clip: Path, out: Path, *, with_picture: bool) -> Job:
    is_sound = out.suffix.lower() in SOUND_FORMATS
    return Job(
        clip=clip,
        sound=out if is_sound else None,
        film=None if is_sound else out,
        picture=out.with_suffix(".png") if with_picture else None,
    )


def _job_in_folder(clip: Path, folder: Path, tag: str, *, with_film: bool, with_picture: bool) -> Job:
    film = info = None
    if with_film and clip.suffix.lower() not in PICTURE_SUFFIXES:
        suffix = clip.suffix.lower()
        if suffix not in MUX_FORMATS:
            suffix, info = _film_suffix(clip)
        film = _beside(clip, folder, f"{tag}{suffix}")
    return Job(
        clip=clip,
        info=info,
        sound=folder / f"{clip.stem}{tag}.wav",
        film=film,
        picture=_beside(clip, folder, f"{tag}.png") if with_picture else None,
    )


def _beside(clip: Path, folder: Path, suffix: str) -> Path:
    path = folder / f"{clip.stem}{suffix}"
    return folder / f"{clip.stem}.sound{suffix}" if path.resolve() == clip.resolve() else path


def _film_suffix(clip: Path) -> tuple[str, VideoInfo | None]:
    try:
        info = probe(clip)
        return suffix_for(info.video_codec, clip), info
    except (InputError, VideoError):
        return ".mp4", None  # a clip that cannot be read is reported when its turn comes, not while planning


def check_distinct(jobs: Sequence[Job]) -> None:
    """Raises InputError or OutputError if two jobs would make the same file, or one would overwrite a clip."""
    clips = {job.clip.resolve() for job in jobs}
    made: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            resolved = path.resolve()
            if resolved in clips:
                raise OutputError(f"{path}: would overwrite an input; choose another name or folder with -o")
            if resolved in made:
                raise InputError(
                    f"{job.clip} and {made[resolved]} would both make {path}; run them separately, each with its own -o"
                )
            made[resolved] = job.clip


def looked_at(job: Job) -> Job:
    """The job with what its clip holds, so that a clip is opened once to look at it. Raises as `probe`."""
    return job if job.info else replace(job, info=probe(job.clip))


def run_job(
    model: EchoFrame, job: Job, request: Request, writing: WriteOptions, *, progress: ProgressCallback | None = None
) -> bool:
    """Makes a job's files; False if they were there already. Raises EchoFrameError, and then leaves nothing new.

    An earlier result that is not what is asked for is replaced only if `writing` says so.
    """
    job = looked_at(job)
    settings = settings_to_make(model, job, request, writing)
    if settings is None:
        return False
    write_results(model.render(job.known, settings, progress=progress), job, writing)
    return True


def settings_to_make(model: EchoFrame, job: Job, request: Request, writing: WriteOptions) -> Settings | None:
    """What the job's sound is to be made with, none if its files are there already. Raises if they cannot be made."""
    settings = model.resolve(job.known, request, force=writing.force)
    check_job(job, writing)
    asked = Asked(model=model, clip=job.clip, settings=settings, writing=writing)
    if are_done(job.results, asked):
        return None
    check_earlier(job.results, asked)
    return settings


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
    job = looked_at(job)
    check_job(job, writing)
    writing = replace(writing, **{each.name: getattr(record, each.name) for each in WRITE_FIELDS})
    check_earlier(job.results, Asked(model=model, clip=job.clip, settings=record.settings, writing=writing))
    sound = remake(model, record, info=job.known, progress=progress)
    write_results(sound, job, writing)
    return sound.provenance.result.samples_sha256 == record.result.samples_sha256


def check_job(job: Job, writing: WriteOptions) -> None:
    """Raises unless the clip can be read and none of the files to be made is someone else's, unless forced."""
    job = looked_at(job)
    if job.film is not None:
        if job.known.is_still:
            raise InputError(
                f"{job.film}: {job.clip} is a still image, so no video can be made of it; give the name of a sound file"
            )
        check_fits(job.known, job.film)
    check_foreign(job.results, writing)


def write_results(sound: Sound, job: Job, writing: WriteOptions) -> None:
    """Writes sound, film, picture and records of a job: all of them, or none."""
    waveform, rate = as_written(sound, writing)
    made: dict[str, str] = {}
    written = {each.name: getattr(writing, each.name) for each in WRITE_FIELDS}
    with atomic_files(job.outputs) as partials:
        for path, partial in zip(job.outputs, partials, strict=True):
            if path == job.sound:
                partial.write_bytes(encode_sound(waveform.numpy(), rate, suffix=path.suffix))
            elif path == job.film:
                _write_film(waveform, rate, job.clip, partial, path, writing.original_level_db)
            elif path == job.picture:
                _draw(sound, job.clip.name).save(partial, format="PNG")
            else:
                partial.write_text(to_json(replace(sound.provenance, outputs=made, **written)), encoding="utf-8")
                continue
            made[path.name] = file_sha256(partial)


def as_written(sound: Sound, writing: WriteOptions) -> tuple[Tensor, int]:
    """The samples for the files, (C, S), and their rate: resampled and copied to both sides where that was asked for."""
    rate = writing.sample_rate or sound.sample_rate
    waveform = resample(sound.waveform, sound.sample_rate, rate)
    return waveform.expand(writing.channels or len(waveform), -1).contiguous(), rate


def _write_film(
    waveform: Tensor, rate: int, clip: Path, partial: Path, final: Path, original_level_db: float | None
) -> None:
    try:
        mux(clip, waveform, rate, partial, original_level_db=original_level_db)
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
