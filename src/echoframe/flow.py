"""Rectified flows: from noise at level 1 to data at level 0 along a learned direction (arXiv 2209.03003, 2210.02747).

On the way a point is (1 - level) data + level noise; the direction is noise - data.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

LEVEL_FEATURES = 128


def level_features(level: Float[Tensor, " batch"]) -> Float[Tensor, "batch features"]:
    """Sines and cosines of noise levels in [0, 1], from one period to 1000."""
    rates = torch.exp(torch.linspace(0.0, math.log(1000.0), LEVEL_FEATURES // 2, device=level.device))
    angles = (2 * math.pi * level.float()[:, None] * rates).to(level.dtype)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def flow_levels(steps: int, shift: float) -> list[float]:
    """steps + 1 levels from 1 to 0. Shifted as for Stable Diffusion 3 (arXiv 2403.03206, eq. 23).

    >>> flow_levels(4, 1.0)
    [1.0, 0.75, 0.5, 0.25, 0.0]
    >>> flow_levels(2, 3.0)
    [1.0, 0.75, 0.0]
    """
    even = [1 - n / steps for n in range(steps + 1)]
    return [shift * level / (1 + (shift - 1) * level) for level in even]


def solve(
    direction: Callable[[Tensor, float], Tensor], noise: Tensor, levels: list[float], *, second_order: bool
) -> Tensor:
    """Follows `direction` (of latents at a level) from noise at levels[0] = 1 to the last level.

    First order is Euler. Second order is DPM-Solver++ (2M) (Lu et al., arXiv 2211.01095, algorithm 2), with
    alpha = 1 - level and sigma = level: one evaluation per step as well, the last step's prediction is used again.
    """
    x, last_clean, last_step = noise, None, math.inf
    for now, after in pairwise(levels):
        clean = x - now * direction(x, now)  # the sound it points to
        if not second_order:
            x = clean + after * (x - clean) / now
            continue
        step = _log_snr(after) - _log_snr(now)
        blended = clean
        if last_clean is not None and after > 0:  # the last step is of first order: nothing is left to curve
            blended = clean + (clean - last_clean) * step / (2 * last_step)
        ratio = (1 - now) * after / (now * (1 - after))  # exp(-step)
        x = after / now * x + (1 - after) * (1 - ratio) * blended
        last_clean, last_step = clean, step
    return x


def _log_snr(level: float) -> float:
    """log(alpha / sigma) of a level in [0, 1], whose ends are infinite."""
    if level in (0.0, 1.0):
        return math.inf if level == 0 else -math.inf
    return math.log((1 - level) / level)
