"""A long row worked on a stretch at a time: which stretches, and the rows that are held for them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor


@dataclass(frozen=True)
class Stretch:
    """Places start to stop of a row are worked out from low to high: what lies around them counts as well."""

    low: int
    start: int
    stop: int
    high: int


def stretches(total: int, *, longest: int, context: int) -> list[Stretch]:
    """Stretches of at most `longest` places that follow each other, each with up to `context` more on either side.

    >>> stretches(5, longest=5, context=2)
    [Stretch(low=0, start=0, stop=5, high=5)]
    >>> [(each.low, each.start, each.stop, each.high) for each in stretches(10, longest=4, context=2)]
    [(0, 0, 4, 6), (2, 4, 8, 10), (6, 8, 10, 10)]
    """
    return [
        Stretch(max(start - context, 0), start, min(start + longest, total), min(start + longest + context, total))
        for start in range(0, total, longest)
    ]


class Rows:
    """Rows that come in pieces, in order; only those are held that may be asked for again."""

    def __init__(self, pieces: Iterator[Tensor]) -> None:
        """pieces: (n, ...) each, any n."""
        self._pieces, self._held, self._first = pieces, torch.zeros(0), 0

    def between(self, low: int, high: int) -> Shaped[Tensor, "rows ..."]:
        """Rows low to high. Rows before `low` are forgotten; the next call may not ask for them."""
        parts = [self._held[low - self._first :]] if len(self._held) else []
        end = self._first + len(self._held)
        while end < high:
            piece = next(self._pieces)
            parts.append(piece[max(low - end, 0) :])
            end += len(piece)
        self._held, self._first = torch.cat(parts), low
        return self._held[: high - low]


def drawn_rows(shape: tuple[int, ...], random: torch.Generator, *, n_at_once: int = 64) -> Rows:
    """White noise, a row of `shape` after the other: the same numbers whichever stretches of it are asked for."""

    def draw() -> Iterator[Tensor]:
        while True:
            yield torch.randn((n_at_once, *shape), generator=random)

    return Rows(draw())
