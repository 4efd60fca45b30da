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
    """What `network` says of `latents` in all windows, of the latents' shape: the mean where windows overlap.

    network: (N, ...) windows and (N, D) conditions -> (N, ...) float32. negative: what to be guided away from; none
    without guidance. n_rows: windows that are computed together, twice as many rows with guidance. dim: of time.
    """
    if len(spans) == 1:
        parts = [slice(first, first + n_rows) for first in range(0, len(latents), n_rows)]
        away = [None if negative is None else negative[part] for part in parts]
        found = [
            _told(network, latents[part], target[part, 0], each, guidance)
            for part, each in zip(parts, away, strict=True)
        ]
        return torch.cat(found)
    summed = torch.zeros(latents.shape, device=latents.device)
    # a long sound's windows are never computed with another's: its numbers are the same bits in a batch and alone
    for n, (item, into) in enumerate(zip(latents, summed, strict=True)):
        for first in range(0, len(spans), n_rows):
            part = spans[first : first + n_rows]
            rows = torch.stack([item.narrow(dim - 1, start, stop - start) for start, stop in part])
            away = None if negative is None else negative[n].expand(len(part), -1)
            for (start, stop), window in zip(
                part, _told(network, rows, target[n, first : first + n_rows], away, guidance), strict=True
            ):
                into.narrow(dim - 1, start, stop - start).add_(window * _along(_ramp(window, dim - 1), window, dim - 1))
    weight = torch.zeros(latents.shape[dim], device=latents.device)
    for start, stop in spans:
        weight[start:stop] += _ramp(summed.narrow(dim, start, stop - start), dim)
    return summed.div_(_along(weight, summed, dim))


def _told(
    network: Callable[[Tensor, Tensor], Tensor], rows: Tensor, target: Tensor, away: Tensor | None, guidance: float
) -> Tensor:
    """What the network says of rows, towards a target each and away from what each is given, if anything."""
    if away is None:
        return network(rows, target)
    return guided(network(torch.cat([rows, rows]), torch.cat([away, target])), guidance)


def _ramp(like: Tensor, dim: int) -> Tensor:
    """How much each place along `dim` of a window counts: the less, the nearer to an end."""
    place = torch.arange(like.shape[dim], device=like.device) + 0.5
    return torch.minimum(place, like.shape[dim] - place)


def _along(values: Tensor, like: Tensor, dim: int) -> Tensor:
    """One-dimensional values, shaped so that they lie along `dim` of another tensor."""
    return values.view([-1 if axis == dim else 1 for axis in range(like.ndim)])


def guided(predicted: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598, eq. 6): (2B, ...), unconditional first -> (B, ...)."""
    uncond, cond = predicted.chunk(2)
    return uncond + guidance * (cond - uncond)
