"""The Frechet distance against closed forms, the square root of a matrix, and three packages' own functions."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import _compute_fid

from echoframe.errors import InputError
from echoframe.evaluation.frechet import (
    Moments,
    frechet_distance,
    frechet_infinity,
    frechet_influences,
    frechet_of_moments,
)
from evaluation_peers import peer


def two_sets(n: int = 400, m: int = 300, dim: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(dim, dim))
    return rng.normal(size=(n, dim)) @ mixed, rng.normal(size=(m, dim)) * np.linspace(0.5, 2, dim) @ mixed + 0.3


def statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


def by_square_root(x: np.ndarray, y: np.ndarray) -> float:
    (mean, one), (other_mean, other) = statistics(x), statistics(y)
    root = np.real(np.asarray(scipy.linalg.sqrtm((one @ other).astype(complex))))
    return float(np.square(mean - other_mean).sum() + np.trace(one + other - 2 * root))


@pytest.mark.parametrize(("n", "dim"), [(400, 16), (40, 16), (10, 64), (2, 8)])
def test_moved_and_scaled(n, dim):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, dim)) * np.linspace(1, 3, dim)
    moved, scale = rng.normal(size=dim), 1.7
    y = (x - x.mean(axis=0)) * scale + x.mean(axis=0) + moved
    expected = moved @ moved + (scale - 1) ** 2 * np.square(x - x.mean(axis=0)).sum() / (n - 1)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)


def test_two_gaussians_of_other_axes():
    """Covariances that share no axis, n < d on one side only, and what is on no axis of the other."""
    x, y = two_sets(60, 20)
    assert frechet_distance(x, y) == pytest.approx(by_square_root(x, y), rel=1e-6)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(24, 24)))[0]
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(frechet_distance(x, y), rel=1e-9)
    apart = np.zeros((30, 4))
    apart[:, 0] = x[:30, 0]
    other = np.zeros((50, 4))
    other[:, 1] = y[:, 1][np.arange(50) % 20]
    both = apart[:, 0].var(ddof=1) + other[:, 1].var(ddof=1) + apart[:, 0].mean() ** 2 + other[:, 1].mean() ** 2
    assert frechet_distance(apart, other) == pytest.approx(both, rel=1e-9)


def test_never_below_zero():
    rng = np.random.default_rng(3)
    rectified = np.maximum(rng.normal(size=(300, 64)), 0) * np.logspace(0, -8, 64)
    rectified[:, :20] = 0  # numbers that never change, as after a ReLU
    for rows in (rectified, rectified[:30], rectified[:, 20:]):
        assert 0 <= frechet_distance(rows, rows.copy()) <= 1e-9
    assert frechet_distance(np.ones((5, 3)), np.zeros((4, 3))) == pytest.approx(3)


def test_moments_in_parts():
    x, y = two_sets(500, 90)
    for rows, cuts in ((x + 1e3, (1, 2, 130, 400)), (y, (50,))):  # far from 0, where sums of squares would lose digits
        moments = None
        for part in np.split(rows, cuts):
            moments = Moments.of(part) if moments is None else moments + Moments.of(part)
        assert moments is not None
        assert moments.count == len(rows)
        np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.covariance, np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-9)
    for one, other in ((x, y), (x[:20], y), (x[:10], y[:12])):  # more and fewer rows than numbers
        whole = frechet_distance(one, other)
        assert frechet_of_moments(Moments.of(one), Moments.of(other)) == pytest.approx(whole, rel=1e-7)


@pytest.mark.parametrize(("n", "m"), [(400, 300), (400, 15), (15, 20)])
def test_square_root_of_a_matrix(n, m):
    x, y = two_sets(n, m)
    assert frechet_distance(x, y) == pytest.approx(by_square_root(x, y), rel=1e-6)


def test_torchmetrics():
    x, y = two_sets()
    arrays = (torch.from_numpy(some) for some in (*statistics(x), *statistics(y)))
    assert frechet_distance(x, y) == pytest.approx(float(_compute_fid(*arrays)), rel=1e-6)


@pytest.mark.filterwarnings("ignore")  # scipy's, of the packages' use of it
def test_frechet_audio_distance(monkeypatch):
    module = peer(monkeypatch, "frechet_audio_distance", "fad")
    theirs = module.FrechetAudioDistance
    for x, y in (two_sets(), two_sets(18, 400)):
        expected = theirs.calculate_frechet_distance(None, *statistics(x), *statistics(y))
        assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_fadtk(monkeypatch):
    module = peer(monkeypatch, "fadtk", "fad")
    x, y = two_sets()
    expected = module.calc_frechet_distance(*module.calc_embd_statistics(x), *module.calc_embd_statistics(y))
    assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_kadtk(monkeypatch):
    module = peer(monkeypatch, "kadtk", "fad")
    x, y = two_sets()
    expected = module.calc_frechet_distance(x, y, (None, None), "cpu", precision=torch.float64)
    assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_infinity_as_fadtk(monkeypatch):
    module = peer(monkeypatch, "fadtk", "fad")
    x, y = two_sets(400, 900, dim=8)
    loader = SimpleNamespace(
        ml=SimpleNamespace(name="planted"), load_stats=lambda _: statistics(x), _load_embeddings=lambda *_, **__: y
    )
    monkeypatch.setattr(np.random, "choice", np.random.default_rng(5).choice)  # its draws, from a generator of ours
    theirs = module.FrechetAudioDistance.score_inf(loader, "x", [Path("y.wav")], steps=12, min_n=100)
    ours = frechet_infinity(x, y, seed=5, steps=12, least=100, replace=True)
    assert ours.value == pytest.approx(theirs.score, rel=1e-6)
    assert ours.slope == pytest.approx(theirs.slope, rel=1e-6)
    assert ours.r2 == pytest.approx(theirs.r2, rel=1e-6)


def test_infinity_takes_the_bias_away():
    """Of N(0, I) and N(0, 1.44 I) in 16 numbers, 0.64 apart: a mean of 12, as one is +-0.06."""
    rng, found = np.random.default_rng(6), []
    sets = [(rng.normal(size=(1000, 16)), rng.normal(size=(1000, 16)) * 1.2) for _ in range(12)]
    for seed, (x, y) in enumerate(sets):
        both = frechet_infinity(x, y, seed=seed, steps=10, least=200, parts_of="both")
        one = frechet_infinity(x, y, seed=seed, steps=10, least=200)
        replaced = frechet_infinity(x, y, seed=seed, steps=10, least=200, replace=True)
        found.append([frechet_distance(x, y), both.value, one.value, replaced.value])
    plain, both, generated, replaced = np.mean(found, axis=0)
    assert plain > 0.78
    assert both == pytest.approx(0.64, abs=0.045)
    assert 0.66 < generated < plain - 0.05  # the reference's own bias stays
    assert replaced == pytest.approx(plain, abs=0.04)  # draws with replacement leave it all
    exact = frechet_infinity(*sets[0], seed=0)
    assert exact == frechet_infinity(*sets[0], seed=np.random.default_rng(0))
    assert exact.slope > 0
    assert 0.3 < exact.r2 <= 1


@pytest.mark.parametrize(("n", "m", "dim"), [(300, 200, 6), (30, 25, 60)])
def test_influences_are_derivatives(n, m, dim):
    """A row given twice moves the distance by its influence / n, to first order."""
    x, y = two_sets(n, m, dim)
    of_x, of_y = frechet_influences(x, y)
    assert of_x.mean() == pytest.approx(0, abs=1e-9)
    assert of_y.mean() == pytest.approx(0, abs=1e-9)

    def weighted(rows: np.ndarray, row: int, weight: float) -> Moments:
        weights = np.ones(len(rows))
        weights[row] += weight
        mean = weights @ rows / weights.sum()
        centred = rows - mean
        scatter = centred.T @ (centred * weights[:, None]) * (len(rows) / weights.sum())
        return Moments(count=len(rows), mean=mean, scatter=scatter)

    h = 1e-4
    for row in (0, 7):
        steps = [frechet_of_moments(weighted(x, row, sign * h), Moments.of(y)) for sign in (1, -1)]
        assert of_x[row] / n == pytest.approx((steps[0] - steps[1]) / (2 * h), rel=1e-6)
        steps = [frechet_of_moments(Moments.of(x), weighted(y, row, sign * h)) for sign in (1, -1)]
        assert of_y[row] / m == pytest.approx((steps[0] - steps[1]) / (2 * h), rel=1e-6)


def test_what_is_refused():
    x, y = two_sets(8, 9)
    with pytest.raises(InputError, match="reference embeddings: 1 of them; give at least two"):
        frechet_distance(x[:1], y)
    with pytest.raises(InputError, match="1 embedding has no covariance; give at least two"):
        frechet_of_moments(Moments.of(x[:1]), Moments.of(y))
    with pytest.raises(InputError, match="embeddings: 0 of them; give 1 or more"):
        Moments.of(x[:0])
    for sizes in (lambda: frechet_distance(x, y[:, 1:]), lambda: Moments.of(x) + Moments.of(y[:, 1:])):
        with pytest.raises(InputError, match="embeddings of 24 and 23 numbers; expected sets from one judge"):
            sizes()
    for bad in (np.nan, np.inf):
        y[4, 3] = bad
        with pytest.raises(InputError, match="generated embeddings: row 4 is not finite; leave that clip out of both"):
            frechet_distance(x, y)
    with pytest.raises(InputError, match="25 steps from 9 to 8 rows do not give a line; give 3 or more, from 2 to 7"):
        frechet_infinity(x, x, seed=0, least=9)
    with pytest.raises(InputError, match="2 steps from 4 to 8 rows do not give a line"):
        frechet_infinity(x, x, seed=0, steps=2)
