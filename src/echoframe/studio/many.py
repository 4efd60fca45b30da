"""Many films at once: a sound for each, and one archive of all that could be made."""

import shutil
import threading
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from echoframe.errors import EchoFrameError, InputError
from echoframe.options import Request
from echoframe.sound.placed import LAYERS
from echoframe.studio.limits import MAX_FILES
from echoframe.studio.looking import bring_film
from echoframe.studio.making import Step, Stopped, Studio, Working, make
from echoframe.studio.sitting import MADE, Made, Sitting, cleaned

ARCHIVE, FAILED = "sounds.zip", "failed.txt"
SAVED = ("sound", "film", "record", "timeline", *LAYERS)  # of each film


def make_many(
    studio: Studio,
    sitting: Sitting,
    films: Sequence[Path],
    request: Request,
    *,
    stop: threading.Event,
    tell: Callable[[Step], None],
) -> None:
    """Makes a sound of each film, and tells of one result that holds them all in an archive.

    A film that cannot be used is named in it, with the reason; if it is asked to stop, what is finished is in it.
    Raises InputError for too many films, or if none could be used.
    """
    if len(films) > MAX_FILES:
        raise InputError(f"{len(films)} films: expected {MAX_FILES} at most; take them in several goes")
    failed: list[str] = []
    n_sounds = 0
    with TemporaryDirectory(dir=sitting.folder) as staged:
        for number, film in enumerate(films):
            try:
                _one(studio, sitting, film, request, Path(staged), (number, len(films)), stop=stop, tell=tell)
                n_sounds += 1
            except EchoFrameError as error:
                failed.append(str(error))
            except Stopped:
                failed.append(f"stopped: {len(films) - number} of {len(films)} films were not made")
                if not n_sounds:
                    raise
                break
        found = sorted(Path(staged).glob("*.*"))
        if not found:
            raise InputError(f"none of {len(films)} films has a sound: {failed[0]}" if failed else "no film was given")
        title = cleaned(f"{n_sounds} of {len(films)} films")
        tell(sitting.add(lambda number, folder: _archive(number, folder, found, failed, request, title)))


def _one(
    studio: Studio,
    sitting: Sitting,
    film: Path,
    request: Request,
    staged: Path,
    place: tuple[int, int],
    *,
    stop: threading.Event,
    tell: Callable[[Step], None],
) -> None:
    """Makes a film's sound in a sitting of its own, which ends with it, and moves the files to `staged`."""
    number, n_films = place

    def pass_on(step: Step) -> None:
        if isinstance(step, Working):
            tell(Working(number + 1, n_films, (number + step.share) / n_films))
        elif isinstance(step, Made):
            with sitting.changing():
                for name in (step.files[what] for what in SAVED if what in step.files):
                    shutil.move(own.folder / MADE / str(step.number) / name, _free(staged / name))
        else:
            tell(step)

    own = studio.sittings.new()
    try:
        info = bring_film(own, film, studio.limits)
        make(studio, own, info.path, request, takes=1, stop=stop, tell=pass_on)
    finally:
        studio.sittings.end(own)


def _free(path: Path) -> Path:
    """The path, or, where that is taken, one with a number."""
    tries = (
        path.with_name(f"{path.name.partition('.')[0]} {n}.{path.name.partition('.')[2]}") for n in range(2, 10**6)
    )
    return path if not path.exists() else next(each for each in tries if not each.exists())


def _archive(
    number: int, folder: Path, found: Sequence[Path], failed: Sequence[str], request: Request, title: str
) -> Made:
    with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        for path in found:
            archive.write(path, path.name)
        if failed:
            archive.writestr(FAILED, "\n".join(failed) + "\n")
    return Made(
        number=number,
        title=title,
        files={"archive": ARCHIVE},
        seed=request.seed,
        prompt=request.prompt,
        duration_s=0.0,
        notes=tuple(failed),
    )
