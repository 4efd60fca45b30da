"""Intervals: as scipy's where it has the same, and by how often they hold a truth that is known."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from echoframe.errors import InputError
from echoframe.evaluation.bootstrap import Interval, Method, bootstrap_interval, linear, paired_difference, per_clip
from echoframe.evaluation.distances import kernel_distance, kernel_influences
from echoframe.evaluation.frechet import frechet_distance, frechet_infinity, frechet_influences
from echoframe.evaluation.metrics import coverage, inception_influences, inception_score

Distance = Callable[[np.ndarray, np.ndarray], float]
Influences = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def mean_of(values: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda rows: float(np.add.reduce(values[rows]) / len(rows))


def held(intervals: list[Interval], truth: float) -> float:
    """The share that hold the truth."""
    found = [one.low <= truth <= one.high for one in intervals if one.low is not None and one.high is not None]
    assert len(found) == len(intervals)
    return float(np.mean(found))


def pairs(rng: np.random.Generator, n: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """References with heavier tails than a Gaussian's, and generated rows that are correlated with them."""
    x = rng.standard_t(8, size=(n, dim))
    return x, (0.5 * x + rng.normal(size=(n, dim)) * np.sqrt(0.75)) * 1.2 + 0.3


@pytest.mark.parametrize(("method", "theirs"), [("percentile", "percentile"), ("basic", "basic"), ("bca", "BCa")])
@pytest.mark.parametrize("n", [7, 60])
def test_as_scipy(method, theirs, n):
    values = np.random.default_rng(1).exponential(size=n)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=500, method=theirs, rng=np.random.default_rng(2), vectorized=True
    ).confidence_interval
    found = bootstrap_interval(mean_of(values), n, draws=500, seed=2, method=method)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(expected.low, rel=1e-6)
    assert found.high == pytest.approx(expected.high, rel=1e-6)


@pytest.mark.parametrize(
    "draw", ["exponential", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gamma", "right or wrong"))]
)
def test_holds_the_mean_of_skewed_values(draw):
    """1,000 sets of 100 clips with a mean that is known, meant to hold it 950 times."""
    rng = np.random.default_rng(3)
    values = {
        "exponential": rng.exponential(size=(1000, 100)),
        "gamma": rng.gamma(0.5, 2.0, size=(1000, 100)),  # more skewed than that
        "right or wrong": (rng.random((1000, 100)) < 0.3).astype(float),
    }[draw]
    intervals = [bootstrap_interval(mean_of(some), 100, draws=400, seed=i) for i, some in enumerate(values)]
    assert 0.93 <= held(intervals, 0.3 if draw == "right or wrong" else 1.0) <= 0.97


def of_distances(
    distance: Distance, influences: Influences, sets: int, n: int, dim: int, method: Method = "bca"
) -> float:
    """How often the intervals of a distance hold its mean over sets of n clips."""
    rng = np.random.default_rng(4)
    truth = np.mean([distance(*pairs(rng, n, dim)) for _ in range(2 * sets)])
    intervals = []
    for seed in range(sets):
        x, y = pairs(rng, n, dim)
        statistic = linear(distance(x, y), np.add(*influences(x, y)))
        intervals.append(bootstrap_interval(statistic, n, draws=200, seed=seed, method=method))
    return held(intervals, float(truth))


@pytest.mark.slow
def test_holds_the_mean_frechet_distance():
    assert 0.93 <= of_distances(frechet_distance, frechet_influences, sets=1000, n=100, dim=4) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("distance", "influences", "sets", "n", "dim", "low", "high"),
    [
        (frechet_distance, frechet_influences, 1000, 100, 16, 0.93, 0.98),
        (frechet_distance, frechet_influences, 300, 60, 128, 0.92, 0.99),  # fewer clips than numbers
        (kernel_distance, kernel_influences, 1000, 100, 8, 0.90, 0.96),  # its bandwidth is taken as known
    ],
)
def test_holds_the_mean_of_distances(distance, influences, sets, n, dim, low, high):
    assert low <= of_distances(distance, influences, sets=sets, n=n, dim=dim) <= high


@pytest.mark.slow
def test_holds_the_frechet_distance_at_infinity():
    """Which is known: no bias is left. One line alone, of parts drawn once, moves more than the interval says."""
    n, dim, rng = 200, 16, np.random.default_rng(0)
    steady, single = [], []
    for i in range(100):
        x, y = rng.normal(size=(n, dim)), 2 * rng.normal(size=(n, dim)) + 0.5
        of_x, of_y = frechet_influences(x, y)
        for lines, found in ((8, steady), (1, single)):
            value = frechet_infinity(x, y, seed=i, steps=10, parts_of="both", lines=lines).value
            found.append(bootstrap_interval(linear(value, of_x + of_y), n, draws=300, seed=i))
    truth = dim * (1.0 + 0.25)
    assert 0.88 <= held(steady, truth) <= 0.99
    assert held(single, truth) < held(steady, truth)


def test_the_plain_bootstrap_misses_a_distance():
    """Drawn clips that come twice are no other clips: all draws lie above the mean distance of such sets."""
    rng = np.random.default_rng(5)
    truth = np.mean([frechet_distance(*pairs(rng, 40, 24)) for _ in range(200)])
    missed = 0
    for seed in range(10):
        x, y = pairs(rng, 40, 24)
        found = bootstrap_interval(
            lambda rows, x=x, y=y: frechet_distance(x[rows], y[rows]), 40, draws=60, seed=seed, method="percentile"
        )
        assert found.low is not None
        missed += found.low > truth
    assert missed >= 9


@pytest.mark.slow
def test_halves_hold_the_mean_coverage():
    """100 sets: 0.88 and above is what 0.95 gives within 3 deviations; less than all, or they would be too wide."""
    rng = np.random.default_rng(6)

    def figure(x: np.ndarray, y: np.ndarray) -> float:
        return coverage(x, y, k=3).coverage

    truth = np.mean([figure(*pairs(rng, 60, 2)) for _ in range(400)])
    intervals = []
    for seed in range(100):
        x, y = pairs(rng, 60, 2)
        intervals.append(
            bootstrap_interval(
                lambda rows, x=x, y=y: figure(x[rows], y[rows]), 60, draws=40, seed=seed, method="halves"
            )
        )
    assert 0.88 <= held(intervals, float(truth)) <= 0.995


def test_halves_of_a_mean():
    """For a mean their spread is the standard error, of an odd number too."""
    for n in (200, 9):
        values = np.random.default_rng(7).normal(size=n)
        found = bootstrap_interval(mean_of(values), n, draws=4000, method="halves")
        assert found.low is not None
        error = values.std(ddof=1) / np.sqrt(n)
        assert found.value - found.low == pytest.approx(1.96 * error, rel=0.05)


def test_holds_the_mean_inception_score():
    rng = np.random.default_rng(8)
    sets = rng.normal(size=(900, 100, 8)) * 2
    truth = np.mean([inception_score(logits).mean for logits in sets[300:]])
    intervals = [
        bootstrap_interval(linear(inception_score(some).mean, inception_influences(some)), 100, draws=200, seed=i)
        for i, some in enumerate(sets[:300])
    ]
    assert 0.91 <= held(intervals, float(truth)) <= 0.99


def test_difference_takes_the_same_clips_of_both():
    rng = np.random.default_rng(9)
    hard = rng.normal(size=80) * 10  # some clips are hard for both systems
    one, other = hard + rng.normal(size=80) + 1, hard + rng.normal(size=80)
    found = paired_difference(mean_of(one), mean_of(other), 80, seed=3)
    direct = bootstrap_interval(mean_of(one - other), 80, seed=3)
    assert found.value == pytest.approx((one - other).mean())
    assert found.low is not None
    assert found.high is not None
    assert (found.low, found.high) == pytest.approx((direct.low, direct.high))
    assert 0 < found.low < 1 < found.high < 2
    alone = bootstrap_interval(mean_of(one), 80, seed=3)
    assert alone.low is not None
    assert alone.high is not None
    assert alone.high - alone.low > 5 * (found.high - found.low)
    assert paired_difference(mean_of(one), mean_of(one), 80) == Interval(value=0.0, low=0.0, high=0.0, n=80)


def test_windows_belong_to_clips():
    """Three windows of each clip that are alike give the interval of one window each."""
    rng = np.random.default_rng(10)
    x, y = pairs(rng, 30, 4)
    clips = np.repeat(np.arange(30), 3)
    many = sum(per_clip(of, clips, 30) for of in frechet_influences(x[clips], y[clips]))
    single = sum(per_clip(of, np.arange(30), 30) for of in frechet_influences(x, y))
    assert isinstance(many, np.ndarray)
    assert isinstance(single, np.ndarray)
    np.testing.assert_allclose(many, single, rtol=0.06, atol=0.03 * np.abs(single).max())  # n - 1 of 30 and of 90
    assert per_clip(np.array([1.0, 2.0, 6.0]), np.array([0, 0, 2]), 3).tolist() == [3.0, 0.0, 6.0]


def test_same_seed_same_interval():
    values = np.random.default_rng(11).normal(size=50)
    for method in ("bca", "percentile", "basic", "halves"):
        found = bootstrap_interval(mean_of(values), 50, draws=50, seed=4, method=method)
        assert found == bootstrap_interval(mean_of(values), 50, draws=50, seed=4, method=method)
        assert found != bootstrap_interval(mean_of(values), 50, draws=50, seed=5, method=method)
        wide = bootstrap_interval(mean_of(values), 50, draws=50, seed=4, method=method, level=0.99)
        assert wide.low is not None
        assert found.low is not None
        assert wide.low < found.low


def test_few_clips():
    one = mean_of(np.array([2.5]))
    assert bootstrap_interval(one, 1) == Interval(value=2.5, low=None, high=None, n=1)
    assert paired_difference(one, one, 1) == Interval(value=0.0, low=None, high=None, n=1)
    alike = bootstrap_interval(mean_of(np.full(5, 2.0)), 5)
    assert alike == Interval(value=2.0, low=2.0, high=2.0, n=5)
    x, y = pairs(np.random.default_rng(12), 11, 2)

    def figure(rows: np.ndarray) -> float:
        return coverage(x[rows], y[rows], k=5).coverage

    assert (
        bootstrap_interval(figure, 11, draws=20, method="halves", least=6).low is None
    )  # 5 of 11 have no 5th neighbour
    assert bootstrap_interval(mean_of(np.arange(2.0)), 2, method="halves").low is None


def test_what_is_refused():
    values = np.arange(4.0)
    for n, draws, level in ((0, 100, 0.95), (4, 19, 0.95), (4, 100, 1.0)):
        with pytest.raises(InputError, match=f"an interval of {n} clips, {draws} draws and level {level}; give 1, 20"):
            bootstrap_interval(mean_of(values), n, draws=draws, level=level)
    with pytest.raises(InputError, match="a draw of clips has the figure nan; leave out the clips without one"):
        bootstrap_interval(mean_of(np.array([1.0, np.nan])), 2)
