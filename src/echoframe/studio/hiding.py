"""Errors that visitors see name their files as they do, and no folder of the server's."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from echoframe.errors import EchoFrameError


@contextmanager
def named(path: Path, name: str) -> Iterator[None]:
    """A block whose errors call the file at `path` by its visitor's `name`."""
    with _reworded(lambda words: words.replace(str(path.resolve()), name).replace(str(path), name)):
        yield


@contextmanager
def hidden(folder: Path) -> Iterator[None]:
    """A block whose errors name files in that folder, or deeper, without their folders."""
    places = "|".join(re.escape(str(each)) for each in (folder, folder.resolve()))
    with _reworded(lambda words: re.sub(rf"(?:{places})(?:/[^\s/]+)*/", "", words)):
        yield


@contextmanager
def _reworded(change: Callable[[str], str]) -> Iterator[None]:
    try:
        yield
    except EchoFrameError as error:
        raise type(error)(change(str(error))) from error
