"""Recordings that are laid into a film, each with its place, and what answers a target with them.

*Conventions*: times of a recording are seconds from its file's beginning, all others seconds from the film's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from echoframe.generators import Generator
from echoframe.options import SampleOptions
from echoframe.timing.cues import Cues

# what is always there; single sounds; and what the model's own generator made in the place of their low frequencies
LAYERS = AMBIENCE, EVENTS, VARIED = ("ambience", "events", "varied")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A part of a recording, laid into a film.

    Attributes:
        layer: one of `LAYERS`.
        file: the recording's path.
        in_s: where the part begins in the file.
        out_s: where it ends.
        at_s: when it begins in the film.
        gain_db: how much louder it is than in the file.
        fade_in_s: how long it takes to come, by the first quarter of a sine.
        fade_out_s: how long it takes to go.
        speed: how much faster it is played, and higher: 1 is as it is in the file.
    """

    layer: str
    file: str
    in_s: float
    out_s: float
    at_s: float
    gain_db: float = 0.0
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    speed: float = 1.0

    @property
    def end_s(self) -> float:
        """When it ends in the film."""
        return self.at_s + (self.out_s - self.in_s) / self.speed

    def record(self) -> dict[str, str | float]:
        """What a record says of it."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


@runtime_checkable
class Placing(Generator, Protocol):
    """A generator that answers with recordings. mix_rate: Hz of what is made of them, mix_channels: how many."""

    mix_rate: int
    mix_channels: int

    @property
    def path(self) -> Path:
        """Of the library that they are from."""
        ...

    def place(
        self,
        target: Float[Tensor, "*windows dim"],
        *,
        duration_s: float,
        seed: int,
        options: SampleOptions,
        cues: Cues | None,
    ) -> tuple[Placed, ...]:
        """What `generate` lays for that target and that seed. cues: heeded as far as `options.sync` says."""
        ...

    def layers(
        self, placed: Sequence[Placed], made: Float[Tensor, "1 samples"], *, duration_s: float, blend: float
    ) -> dict[str, Float[Tensor, "channels length"]]:
        """Each layer of a film at `mix_rate`; together they are its sound. made: what `generate` gave for all of it."""
        ...


@runtime_checkable
class Answers(Protocol):
    """A library of recordings. path: its file."""

    path: Path

    def voice(self, generator: Generator) -> Placing:
        """What answers with its recordings in the place of `generator`, which varies them."""
        ...


def within(
    placed: Sequence[Placed], start_s: float, stop_s: float, *, fade_in_s: float, fade_out_s: float
) -> list[Placed]:
    """What was placed in a passage, in the film. The passage fades in and out with what goes on at its start and its end.

    start_s, stop_s: of the passage. The parts that are not in it are cut off.
    """
    found = []
    for each in placed:
        moved = replace(each, at_s=each.at_s + start_s)
        if moved.at_s >= stop_s:
            continue
        if fade_in_s and each.layer == AMBIENCE and each.at_s <= 0:
            moved = replace(moved, fade_in_s=max(each.fade_in_s, fade_in_s))
        if moved.end_s > stop_s - 1e-6:
            out_s = moved.in_s + (stop_s - moved.at_s) * moved.speed
            lasts_s = stop_s - moved.at_s
            moved = replace(moved, out_s=out_s, fade_out_s=min(max(each.fade_out_s, fade_out_s), lasts_s))
        found.append(moved)
    return found


def as_values(placed: Sequence[Placed], gain_db: float) -> tuple[dict[str, Any], ...]:
    """For the record, in the order of their beginnings. gain_db: that the whole was changed by."""
    louder = [replace(each, gain_db=each.gain_db + gain_db) for each in placed]
    return tuple(each.record() for each in sorted(louder, key=lambda each: (each.at_s, each.layer, each.file)))


def read_placed(values: Sequence[Mapping[str, Any]]) -> list[Placed]:
    """What a record says was placed: its `result.placed`."""
    return [Placed(**each) for each in values]
