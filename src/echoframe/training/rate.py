"""How fast a run learns at each step."""

import math


def learning_rate(step: int, steps: int, *, warmup: int, floor: float = 0.0) -> float:
    """The share of the highest rate at `step` of `steps`: linear warm-up, then half a cosine down to `floor`.

    >>> [round(learning_rate(step, 100, warmup=10), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = min(warmup, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
