"""One prediction for a sound of any length: overlapping windows of it, each with its own target, averaged.

MultiDiffusion (Bar-Tal et al., ICML 2023, arXiv 2302.08113), section 4: a network that was trained on short sounds is
applied to windows of a long one, and at each step the long one follows the mean of what its windows say. There is one
noise and one solver, so that neighbouring windows are never joined: they were never apart.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Span = tuple[int, int]  # first place of a window, and the one after its last


def plan_spans(total: int, *, longest: int, overlap: int) -> list[Span]:
    """Overlapping windows of equal length that cover `total` places, none above `longest`, as short as their number allows.

    >>> plan_spans(10, longest=10, overlap=2)
    [(0, 10)]
    >>> plan_spans(11, longest=10, overlap=2)
    [(0, 7), (4, 11)]
    >>> plan_spans(26, longest=10, overlap=2)
    [(0, 10), (8, 18), (16, 26)]
    """
    if total <= longest:
        return [(0, total)]
    n = math.ceil((total - overlap) / (longest - overlap))
    length = math.ceil((total - overlap) / n) + overlap
    starts = [i * (total - length) // (n - 1) for i in range(n)]
    return [(start, start + length) for start in starts]


def predict(
    network: Callable[[Tensor, Tensor], Tensor],
    latents: Float[Tensor, "batch ..."],
    target: Float[Tensor, "batch windows dim"],
    negative: Float[Tensor, "batch dim"] | None,
    *,
    spans: Sequence[Span],
    guidance: float,
    n_rows: int,
    dim: int = 1,
) -> Float[Tensor, "batch ..."]:
    """What `network` says of `latents` in all windows, of the latents' shape.

    network: (N, ...) windows and (N, D) conditions -> (N, ...) float32. negative: what to be guided away from; none
    without guidance. n_rows: windows that are computed together, twice as many rows with guidance. dim: of time.
    """
    rows = torch.stack([latents.narrow(dim, start, stop - start) for start, stop in spans], dim=1).flatten(0, 1)
    conditions = target.flatten(0, 1)
    away = None if negative is None else negative.repeat_interleave(len(spans), dim=0)
    found = []
    # a long sound's windows are never computed with another's: its numbers are the same bits in a batch and alone
    own = len(spans) if len(spans) > 1 else len(rows)
    for first in (at for item in range(0, len(rows), own) for at in range(item, item + own, n_rows)):
        part = slice(first, min(first + n_rows, first - first % own + own))
        if away is None:
            found.append(network(rows[part], conditions[part]))
        else:
            twice = torch.cat([rows[part], rows[part]])
            found.append(guided(network(twice, torch.cat([away[part], conditions[part]])), guidance))
    return averaged(torch.cat(found).unflatten(0, (-1, len(spans))), spans, dim=dim)


def guided(predicted: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598, eq. 6): (2B, ...), unconditional first -> (B, ...)."""
    uncond, cond = predicted.chunk(2)
    return uncond + guidance * (cond - uncond)


def averaged(
    windows: Float[Tensor, "batch windows ..."], spans: Sequence[Span], *, dim: int = 1
) -> Float[Tensor, "batch ..."]:
    """The mean of windows where they overlap; a window counts less towards its ends. dim: of time, in the result."""
    if len(spans) == 1:
        return windows[:, 0]
    length = spans[0][1] - spans[0][0]
    place = torch.arange(length, device=windows.device) + 0.5
    ramp = torch.minimum(place, length - place).to(windows.dtype)
    shape = list(windows[:, 0].shape)
    shape[dim] = spans[-1][1]
    summed, weight = windows.new_zeros(shape), windows.new_zeros(shape[dim])
    along = [-1 if axis == dim else 1 for axis in range(len(shape))]
    for n, (start, _) in enumerate(spans):
        summed.narrow(dim, start, length).add_(windows[:, n] * ramp.view(along))
        weight[start : start + length] += ramp
    return summed / weight.view(along)
