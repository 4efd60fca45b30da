"""Agreement and label hit: planted scores, closed forms, and the program that defines them as a second opinion."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from echoframe.errors import InputError
from echoframe.evaluation.agreement import (
    GENERIC,
    agreement_divergences,
    agreement_hits,
    best_classes,
    label_hits,
)

JUDGES = Path(__file__).parents[2] / "shared" / "judges"
NAMES = (Path(__file__).parent / "data" / "yamnet_classes.txt").read_text(encoding="utf-8").splitlines()


def scores(**of: float) -> np.ndarray:
    """(1, 521): the named classes' scores, underscores for spaces, and 0 elsewhere."""
    row = np.zeros((1, len(NAMES)))
    for name, score in of.items():
        row[0, NAMES.index(name.replace("_", " "))] = score
    return row


def random_scores(n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(n, len(NAMES))) ** 4


def test_generic_classes_stand_where_the_list_has_them():
    assert [NAMES[place] for place in GENERIC.values()] == list(GENERIC)


def test_the_best_classes_are_the_highest_specific_ones():
    found = best_classes(scores(Animal=0.9, Dog=0.8, Bark=0.7, Music=0.95, Cat=0.1), 2)
    assert [NAMES[place] for place in np.flatnonzero(found[0])] == ["Dog", "Bark"]
    assert best_classes(scores(), 5).sum() == 5


def test_a_hit_is_one_of_two_among_five():
    reference = scores(Dog=0.9, Bark=0.8, Howl=0.7)
    assert agreement_hits(reference, scores(Bark=0.1, Cat=0.9)) == [1.0]
    assert agreement_hits(reference, scores(Howl=0.9, Cat=0.8, Meow=0.7, Purr=0.6, Hiss=0.5, Dog=0.4)) == [0.0]
    assert agreement_hits(scores(Music=0.9, Dog=0.2, Bark=0.1), scores(Music=0.9, Piano=0.2)) == [0.0]


def test_the_divergence_of_two_known_distributions():
    one, other = scores(Dog=1.0), scores(Dog=0.5, Cat=0.5)
    total = 1 + 521e-4
    p, q = 1.0001 / total, 0.5001 / total
    expected = p * np.log(p / q) + 1e-4 / total * np.log(1e-4 / 0.5001)
    np.testing.assert_allclose(agreement_divergences(one, other), [expected], rtol=1e-12)
    assert agreement_divergences(one, one) == [0.0]
    pairs = random_scores(6)
    assert (agreement_divergences(pairs[:3], pairs[3:]) > 0).all()


def test_a_label_is_heard_if_a_right_class_is_among_the_best():
    right = scores(Dog=1.0, Bark=1.0)
    four = {"Cat": 0.9, "Meow": 0.8, "Purr": 0.7, "Hiss": 0.6}
    assert label_hits(scores(**four, Bark=0.1), right) == [1.0]
    assert label_hits(scores(**four, Moo=0.5, Bark=0.1), right) == [0.0]
    assert label_hits(scores(**four, Bark=0.1), right, k=3) == [0.0]
    assert label_hits(scores(Animal=0.9), scores()) == [0.0]


def test_each_row_is_for_itself():
    a, b = random_scores(8)[:4], random_scores(8)[4:]
    for of_pairs in (agreement_hits, agreement_divergences, label_hits):
        alone = np.concatenate([of_pairs(a[n : n + 1], b[n : n + 1]) for n in range(4)])
        np.testing.assert_allclose(of_pairs(a, b), alone, rtol=1e-12)


@pytest.mark.parametrize("of_pairs", [agreement_hits, agreement_divergences, label_hits])
def test_scores_that_are_no_pairs_are_refused(of_pairs):
    with pytest.raises(InputError, match=r"class scores of shape \(2, 521\) and \(3, 521\); expected pairs"):
        of_pairs(np.zeros((2, 521)), np.zeros((3, 521)))
    with pytest.raises(InputError, match="as many of both, of YAMNet's 521 classes"):
        of_pairs(np.zeros((2, 100)), np.zeros((2, 100)))


@pytest.fixture
def agree(monkeypatch):
    """The program beside the weights, that defines hit and KL."""
    if not (JUDGES / "agree.py").is_file():
        pytest.skip("agree.py is not here")
    pytest.importorskip("ai_edge_litert")
    found = importlib.util.spec_from_file_location("agree", JUDGES / "agree.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found.loader.exec_module(module)
    return module


def test_it_is_what_the_defining_program_says(agree):
    assert set(GENERIC) == agree.GENERIC
    reference, generated = random_scores(60)[:30], random_scores(60)[30:]
    expected = np.array([agree.agreement(a, b) for a, b in zip(reference, generated, strict=True)], dtype=float)
    np.testing.assert_allclose(agreement_hits(reference, generated), expected[:, 0])
    np.testing.assert_allclose(agreement_divergences(reference, generated), expected[:, 1], atol=1e-9)
