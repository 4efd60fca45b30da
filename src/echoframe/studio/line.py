"""One sound is made at a time, in the order in which they were asked for; everybody knows how many are before them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from echoframe.errors import InputError


class FullError(InputError):
    """Too many wait already."""


class Place:
    """A place in the line, from `Line.place`."""

    def __init__(self, line: "Line") -> None:
        self._line = line

    @property
    def ahead(self) -> int:
        """How many are before this one; 0 when its turn has come."""
        return self._line.index(self)

    def wait(self, seconds: float) -> bool:
        """Waits so long at most; whether its turn has come."""
        return self._line.wait(self, seconds)


class Line:
    """Those who wait, and the one whose turn it is. longest: how many may wait."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._places: list[Place] = []
        self._changed = threading.Condition()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place at the end, which is given up when the block ends. Raises FullError if too many wait already."""
        place = Place(self)
        with self._changed:
            if len(self._places) > self._longest:
                raise FullError(f"{self._longest} others wait already, which is all there is room for; try again soon")
            self._places.append(place)
        try:
            yield place
        finally:
            with self._changed:
                self._places.remove(place)
                self._changed.notify_all()

    def index(self, place: Place) -> int:
        """How many are before it."""
        with self._changed:
            return self._places.index(place)

    def wait(self, place: Place, seconds: float) -> bool:
        """Waits until it is first, so long at most; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._places[0] is place, timeout=seconds)
