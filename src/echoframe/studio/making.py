"""Sounds are made for a sitting: one at a time for all, one candidate after another, until it is asked to stop."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from echoframe.errors import InputError
from echoframe.library import Library
from echoframe.options import Request
from echoframe.pipeline import EchoFrame
from echoframe.studio.finishing import finish
from echoframe.studio.hiding import hidden
from echoframe.studio.limits import Limits
from echoframe.studio.line import Line
from echoframe.studio.sitting import Made, Sitting, Sittings

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


def _options(request: Request) -> dict[str, Any]:
    return {each.name: getattr(request, each.name) for each in fields(request)}
