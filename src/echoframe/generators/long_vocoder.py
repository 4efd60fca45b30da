"""AudioLDM's decoding of a long sound: log-mels of windows that fade into each other, then the vocoder a stretch at a time.

The VAE was trained on short sounds: its attention and its group norms look at all it is given, so it is given a window at a
time. The vocoder is convolutions alone: with enough frames around a stretch its samples are those of the whole.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.generators.joint import Span
from echoframe.media.stretches import Rows, stretches


def mel_pieces(
    decoded: Callable[[Tensor], Tensor],
    latents: Float[Tensor, "1 channels height width"],
    spans: Sequence[Span],
    *,
    factor: int,
) -> Iterator[Float[Tensor, "frames mels"]]:
    """The log-mel in order, in pieces. decoded: (1, C, H, W) -> (1, H * factor, mels). spans: windows along H.

    Neighbours fade over the middle half of their overlap: what lies nearer to an end has been decoded without what follows.
    """
    waiting = torch.zeros(0)  # of the window before, from where this one begins
    for (start, stop), after in zip(spans, [*(begin for begin, _ in spans[1:]), None], strict=True):
        mel = decoded(latents[:, :, start:stop])[0]
        if n := len(waiting):
            place = (torch.arange(n) + 0.5) / n
            weight = ((place - 0.25) / 0.5).clamp(0, 1)[:, None].to(mel)
            mel = torch.cat([torch.lerp(waiting, mel[:n], weight), mel[n:]])
        n_done = len(mel) if after is None else (after - start) * factor
        waiting = mel[n_done:]
        yield mel[:n_done]


def vocoded(
    vocoder: Any, mels: Iterator[Float[Tensor, "frames mels"]], n_frames: int, *, longest: int
) -> Iterator[Float[Tensor, "1 samples"]]:
    """The samples of a log-mel of `n_frames` that comes in pieces, from at most `longest` frames and those around them."""
    rows, hop = Rows(mels), math.prod(vocoder.config.upsample_rates)
    for part in stretches(n_frames, longest=longest, context=vocoder_reach(vocoder.config)):
        samples = vocoder(rows.between(part.low, part.high)[None]).reshape(1, -1).float()
        last = None if part.stop == n_frames else (part.stop - part.low) * hop
        yield samples[:, (part.start - part.low) * hop : last]


def vocoder_length(config: Any, n_frames: int) -> int:
    """Samples of `n_frames`: a few more than a hop a frame where a kernel is longer than its stride by an odd number."""
    length = n_frames
    for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        length = (length - 1) * rate - 2 * ((kernel - rate) // 2) + kernel
    return length


def vocoder_reach(config: Any) -> int:
    """Frames on either side of a sample that it depends on, at most: each layer's half kernel, at the layer's rate."""
    reach, rate = 3.0, 1
    for stride, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        reach += math.ceil(kernel / stride) / rate
        rate *= stride
        blocks = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
        reach += (
            max(sum((size - 1) / 2 * (dilation + 1) for dilation in dilations) for size, dilations in blocks) / rate
        )
    return math.ceil(reach + 3 / rate)
