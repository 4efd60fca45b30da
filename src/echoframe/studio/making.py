"""Sounds are made for a sitting: one at a time for all, one candidate after another, until it is asked to stop."""

import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from echoframe.errors import InputError, OutputError
from echoframe.jobs.plans import REENCODED, Job
from echoframe.jobs.results import write_results
from echoframe.library import Library
from echoframe.media.audio import read_audio
from echoframe.media.frame_array import NoPicture
from echoframe.media.mux import mux
from echoframe.media.video import VideoInfo, probe
from echoframe.options import Request, WriteOptions
from echoframe.pipeline import EchoFrame
from echoframe.provenance import InputId, record_path
from echoframe.sound import Sound
from echoframe.sound.timeline import timeline_of
from echoframe.studio.hiding import hidden
from echoframe.studio.limits import Limits
from echoframe.studio.line import Line
from echoframe.studio.pictures import heard, still
from echoframe.studio.sitting import MADE, Made, Sitting, Sittings, cleaned

# the containers in which browsers play a codec; a film of another one is written again as H.264
PLAYED = {"h264": ".mp4", "av1": ".mp4", "vp9": ".webm", "vp8": ".webm"}
SHOWN = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".webp"}  # pictures that browsers show; others are written again
SOURCE = "source"  # of each result, a folder with the film whose own sound can be mixed in
PATIENCE_S = 0.2  # how soon one who waits sees that they shall stop


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What all visitors share. libraries: files, by the names that visitors know them by."""

    model: EchoFrame
    sittings: Sittings
    line: Line
    limits: Limits
    libraries: Mapping[str, Path] = field(default_factory=dict)

    def library(self, name: str) -> Library | None:
        """The library of that name, open; none without a name. Raises InputError if there is none, and as `Library.open`."""
        if not name:
            return None
        if name not in self.libraries:
            known = ", ".join(self.libraries) or "none: start it with --library"
            raise InputError(f'library "{name}": this studio has no such library; it has {known}')
        return Library.open(self.libraries[name], self.model)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Others are before it."""

    ahead: int


@dataclass(frozen=True, slots=True)
class Working:
    """The nth of so many sounds is at work; share: how much of all is done, 0 to 1."""

    nth: int
    of: int
    share: float


Step: TypeAlias = Waiting | Working | Made


class Stopped(Exception):
    """The visitor asked to stop."""


def make(
    studio: Studio,
    sitting: Sitting,
    film: Path | None,
    request: Request,
    *,
    takes: int,
    stop: threading.Event,
    tell: Callable[[Step], None],
) -> None:
    """Makes sounds with the seeds from the request's on, each finished as soon as it is there.

    film: in the sitting; None makes sounds of the words, or of the example, alone. request: its library is a name. tell: is
    told each step, and each sound that is finished. Raises Stopped soon after `stop` is set, InputError for what cannot be
    asked for or if too many wait, and what `EchoFrame.generate` raises.
    """
    title = film.name if film else request.prompt or Path(request.like).name
    studio.limits.check_length("the sound", request.duration_s or 0.0)
    with ExitStack() as stack:
        place = stack.enter_context(studio.line.place())
        stack.enter_context(hidden(sitting.folder))
        stack.enter_context(sitting.using(*(Path(path) for path in (film, request.like) if path)))
        while not place.wait(PATIENCE_S):
            if stop.is_set():
                raise Stopped
            tell(Waiting(place.ahead))
        library = studio.library(request.library)
        if library is not None:
            stack.enter_context(library)
        for nth in range(takes):

            def progress(done: int, total: int, _: str, nth: int = nth) -> None:
                if stop.is_set():
                    raise Stopped
                tell(Working(nth + 1, takes, (nth + min(done / max(total, 1), 1.0)) / takes))

            progress(0, 1, "")
            options = _options(request) | {"seed": request.seed + nth, "library": library}
            sound = studio.model.generate(film, **options, progress=progress)
            tell(finish(sitting, film, sound, title))


def make_one(studio: Studio, sitting: Sitting, film: Path | None, request: Request, *, stop: threading.Event) -> Made:
    """As `make`: one sound, and nothing is told before it is there."""
    found: list[Made] = []

    def tell(step: Step) -> None:
        if isinstance(step, Made):
            found.append(step)

    make(studio, sitting, film, request, takes=1, stop=stop, tell=tell)
    return found[0]


def in_steps(
    studio: Studio, sitting: Sitting, work: Callable[[threading.Event, Callable[[Step], None]], None]
) -> Iterator[Step]:
    """The steps of work that is done in a thread of its own, as they are told; the sitting's earlier work is stopped.

    work: is given what asks it to stop, and what it tells its steps to, as `make` is. The steps raise what it raises. Who
    no longer takes them stops it.
    """
    stop = sitting.begin()
    told: queue.Queue[Step | BaseException | None] = queue.Queue()

    def run() -> None:
        try:
            work(stop, told.put)
        except BaseException as error:
            told.put(error)
        else:
            told.put(None)

    threading.Thread(target=run, daemon=True).start()
    try:
        while (step := told.get()) is not None:
            if isinstance(step, BaseException):
                raise step
            studio.sittings.find(sitting.token)  # it is in use
            yield step
    finally:
        stop.set()


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


def _options(request: Request) -> dict[str, Any]:
    return {each.name: getattr(request, each.name) for each in fields(request)}


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
