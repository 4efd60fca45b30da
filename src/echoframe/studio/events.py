"""What the page's events do: values of its fields in, what it shows then out, as Gradio takes them."""

import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from echoframe.errors import EchoFrameError, InputError
from echoframe.optional import require_extra
from echoframe.options import Request
from echoframe.pipeline import LIBRARY_SYNC
from echoframe.studio import cards
from echoframe.studio.examples import EXAMPLES, example_film
from echoframe.studio.finishing import mix
from echoframe.studio.looking import MAX_LABELS, bring_film, look, seen_before
from echoframe.studio.making import Step, Stopped, Studio, in_steps, make, make_one
from echoframe.studio.many import make_many
from echoframe.studio.sitting import EXAMPLE, MADE, Made, Sitting

Updates = tuple[Any, ...]
MOVED = 0.005  # a label's slider that moved less was not moved
LOST = "Your earlier sitting has ended, and its files were removed."
LARGEST_SEED = 2**62
N_READY = 3 + len(EXAMPLES)  # buttons that wait for the sitting
N_CHOSEN = 6  # what shows a result: its player, two rows of buttons, and the state of three of them


class Events:
    """The events of a studio's page."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        gradio = require_extra("gradio", "web")
        self._update, self._skip = gradio.update, gradio.skip

    def begin(self, token: str) -> Updates:
        """A page is opened: what its sitting holds, or a new one; from now on its buttons can be pressed."""
        sitting = self._studio.sittings.find(token)
        note = cards.says(LOST) if token and sitting is None else ""
        sitting = sitting or self._studio.sittings.new()
        seen = seen_before(sitting)
        shown = cards.of_film(seen) if seen else note + cards.NO_FILM
        ready = [self._update(interactive=True)] * N_READY
        return (*self._looked(sitting, shown, seen.labels if seen else ()), self._history(sitting), *ready)

    def end(self, token: str) -> str:
        """The sitting is over, and its files are removed; the browser forgets it."""
        sitting = self._studio.sittings.find(token)
        if sitting is not None:
            self._studio.sittings.end(sitting)
        return ""

    def bring(self, token: str, path: str | None) -> Iterator[Updates]:
        """A film was dropped."""
        if path:
            self._studio.sittings.uploaded(self._sitting(token), Path(path))
            yield from self._bring(token, Path(path))

    def recorded(self, token: str, given: dict[str, Any] | None) -> Iterator[Updates]:
        """A film was recorded. It is taken as it came: to read it, Gradio would need the program ffmpeg."""
        path = str((given or {}).get("path", ""))
        if self._studio.sittings.is_upload(Path(path)):  # nothing has looked at it yet
            yield from self.bring(token, path)

    def sent(self, token: str, paths: str | list[str] | None) -> None:
        """Files were sent that nothing is done with yet."""
        given = [paths] if isinstance(paths, str) else paths or []
        self._studio.sittings.uploaded(self._sitting(token), *map(Path, given))

    def example(self, name: str) -> Callable[[str], Iterator[Updates]]:
        """The event that takes one of the example films."""

        def bring(token: str) -> Iterator[Updates]:
            yield from self._bring(token, example_film(name))

        return bring

    def show_camera(self) -> Any:
        """A film shall be recorded."""
        return self._update(visible=True)

    def generate(
        self,
        token: str,
        prompt: str,
        negative_prompt: str,
        length: float | None,
        takes: float,
        sync: float,
        variation: float,
        seed: float | None,
        like: str | None,
        library: str | None,
        blend: float,
        *levels: float,
    ) -> Iterator[Updates]:
        """Sounds of the film, each shown when it is there; what they are chosen with, and the buttons."""
        sitting = self._sitting(token)
        results: list[Made] = []

        def work(stop: threading.Event, tell: Callable[[Step], None]) -> None:
            if sitting.film is None:
                raise InputError("No film is here yet: drop one, or try an example.")
            request = Request(
                prompt=prompt.strip(),
                negative_prompt=negative_prompt.strip(),
                duration_s=length or None,
                sync=sync,
                variation=variation,
                seed=int(seed or 0),
                like=str(sitting.bring(Path(like), EXAMPLE)) if like else "",
                labels=_factors(sitting, levels),
                library=library or "",
                blend=blend if library else None,
            )
            make(self._studio, sitting, sitting.film, request, takes=int(takes), stop=stop, tell=tell)

        nothing = (self._skip(),) * (2 + N_CHOSEN)
        for status, is_working, made in self._worked(sitting, work, int(takes)):
            working = (*self._working(status, is_working), self._update(interactive=not is_working))
            if made is None:
                yield (*working, *nothing)
                continue
            results.append(made)
            best = cards.best_of(results)
            choices = [(cards.short(each, each is best), each.number) for each in results]
            first = len(results) == 1  # what is playing is not touched
            chosen = self._update(choices=choices, visible=True, **({"value": made.number} if first else {}))
            history = self._history(sitting, results[0].number if first else None)
            shown = self._chosen(sitting, made) if first else (self._skip(),) * N_CHOSEN
            yield (*working, chosen, history, *shown)

    def many(
        self, token: str, films: list[str] | None, prompt: str, seed: float | None, library: str | None
    ) -> Iterator[Updates]:
        """A sound of each film, in one archive."""
        sitting = self._sitting(token)
        paths = [Path(film) for film in films or []]

        def work(stop: threading.Event, tell: Callable[[Step], None]) -> None:
            request = Request(prompt=prompt.strip(), seed=int(seed or 0), library=library or "")
            make_many(self._studio, sitting, paths, request, stop=stop, tell=tell)

        yield from self._alone(sitting, work, len(paths))

    def words(
        self, token: str, prompt: str, length: float | None, seed: float | None, library: str | None
    ) -> Iterator[Updates]:
        """A sound of words."""
        sitting = self._sitting(token)

        def work(stop: threading.Event, tell: Callable[[Step], None]) -> None:
            if not prompt.strip():
                raise InputError("No words are here yet: say what shall be heard.")
            request = Request(
                prompt=prompt.strip(), duration_s=length or None, seed=int(seed or 0), library=library or ""
            )
            make(self._studio, sitting, None, request, takes=1, stop=stop, tell=tell)

        yield from self._alone(sitting, work)

    def with_library(self, library: str | None) -> Updates:
        """A library was chosen, or none any more: how readily onsets are heeded then, and whether `blend` counts."""
        own = self._studio.model.defaults.sync
        return LIBRARY_SYNC if library else own, self._update(visible=bool(library))

    def stop(self, token: str) -> Any:
        """What is at work shall stop: the work itself says when it has."""
        self._sitting(token).stop.set()
        return self._update(interactive=False)

    def next_seed(self, seed: float | None, takes: float, goes_on: int) -> Updates:
        """The first seed after those that were used, and what begins the work with it."""
        is_too_large = (seed or 0) > LARGEST_SEED  # the work says so; Gradio's messages cannot hold it
        return self._skip() if is_too_large else int(seed or 0) + int(takes), goes_on + 1

    def choose(self, token: str, number: int | None) -> Updates:
        """Another result is to be shown."""
        sitting = self._sitting(token)
        made = sitting.one(number) if number is not None else None
        if made is None:
            return (self._skip(),) * (2 + N_CHOSEN)
        both = [self._update(value=made.number) for _ in range(2)]  # Gradio empties what it is given
        return (*both, *self._chosen(sitting, made))

    def keep(self, token: str, number: int | None) -> Updates:
        """The result that is shown shall be kept, or no longer."""
        sitting = self._sitting(token)
        made = sitting.one(number) if number is not None else None
        if made is None:
            return (self._skip(),) * 2
        made = sitting.keep(made, not made.kept)
        return self._update(value=_keeps(made)), self._history(sitting, made.number)

    def mix(self, token: str, number: int | None, mixed: bool, level_db: float) -> Updates:
        """The film's own sound is mixed into the result that is shown, or no longer."""
        sitting = self._sitting(token)
        made = sitting.one(number) if number is not None else None
        if made is None or (not mixed and made.level_db is None):
            return (self._skip(),) * (1 + N_CHOSEN)
        try:
            return "", *self._chosen(sitting, mix(sitting, made, level_db if mixed else None))
        except EchoFrameError as error:
            return cards.fails(str(error)), self._skip(), *self._chosen(sitting, made)[1:]

    def for_programs(
        self, film: str | None, prompt: str, negative_prompt: str, duration_s: float | None, seed: float
    ) -> Updates:
        """Of Gradio's API: the record, the sound and the film with it, in a sitting of their own."""
        sitting = self._studio.sittings.new()
        try:
            request = Request(
                prompt=prompt, negative_prompt=negative_prompt, duration_s=duration_s or None, seed=int(seed or 0)
            )
            path = bring_film(sitting, Path(film), self._studio.limits).path if film else None
            made = make_one(self._studio, sitting, path, request, stop=threading.Event())
            folder = sitting.folder / MADE / str(made.number)
            record = (folder / made.files["record"]).read_text(encoding="utf-8")
            own = self._studio.sittings.uploads / sitting.token
            folder.rename(own)  # where Gradio gives files from
        except EchoFrameError as error:
            raise require_extra("gradio", "web").Error(str(error)) from error
        finally:
            self._studio.sittings.end(sitting)
        film_name = made.files.get("film")
        return record, str(own / made.files["sound"]), str(own / film_name) if film_name else None

    def see_for_programs(self, film: str) -> list[dict[str, Any]]:
        """Of Gradio's API: what is expected of a film."""
        sitting = self._studio.sittings.new()
        try:
            seen = look(self._studio.model, sitting, bring_film(sitting, Path(film), self._studio.limits))
        except EchoFrameError as error:
            raise require_extra("gradio", "web").Error(str(error)) from error
        finally:
            self._studio.sittings.end(sitting)
        return [{"label": label, "chance": chance} for label, chance in seen.labels]

    def _sitting(self, token: str) -> Sitting:
        sitting = self._studio.sittings.find(token)
        if sitting is None:
            raise require_extra("gradio", "web").Error(f"{LOST} Load the page again to begin a new one.")
        return sitting

    def _bring(self, token: str, path: Path) -> Iterator[Updates]:
        sitting = self._sitting(token)
        try:
            info = bring_film(sitting, path, self._studio.limits)
            yield self._looked(sitting, cards.says(f"{info.path.name} is looked at …"), ())
            seen = look(self._studio.model, sitting, info)
        except EchoFrameError as error:
            yield self._looked(sitting, cards.fails(str(error)), ())
        except Exception as error:
            yield self._looked(sitting, _fault(error), ())
        else:
            yield self._looked(sitting, cards.of_film(seen), seen.labels)

    def _looked(self, sitting: Sitting, shown: str, labels: tuple[tuple[str, float], ...]) -> Updates:
        """The token, two fields that are emptied, what is shown of the film, and a slider for each label."""
        sliders = [self._update(visible=True, label=label, value=round(chance, 2)) for label, chance in labels]
        sliders += [self._update(visible=False)] * (MAX_LABELS - len(labels))
        return sitting.token, self._update(value=None), self._update(value=None, visible=False), shown, *sliders

    def _worked(
        self, sitting: Sitting, work: Callable[[threading.Event, Callable[[Step], None]], None], takes: int
    ) -> Iterator[tuple[str, bool, Made | None]]:
        """What is said of the work, whether it goes on, and what is finished, step by step, to its end in good or bad."""
        n_made, told = 0, f"0 of {takes}"
        yield cards.says("Beginning …"), True, None
        try:
            for step in in_steps(self._studio, sitting, work):
                if isinstance(step, Made):
                    n_made += 1
                    told = step.title if "archive" in step.files else f"{n_made} of {takes}"
                    yield cards.says(f"{told} finished."), n_made < takes, step
                else:
                    yield cards.of_step(step), True, None
        except Stopped:
            yield cards.says(f"Stopped. {told} finished."), False, None
        except EchoFrameError as error:
            yield cards.fails(str(error)), False, None
        except Exception as error:
            yield _fault(error), False, None
        else:
            yield cards.says(f"Done. {told} finished."), False, None

    def _alone(
        self, sitting: Sitting, work: Callable[[threading.Event, Callable[[Step], None]], None], takes: int = 1
    ) -> Iterator[Updates]:
        """Work with one result: the status, the buttons, and the result."""
        for status, is_working, made in self._worked(sitting, work, takes):
            shown = cards.of_result(sitting, made) if made else self._skip()
            yield (*self._working(status, is_working), shown)

    def _working(self, status: str, is_working: bool) -> Updates:
        return status, self._update(interactive=not is_working), self._update(interactive=is_working)

    def _chosen(self, sitting: Sitting, made: Made) -> Updates:
        can_mix = made.can_mix and "film" in made.files
        return (
            cards.of_result(sitting, made),
            self._update(visible=True),
            self._update(value=_keeps(made)),
            self._update(visible=can_mix),
            made.level_db is not None,
            self._skip() if made.level_db is None else made.level_db,
        )

    def _history(self, sitting: Sitting, chosen: int | None = None) -> Any:
        choices = [(cards.called(made), made.number) for made in reversed(sitting.made())]
        value = {} if chosen is None else {"value": chosen}
        return self._update(choices=choices, visible=bool(choices), **value)


def _fault(error: Exception) -> str:
    """What is said of a fault that nobody foresaw; those who run the server see where it is."""
    traceback.print_exception(error)
    return cards.fails(
        f"This ended with a fault of EchoFrame's own ({type(error).__name__}); try it with other settings or another film, "
        "and tell those who run this server."
    )


def _keeps(made: Made) -> str:
    return "Kept ✓" if made.kept else "Keep"


def _factors(sitting: Sitting, levels: tuple[float, ...]) -> dict[str, float]:
    """What each label's chance is multiplied by, as the sliders stand."""
    seen = seen_before(sitting)
    pairs = zip(seen.labels, levels, strict=False) if seen else ()
    return {
        label: round(level / chance, 4)
        for (label, chance), level in pairs
        if chance > 0 and abs(level - round(chance, 2)) > MOVED
    }
