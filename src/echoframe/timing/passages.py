"""A film as passages: each shot gets a sound of its own, neighbouring shots that sound alike share one.

*Conventions*: times are seconds from the beginning of the film.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.timing.shots import Border

SHORTEST_S = 1.0  # a shorter shot sounds as the one before it
NEARLY = 0.02  # of a window that lies in another view: a fade's share
FADE_S = 0.05  # at a cut; a dissolve is faded for as long as it lasts

Stretch = tuple[float, float]  # from when to when, in seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """From when to when. fade_s: how long the one before it fades into it; half of that lies before its start."""

    start_s: float
    stop_s: float
    fade_s: float = 0.0

    @property
    def stretch(self) -> Stretch:
        return (self.start_s, self.stop_s)


def shots_of(borders: Sequence[Border], duration_s: float) -> list[Shot]:
    """The shots between borders of a sound that lasts `duration_s`; one at least, none shorter than a second but that."""
    shots = [Shot(start_s=0.0, stop_s=duration_s)]
    for border in borders:
        last = shots[-1]
        if min(border.time_s - last.start_s, duration_s - border.time_s) < SHORTEST_S:
            continue
        shots[-1] = Shot(start_s=last.start_s, stop_s=border.time_s, fade_s=last.fade_s)
        fade_s = max(min(border.lasts_s, SHORTEST_S), FADE_S)
        shots.append(Shot(start_s=border.time_s, stop_s=duration_s, fade_s=fade_s))
    return shots


def views_of(shot: Shot, *, longest_s: float) -> list[Stretch]:
    """The parts of a shot that are looked at one by one, of equal length.

    >>> views_of(Shot(start_s=2.0, stop_s=26.0), longest_s=10.0)
    [(2.0, 10.0), (10.0, 18.0), (18.0, 26.0)]
    """
    n = max(-int(-(shot.stop_s - shot.start_s - 1e-9) // longest_s), 1)
    length = (shot.stop_s - shot.start_s) / n
    bounds = [shot.start_s + k * length for k in range(n)] + [shot.stop_s]
    return list(zip(bounds[:-1], bounds[1:], strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """From when to when was looked, in seconds, and what the sound of that should be: each candidate's target, (K, D), and
    labels with their chances."""

    start_s: float
    stop_s: float
    targets: Float[Tensor, "candidates dim"]
    chances: Mapping[str, float] = field(default_factory=dict)

    @property
    def target(self) -> Float[Tensor, " dim"]:
        """The first candidate's."""
        return self.targets[0]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Passage:
    """Shots in a row that share a sound, and what was seen in them."""

    shots: list[Shot]
    views: list[View]

    @property
    def begins_s(self) -> float:
        """When it begins to be heard."""
        return self.shots[0].start_s - self.shots[0].fade_s / 2

    @property
    def begins_over_s(self) -> float:
        """When it alone is heard: until then the one before goes on."""
        return self.shots[0].start_s + self.shots[0].fade_s / 2


def passages_of(looked: Sequence[tuple[Shot, list[View]]], alike: Callable[[Tensor, Tensor], bool]) -> list[Passage]:
    """Neighbouring shots whose targets are alike, together. alike: of the target at one's end and at the next one's start."""
    found: list[Passage] = []
    for shot, views in looked:
        if found and alike(found[-1].views[-1].target, views[0].target):
            found[-1].shots.append(shot)
            found[-1].views.extend(views)
        else:
            found.append(Passage(shots=[shot], views=list(views)))
    return found


def course(views: Sequence[View], windows: Sequence[Stretch]) -> Tensor:
    """The targets of each window: the mean of those of the views that it overlaps, weighted by how long, of length 1.

    A window that overlaps one view alone has that one's as they are. -> (K, W, D), or (K, D) for one window.
    """
    found = []
    for start_s, stop_s in windows:
        shared = [max(min(stop_s, view.stop_s) - max(start_s, view.start_s), 0.0) for view in views]
        weights = torch.tensor(shared) / max(sum(shared), 1e-9)
        if float(weights.max()) > 1 - NEARLY or not sum(shared):
            found.append(views[int(weights.argmax())].targets)
            continue
        parts = [weight * view.targets for weight, view in zip(weights.tolist(), views, strict=True)]
        found.append(torch.nn.functional.normalize(torch.stack(parts).sum(dim=0), dim=1))
    return torch.stack(found, dim=1) if len(found) > 1 else found[0]
