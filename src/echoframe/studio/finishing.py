"""A finished sound and its film, written as a visitor sees, hears and saves them."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from echoframe.errors import OutputError
from echoframe.jobs.plans import REENCODED, Job
from echoframe.jobs.results import write_results
from echoframe.media.audio import read_audio
from echoframe.media.frame_array import NoPicture
from echoframe.media.mux import mux
from echoframe.media.video import VideoInfo, probe
from echoframe.options import WriteOptions
from echoframe.provenance import InputId, record_path
from echoframe.sound import Sound
from echoframe.sound.timeline import timeline_of
from echoframe.studio.hiding import hidden
from echoframe.studio.pictures import heard, still
from echoframe.studio.sitting import MADE, Made, Sitting, cleaned

# the containers in which browsers play a codec; a film of another one is written again as H.264
PLAYED = {"h264": ".mp4", "av1": ".mp4", "vp9": ".webm", "vp8": ".webm"}
SHOWN = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".webp"}  # pictures that browsers show; others are written again
SOURCE = "source"  # of each result, a folder with the film whose own sound can be mixed in


def finish(sitting: Sitting, film: Path | None, sound: Sound, title: str) -> Made:
    """Writes a sound and all that belongs to it into the sitting: all of it, or nothing.

    Raises OutputError if there is no room for it.
    """
    info = probe(film) if film else NoPicture()
    try:
        return sitting.add(lambda number, folder: _write(number, folder, info, _without_paths(sound), title))
    except (OutputError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(
            f"{title}: its sound cannot be kept on this server ({reason}); tell those who run it"
        ) from error


def mix(sitting: Sitting, made: Made, level_db: float | None) -> Made:
    """The result with its film's own sound mixed in at that level, or, without a level, as it was."""
    folder = sitting.folder / MADE / str(made.number)
    film = next((folder / SOURCE).glob("*"), None)
    if level_db is None or film is None or "film" not in made.files:
        return sitting.change(replace(made, level_db=None))
    info = probe(film)
    name = made.files["film"]
    mixed = f"{Path(name).stem}.mixed{Path(name).suffix}"
    waveform, rate = read_audio(folder / made.files["sound"])
    with sitting.changing(), hidden(sitting.folder):
        mux(film, waveform, rate, folder / mixed, original_level_db=level_db, reencode=_plays_as(info)[1])
    return sitting.change(replace(made, level_db=level_db, files=made.files | {"mixed": mixed}))


def _hold(film: Path, folder: Path) -> None:
    """Holds the film in a folder of its own, without a second copy where that can be."""
    folder.mkdir()
    try:
        os.link(film, folder / film.name)
    except OSError:  # a file system without links
        shutil.copyfile(film, folder / film.name)


def _without_paths(sound: Sound) -> Sound:
    """The sound, whose record names files and not the server's folders, but for a library's recordings: editors need them."""
    made_by = sound.provenance
    example = made_by.example and replace(made_by.example, path=Path(made_by.example.path).name)
    asked = made_by.settings
    settings = replace(asked, like=Path(asked.like).name, library=Path(asked.library).stem)
    own = replace(
        made_by,
        input=InputId(path=Path(made_by.input.path).name, sha256=made_by.input.sha256),
        settings=settings,
        example=example,
    )
    return replace(sound, provenance=own)


def _plays_as(info: VideoInfo) -> tuple[str, bool]:
    """The container for a film that browsers play, and whether its picture has to be written again."""
    suffix = PLAYED.get(info.video_codec, "")
    return (suffix, False) if suffix in info.fits else (".mp4", True)


def _write(number: int, folder: Path, info: VideoInfo | NoPicture, sound: Sound, title: str) -> Made:
    settings = sound.provenance.settings
    stem = Path(cleaned(title)).stem if isinstance(info, VideoInfo) else cleaned(title).replace(".", " ").strip()
    path = folder / f"{stem}.s{settings.seed}.wav"
    film = info if isinstance(info, VideoInfo) and not info.is_still else None
    suffix, reencode = _plays_as(film) if film else ("", False)
    job = Job(
        clip=info.path if isinstance(info, VideoInfo) else Path(title),
        info=info,
        sound=path,
        film=path.with_suffix(suffix) if film else None,
        picture=None,
        stems={layer: path.with_suffix(f".{layer}.wav") for layer in sound.layers},
        reencode=reencode,
        notes=(REENCODED,) if reencode else (),
    )
    write_results(sound, job, WriteOptions(reencode=True))
    files = {"sound": path.name, "record": record_path(path).name, "picture": f"{path.stem}.png"}
    files |= {layer: own.name for layer, own in job.stems.items()}
    heard(sound.waveform, sound.sample_rate).save(folder / files["picture"], format="PNG")
    if isinstance(info, VideoInfo) and info.is_still:
        is_shown = info.path.suffix in SHOWN
        files["still"] = f"{path.stem}.still{info.path.suffix if is_shown else '.jpg'}"
        if is_shown:
            shutil.copyfile(info.path, folder / files["still"])
        else:
            still(info).save(folder / files["still"], format="JPEG", quality=90)
    if film and path.with_suffix(suffix).exists():
        files["film"] = path.with_suffix(suffix).name
        if film.has_audio:
            _hold(film.path, folder / SOURCE)
    if film or sound.layers:
        files["timeline"] = f"{path.stem}.otio"
        picture = Path(files.get("film", title)) if film else None
        told = timeline_of(sound, Path(path.name), picture, frame_rate=film.frame_rate if film else 0.0, name=path.stem)
        (folder / files["timeline"]).write_text(told, encoding="utf-8")
    return Made(
        number=number,
        title=title,
        files=files,
        seed=settings.seed,
        prompt=settings.prompt,
        duration_s=round(sound.duration_s, 3),
        scores=dict(sound.reasons),
        nearest=dict(sound.nearest),
        notes=(*sound.provenance.notes, *job.notes),
        can_mix=isinstance(info, VideoInfo) and info.has_audio,
    )
