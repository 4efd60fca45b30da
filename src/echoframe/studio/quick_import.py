"""Gradio's import, without what it does at each for the editors of those who write with it."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from echoframe.optional import require_extra


def import_gradio() -> Any:
    """The module. Raises as `require_extra`."""
    with without_stubs():
        return require_extra("gradio", "web")


@contextmanager
def without_stubs() -> Iterator[None]:
    """Gradio writes no type stubs into its own folder, which take longer than the rest of its import.

    It leaves a component out whose source is in no file, so it is told so of each.
    """
    file_of = inspect.getfile

    def getfile(of: Any) -> str:
        if type(of).__name__ == "ComponentMeta":
            raise OSError("no stubs are wanted")
        return file_of(of)

    with patch.object(inspect, "getfile", getfile):
        yield
