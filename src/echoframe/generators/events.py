"""Events of remembered recordings, laid where something is struck.

A recording that is not steady is cut into its events, each from just before its rise to where it has died away. At every cue
one of them begins: never the same one twice in a row, a little louder or softer as the cue says, and each decays as it did,
under the next.

*Conventions*: a log-mel is (F, M), natural logarithms of magnitudes divided by a scale; one frame is the codec's step in time.
`per_db` is one decibel in its units. Times are in frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LOUD_DB = 18.0  # below the loudest frame: what belongs to an event
RISE = 3  # frames over which a rise is measured
BEFORE = 2  # frames of an event before its rise
PAUSE = 8  # frames below that end an event
DEEP_DB = 9.0  # by so much a recording has to be softer between two events
GAIN_DB = -12.0  # of an onset without strength
AGAIN_DB = 4.0  # of novelty: something begins
FLOOR_DB = 60.0
QUIET_SHARE = 0.08  # of the frames: the background
BACKGROUND_DB = -40.0  # of the loudest frame, at most


@dataclass(frozen=True)
class Struck:
    """Where an event has to begin, and how much softer it is than the recording."""

    frame: int
    gain_db: float = 0.0


def gain_db(strength: float) -> float:
    """Of an onset's strength, 0 to 1: the strongest is as loud as the recording.

    >>> gain_db(1.0), gain_db(0.25)
    (0.0, -6.0)
    """
    return GAIN_DB * (1 - math.sqrt(min(max(strength, 0.0), 1.0)))


@dataclass(frozen=True)
class Event:
    """mel: (F, M) of one event. onset: the frame in it at which it begins to be heard. rise_db: how sharply that is.

    again: how often something begins anew in it.
    """

    mel: Float[Tensor, "frames mels"]
    onset: int
    rise_db: float
    again: int


def novelty(mel: Float[Tensor, "frames mels"], per_db: float) -> Float[Tensor, " frames"]:
    """How much louder each frame's bands are than two frames before: the mean of what rises, in decibels.

    Bands are floored 60 dB under the loudest, as `echoframe.evaluation.alignment.onset_strength` does.
    """
    level = mel.clamp(min=float(mel.max()) - FLOOR_DB * per_db) / per_db
    return (level - torch.cat([level[:1], level[:1], level[:-2]])[: len(level)]).clamp(min=0).mean(dim=1)


def course_db(mel: Float[Tensor, "frames mels"], per_db: float) -> Float[Tensor, " frames"]:
    """How loud each frame is, in decibels: the power of all its bands."""
    return torch.logsumexp(mel / per_db * (math.log(10) / 10), dim=1) * (10 / math.log(10))


def cut_events(mel: Float[Tensor, "frames mels"], per_db: float) -> list[Event]:
    """The events of a recording, one at least."""
    course = course_db(mel, per_db)
    loudest, new = float(course.max()), novelty(mel, per_db)
    loud = (course > loudest - LOUD_DB).tolist()
    rises = course - torch.cat([course[:1].expand(RISE), course[:-RISE]])[: len(course)]
    begins: list[int] = []
    quiet_for, softest = PAUSE, -math.inf
    for at, is_loud in enumerate(loud):
        softest = min(softest, float(course[at]))
        if is_loud and (quiet_for >= PAUSE or (begins and float(rises[at]) > DEEP_DB and at - begins[-1] > PAUSE)):
            if not begins or at - begins[-1] > PAUSE:
                begins.append(at)
        quiet_for = 0 if is_loud else quiet_for + 1
    events = []
    for begin, following in zip(begins, [*begins[1:], len(mel)], strict=True):
        first = max(begin - RISE, 0)
        around = rises[first : begin + 2 * RISE]
        onset = first + int(around.argmax())
        start = max(onset - BEFORE, 0)
        stop = following if following == len(mel) else max(following - RISE - BEFORE, onset + 1)
        later = new[onset + PAUSE : stop] > AGAIN_DB
        again = int((later[1:] & ~later[:-1]).sum()) if len(later) > 1 else 0
        events.append(Event(mel[start:stop], onset - start, float(new[first : begin + 2 * RISE].max()), again))
    return events


def clear_events(events: Sequence[Event]) -> list[Event]:
    """Those of `events` that are heard to begin once, at a time; or the clearest there is."""
    clear = [event for event in events if event.again == 0 and event.rise_db >= AGAIN_DB]
    if clear:
        return clear
    return [max(events, key=lambda event: event.rise_db - AGAIN_DB * event.again)]


def background(mel: Float[Tensor, "frames mels"], n_frames: int, per_db: float) -> Float[Tensor, "frames mels"]:
    """What is heard between events: the quiet frames' mean, no louder than 40 dB under the loudest.

    One mean, as quiet frames in any order would crackle; the generator's texture draws the fine structure.
    """
    course = course_db(mel, per_db)
    quiet = course.argsort()[: max(round(QUIET_SHARE * len(mel)), 1)]
    over = float(course[quiet].mean()) - (float(course.max()) + BACKGROUND_DB)
    return (mel[quiet].mean(dim=0) - max(over, 0.0) * per_db).expand(n_frames, -1)


def lay_events(
    events: Sequence[Event],
    ground: Float[Tensor, "frames mels"],
    struck: Sequence[Struck],
    per_db: float,
    random: torch.Generator,
) -> Float[Tensor, "frames mels"]:
    """The ground with an event wherever something is struck, rising. Where sounds overlap their magnitudes add up."""
    found, last = ground.clone(), -1
    nat = per_db / (math.log(10) / 20)  # of one neper
    for each in struck:
        choices = [n for n in range(len(events)) if n != last] or [0]
        last = choices[int(torch.randint(len(choices), (1,), generator=random))]
        event = events[last]
        start = each.frame - event.onset
        first, stop = max(-start, 0), min(len(event.mel), len(found) - start)
        if stop <= first:
            continue
        part = found[start + first : start + stop]
        mel = event.mel[first:stop] + each.gain_db * per_db
        found[start + first : start + stop] = torch.logaddexp(part / nat, mel / nat) * nat
    return found
