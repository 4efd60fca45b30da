"""A clip's files: what of them is done already, and writing them.

A clip's results are a sound, for a film the film with that sound, maybe a picture, and a JSON that says how they were
made, once beside each file. They appear together or not at all, the JSON last. What is there already: `earlier`.
"""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from echoframe.errors import EchoFrameError, InputError, VideoError
from echoframe.jobs.earlier import Asked, Identity, are_done, check_earlier, check_foreign
from echoframe.jobs.plans import ONLY_SOUND, REENCODED, Job, looked_at, only_sound
from echoframe.loading import remake
from echoframe.media.audio import resample
from echoframe.media.frame_array import NoPicture
from echoframe.media.mux import mux
from echoframe.media.video import VideoInfo, check_fits
from echoframe.options import WRITE_FIELDS, Request, Settings, WriteOptions
from echoframe.output import atomic_files, check_name, encode_sound, file_sha256
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback
from echoframe.provenance import Provenance, record_of, to_json
from echoframe.sound import Sound
from echoframe.sound.picture import picture_of
from echoframe.sound.timeline import timeline_of


def run_job(
    model: EchoFrame, job: Job, request: Request, writing: WriteOptions, *, progress: ProgressCallback | None = None
) -> bool:
    """Makes a job's files; False if they were there already. Raises EchoFrameError, and then leaves nothing new.

    An earlier result that is not what is asked for is replaced only if `writing` says so.
    """
    job = looked_at(job, writing)
    settings = settings_to_make(model, job, request, writing)
    if settings is None:
        return False
    write_results(model.render(job.known, settings, progress=progress), job, writing)
    return True


def settings_to_make(model: EchoFrame, job: Job, request: Request, writing: WriteOptions) -> Settings | None:
    """What the job's sound is to be made with, none if its files are there already. Raises if they cannot be made."""
    settings = model.resolve(job.known, request, force=writing.force)
    return None if is_done(model, job, settings, writing) else settings


def is_done(model: EchoFrame | Identity, job: Job, settings: Settings, writing: WriteOptions) -> bool:
    """Whether the job's files are there as asked for. Raises if they cannot be made."""
    check_job(job, writing)
    asked = Asked(model=model, job=job, settings=settings, writing=writing)
    if are_done((job if writing.reencode else without_lost_film(job)).results, asked):
        return True
    check_earlier(job.results, asked)
    return False


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
    writing = replace(writing, **{each.name: getattr(record, each.name) for each in WRITE_FIELDS})
    check_earlier(job.results, Asked(model=model, job=job, settings=record.settings, writing=writing))
    sound = remake(model, record, info=job.known, progress=progress)
    write_results(sound, job, writing)
    return sound.provenance.result.samples_sha256 == record.result.samples_sha256


def check_job(job: Job, writing: WriteOptions) -> None:
    """Raises if a file to be made cannot be, or is someone else's and not forced. job: from `looked_at`."""
    if job.film is not None:
        if isinstance(job.known, NoPicture):
            raise InputError(f"{job.film}: there is no picture to make a video of; give the name of a sound file")
        if job.known.is_still:
            raise InputError(
                f"{job.film}: {job.clip} is a still image, so no video can be made of it; give the name of a sound file"
            )
        if not job.reencode:
            check_fits(job.known, job.film)
    for path in job.outputs:
        check_name(path)
    check_foreign(job.results, writing)


def without_lost_film(job: Job) -> Job:
    """A job that was done, without the film if that was left out as its picture could not be copied in the end."""
    found = record_of(job.sound) if job.sound else None
    is_lost = found is not None and any(note.startswith(ONLY_SOUND) for note in found.notes)
    return replace(job, film=None) if is_lost else job


def write_results(sound: Sound, job: Job, writing: WriteOptions) -> None:
    """Writes sound, film, picture and records of a job: all of them, or none.

    A film whose picture cannot be copied in the end is written as H.264 if that was asked for, or else left out where
    there is the sound beside it.
    """
    try:
        _write_all(sound, job, writing)
    except VideoError as error:
        if job.film is None or job.sound is None:
            raise
        if writing.reencode and not job.reencode and job.film.suffix.lower() != ".webm":  # which takes no H.264
            write_results(sound, replace(job, reencode=True, notes=(*job.notes, REENCODED)), writing)
        else:
            without = replace(job, film=None, notes=(*job.notes, only_sound(job.clip, error)))
            _write_all(sound, without, writing)


def _write_all(sound: Sound, job: Job, writing: WriteOptions) -> None:
    samples = as_written(sound.waveform, sound.sample_rate, writing)
    stems = {path: layer for layer, path in job.stems.items()}
    made: dict[str, str] = {}
    notes = [*sound.provenance.notes, *job.notes]
    written = {each.name: getattr(writing, each.name) for each in WRITE_FIELDS}
    with atomic_files(job.outputs) as partials:
        for path, partial in zip(job.outputs, partials, strict=True):
            if path == job.sound:
                partial.write_bytes(encode_sound(samples[0].numpy(), samples[1], suffix=path.suffix))
            elif path == job.film:
                left_out = _write_film(*samples, job, partial, path, writing.original_level_db)
                notes += [f"{path.name} is without {', '.join(left_out)}, which it cannot hold"] if left_out else []
            elif path == job.picture:
                picture_of(sound, job.clip.name).save(partial, format="PNG")
            elif path == job.timeline:
                partial.write_text(_timeline(sound, job, path), encoding="utf-8")
            elif path in stems:
                layer = as_written(sound.layers[stems[path]], sound.sample_rate, writing)
                partial.write_bytes(encode_sound(layer[0].numpy(), layer[1], suffix=path.suffix))
            else:
                record = replace(sound.provenance, outputs=made, notes=tuple(notes), reencoded=job.reencode, **written)
                partial.write_text(to_json(record), encoding="utf-8")
                continue
            made[path.name] = file_sha256(partial)


def _timeline(sound: Sound, job: Job, path: Path) -> str:
    info = job.known
    film = job.clip.resolve() if isinstance(info, VideoInfo) else None
    frame_rate = 0.0 if not isinstance(info, VideoInfo) or info.is_still else info.frame_rate
    return timeline_of(sound, job.results[0].resolve(), film, frame_rate=frame_rate, name=path.stem)


def as_written(waveform: Tensor, sample_rate: int, writing: WriteOptions) -> tuple[Tensor, int]:
    """Samples, (C, S), for a file, and their rate: resampled, mixed to one channel or copied to both as was asked for."""
    rate = writing.sample_rate or sample_rate
    waveform = resample(waveform, sample_rate, rate)
    channels = writing.channels or len(waveform)
    if channels != len(waveform):
        waveform = waveform.mean(dim=0, keepdim=True).expand(channels, -1)
    return waveform.contiguous(), rate


def _write_film(
    waveform: Tensor, rate: int, job: Job, partial: Path, final: Path, original_level_db: float | None
) -> tuple[str, ...]:
    try:
        return mux(job.clip, waveform, rate, partial, original_level_db=original_level_db, reencode=job.reencode)
    except EchoFrameError as error:
        # the user knows the film by its final name
        raise type(error)(str(error).replace(partial.stem, final.stem)) from error
