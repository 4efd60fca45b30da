"""Remembered recordings laid where something is struck.

At every onset of the picture a recording begins to sound at one of its own onsets, and goes on as it does until the next
onset of the picture: a whole burst where there is room for it, a single blow where there is not. Where the picture says
nothing for long, the recording comes again by itself, as what happens is not always seen. Which onset of which
recording begins is chosen by what would be heard in that room: nothing that begins again off the picture's time, little
silence, nothing much softer than the recording's loudest, and not what has just been heard.

*Conventions*: a log-mel is (F, M), natural logarithms of magnitudes divided by a scale; one frame is the codec's step in
time. `per_db` is one decibel in its units. Times are in frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.media.onsets import strongest_apart

FLOOR_DB = 60.0  # under the loudest band: nothing below is heard to rise
RISE_DB, AROUND, APART = (
    3.0,
    20,
    8,
)  # an onset of a recording: beyond the median of 20 frames to each side, 8 frames apart
BEFORE = 2  # frames of a recording before its onset
FADE, FADE_DB = 4, 30.0  # frames in which what is cut off fades, and by how much
SILENT_DB = 25.0  # under the recording's loudest frame
# what a room is charged for: each onset too many, silence in all of it, 10 dB too soft, coming again, another recording
AGAIN, SILENT, SOFT, REPEATED, OTHER = 3.0, 2.0, 0.7, 1.0, 0.3
FORGETS = 0.6  # how much a repetition still counts one onset later
TWICE = 1.0 + FORGETS  # what was heard twice in a row is not heard again, if there is another
ATTACK = 12  # frames after an onset in which its loudness is read
LONG_SILENCE, PAUSE = 200, (30, 100)  # frames: a recording comes again after a pause before all is silent for so long
CHEAPEST = 3  # among which the seed draws
GAIN_DB = -12.0  # of an onset without strength
QUIET_SHARE = 0.08  # of the frames: the background
BACKGROUND_DB = -40.0  # of the loudest frame, at most


@dataclass(frozen=True)
class Struck:
    """Where a sound has to begin, and how much softer it is than the recording."""

    frame: int
    gain_db: float = 0.0


def gain_db(strength: float) -> float:
    """Of an onset's strength, 0 to 1: the strongest is as loud as the recording.

    >>> gain_db(0.25), gain_db(0.0)
    (-6.0, -12.0)
    """
    return GAIN_DB * (1 - math.sqrt(min(max(strength, 0.0), 1.0)))


@dataclass(frozen=True, eq=False)
class Material:
    """A recording, with what a choice among its onsets needs: the frames at which it begins to be heard, rising, and each
    frame's loudness in decibels."""

    mel: Float[Tensor, "frames mels"]
    onsets: np.ndarray
    course_db: np.ndarray

    @property
    def loudest_db(self) -> float:
        return float(self.course_db.max())


def material(mel: Float[Tensor, "frames mels"], per_db: float) -> Material:
    """What a log-mel has to offer: its onsets, or its steepest rise where it has none."""
    course = torch.logsumexp(mel / per_db * (math.log(10) / 10), dim=1) * (10 / math.log(10))
    return Material(mel, _onsets(mel, per_db), course.double().numpy())


def _onsets(mel: Tensor, per_db: float) -> np.ndarray:
    """Peaks of what rises, as `echoframe.evaluation.alignment.onsets` finds them in a waveform."""
    level = (mel.clamp(min=float(mel.max()) - FLOOR_DB * per_db) / per_db).double().numpy()
    before = np.concatenate([level[:1], level[:1], level])[: len(level)]
    rise = np.maximum(level - before, 0).mean(axis=1)
    views = np.lib.stride_tricks.sliding_window_view(np.pad(rise, AROUND, mode="edge"), 2 * AROUND + 1)
    ends = np.pad(rise, 1, constant_values=-np.inf)
    peak = (rise > ends[:-2]) & (rise >= ends[2:]) & (rise - np.median(views, axis=1) >= RISE_DB)
    return np.array(strongest_apart(np.flatnonzero(peak), rise, APART) or [int(rise.argmax())])


def background(of: Material, n_frames: int, per_db: float) -> Float[Tensor, "frames mels"]:
    """What is heard where no recording sounds: the mean of its quiet frames, 40 dB under its loudest at most.

    One mean, as quiet frames in any order would crackle; the generator's texture draws the fine structure.
    """
    quiet = of.course_db.argsort()[: max(round(QUIET_SHARE * len(of.mel)), 1)]
    over = float(of.course_db[quiet].mean()) - (of.loudest_db + BACKGROUND_DB)
    return (of.mel[quiet].mean(dim=0) - max(over, 0.0) * per_db).expand(n_frames, -1)


def lay(
    materials: Sequence[Material],
    ground: Float[Tensor, "frames mels"],
    struck: Sequence[Struck],
    per_db: float,
    random: torch.Generator,
) -> Float[Tensor, "frames mels"]:
    """The ground with a recording's onset wherever something is struck, rising in time. Magnitudes add up.

    The first of `materials` is the one that is wanted; the others help out where it has nothing that fits, as loud as it.
    """
    found = ground.clone()
    nat = per_db / (math.log(10) / 20)  # of one neper
    heard: dict[tuple[int, int], float] = {}
    struck = [each for each in struck if each.frame < len(ground) + BEFORE]
    if struck and struck[0].frame > LONG_SILENCE:
        struck = [Struck(_drawn(PAUSE, random)), *struck]
    for now, following in pairwise([*struck, Struck(len(ground))]):
        frame = now.frame
        while True:
            which, onset = _choose(materials, max(following.frame - frame, APART), heard, random)
            heard = {each: FORGETS * count for each, count in heard.items()}
            heard[which, onset] = heard.get((which, onset), 0.0) + 1
            source = materials[which]
            gain = now.gain_db + materials[0].loudest_db - source.loudest_db
            part = _part(source.mel, onset, following.frame - frame, per_db) + gain * per_db
            start = frame - min(onset, BEFORE)
            first, stop = max(-start, 0), min(len(part), len(found) - start)
            if stop > first:
                under = found[start + first : start + stop]
                found[start + first : start + stop] = torch.logaddexp(under / nat, part[first:stop] / nat) * nat
            if following.frame - (start + len(part)) <= LONG_SILENCE:
                break
            frame = start + len(part) + _drawn(PAUSE, random)
    return found


def _drawn(between: tuple[int, int], random: torch.Generator) -> int:
    return int(torch.randint(*between, (1,), generator=random))


def _part(mel: Tensor, onset: int, room: int, per_db: float) -> Tensor:
    """A recording from just before an onset on, for as long as there is room; faded where it is cut off."""
    start, stop = max(onset - BEFORE, 0), min(onset + max(room, APART) - BEFORE, len(mel))
    part = mel[start:stop].clone()
    if stop < len(mel):
        n_fade = min(FADE, len(part))
        part[-n_fade:] -= torch.linspace(0, FADE_DB * per_db, n_fade)[:, None]
    return part


def _choose(
    materials: Sequence[Material], room: int, heard: dict[tuple[int, int], float], random: torch.Generator
) -> tuple[int, int]:
    """A recording and one of its onsets: one of the cheapest in that room."""
    offers: list[tuple[float, int, int]] = []
    for which, each in enumerate(materials):
        audible = np.concatenate([[0], (each.course_db > each.loudest_db - SILENT_DB).cumsum()])
        stops = np.minimum(each.onsets + room, len(each.mel))
        near = np.minimum(each.onsets + min(room, LONG_SILENCE), len(each.mel))  # later on nobody waits for an onset
        again = np.searchsorted(each.onsets, near - BEFORE) - np.searchsorted(each.onsets, each.onsets + APART)
        silent = 1 - (audible[stops] - audible[each.onsets]) / room
        for at, n_again, share, stop in zip(each.onsets.tolist(), again, silent, stops, strict=True):
            soft_db = each.loudest_db - float(each.course_db[at : min(at + ATTACK, stop)].max())
            cost = AGAIN * max(n_again, 0) + SILENT * share + SOFT * soft_db / 10 + OTHER * (which > 0)
            offers.append((cost + REPEATED * heard.get((which, at), 0.0), which, at))
    fresh = [offer for offer in offers if heard.get(offer[1:], 0.0) < TWICE] or offers
    fresh.sort()
    _, which, onset = fresh[int(torch.randint(min(CHEAPEST, len(fresh)), (1,), generator=random))]
    return which, onset
