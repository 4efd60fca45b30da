"""A study: which sounds are rated, under which names nobody can guess, in a folder of its own.

*Conventions* (ITU-T P.800 absolute category rating; P.808 for checks of attention): a study asks of single sounds how good
they are, 1 (bad) to 5 (excellent), or which of two is preferred. Every sound is mono, at one rate and loudness, in one
format, and bears a random name. With films the sound lies under its clip's film. A check of attention is a sound of one to
five beeps: the page asks to answer with their number, or for the side with more of them.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from echoframe.config import from_dict
from echoframe.errors import ConfigError, InputError

QUESTIONS = ("quality", "relevance", "synchrony")
PREFERENCE = "preference"
CHECK = "check"
BEEPS = range(1, 6)
STUDY, MEDIA, ANSWERS = "study.json", "media", "answers.sqlite"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One screen. id: random. media: file names in the folder `media`, one or, for a pair, two. systems: whose they are.

    beeps: how many in each, for a check of attention; empty for the rest. label: what the clip shows, or "".
    """

    id: str
    clip: str
    systems: tuple[str, ...]
    media: tuple[str, ...]
    label: str = ""
    beeps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.media)
        if len(self.systems) != n:
            raise ConfigError(f"item {self.id}: {len(self.systems)} systems of {n} sounds; expected one of each")
        odd = [name for name in self.media if not re.fullmatch(r"\w[\w.-]*", name)]
        if odd:
            raise ConfigError(
                f'item {self.id}: "{odd[0]}" is not the name of a file in {MEDIA}; expected one without folders'
            )
        is_counted = len(self.beeps) == n and not _is_doubled(self.beeps) and set(self.beeps) <= set(BEEPS)
        if self.beeps and not is_counted:
            raise ConfigError(
                f"item {self.id}: beeps {_shown(self.beeps)}; expected 1 to 5 in each sound, no two alike"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """What study.json holds. checks: items of beeps; the first `n` of a rater's own order are given."""

    title: str
    kind: Literal["single", "pairs"]
    questions: tuple[str, ...]
    seed: int
    per_rater: int
    checks: int
    systems: tuple[str, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = (PREFERENCE,) if self.kind == "pairs" else QUESTIONS
        if not self.questions or not set(self.questions) <= set(known) or _is_doubled(self.questions):
            raise ConfigError(f"questions {_shown(self.questions)}; expected some of {', '.join(known)}, each once")
        if self.per_rater < 0 or self.checks < 0:
            raise ConfigError(f"{self.per_rater} clips and {self.checks} checks a rater; expected 0 or more of each")
        if _is_doubled(self.systems) or _is_doubled([item.id for item in self.items]):
            raise ConfigError(
                "two systems have the same name, or two items have the same id; every name and id has to be unique"
            )
        if all(item.beeps for item in self.items):
            raise ConfigError("every item is a check; expected one or more to rate")
        for item in self.items:
            self._check_item(item)

    def _check_item(self, item: Item) -> None:
        wanted, known = 1 + (self.kind == "pairs"), (CHECK,) if item.beeps else self.systems
        if len(item.media) != wanted:
            raise ConfigError(
                f"item {item.id}: {len(item.media)} sounds; expected {wanted} in a study of kind {self.kind}"
            )
        if not set(item.systems) <= set(known):
            raise ConfigError(f"item {item.id}: systems {_shown(item.systems)}; expected some of {', '.join(known)}")

    def items_for(self, rater: int) -> list[Item]:
        """The rater's items in their order: all of their clips, whose turn goes round from rater to rater, and the checks."""
        clips = list(dict.fromkeys(item.clip for item in self.items if not item.beeps))
        beeps = [item for item in self.items if item.beeps]
        random.Random(f"{self.seed} share").shuffle(clips)  # noqa: S311
        n = min(self.per_rater or len(clips), len(clips))
        own = {clips[((rater - 1) * n + k) % len(clips)] for k in range(n)}
        given = [item for item in self.items if item.clip in own and not item.beeps]
        order = random.Random(f"{self.seed} order {rater}")  # noqa: S311
        given += order.sample(beeps, min(self.checks, len(beeps)))
        order.shuffle(given)
        return given

    def is_swapped(self, rater: int, item: Item) -> bool:
        """Whether this rater sees the second of a pair on the left."""
        return len(item.media) == 2 and random.Random(f"{self.seed} side {rater} {item.id}").random() < 0.5  # noqa: S311


def load_study(folder: Path) -> Study:
    """The study in `folder`. Raises InputError if there is none, or its description is damaged."""
    path = folder / STUDY
    try:
        return from_dict(Study, json.loads(path.read_text(encoding="utf-8")), name=STUDY)
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: holds no study ({STUDY} is not there); make one with echoframe rate make"
        ) from error
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise InputError(f"{path}: is damaged ({error}); take it from a copy, or make the study again") from error


def _is_doubled(values: Sequence[object]) -> bool:
    return len(set(values)) < len(values)


def _shown(values: Sequence[object]) -> str:
    return ", ".join(map(str, values)) or "none"
