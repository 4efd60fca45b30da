"""A sitting: what one visitor has brought and made, in a folder of its own whose name nobody can guess.

A sitting is found again by its token, also after the server was killed: what is finished lies in its folder. It ends when
its visitor says so, when it was not used for hours, or with the server.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from echoframe.config import from_dict
from echoframe.errors import ConfigError, InputError
from echoframe.output import atomic_files, atomic_folder, is_partial, make_folder

KEEP_S = 6 * 3600.0  # a sitting that is not used
MOST_MADE = 60  # of one sitting; older ones that are not marked to be kept go
FILM, EXAMPLE, MADE, ABOUT = "film", "example", "made", "made.json"
SITTINGS, UPLOADS = "sittings", "uploads"
LONGEST_NAME = 120  # bytes of a film's name, so that there is room for what is added to it
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A finished sound and its files.

    number: in its sitting, from 1. title: the film's name, or the words. files: what each file is -> its name. seed,
    prompt, duration_s: what it was made with. scores: why it fits, as `echoframe.options.RANK` names it. nearest: labels
    and their cosine. can_mix: whether the film has a sound to mix in. level_db: at which it is. kept: marked by the visitor.
    """

    number: int
    title: str
    files: dict[str, str]
    seed: int
    prompt: str
    duration_s: float
    scores: dict[str, float] = field(default_factory=dict)
    nearest: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    can_mix: bool = False
    level_db: float | None = None
    kept: bool = False


class Sitting:
    """What one visitor has brought and made.

    Attributes:
        token: whoever knows it may see everything in here.
        folder: where it lies.
        stop: asks the work at hand to stop.
        uploads: what its visitor's browser sent, where the server keeps that.
    """

    def __init__(self, token: str, folder: Path) -> None:
        self.token, self.folder = token, folder
        self.stop = threading.Event()
        self.uploads: set[Path] = set()
        self._in_use: list[Path] = []
        self._is_over = False
        self._lock = threading.RLock()

    def begin(self) -> threading.Event:
        """Asks the work at hand to stop; gives what asks the next one."""
        self.stop.set()
        self.stop = threading.Event()
        return self.stop

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Files are added to it, by one at a time. Raises InputError if it has ended: nobody would remove them any more."""
        with self._lock:
            if self._is_over:
                raise InputError("this sitting has ended; load the page again to begin a new one")
            yield

    def remove(self) -> None:
        """Stops its work, and removes all its files."""
        self.stop.set()
        with self._lock:
            self._is_over = True
            shutil.rmtree(self.folder, ignore_errors=True)
            for path in self.uploads:
                path.unlink(missing_ok=True)

    @property
    def film(self) -> Path | None:
        """The film or the picture that was brought."""
        return self._newest(FILM)

    @property
    def example(self) -> Path | None:
        """The sound that results shall be like."""
        return self._newest(EXAMPLE)

    def bring(self, source: Path, what: str, name: str = "") -> Path:
        """Takes a copy of a file as the film or the example, in the place of an earlier one. name: what it is called.

        Each has a folder of its own, whose name is a number. Raises as `changing`.
        """
        with self.changing():
            earlier = self._newest(what)
            number = 1 + (int(earlier.parent.name) if earlier else 0)
            final = self.folder / what / str(number) / cleaned(name or source.name)
            with atomic_files([final]) as (partial,):
                shutil.copyfile(source, partial)
            self._clear(what)
        return final

    @contextlib.contextmanager
    def using(self, *paths: Path) -> Iterator[None]:
        """A block in which these films and examples stay, also when others are brought in their place."""
        with self._lock:
            self._in_use += paths
        try:
            yield
        finally:
            with self._lock:
                for path in paths:
                    self._in_use.remove(path)
                for what in (FILM, EXAMPLE):
                    self._clear(what)

    def write(self, path: Path, words: str) -> None:
        """Writes a text into its folder. Raises as `changing`."""
        with self.changing(), atomic_files([path]) as (partial,):
            partial.write_text(words, encoding="utf-8")

    def add(self, write: Callable[[int, Path], Made]) -> Made:
        """Takes in what `write` makes, given a number and an empty folder: all of it, or nothing. Raises as `changing`."""
        with self.changing():
            number = 1 + max((made.number for made in self.made()), default=0)
            with atomic_folder(self.folder / MADE / str(number)) as partial:
                made = write(number, partial)
                (partial / ABOUT).write_text(json.dumps(asdict(made)), encoding="utf-8")
            for old in [each for each in self.made() if not each.kept][:-MOST_MADE]:
                shutil.rmtree(self.folder / MADE / str(old.number), ignore_errors=True)
        return made

    def made(self) -> list[Made]:
        """What is finished, the oldest first."""
        found = (_read(path) for path in (self.folder / MADE).glob(f"[0-9]*/{ABOUT}"))
        return sorted((made for made in found if made is not None), key=lambda made: made.number)

    def one(self, number: int) -> Made | None:
        """What has that number."""
        return next((made for made in self.made() if made.number == number), None)

    def keep(self, made: Made, kept: bool = True) -> Made:
        """Marks it to be kept, or not."""
        return self.change(replace(made, kept=kept))

    def change(self, made: Made) -> Made:
        """Writes down what has become of it. Raises as `changing`."""
        self.write(self.folder / MADE / str(made.number) / ABOUT, json.dumps(asdict(made)))
        return made

    def path(self, number: int, name: str) -> Path | None:
        """The file of a result, if it is one of its files: no path is ever made of what was asked for."""
        made = self.one(number)
        if made is None or name not in made.files.values():
            return None
        return self.folder / MADE / str(number) / name

    def address(self, made: Made, what: str) -> str:
        """Where a browser finds a result's file, from the server's root."""
        from urllib.parse import quote

        return f"kept/{self.token}/{made.number}/{quote(made.files[what])}"

    def _brought(self, what: str) -> list[Path]:
        found = [path for path in (self.folder / what).glob("[0-9]*/*") if not is_partial(path)]
        return sorted(found, key=lambda path: int(path.parent.name))

    def _newest(self, what: str) -> Path | None:
        return next(reversed(self._brought(what)), None)

    def _clear(self, what: str) -> None:
        """Removes the films or the examples in whose place others are, but for those in use."""
        for path in self._brought(what)[:-1]:
            if path not in self._in_use:
                shutil.rmtree(path.parent, ignore_errors=True)


class Sittings:
    """All sittings of a server. root: their folder, which has to be private."""

    def __init__(self, root: Path, *, keep_s: float = KEEP_S) -> None:
        self.root, self._keep_s = private(root), keep_s
        self.uploads = root / UPLOADS
        self._known: dict[str, Sitting] = {}
        self._lock = threading.Lock()
        self.uploads.mkdir(exist_ok=True)
        (root / SITTINGS).mkdir(exist_ok=True)
        for folder in (root / SITTINGS).iterdir():
            if _TOKEN.fullmatch(folder.name) and folder.is_dir():
                self._known[folder.name] = Sitting(folder.name, folder)
        self.sweep()

    def new(self) -> Sitting:
        """A new sitting."""
        token = secrets.token_urlsafe(32)
        folder = self.root / SITTINGS / token
        folder.mkdir(mode=0o700)
        sitting = Sitting(token, folder)
        with self._lock:
            self._known[token] = sitting
        return sitting

    def find(self, token: object) -> Sitting | None:
        """The sitting of that token, which counts as used now."""
        with self._lock:
            sitting = self._known.get(token) if isinstance(token, str) else None
        if sitting is not None:
            with contextlib.suppress(OSError):
                os.utime(sitting.folder)
        return sitting

    def uploaded(self, sitting: Sitting, *paths: Path) -> None:
        """The visitor's browser sent these files: they go when the sitting ends, if they lie among the uploads."""
        sitting.uploads.update(filter(self.is_upload, paths))

    def is_upload(self, path: Path) -> bool:
        """Whether the file lies among the uploads, wherever its name goes on the way."""
        return self.uploads.resolve() in path.resolve().parents

    def forget_uploads(self) -> None:
        """Removes what browsers sent to a server that was killed: their pages load again, and no sitting knows of it."""
        shutil.rmtree(self.uploads, ignore_errors=True)
        self.uploads.mkdir(exist_ok=True)

    def end(self, sitting: Sitting) -> None:
        """Stops its work and removes all its files."""
        with self._lock:
            self._known.pop(sitting.token, None)
            for other in self._known.values():  # who sent the same file, which lies there once
                sitting.uploads -= other.uploads
        sitting.remove()

    def sweep(self) -> None:
        """Ends the sittings that were not used for long, and removes uploads as old."""
        before = time.time() - self._keep_s
        for sitting in list(self._known.values()):
            if _used(sitting.folder) < before:
                self.end(sitting)
        for path in self.uploads.iterdir():
            if _used(path) >= before:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:  # of an upload that broke off
                path.unlink(missing_ok=True)

    def end_all(self) -> None:
        """Ends every sitting, and removes the folder's contents."""
        for sitting in list(self._known.values()):
            self.end(sitting)
        shutil.rmtree(self.uploads, ignore_errors=True)


def private(folder: Path) -> Path:
    """The folder, made if it is not there. Raises InputError unless it is this user's alone."""
    if not folder.exists():
        make_folder(folder.parent, option="--folder")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    status = folder.lstat()
    is_ours = not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
    if not folder.is_dir() or folder.is_symlink() or not is_ours:
        raise InputError(
            f"{folder}: is not a folder that only you can read, expected one for what visitors bring; "
            "choose another with --folder"
        )
    return folder


def cleaned(name: str) -> str:
    """A file name without anything that a file system or a page could take amiss.

    >>> cleaned("../my film (1).MP4"), cleaned("...")
    ('my film 1.mp4', 'film')
    """
    path = Path(name.replace("\\", "/"))
    stem = re.sub(r"[^\w -]+", "", path.stem).encode()[:LONGEST_NAME].decode(errors="ignore").strip(" ")
    suffix = re.sub(r"[^a-z0-9.]+", "", path.suffix.lower())[:8]
    return f"{stem or 'film'}{suffix}"


def _read(path: Path) -> Made | None:
    try:
        return from_dict(Made, json.loads(path.read_text(encoding="utf-8")), name=str(path))
    except (OSError, ValueError, ConfigError):  # it is being removed
        return None


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
