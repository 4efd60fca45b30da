"""Figures of predicted embeddings beside the true ones, as pure functions in float64.

*Conventions*: rows are embeddings, (reference, predicted) in this order, row n of one belongs to row n of the other; other
shapes raise InputError. Each function says its range and which way is better; none changes what it is given.

*Metrics*: cosine, squared error and length; retrieval ranks, recall at k and their median; energy distance.
"""

import numpy as np
from jaxtyping import Float, Int

from echoframe.errors import InputError

BLOCK = 1024  # rows compared at once: memory grows with the number of embeddings, not its square


def cosines(reference: Float[np.ndarray, "n d"], predicted: Float[np.ndarray, "m e"]) -> Float[np.ndarray, " n"]:
    """The cosine of each pair, -1 to 1; 1 is best. A vector of length 0 has a cosine of 0 with any other."""
    _check(reference, predicted)
    return (_unit(reference) * _unit(predicted)).sum(axis=1)


def squared_errors(reference: Float[np.ndarray, "n d"], predicted: Float[np.ndarray, "m e"]) -> Float[np.ndarray, " n"]:
    """The mean over the numbers of each pair's squared difference, 0 or more; 0 is best. "MSE" is the mean of these."""
    _check(reference, predicted)
    return np.square(np.asarray(predicted, np.float64) - np.asarray(reference, np.float64)).mean(axis=1)


def retrieval_ranks(reference: Float[np.ndarray, "n d"], predicted: Float[np.ndarray, "m e"]) -> Int[np.ndarray, " n"]:
    """For each prediction, the place of its own reference among all references by cosine, 1 to n; 1 is best.

    References that are as near as its own one come before it: a prediction that is the same for all clips has rank n, not
    1. "As near" is within 1e-9.
    """
    _check(reference, predicted)
    references, predictions = _unit(reference), _unit(predicted)
    ranks = np.empty(len(references), dtype=np.int64)
    for first in range(0, len(ranks), BLOCK):
        block = slice(first, first + BLOCK)
        near = predictions[block] @ references.T  # (block, n)
        own = (predictions[block] * references[block]).sum(axis=1, keepdims=True)
        ranks[block] = np.maximum((near >= own - 1e-9).sum(axis=1), 1)
    return ranks


def recall_at(ranks: Int[np.ndarray, " n"], k: int) -> float:
    """The share of ranks of `k` or better, 0 to 1; 1 is best, k / n is guessing.

    >>> recall_at(np.array([1, 2, 3, 9]), 3)
    0.75
    """
    return float((np.asarray(ranks) <= k).mean())


def energy_distance(reference: Float[np.ndarray, "n d"], predicted: Float[np.ndarray, "m d"]) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of two sets of at least two points (Szekely and Rizzo 2013), over pairs of different
    points; 0 for one distribution, and then, as an estimate, sometimes below. Here n and m may differ, pairs do not count.
    """
    if min(len(reference), len(predicted)) < 2:
        raise InputError(f"energy distance of {len(reference)} and {len(predicted)} points; give two or more of each")
    x, y = np.asarray(reference, np.float64), np.asarray(predicted, np.float64)

    def within(points: np.ndarray) -> float:
        return float(_distances(points, points).sum() / (len(points) * (len(points) - 1)))

    return float(2 * _distances(x, y).mean() - within(x) - within(y))


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    if x is y:
        np.fill_diagonal(squares, 0.0)  # not what rounding left
    return np.sqrt(np.maximum(squares, 0.0))


def _unit(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)


def _check(reference: np.ndarray, predicted: np.ndarray) -> None:
    if reference.shape != predicted.shape or not len(reference):
        raise InputError(
            f"embeddings of shape {reference.shape} and {predicted.shape}; expected pairs, as many of both, of one size"
        )
