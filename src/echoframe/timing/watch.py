"""A film watched from its first frame to its last, small: its cues and the borders of its shots, in one go.

Only a few hundred numbers of each frame are kept, so that a film of ten minutes takes 20 MB.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from echoframe.media.frame_array import Clip, NoPicture
from echoframe.timing.cues import Cues, Onset
from echoframe.timing.onset_net import OnsetNet, beside, load_onset_net, residuals
from echoframe.timing.onsets import peaks, with_contrast
from echoframe.timing.shots import Border, find_borders, thumbs
from echoframe.timing.small_frames import small_frames

CHUNK = 64  # frames looked at together
MOST_ROOM = 1 << 15  # frames that there is room for at first, whatever a file promises
STRETCH = 1024  # frames of which the network tells at once
LEAST = 0.1  # confidence of an onset that is kept at all
CUT_S = 0.12  # near a cut what changes is the picture, not what it shows


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Watched:
    """What was seen in a film.

    Attributes:
        cues: when things are struck, and how much moves.
        borders: where one shot ends and the next begins, rising in time.
    """

    cues: Cues = field(default_factory=Cues)
    borders: tuple[Border, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """Of consecutive frames: times, what the network and the shots need, and how much moves; (T, ...) each."""

    times_s: Tensor
    seen: Tensor
    beside: Tensor
    small: Tensor
    moving: Tensor  # in units of the contrast
    changed: Tensor  # mean difference of luma


@cache
def onset_net() -> OnsetNet:
    """The network that comes with the package, read once."""
    return load_onset_net(Path(__file__).parent / "net")


def watch(clip: Clip, *, until_s: float = math.inf) -> Watched:
    """The cues and the borders of shots of a film. A still image has none, and nothing to see has none either.

    Args:
        clip: what `probe` found in a file, frames in memory, or nothing.
        until_s: frames at or after this time are not looked at, in seconds.

    Returns:
        What was seen. Times are seconds from the first frame.

    Raises:
        VideoError: the file cannot be decoded.
    """
    if isinstance(clip, NoPicture) or clip.is_still:
        return Watched()
    room = min(math.ceil(min(clip.duration_s, until_s) * (clip.frame_rate or 1.0)) + CHUNK, MOST_ROOM)
    whole = _gathered(_look(with_contrast(small_frames(clip, until_s=until_s)), onset_net()), room)
    if not whole:
        return Watched()
    times, seen, numbers, small, moving, changed = whole
    sure = _told(onset_net(), seen, numbers).sigmoid().double().numpy()
    times_s, activity = times.numpy(), moving.numpy()
    borders = find_borders(small.numpy(), changed.numpy(), times_s)
    for border in borders:
        if border.kind == "cut":
            sure[np.abs(times_s - border.time_s) <= CUT_S] = 0.0
    return Watched(
        cues=Cues(onsets=_onsets(sure, activity, times_s), times_s=times_s, activity=activity), borders=tuple(borders)
    )


def _gathered(parts: Iterator[_Seen], room: int) -> list[Tensor]:
    """Each field of all parts, one after the other; none of no parts. room: frames that there is room for at first.

    Many small tensors that are kept would keep the freed memory between them as well: five minutes took 90 MB more.
    """
    held: list[Tensor] = []
    n = 0
    for part in parts:
        pieces = [getattr(part, name) for name in _Seen.__slots__]
        n_new = len(pieces[0])
        held = held or [piece.new_empty(room, *piece.shape[1:]) for piece in pieces]
        while n + n_new > len(held[0]):
            held = [torch.cat([each, torch.empty_like(each)]) for each in held]
        for each, piece in zip(held, pieces, strict=True):
            each[n : n + n_new] = piece
        n += n_new
    return [each[:n] for each in held]


@torch.no_grad()
def _look(frames: Iterator[tuple[float, np.ndarray, float]], net: OnsetNet) -> Iterator[_Seen]:
    """What is seen of (time, luma, contrast), chunk by chunk, each with the frames around it that the network needs."""
    margin = net.reach + 1  # one more for what changes from frame to frame
    held = list(islice(frames, CHUNK + 2 * margin))
    first = True
    while held:
        times = torch.tensor([time_s for time_s, _, _ in held], dtype=torch.float64)
        images = torch.from_numpy(np.stack([image for _, image, _ in held])).float() / 255
        scale = torch.tensor([contrast for _, _, contrast in held])
        residual, motion = residuals(images)
        scaled, changes = images / scale[:, None, None], residual / scale[:, None, None]
        following = pad(changes[1:], (0, 0, 0, 0, 0, 1))
        coming = list(islice(frames, CHUNK))
        part = slice(0 if first else margin, len(held) if not coming else len(held) - margin)
        yield _Seen(
            times_s=times[part],
            seen=net.look(scaled, changes, following)[0][part].half(),
            beside=beside(images, residual, motion, times.float(), scale)[part],
            small=thumbs(images)[part].half(),
            moving=changes.abs().mean(dim=(1, 2))[part].double(),
            changed=residual.abs().mean(dim=(1, 2))[part].double(),
        )
        first = False
        held = [*held[-2 * margin :], *coming] if coming else []


@torch.no_grad()
def _told(net: OnsetNet, seen: Tensor, numbers: Tensor) -> Tensor:
    """(T,): what the network tells of every frame, a stretch at a time with the frames around it that it needs."""
    around = sum(net.config.dilations)
    told = []
    for start in range(0, len(seen), STRETCH):
        first, stop = max(start - around, 0), start + STRETCH + around
        part = net.tell(seen[None, first:stop].float(), numbers[None, first:stop])[0]
        told.append(part[start - first : start - first + STRETCH])
    return torch.cat(told)


def _onsets(sure: np.ndarray, activity: np.ndarray, times_s: np.ndarray) -> tuple[Onset, ...]:
    """The peaks of how sure the network is, each as strong as what moves around it."""
    found = peaks(sure, times_s, threshold=LEAST)
    near = [max(int(np.searchsorted(times_s, time)) - 1, 0) for time in found]
    strengths = np.array([activity[place : place + 3].max() for place in near])
    strengths = strengths / max(strengths.max(initial=0.0), 1e-9)
    confidences = [float(sure[place : place + 3].max()) for place in near]
    return tuple(
        Onset(time_s=float(time), strength=float(strength), confidence=confidence)
        for time, strength, confidence in zip(found, strengths, confidences, strict=True)
    )
