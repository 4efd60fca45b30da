"""What will be heard in a shot, in words, before it is generated."""

from collections.abc import Sequence
from dataclasses import dataclass

from echoframe.timing.passages import Shot, View

N_EXPECTED = 5
LEAST = 0.005  # what a label has to be worth to be named


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What is expected of a shot.

    Attributes:
        start_s: when the shot begins, in seconds.
        stop_s: when it ends.
        labels: up to five names with what each is worth, the greatest first: a chance, or a cosine.
    """

    start_s: float
    stop_s: float
    labels: tuple[tuple[str, float], ...]


def expected(shot: Shot, views: Sequence[View]) -> Expected:
    """The labels of a shot: the mean of those of its parts, which are about equally long."""
    total: dict[str, float] = {}
    for view in views:
        for name, worth in view.chances.items():
            total[name] = total.get(name, 0.0) + worth / len(views)
    best = sorted(total.items(), key=lambda item: -item[1])[:N_EXPECTED]
    best = [each for each in best if each[1] >= LEAST] or best[:1]
    return Expected(start_s=shot.start_s, stop_s=shot.stop_s, labels=tuple((name, round(w, 4)) for name, w in best))
