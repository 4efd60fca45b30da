"""Placed recordings as sound: read, played at their speed, faded, brought to their level, and added up."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import AudioError, EchoFrameError
from echoframe.library.recording import read_piece
from echoframe.media.audio import resample, room_for
from echoframe.sound.placed import Placed


def mixed(
    placed: Sequence[Placed], *, n_samples: int, sample_rate: int, channels: int
) -> Float[Tensor, "channels {n_samples}"]:
    """The sum of recordings in their places.

    A recording of one channel is heard on all, one of more than there are on each as the mean of its own.

    Raises:
        AudioError: a recording cannot be read any more.
    """
    found = room_for(n_samples, channels)
    for each in placed:
        start = round(each.at_s * sample_rate)
        part = _played(each, sample_rate, channels)[:, : max(n_samples - start, 0)]
        found[:, start : start + part.shape[1]] += part
    return found


def _played(each: Placed, sample_rate: int, channels: int) -> Float[Tensor, "channels samples"]:
    try:
        samples, rate = read_piece(Path(each.file), each.in_s, each.out_s)
    except EchoFrameError as error:
        raise AudioError(f"{error}; the library lists it: run echoframe library add on its folder again") from error
    part = resample(_on(torch.from_numpy(samples), channels), round(rate * each.speed), sample_rate)
    _fade(part, round(each.fade_in_s * sample_rate), round(each.fade_out_s * sample_rate))
    return part * 10 ** (each.gain_db / 20)


def _on(samples: Float[Tensor, "own samples"], channels: int) -> Float[Tensor, "channels samples"]:
    if len(samples) == channels:
        return samples
    return samples.mean(dim=0, keepdim=True).expand(channels, -1).contiguous()


def _fade(part: Float[Tensor, "channels samples"], n_in: int, n_out: int) -> None:
    """In place, by a quarter of a sine: where two recordings fade into each other, their power stays."""
    n_in, n_out = min(n_in, part.shape[1]), min(n_out, part.shape[1])
    if n_in:
        part[:, :n_in] *= _rise(n_in)
    if n_out:
        part[:, -n_out:] *= _rise(n_out).flip(0)


def _rise(n: int) -> Float[Tensor, " {n}"]:
    return ((torch.arange(n) + 0.5) * (math.pi / 2 / n)).sin()
