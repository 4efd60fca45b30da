"""Which files a run makes of which clips.

The sound is always made: where no container holds a film's picture beside it, the film is left out, and a note says so.
"""

import glob
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from echoframe.errors import EchoFrameError, InputError, OutputError, VideoError
from echoframe.media.containers import MUX_FORMATS, best_suffix
from echoframe.media.frame_array import NoPicture
from echoframe.media.stills import PICTURE_SUFFIXES
from echoframe.media.video import VIDEO_SUFFIXES, VideoInfo, check_fits, probe
from echoframe.options import WriteOptions
from echoframe.output import SOUND_FORMATS, check_place
from echoframe.provenance import record_of, record_path
from echoframe.sound.timeline import SUFFIX as TIMELINE_SUFFIX

ONLY_SOUND = "only the sound was written"
REENCODED = "its picture was written again, as H.264"
_STILL_A_GIF = "its picture is still a GIF, which few players show in a MOV; --reencode writes an MP4"


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """What is made beside the sound. film: the film with the sound in it; picture: the PNG to look at.

    timeline: a file's name for one sound, or a folder for several. stems: the layers that get a file each.
    """

    film: bool = True
    picture: bool = False
    timeline: Path | None = None
    stems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One clip and the files to make of it. film: a film's copy with the sound; picture: the PNG to look at; timeline: of
    the film and its sounds; stems: a file for each layer of the sound, by its name.

    info: what the clip holds, once it was looked at; film and notes, which the record keeps, follow from that. Without a
    picture, clip is what messages call the sound. reencode: whether the film's picture is written as H.264. refused: why
    nothing is made, where two jobs would make one file.
    """

    clip: Path
    info: VideoInfo | NoPicture | None = None
    sound: Path | None
    film: Path | None
    picture: Path | None
    timeline: Path | None = None
    stems: Mapping[str, Path] = field(default_factory=dict)
    reencode: bool = False
    notes: tuple[str, ...] = ()
    refused: str = ""

    @property
    def known(self) -> VideoInfo | NoPicture:
        """What the clip holds; `looked_at` has been here."""
        assert self.info is not None
        return self.info

    @property
    def results(self) -> list[Path]:
        """The files that people want, in the order they appear."""
        some = (self.sound, self.film, self.picture, self.timeline, *self.stems.values())
        return [path for path in some if path is not None]

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
    files: Files = Files(),
    seeds: Sequence[int] = (),
    keep: int = 1,
) -> list[Job]:
    """What to make of each clip. out: a folder, or for a single clip the name of a sound or film file.

    seeds: of which each clip gets a job each, clip after clip, whose files are called NAME.sSEED. keep: of how many
    candidates each of them gets a job, the best first, whose files are called NAME, NAME.2, ... Which jobs stand in
    each other's way, `without_clashes` says. Raises InputError for one file of several clips, and OutputError for a place
    that cannot be written to.
    """
    suffix = out.suffix.lower()
    named = not out.is_dir() and (suffix in SOUND_FORMATS or suffix in MUX_FORMATS)
    if named and len(clips) > 1:
        raise InputError(f"{out}: is one output file, but there are {len(clips)} clips; give a folder with -o")
    check_place(out.parent if named else out)
    places = ["", *(f".{nth}" for nth in range(2, keep + 1))]
    tags = [f"{tag}{place}" for tag in [f".s{seed}" for seed in seeds] or [""] for place in places]
    if named:
        own = [out.with_name(f"{out.stem}{tag}{out.suffix}") for tag in tags]
        jobs = [_named_job(clip, path, files) for clip in clips for path in own]
    else:
        jobs = [_job_in_folder(clip, out, tag, files) for clip in clips for tag in tags]
    return [replace(job, timeline=place) for job, place in zip(jobs, _timelines(jobs, files), strict=True)]


def _timelines(jobs: Sequence[Job], files: Files) -> list[Path | None]:
    """Where each job's timeline goes. Raises InputError for one file of several sounds, and OutputError for the place."""
    out = files.timeline
    if out is None:
        return [None] * len(jobs)
    if out.is_dir() or not out.suffix:
        check_place(out, option="--timeline")
        return [out / f"{job.results[0].stem}{TIMELINE_SUFFIX}" for job in jobs]
    if out.suffix.lower() != TIMELINE_SUFFIX:
        raise OutputError(f'{out}: suffix "{out.suffix}" is not a timeline\'s; use {TIMELINE_SUFFIX}')
    if len(jobs) > 1:
        raise InputError(f"{out}: is one timeline, but there are {len(jobs)} sounds; give a folder with --timeline")
    check_place(out.parent, option="--timeline")
    return [out]


def _stems(sound: Path, files: Files) -> dict[str, Path]:
    suffix = sound.suffix if sound.suffix.lower() == ".flac" else ".wav"  # what loses nothing
    return {layer: sound.with_name(f"{sound.stem}.{layer}{suffix}") for layer in files.stems}


def _named_job(clip: Path, out: Path, files: Files) -> Job:
    is_sound = out.suffix.lower() in SOUND_FORMATS
    return Job(
        clip=clip,
        sound=out if is_sound else None,
        film=None if is_sound else out,
        picture=out.with_suffix(".png") if files.picture else None,
        stems=_stems(out, files),
    )


def _job_in_folder(clip: Path, folder: Path, tag: str, files: Files) -> Job:
    # a film's container follows from what the clip holds, which is not known yet: a thousand clips are not opened here
    suffix = clip.suffix.lower() if clip.suffix.lower() in MUX_FORMATS else ".mp4"
    sound = folder / f"{clip.stem}{tag}.wav"
    return Job(
        clip=clip,
        sound=sound,
        film=_beside(clip, sound, suffix) if files.film else None,
        picture=_beside(clip, sound, ".png") if files.picture else None,
        stems=_stems(sound, files),
    )


def _beside(clip: Path, sound: Path, suffix: str) -> Path:
    path = sound.with_name(f"{sound.stem}{suffix}")
    return sound.with_name(f"{sound.stem}.sound{suffix}") if path.resolve() == clip.resolve() else path


def without_clashes(jobs: Sequence[Job], writing: WriteOptions) -> list[Job]:
    """The jobs, of which those are refused that would make a file that another one makes, or overwrite a clip.

    Where a film's container decides that, and it follows from what the clip holds, the clip is looked at, as `writing`
    says. Raises InputError if nothing is left.
    """
    clips = {job.clip.resolve() for job in jobs}
    jobs = _with_sure_films(jobs, clips, writing)
    makers: dict[Path, list[Job]] = {}
    for job in jobs:
        for path in job.outputs:
            makers.setdefault(path.resolve(), []).append(job)
    checked = [replace(job, refused=_clash(job, clips, makers)) for job in jobs]
    if checked and all(job.refused for job in checked):
        raise InputError(checked[0].refused)
    return checked


def _with_sure_films(jobs: Sequence[Job], clips: set[Path], writing: WriteOptions) -> list[Job]:
    """The jobs; looked at are those of which a film in some container would stand in another's way."""
    films = [_possible_films(job) for job in jobs]
    makers = Counter(
        path for job, some in zip(jobs, films, strict=True) for path in some | {each.resolve() for each in job.results}
    )
    return [
        _looked_at_if_whole(job, writing) if any(makers[path] > 1 or path in clips for path in some) else job
        for job, some in zip(jobs, films, strict=True)
    ]


def _possible_films(job: Job) -> set[Path]:
    """The job's film in each container that it could be written to; none where it has one name, or is not made."""
    if job.film is None or job.sound is None:
        return set()
    return {_beside(job.clip, job.sound, suffix).resolve() for suffix in MUX_FORMATS}


def _looked_at_if_whole(job: Job, writing: WriteOptions) -> Job:
    try:
        return looked_at(job, writing)
    except EchoFrameError:  # which is told in its turn
        return job


def _clash(job: Job, clips: set[Path], makers: dict[Path, list[Job]]) -> str:
    for path in job.outputs:
        if path.resolve() in clips:
            return f"{path}: would overwrite an input; choose another name or folder with -o"
        others = [other for other in makers[path.resolve()] if other is not job]
        if others:
            return f"{job.clip} and {others[0].clip} would both make {path}; run them separately, each with its own -o"
    return ""


def looked_at(job: Job, writing: WriteOptions) -> Job:
    """The job with what its clip holds, so that a clip is opened once to look at it, and with the film to make of that.

    Raises as `probe`, and InputError for a job that is refused.
    """
    if job.refused:
        raise InputError(job.refused)
    info = job.info or probe(job.clip)
    if isinstance(info, NoPicture):
        return replace(job, film=None) if job.sound else job
    if job.film is None or job.sound is None:  # no film is wanted, or the user named it
        reencode = writing.reencode and job.film is not None and _can_reencode(info, job.film)
        return replace(job, info=info, reencode=reencode, notes=(REENCODED,) if reencode else job.notes)
    if info.is_still:
        return replace(job, info=info, film=None)
    own = job.clip.suffix.lower()
    suffix = own if own in info.fits else best_suffix(info.fits, info.video_codec)
    is_gif = info.video_codec == "gif"
    if writing.reencode and (suffix is None or is_gif):
        film = _beside(job.clip, job.sound, ".mp4")
        return replace(job, info=info, film=film, notes=(REENCODED,), reencode=True)
    if suffix is None:
        return _without_film(replace(job, info=info), info)
    film = _beside(job.clip, job.sound, suffix)
    return replace(job, info=info, film=film, notes=(_STILL_A_GIF,) if is_gif else ())


def _can_reencode(info: VideoInfo, film: Path) -> bool:
    suffix = film.suffix.lower()
    return not info.is_still and suffix != ".webm" and (suffix not in info.fits or info.video_codec == "gif")


def _without_film(job: Job, info: VideoInfo) -> Job:
    try:
        check_fits(info, job.clip.with_suffix(".mp4"))
    except VideoError as error:
        return replace(job, film=None, notes=(only_sound(job.clip, error),))
    return job


def only_sound(clip: Path, error: VideoError) -> str:
    """The note that the sound was written and the film was not."""
    return f"{ONLY_SOUND}: {str(error).removeprefix(f'{clip}: ')}"
