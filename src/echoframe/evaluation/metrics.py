"""Figures of generated or predicted embeddings and classes beside the true ones, as pure functions in float64.

*Conventions*: rows are embeddings, (reference, predicted) in this order, row n of one belongs to row n of the other; other
shapes raise InputError. Each function says its range and which way is better; none changes what it is given. Logits are a
classifier's outputs before softmax or sigmoid, (clips, classes). For sets (distances, coverage) rows are no pairs.

*Metrics*: of pairs: cosine, squared error; retrieval ranks, recall at k; Kullback-Leibler divergence of classes (MKL is its
mean); label accuracy. Of sets: energy distance; inception score; precision, recall, density and coverage; and those of
`evaluation.frechet` and `evaluation.distances`, under their names here too. The CLAP score is no function of its own: it is
`cosines` of the text's and the sound's CLAP embedding (av-benchmark 050a5cd `evaluate.py`, frechet_audio_distance 0.3.5
`clap_score.py`), times 100 where a paper says so.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from echoframe.errors import InputError
from echoframe.evaluation.distances import (
    BLOCK,
    checked,
    checked_pair,
    distance_blocks,
    kernel_distance,
    kernel_influences,
    median_distance,
    squared_distances,
)
from echoframe.evaluation.frechet import (
    Extrapolated,
    Moments,
    frechet_distance,
    frechet_infinity,
    frechet_influences,
    frechet_of_moments,
)

__all__ = [
    "Classes",
    "Extrapolated",
    "InceptionScore",
    "Moments",
    "Neighbours",
    "cosines",
    "coverage",
    "energy_distance",
    "frechet_distance",
    "frechet_infinity",
    "frechet_influences",
    "frechet_of_moments",
    "inception_influences",
    "inception_score",
    "kernel_distance",
    "kernel_influences",
    "kl_divergence",
    "label_accuracy",
    "median_distance",
    "recall_at",
    "retrieval_ranks",
    "squared_errors",
]
Classes = Literal["softmax", "sigmoid", "audioldm softmax", "audioldm sigmoid"]
AUDIOLDM_EPSILON = 1e-6  # EPS of audioldm_eval 0.0.3 and SpecVQGAN


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


def kl_divergence(
    reference_logits: Float[np.ndarray, "n c"],
    generated_logits: Float[np.ndarray, "m e"],
    *,
    classes: Classes,
    epsilon: float | None = None,
) -> Float[np.ndarray, " n"]:
    """KL(reference || generated) of each pair's classes in nats, 0 is best; MKL is the mean.

    With p and q the reference's and the generated sound's probabilities, and `epsilon` e = 0 unless said:
    "softmax": sum p log(p / (q + e)), p and q by softmax over all classes: av-benchmark's KL (metrics of 050a5cd; SpecVQGAN
    and AudioGen but for their e), torchmetrics' `kl_divergence`. 0 or more.
    "sigmoid": sum p log(p / (q + e)) + (1 - p) log((1 - p) / (1 - q + e)), each class a Bernoulli variable. 0 or more.
    "audioldm softmax", "audioldm sigmoid": e = 1e-6, as audioldm_eval 0.0.3 `metrics/kl.py`. Its sigmoid leaves the second
    term out, so that it is no divergence and may fall below 0; with `epsilon=0` it is av-benchmark's "kl_sigmoid".
    """
    _check(reference_logits, generated_logits, "logits")
    reference = checked(reference_logits, "reference logits", least=1)
    generated = checked(generated_logits, "generated logits", least=1)
    if epsilon is None:
        epsilon = AUDIOLDM_EPSILON if classes.startswith("audioldm") else 0.0
    if classes.endswith("softmax"):
        return _divergence(_log_softmax(reference), _log_softmax(generated), epsilon)
    present = _divergence(_log_sigmoid(reference), _log_sigmoid(generated), epsilon)
    if classes == "audioldm sigmoid":
        return present
    return present + _divergence(_log_sigmoid(-reference), _log_sigmoid(-generated), epsilon)


@dataclass(frozen=True, kw_only=True, slots=True)
class InceptionScore:
    """mean and deviation (of n, not n - 1) of the parts' scores, 1 to the number of classes; higher is better."""

    mean: float
    deviation: float


def inception_score(logits: Float[np.ndarray, "n c"], *, splits: int = 10, seed: int | None = None) -> InceptionScore:
    """exp(mean_i KL(p_i || mean p)) of each of `splits` parts of the clips, p by softmax (Salimans et al. 2016).

    seed: the order before the parts are cut, numpy's RandomState(seed).permutation; None keeps the given one. av-benchmark
    050a5cd and audioldm_eval 0.0.3 (metrics/isc.py), after torch-fidelity, have 10 parts and seed 2020. It falls with the
    clips a part has. Raises InputError for fewer clips than parts.
    """
    scores = [float(np.exp(found.mean())) for _, found in _parts(logits, splits, seed)]
    return InceptionScore(mean=float(np.mean(scores)), deviation=float(np.std(scores)))


def inception_influences(
    logits: Float[np.ndarray, "n c"], *, splits: int = 10, seed: int | None = None
) -> Float[np.ndarray, " n"]:
    """What each clip adds to the mean score to first order, of mean 0: score (KL_i - mean KL), KL from the mixture of all
    clips. In a part of few clips each is much of its own mixture: by KL from that, intervals of 100 clips in 10 parts hold
    840 to 925 of 1,000 means instead of 950; by this 950 to 985.
    """
    score = inception_score(logits, splits=splits, seed=seed).mean
    _, found = _parts(logits, 1, None)[0]
    return score * (found - found.mean())


def _parts(logits: np.ndarray, splits: int, seed: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """The row numbers of each part, and KL(p_i || mean p) of each of its rows."""
    rows = checked(logits, "logits", least=1)
    n = len(rows)
    if not 1 <= splits <= n:
        raise InputError(f"an inception score of {n} clips in {splits} parts; give as many clips as parts or more")
    order = np.arange(n) if seed is None else np.random.RandomState(seed).permutation(n)
    parts = [order[i * n // splits : (i + 1) * n // splits] for i in range(splits)]
    found = []
    for part in parts:
        logs = _log_softmax(rows[part])
        mixed = np.log(np.maximum(np.exp(logs).mean(axis=0), np.finfo(np.float64).tiny))
        found.append((part, (np.exp(logs) * (logs - mixed)).sum(axis=1)))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """All of them 0 or more, and higher is better; density alone may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def coverage(reference: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m e"], *, k: int = 5) -> Neighbours:
    """How the sets lie among each other, by balls around each row that reach to its k-th neighbour in its own set.

    precision: the share of generated rows in some reference's ball; recall: of references in some generated row's ball
    (Kynkaanniemi et al. 2019, equation 2). density: in how many references' balls a generated row lies, over k; coverage:
    the share of references with a generated row in their ball (Naeem et al. 2020, equations 5 and 6). A ball holds its
    edge, to 1e-9, as Kynkaanniemi's; the `prdc` package leaves it out. So rows that are equal are in each other's balls,
    and a set against itself has a density of (k + 1) / k. Raises InputError for sets of k rows or fewer.
    """
    if k < 1:
        raise InputError(f"balls to neighbour {k}; give 1 or more")
    x, y = checked_pair(reference, generated, least=k + 1)
    x, y = x - x.mean(axis=0), y - x.mean(axis=0)
    reach, generated_reach = _reach(x, k), _reach(y, k)
    inside = np.zeros(len(y), dtype=np.int64)  # of how many references' balls each generated row is in
    recalled = covered = 0
    for first, squares in distance_blocks(x, y):
        within = squares <= reach[first : first + len(squares), None]
        inside += within.sum(axis=0)
        covered += int(within.any(axis=1).sum())
        recalled += int((squares <= generated_reach).any(axis=1).sum())
    return Neighbours(
        precision=float((inside > 0).mean()),
        recall=recalled / len(x),
        density=float(inside.mean() / k),
        coverage=covered / len(x),
    )


def label_accuracy(
    reference_classes: Int[np.ndarray, " n"], generated_classes: Int[np.ndarray, " m"]
) -> Float[np.ndarray, " n"]:
    """1 for each clip whose generated sound is given its reference's class, else 0; the mean is the accuracy."""
    _check(reference_classes, generated_classes, "classes")
    return (reference_classes == generated_classes).astype(np.float64)


def _reach(points: np.ndarray, k: int) -> np.ndarray:
    """The squared distance to each row's k-th neighbour, and what rounding may add to it."""
    nearest = [np.partition(squares, k, axis=1)[:, k] for _, squares in distance_blocks(points, points)]
    return np.concatenate(nearest) + 1e-9 * float(np.square(points).sum(axis=1).mean())


def _divergence(p_log: np.ndarray, q_log: np.ndarray, epsilon: float) -> np.ndarray:
    q_log = np.log(np.exp(q_log) + epsilon) if epsilon > 0 else q_log
    return (np.exp(p_log) * (p_log - q_log)).sum(axis=1)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def _log_sigmoid(logits: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -logits)


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(squared_distances(x, y))


def _unit(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)


def _check(reference: np.ndarray, predicted: np.ndarray, what: str = "embeddings") -> None:
    if reference.shape != predicted.shape or not len(reference):
        raise InputError(
            f"{what} of shape {reference.shape} and {predicted.shape}; expected pairs, as many of both, of one size"
        )
    for name, rows in (("reference", reference), ("predicted", predicted)):
        if not np.isfinite(rows).all():  # a comparison with NaN is never true: its rank would be the best
            row = int((~np.isfinite(rows)).reshape(len(rows), -1).any(axis=1).argmax())
            raise InputError(f"{name} {what}: row {row} is not finite; leave that clip out of both sets")
