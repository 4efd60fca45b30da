"""Figures of embeddings against closed forms."""

import numpy as np
import pytest

from echoframe.errors import InputError
from echoframe.evaluation.metrics import cosines, energy_distance, recall_at, retrieval_ranks, squared_errors


def test_pairs_with_a_known_angle():
    reference = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    predicted = np.array([[3.0, 0.0], [1.0, 0.0], [-1.0, -1.0]])
    np.testing.assert_allclose(cosines(reference, predicted), [1, 0, -1], atol=1e-12)
    np.testing.assert_allclose(squared_errors(reference, predicted), [2.0, 2.5, 4.0])
    assert cosines(reference, np.zeros((3, 2))).tolist() == [0, 0, 0]


def test_ranks():
    reference = np.eye(4)
    assert retrieval_ranks(reference, reference).tolist() == [1, 1, 1, 1]
    assert retrieval_ranks(reference, np.roll(reference, 1, axis=0)).tolist() == [4, 4, 4, 4]  # a tie is no success
    assert retrieval_ranks(reference, np.ones((4, 4))).tolist() == [4, 4, 4, 4]
    nearer = np.array([[0.5, 1.0, 0.2, 0.1]])
    found = retrieval_ranks(reference, np.repeat(nearer, 4, axis=0))
    assert found.tolist() == [2, 1, 3, 4]
    assert (recall_at(found, 1), recall_at(found, 2), recall_at(found, 4)) == (0.25, 0.5, 1.0)


def test_guessing_has_the_expected_recall():
    rng = np.random.default_rng(0)
    ranks = retrieval_ranks(rng.normal(size=(2500, 8)), rng.normal(size=(2500, 8)))
    assert recall_at(ranks, 250) == pytest.approx(0.1, abs=0.02)
    assert np.median(ranks) == pytest.approx(1250, rel=0.08)


def test_energy_distance():
    rng = np.random.default_rng(0)
    one, same, moved = rng.normal(size=(1500, 1)), rng.normal(size=(1200, 1)), rng.normal(size=(1500, 1)) + 3
    assert energy_distance(one, same) == pytest.approx(0, abs=0.01)
    # for N(0, 1) and N(3, 1): E|x - y| of a normal with variance 2 and mean 3, less that with mean 0, twice
    mean = 2 / np.sqrt(np.pi)
    far = 2 * np.exp(-9 / 4) / np.sqrt(np.pi) + 3 * (1 - 2 * 0.016947426762344633)
    assert energy_distance(one, moved) == pytest.approx(2 * far - 2 * mean, rel=0.05)
    # a mean is no distribution: all its points in one place
    assert energy_distance(one, np.zeros((50, 1))) > 0.3
    with pytest.raises(InputError, match="energy distance of 1 and 3 points; give two or more of each"):
        energy_distance(np.ones((1, 2)), np.ones((3, 2)))


def test_what_is_no_pair():
    with pytest.raises(InputError, match=r"embeddings of shape \(2, 3\) and \(3, 3\); expected pairs"):
        cosines(np.ones((2, 3)), np.ones((3, 3)))
