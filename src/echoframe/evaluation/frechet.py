"""The Frechet distance of two sets of embeddings, as pure functions in float64.

*Conventions*: rows are embeddings, (reference, generated) in this order; the two may differ in number but not in size, and
the order of rows does not count. A row that is not finite is refused by its number, from 0. Nothing that is given changes.

*Metrics*: Frechet distance of samples; of moments gathered in one pass; the same without its bias by n; and what each row
adds to it, for an interval. `evaluation.metrics` gives them under its own name too.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from echoframe.errors import InputError
from echoframe.evaluation.distances import check_sizes, checked, checked_pair

LEAST = 500  # the smallest part of `frechet_infinity`: min_n of fadtk 1.1.0, fad.py


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What the Frechet distance needs of a set: O(d^2) memory for any number of rows.

    `Moments.of(first) + Moments.of(second)` is `Moments.of` of all rows, up to rounding, so that a set can be read in parts.
    scatter: the sum over rows of (x - mean)(x - mean)^T. Chan, Golub and LeVeque 1983, equation 2.1.
    """

    count: int
    mean: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, rows: Float[np.ndarray, "n d"]) -> "Moments":
        """Of one row or more. Raises InputError for none, or one that is not finite."""
        rows = checked(rows, "embeddings", least=1)
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(count=len(rows), mean=mean, scatter=centred.T @ centred)

    def __add__(self, other: "Moments") -> "Moments":
        check_sizes(len(self.mean), len(other.mean))
        count = self.count + other.count
        apart = other.mean - self.mean
        scatter = np.outer(apart, apart * (self.count * other.count / count))
        scatter += self.scatter  # in place: a large array more costs as much as the sum
        scatter += other.scatter
        return Moments(count=count, mean=self.mean + apart * (other.count / count), scatter=scatter)

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """With n - 1, as np.cov. Raises InputError for a single row."""
        if self.count < 2:
            raise InputError("1 embedding has no covariance; give at least two")
        return self.scatter / (self.count - 1)


def frechet_distance(reference: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m e"]) -> float:
    """|mu_r - mu_g|^2 + tr(S_r + S_g - 2 (S_r S_g)^(1/2)), 0 or more; 0 is best: the squared Wasserstein-2 distance of two
    Gaussians (Dowson and Landau 1982, equation 4; Heusel et al. 2017 as FID; Kilgour et al. 2019 with VGGish as FAD). At
    least two rows of each.

    With S_r = A^T A and S_g = B^T B, the last trace is the sum of the singular values of A B^T. Where there are fewer rows
    than numbers, A and B are the rows themselves: nothing is inverted or becomes complex. It is biased upward as n falls:
    two samples of one thing are not 0 apart (see `frechet_infinity`).
    """
    x, y = checked_pair(reference, generated, least=2)
    return _frechet(_root_of_rows(x), _root_of_rows(y))


def frechet_of_moments(reference: Moments, generated: Moments) -> float:
    """`frechet_distance` of two sets that were read in parts; 0 or more. Raises InputError for fewer than two rows."""
    check_sizes(len(reference.mean), len(generated.mean))
    return _frechet(_root_of_moments(reference), _root_of_moments(generated))


class _Root(NamedTuple):
    """A set's mean (d,) and a matrix R (rows, d) of which R^T R is its covariance."""

    mean: np.ndarray
    root: np.ndarray


def _root_of_rows(rows: np.ndarray) -> _Root:
    if len(rows) > rows.shape[1]:
        return _root_of_moments(Moments.of(rows))
    mean = rows.mean(axis=0)
    return _Root(mean, (rows - mean) / np.sqrt(len(rows) - 1))


def _root_of_moments(moments: Moments) -> _Root:
    """By Cholesky; by eigenvectors where a number never changes or rows are few: as many as the rows can span."""
    covariance = moments.covariance
    if moments.count > len(covariance):
        try:
            return _Root(moments.mean, np.linalg.cholesky(covariance).T)
        except np.linalg.LinAlgError:
            pass
    values, vectors = np.linalg.eigh(covariance)
    spanned = slice(max(len(values) - moments.count + 1, 0), None)
    return _Root(moments.mean, (vectors[:, spanned] * np.sqrt(np.maximum(values[spanned], 0.0))).T)


def _frechet(one: _Root, other: _Root) -> float:
    apart = np.square(one.mean - other.mean).sum() + np.square(one.root).sum() + np.square(other.root).sum()
    product = one.root @ other.root.T
    if product.shape[0] == product.shape[1] == len(one.mean):  # half the time of singular values, which are as near
        shared = np.sqrt(np.maximum(np.linalg.eigvalsh(product @ product.T), 0.0)).sum()
    else:
        shared = np.linalg.svd(product, compute_uv=False).sum()
    return max(float(apart - 2 * shared), 0.0)  # rounding may leave -1e-16 of the traces


@dataclass(frozen=True, kw_only=True, slots=True)
class Extrapolated:
    """value: at n = infinity. slope: its rise by 1 / n. r2: the share of the points' variance that the line explains, 1 at
    best; far below 1, or a value below 0, the line is no description and the value is not to be used.
    """

    value: float
    slope: float
    r2: float


def frechet_infinity(
    reference: Float[np.ndarray, "n d"],
    generated: Float[np.ndarray, "m e"],
    *,
    seed: int | np.random.Generator,
    steps: int = 25,
    least: int | None = None,
    parts_of: Literal["generated", "both"] = "generated",
    replace: bool = False,
    lines: int = 1,
) -> Extrapolated:
    """`frechet_distance` at n = infinity: a straight line through the distances of `steps` random parts over 1 / n, n from
    `least` (500; of fewer than 1,000 rows, half of them) to all (Chong and Forsyth 2020, FID-infinity; Gui et al. 2024).

    parts_of: "generated" leaves the bias of the reference's own number in; "both" takes parts of both, of n rows and of as
    large a share, and removes it too. replace: True with "generated" is fadtk 1.1.0 `score_inf`, which draws rows more than
    once: its line meets the distance of *these* m rows, so it does not remove the bias of m. lines: the mean of so many, each
    through parts of its own: which parts a single one meets moves it nearly as much as which rows there are. Raises
    InputError for fewer than 3 steps or a `least` outside 2 to m - 1.
    """
    x, y = checked_pair(reference, generated, least=4)
    least = min(LEAST, len(y) // 2) if least is None else least
    if steps < 3 or not 2 <= least < len(y):
        raise InputError(
            f"{steps} steps from {least} to {len(y)} rows do not give a line; give 3 or more, from 2 to {len(y) - 1}"
        )
    rng = np.random.default_rng(seed)
    whole = _root_of_rows(x)
    sizes = np.tile(np.linspace(least, len(y), steps).astype(np.int64), lines)
    values = np.empty(len(sizes))
    for i, size in enumerate(sizes):
        part = y[rng.choice(len(y), size=size, replace=replace)]
        if parts_of == "both":
            rows = rng.choice(len(x), size=max(round(len(x) * size / len(y)), 2), replace=replace)
            values[i] = _frechet(_root_of_rows(x[rows]), _root_of_rows(part))
        else:
            values[i] = _frechet(whole, _root_of_rows(part))
    # one line through the points of all of them is the mean of the lines: each has its points at the same sizes
    slope, value = np.polyfit(1 / sizes, values, 1)
    left = np.square(values - value - slope / sizes).sum()
    spread = np.square(values - values.mean()).sum()
    return Extrapolated(value=float(value), slope=float(slope), r2=float(1 - left / spread) if spread > 0 else 1.0)


def frechet_influences(
    reference: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m e"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """What each row moves `frechet_distance` by, to first order: n times its change by the row's weight, 1 as for the others.
    Each set's have the mean 0; those of the rows of a clip, added, are what the clip does (see `bootstrap.per_clip`).

    For x of the reference with c = x - mu_r: 2 (mu_r - mu_g) c + c^T (I - T) c n / (n - 1), less its mean; T = S_r^(-1/2)
    (S_r^(1/2) S_g S_r^(1/2))^(1/2) S_r^(-1/2), the map that carries one Gaussian to the other (Gelbrich 1990). c^T T c needs
    no inverse: with A B^T = U D V^T it is (n - 1) sum_k D_k U_ik^2, where A and B are the centred rows over (n - 1)^(1/2).
    """
    x, y = checked_pair(reference, generated, least=2)
    between = x.mean(axis=0) - y.mean(axis=0)
    (own, one), (others, other) = _spanned(x), _spanned(y)
    left, shared, right = np.linalg.svd(one @ other.T, full_matrices=False)
    found = []
    for rows, basis, towards, sign in ((x, own, left, 1.0), (y, others, right.T, -1.0)):
        centred = rows - rows.mean(axis=0)
        n = len(rows)
        carried = n * np.square(basis @ towards) @ shared
        raw = 2 * sign * centred @ between + np.square(centred).sum(axis=1) * (n / (n - 1)) - carried
        found.append(raw - raw.mean())
    return found[0], found[1]


def _spanned(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q (n, k), orthonormal columns, and R (k, d) of which Q R are the centred rows over sqrt(n - 1)."""
    centred = (rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1)
    if len(rows) > rows.shape[1]:
        return np.linalg.qr(centred)
    return np.eye(len(rows)), centred
