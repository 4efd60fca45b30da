"""Which files there are, and which of them are not as the library knows them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from echoframe.errors import InputError
from echoframe.library.entries import Entry
from echoframe.library.store import absolute, storable

SUFFIXES = frozenset(
    ".wav .bwf .wave .w64 .rf64 .aif .aiff .aifc .caf .flac .ogg .oga .opus .mp3 .m4a .aac .wma .wv .ape .au "
    ".mp4 .m4v .mov .mkv .webm .avi .mxf .mpg .mpeg .ts .m2ts .mts .flv .wmv .3gp".split()
)


@dataclass(kw_only=True, slots=True)
class Scanned:
    """What is under some paths.

    Attributes:
        todo: new and changed files, in the order of their paths.
        same: files that are as the library knows them.
        vanished: files that the library knows there, and that are there no more.
        unnamed: names that are not text, and so cannot be kept.
    """

    todo: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)


def scan(paths: Iterable[str | Path], known: Mapping[str, Entry]) -> Scanned:
    """Looks at files, and at folders with all that is in them, by size and time alone: no file is opened.

    In folders, names that begin with a dot are left out, and those whose suffix is of no sound file or film. Raises
    InputError for a path that is not there, unless the library knows it or something under it.
    """
    roots = [absolute(path) for path in paths]
    found, scanned = dict[str, os.stat_result | None](), Scanned()
    for root in roots:
        if os.path.isdir(root):
            _walk(root, found)
        elif os.path.lexists(root) or root in known:
            _look(root, found)
        elif not any(under(path, root) for path in known):
            raise InputError(f"{root}: no such file or folder; give sound files, films, or folders of them")
    for path in sorted(found):
        stat, before = found[path], known.get(path)
        if not storable(path):
            scanned.unnamed.append(path)
        elif stat is not None and before is not None and _is_same(stat, before):
            scanned.same.append(path)
        elif stat is not None:
            scanned.todo.append(path)
    there, some = {path for path, stat in found.items() if stat is not None}, set(roots)
    scanned.vanished = [
        path
        for path, before in known.items()
        if path not in there and before.reason != "vanished" and under_any(path, some)
        if not os.path.exists(path)  # named once, a file of another suffix is known as well
    ]
    return scanned


def differences(known: Mapping[str, Entry]) -> Iterator[str]:
    """A line for each file that is not as the library knows it."""
    for path, entry in known.items():
        try:
            stat = entry.path.stat()
        except OSError:
            yield f"{path}: is not there any more"
            continue
        if entry.reason == "vanished":
            yield f"{path}: is there again; add it"
        elif (stat.st_size, stat.st_mtime_ns) != (entry.size, entry.mtime_ns):
            yield f"{path}: has changed; add it again"


def outermost(folders: Iterable[str], *, most: int) -> list[str]:
    """The folders that the others lie in; where these are more than `most`, the deepest ones that all of them lie in.

    >>> outermost(["/a/b", "/a/b/c", "/d"], most=2)
    ['/a/b', '/d']
    >>> outermost(["/home/me/rain/1", "/home/me/rain/2", "/home/me/wind", "/mnt/x/1", "/mnt/x/2"], most=2)
    ['/home/me', '/mnt/x']
    """
    found: list[str] = []
    for folder in sorted(set(folders), key=lambda folder: Path(folder).parts):
        if not found or not under(folder, found[-1]):
            found.append(folder)
    for depth in range(max((len(Path(folder).parts) for folder in found), default=0), 0, -1):
        if len(found) <= most:
            break
        together: dict[tuple[str, ...], list[str]] = {}
        for folder in found:
            together.setdefault(Path(folder).parts[:depth], []).append(folder)
        if len(together) <= most:
            found = [os.path.commonpath(some) for some in together.values()]
    return found


def under(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies in it."""
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def under_any(path: str, roots: Set[str]) -> bool:
    """Whether `path` is one of `roots` or lies in one; as quick for thousands of them as for one.

    >>> under_any("/a/b/c.wav", {"/a"}), under_any("/ab/c.wav", {"/a"}), under_any("/a", {"/a"})
    (True, False, True)
    """
    while path not in roots:
        folder = os.path.dirname(path)
        if folder == path:
            return False
        path = folder
    return True


def _is_same(stat: os.stat_result, before: Entry) -> bool:
    return (stat.st_size, stat.st_mtime_ns) == (before.size, before.mtime_ns) and before.reason not in (
        "vanished",
        "unreadable",
    )


def _walk(root: str, found: dict[str, os.stat_result | None]) -> None:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                _look(os.path.join(folder, name), found)


def _look(path: str, found: dict[str, os.stat_result | None]) -> None:
    try:
        found[path] = os.stat(path)
    except OSError:
        found[path] = None
