"""Whether a classifier of AudioSet's classes hears the right thing in a generated sound, as pure functions in float64.

*Conventions*: scores are (n, C), each sound's mean class scores in [0, 1]; row n of the reference belongs to row n of the
generated sounds. Classes that fit nearly every sound tell nothing about one: `GENERIC` ones are never among the best.

*Metrics*: of pairs: hit, 0 or 1, and the Kullback-Leibler divergence of the scores. Of a sound and its label: label hit.
"""

import numpy as np
from jaxtyping import Bool, Float

from echoframe.errors import InputError

# by name, their places among YAMNet's 521 classes
GENERIC = {
    "Speech": 0,
    "Animal": 67,
    "Domestic animals, pets": 68,
    "Wild animals": 103,
    "Music": 132,
    "Musical instrument": 133,
    "Vehicle": 294,
    "Silence": 494,
    "Inside, small room": 500,
    "Outside, urban or manmade": 503,
    "Outside, rural or natural": 504,
    "Noise": 507,
}
OF_REFERENCE, OF_GENERATED = 2, 5  # so many best classes are compared
FLOOR = 1e-4  # added to each score before the divergence


def best_classes(scores: Float[np.ndarray, "n classes"], k: int) -> Bool[np.ndarray, "n classes"]:
    """True at the `k` highest scores of each row, `GENERIC` classes left out; equal scores by their place."""
    kept = np.array(scores, dtype=np.float64)
    kept[:, list(GENERIC.values())] = -np.inf
    found = np.zeros(kept.shape, dtype=bool)
    np.put_along_axis(found, np.argsort(-kept, axis=1, kind="stable")[:, :k], True, axis=1)
    return found


def agreement_hits(
    reference: Float[np.ndarray, "n classes"], generated: Float[np.ndarray, "m others"]
) -> Float[np.ndarray, " n"]:
    """1 for each pair where one of the reference's two best classes is among the generated sound's five best, else 0."""
    _check(reference, generated)
    shared = best_classes(reference, OF_REFERENCE) & best_classes(generated, OF_GENERATED)
    return np.where(shared.any(axis=1), 1.0, 0.0)


def agreement_divergences(
    reference: Float[np.ndarray, "n classes"], generated: Float[np.ndarray, "m others"]
) -> Float[np.ndarray, " n"]:
    """KL(reference || generated) of each pair in nats, 0 or more; 0 is best.

    It is of all scores plus 1e-4, each row divided by its sum.
    """
    _check(reference, generated)
    p, q = (np.asarray(rows, dtype=np.float64) + FLOOR for rows in (reference, generated))
    p, q = (rows / rows.sum(axis=1, keepdims=True) for rows in (p, q))
    return (p * np.log(p / q)).sum(axis=1)


def label_hits(
    scores: Float[np.ndarray, "n classes"], right: Float[np.ndarray, "m others"], *, k: int = OF_GENERATED
) -> Float[np.ndarray, " n"]:
    """1 for each sound one of whose `k` best classes is right for its label, else 0. right: above 0 at these classes."""
    _check(scores, right)
    heard = best_classes(scores, k) & (np.asarray(right) > 0)
    return np.where(heard.any(axis=1), 1.0, 0.0)


def _check(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape != other.shape or not len(one) or one.shape[1] <= max(GENERIC.values()):
        raise InputError(
            f"class scores of shape {one.shape} and {other.shape}; expected pairs, as many of both, of YAMNet's 521 classes"
        )
