"""How far a figure would move with other clips: intervals by resampling clips, in float64.

*Conventions*: what is drawn is clips, all windows of a clip together, and for two systems the same clips for both. A
statistic takes row numbers of clips, which may come more than once, and gives its figure. Same seed, same interval.

*What an interval covers*: the mean of the figure over other draws of *as many* clips from where these come from. For a mean
over clips that is its true value. For a distance of sets it is not the value at n = infinity: a Frechet distance of n clips
lies above that, and its interval is about where such distances of n clips lie, so that systems compare at one n only.

*Methods*, and how many of 1,000 intervals meant to hold 950 do (tests/test_evaluation_bootstrap.py):

* "bca": bias-corrected and accelerated (Efron 1987), for means over clips. Of 100 skewed values it holds 945 (exponential,
  and gamma of shape 0.5) to 924 (log-normal with a deviation of 1), as many as "percentile" or up to 10 more; "basic" fewer.
* "bca" of `linear`, for distances of sets: 945 to 967 Frechet distances, with fewer clips than numbers too; 920 to 936 kernel
  distances; 950 to 985 inception scores. One evaluation serves all draws. The plain bootstrap of a distance holds from 857
  to none: a clip drawn twice is no other clip, so all draws lie above the figure by as much as its own bias.
* "halves": for what has no first order (neighbours, extrapolation): random halves without replacement, whose spread about
  their own mean is that of n clips (Shao and Wu 1989, delete-d jackknife with d = n / 2): 925 to 1,000. Not to be believed
  where nearly all clips are alike, as a coverage of 0.999, whose halves hardly move.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from echoframe.errors import InputError

Rows = Int[np.ndarray, " rows"]
Statistic = Callable[[Rows], float]
Method = Literal["bca", "percentile", "basic", "halves"]
FEWEST_DRAWS = 20
_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """value: the figure of all n clips. low and high: the interval's ends, or None where n clips can give none."""

    value: float
    low: float | None
    high: float | None
    n: int


def bootstrap_interval(
    statistic: Statistic,
    n: int,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
    method: Method = "bca",
    least: int = 2,
) -> Interval:
    """The interval of `statistic` over `n` clips; its value is `statistic(np.arange(n))`.

    draws: evaluations; "bca" takes n more, and "halves" does with 100. least: the fewest clips the statistic takes. With
    one clip, or for "halves" where half of them are fewer than `least`, low and high are None. Raises InputError for no
    clips, a level outside 0 to 1, fewer than 20 draws, or a figure that is not finite.
    """
    if n < 1 or draws < FEWEST_DRAWS or not 0 < level < 1:
        raise InputError(
            f"an interval of {n} clips, {draws} draws and level {level}; give 1, {FEWEST_DRAWS} or more, and 0 to 1"
        )
    value = float(_finite([statistic(np.arange(n))])[0])
    if n < 2 or (method == "halves" and n // 2 < least):
        return Interval(value=value, low=None, high=None, n=n)
    rng = np.random.default_rng(seed)
    if method == "halves":
        halves = _finite([statistic(rng.permutation(n)[: n // 2]) for _ in range(draws)])
        # of n // 2 from n without replacement; 1 for an even n
        spread = halves.std(ddof=1) * np.sqrt((n // 2) / (n - n // 2)) * _NORMAL.inv_cdf((1 + level) / 2)
        return Interval(value=value, low=float(value - spread), high=float(value + spread), n=n)
    drawn = _finite([statistic(rng.integers(0, n, n)) for _ in range(draws)])
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _corrected(tails, drawn, value, _left_out(statistic, n))
    low, high = (float(end) for end in np.quantile(drawn, tails))
    if method == "basic":
        low, high = 2 * value - high, 2 * value - low
    return Interval(value=value, low=low, high=high, n=n)


def paired_difference(
    one: Statistic,
    other: Statistic,
    n: int,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
    method: Method = "bca",
    least: int = 2,
) -> Interval:
    """The interval of `one` less `other`, of two systems on the same `n` clips: each draw takes the same clips of both, so
    that what is hard for both cancels. The arguments are those of `bootstrap_interval`.
    """

    def difference(rows: Rows) -> float:
        return one(rows) - other(rows)

    return bootstrap_interval(difference, n, draws=draws, level=level, seed=seed, method=method, least=least)


def linear(value: float, influences: Float[np.ndarray, " n"]) -> Statistic:
    """A figure of a set as `value` and the mean of what its clips add to first order, for "bca".

    influences: (n,) of mean 0, from `per_clip`. One evaluation of a distance then serves for all draws, and the difference
    of two systems, whose influences are of the same clips.
    """
    return lambda rows: float(value + influences[rows].mean())


def per_clip(
    influences: Float[np.ndarray, " windows"], clips: Int[np.ndarray, " windows"], n: int
) -> Float[np.ndarray, " n"]:
    """The influences of windows, such as `frechet.frechet_influences` has, as those of the `n` clips they belong to.

    clips: each window's clip, 0 to n - 1. A clip's is n / windows times the sum of its own. Those of a distance's two sets
    add up to the clip's whole influence: a clip is drawn with its reference.
    """
    return np.bincount(clips, weights=influences, minlength=n) * (n / len(influences))


def _corrected(tails: np.ndarray, drawn: np.ndarray, value: float, left_out: np.ndarray) -> np.ndarray:
    """Efron 1987, equations 2.3 and 6.6: the shares of `drawn` at which the interval ends."""
    below = ((drawn < value).sum() + (drawn <= value).sum()) / 2 / len(drawn)  # half of those that tie
    bias = _NORMAL.inv_cdf(min(max(below, 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))
    apart = left_out.mean() - left_out
    cubed = np.square(apart).sum() ** 1.5
    acceleration = float((apart**3).sum() / (6 * cubed)) if cubed > 0 else 0.0
    ends = [bias + _NORMAL.inv_cdf(tail) for tail in tails]
    return np.array([_NORMAL.cdf(bias + end / max(1 - acceleration * end, 1e-9)) for end in ends])


def _left_out(statistic: Statistic, n: int) -> np.ndarray:
    """The figure without each clip in turn."""
    rows = np.arange(n - 1)
    return _finite([statistic(rows + (rows >= i)) for i in range(n)])


def _finite(figures: list[float]) -> np.ndarray:
    found = np.array(figures, dtype=np.float64)
    if not np.isfinite(found).all():
        bad = found[~np.isfinite(found)][0]
        raise InputError(f"a draw of clips has the figure {bad}; leave out the clips without one")
    return found
