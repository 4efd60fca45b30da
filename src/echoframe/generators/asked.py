"""Whether what a generator is asked for can be made."""

import math
from collections.abc import Sequence

from torch import Tensor

from echoframe.errors import InputError


def check_duration(duration_s: float, *, sample_rate: int) -> None:
    """Raises InputError for less than a sample, and for what is no number of seconds."""
    if not 1 / sample_rate <= duration_s < math.inf:
        raise InputError(f"duration {duration_s} s: expected a number of seconds that is one sample at least")


def check_embeddings(target: Tensor, negative: Tensor | None, *, n: int, n_windows: int, dim: int) -> None:
    """Raises InputError unless there is a direction for each of `n` seeds; of the target, or one for each window."""
    if target.shape not in ((n, dim), (n, n_windows, dim)):
        raise InputError(
            f"target: shape {tuple(target.shape)}, expected ({n}, {dim}), or ({n}, {n_windows}, {dim}) with one for each "
            f"window: one row for each of the {n} seeds, {dim} numbers each"
        )
    if negative is not None and negative.shape != (n, dim):
        raise InputError(
            f"negative: shape {tuple(negative.shape)}, expected ({n}, {dim}): one row for each of the {n} seeds, "
            f"{dim} numbers each"
        )
    for name, embedding in (("target", target), ("negative", negative)):
        if embedding is not None and not (embedding.isfinite().all() and embedding.any(dim=-1).all()):
            raise InputError(f"{name}: an embedding is all zero or not finite; expected a direction in audio space")


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises InputError for no seeds, and for one that torch does not take."""
    if len(seeds) == 0:
        raise InputError("no targets: expected at least one embedding and its seed")
    if any(not 0 <= seed < 2**63 for seed in seeds):
        raise InputError(f"seeds {list(seeds)}: expected whole numbers from 0 to 2**63 - 1")
