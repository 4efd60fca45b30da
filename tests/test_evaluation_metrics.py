"""Figures of embeddings and classes against closed forms, brute force and the packages' own functions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchmetrics.functional.regression import kl_divergence as torchmetrics_kl
from torchmetrics.image.inception import InceptionScore as TorchmetricsInceptionScore

from echoframe.errors import InputError
from echoframe.evaluation import distances
from echoframe.evaluation.metrics import (
    Classes,
    cosines,
    coverage,
    energy_distance,
    inception_influences,
    inception_score,
    kernel_distance,
    kernel_influences,
    kl_divergence,
    label_accuracy,
    median_distance,
    recall_at,
    retrieval_ranks,
    squared_errors,
)
from evaluation_peers import peer
from second_opinions import module_from_file, package_folder


def some_logits(n: int = 57, classes: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, classes)) * 3


def normals(n: int, dim: int = 6, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)) * scale


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


def test_numbers_that_are_none_have_no_rank():
    points = np.eye(3)
    for figure in (retrieval_ranks, cosines, squared_errors):
        with pytest.raises(
            InputError, match="predicted embeddings: row 1 is not finite; leave that clip out of both sets"
        ):
            figure(points, np.array([[1.0, 0, 0], [0, np.nan, 0], [0, 0, 1]]))


def test_what_is_no_pair():
    with pytest.raises(
        InputError, match=r"embeddings of shape \(2, 3\) and \(3, 3\); expected pairs, as many of both, of one size"
    ):
        cosines(np.ones((2, 3)), np.ones((3, 3)))


def test_divergence_of_known_distributions():
    p, q = np.array([[0.5, 0.25, 0.25]]), np.array([[0.25, 0.25, 0.5]])
    half = 0.5 * np.log(2) + 0.25 * np.log(0.5)
    assert kl_divergence(np.log(p) + 7, np.log(q), classes="softmax") == pytest.approx([half])
    skewed, even = np.log(np.array([[0.9, 0.1]])), np.log(np.array([[0.5, 0.5]]))
    there = kl_divergence(skewed, even, classes="softmax")
    back = kl_divergence(even, skewed, classes="softmax")
    assert there == pytest.approx([0.9 * np.log(1.8) + 0.1 * np.log(0.2)])
    assert back == pytest.approx([0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)])  # the direction counts
    # a sigmoid is a softmax over the class and its absence, whose logit is 0
    logits, others = some_logits(classes=3), some_logits(classes=3, seed=1)
    apart = [
        kl_divergence(*(np.stack([a[:, i], 0 * a[:, i]], axis=1) for a in (logits, others)), classes="softmax")
        for i in range(3)
    ]
    np.testing.assert_allclose(kl_divergence(logits, others, classes="sigmoid"), np.sum(apart, axis=0), rtol=1e-9)
    far = kl_divergence(np.array([[900.0, -900.0]]), np.array([[-900.0, 900.0]]), classes="sigmoid")
    assert far == pytest.approx([1800.0])  # no overflow: log sigmoid(-900) is -900


def test_divergence_as_torchmetrics():
    logits, others = some_logits(), some_logits(seed=1)
    first, second = (torch.from_numpy(some).log_softmax(dim=1) for some in (logits, others))
    expected = torchmetrics_kl(first, second, log_prob=True, reduction="none")
    np.testing.assert_allclose(kl_divergence(logits, others, classes="softmax"), expected.numpy(), rtol=1e-9)


def test_divergence_as_audioldm_eval():
    module = module_from_file(package_folder("audioldm_eval") / "metrics" / "kl.py")
    logits, others = some_logits() * 3, some_logits(seed=1) * 3
    names = [f"{i}.wav" for i in range(len(logits))]
    reference, generated = ({"logits": torch.from_numpy(a), "file_path_": names} for a in (logits, others))
    theirs = module.calculate_kl(generated, reference, "logits")[0]
    kinds: list[tuple[Classes, Classes]] = [("softmax", "audioldm softmax"), ("sigmoid", "audioldm sigmoid")]
    for plain, audioldm in kinds:
        ours = kl_divergence(logits, others, classes=audioldm).mean()
        assert ours == pytest.approx(theirs[f"kullback_leibler_divergence_{plain}"], rel=1e-6)
        assert ours != pytest.approx(kl_divergence(logits, others, classes=plain).mean(), rel=1e-3)
    exact = kl_divergence(logits, others, classes="audioldm softmax", epsilon=0)
    np.testing.assert_array_equal(exact, kl_divergence(logits, others, classes="softmax"))
    same = kl_divergence(logits, others, classes="softmax", epsilon=1e-6)
    np.testing.assert_array_equal(same, kl_divergence(logits, others, classes="audioldm softmax"))


def test_divergence_as_av_benchmark():
    """Its two formulas, by torch's kl_div of log probabilities, summed over classes and divided by the clips."""
    logits, others = some_logits(), some_logits(seed=1)
    one, other = torch.from_numpy(logits), torch.from_numpy(others)
    both: list[tuple[Classes, Callable[[torch.Tensor], torch.Tensor]]] = [
        ("softmax", lambda a: a.log_softmax(1)),
        ("audioldm sigmoid", torch.nn.functional.logsigmoid),
    ]
    for kind, logs in both:
        expected = torch.nn.functional.kl_div(logs(other), logs(one), reduction="sum", log_target=True) / len(one)
        ours = kl_divergence(logits, others, classes=kind, epsilon=0).mean()
        assert ours == pytest.approx(float(expected), rel=1e-9)
    assert kl_divergence(others[:1] - 9, others[:1], classes="audioldm sigmoid")[0] < 0  # no divergence


def test_inception_score_of_known_sets():
    one_of_each = np.eye(10)[np.tile(np.arange(10), 10)] * 1e3
    assert inception_score(one_of_each, splits=10).mean == pytest.approx(10)
    assert inception_score(one_of_each, splits=10).deviation == pytest.approx(0, abs=1e-12)
    assert inception_score(np.zeros((20, 10))).mean == pytest.approx(1)
    assert inception_score(np.eye(10)[np.zeros(20, dtype=int)] * 1e3, splits=2).mean == pytest.approx(1)
    in_order = np.repeat(np.eye(2), 10, axis=0) * 1e3  # a part of one kind, then of the other
    assert inception_score(in_order, splits=2).mean == pytest.approx(1)
    assert inception_score(in_order, splits=2, seed=2020).mean > 1.5


def test_inception_score_as_audioldm_eval_and_av_benchmark():
    module = module_from_file(package_folder("audioldm_eval") / "metrics" / "isc.py")
    logits = some_logits(n=57)
    theirs = module.calculate_isc({"logits": torch.from_numpy(logits)}, "logits", 2020, True, 10)
    ours = inception_score(logits, splits=10, seed=2020)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert ours.deviation == pytest.approx(theirs["inception_score_std"], rel=1e-9)


@pytest.mark.filterwarnings("ignore::UserWarning")  # its advice on memory, and on the deviation of one part
def test_inception_score_as_torchmetrics():
    logits = some_logits()
    theirs = TorchmetricsInceptionScore(feature=torch.nn.Identity(), splits=1)
    theirs.update(torch.from_numpy(logits))
    assert inception_score(logits, splits=1).mean == pytest.approx(float(theirs.compute()[0]), rel=1e-9)


def test_inception_influences_are_derivatives():
    """A clip given k times over: the score of one part moves by its influence / n for each, to first order in 1 / n."""
    logits = some_logits(n=4000)
    influences = inception_influences(logits, splits=1)
    assert influences.mean() == pytest.approx(0, abs=1e-9)
    one = inception_score(logits, splits=1).mean
    for clip in (0, 5, 9):
        more = inception_score(np.concatenate([logits, logits[[clip]]]), splits=1).mean
        assert (more - one) * 4001 == pytest.approx(influences[clip], rel=0.01, abs=0.01)


def test_label_accuracy():
    assert label_accuracy(np.array([3, 1, 2]), np.array([3, 2, 2])).tolist() == [1, 0, 1]


@pytest.mark.filterwarnings("ignore")  # it makes tensors of tensors
def test_kernel_distance_as_kadtk(monkeypatch):
    module = peer(monkeypatch, "kadtk", "kad")
    x, y = normals(90) + 5, normals(70, seed=1, scale=1.2) + 5.3
    for width in (0.7, 3.0):
        theirs = module.calc_kernel_audio_distance(
            torch.from_numpy(x), torch.from_numpy(y), (None, None), "cpu", bandwidth=width, precision=torch.float64
        )
        assert kernel_distance(x, y, bandwidth=width) == pytest.approx(float(theirs), rel=1e-6)
    theirs = module.calc_kernel_audio_distance(
        torch.from_numpy(x), torch.from_numpy(y), (None, None), "cpu", precision=torch.float64
    )
    assert median_distance(y) == pytest.approx(module.median_pairwise_distance(torch.from_numpy(y)), rel=1e-6)
    assert kernel_distance(x, y, bandwidth=median_distance(y)) == pytest.approx(float(theirs), rel=1e-6)
    assert kernel_distance(x, y) != pytest.approx(float(theirs), rel=1e-3)  # the reference's median, as the paper


def test_kernel_distance_of_one_distribution_is_0_on_the_mean():
    found = [kernel_distance(normals(60, seed=2 * i), normals(40, seed=2 * i + 1)) for i in range(200)]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)
    assert kernel_distance(normals(60), normals(60, seed=1) + 2) > 20 * np.std(found)
    far = kernel_distance(normals(50), normals(50, seed=1) + 1e4, bandwidth=1e3)  # no kernel is left between the sets
    assert far == pytest.approx(200, abs=1)
    for same in (np.ones((4, 3)), np.ones((5, 3))):
        assert kernel_distance(np.ones((4, 3)), same) == 0  # a bandwidth of 0


def test_kernel_influences_are_those_of_leaving_out():
    """Without a row, the distance falls by its influence / (n - 1), but for the pairs that row was in."""
    x, y = normals(40), normals(30, seed=1, scale=1.3)
    of_x, of_y = kernel_influences(x, y, bandwidth=2.0)
    whole = kernel_distance(x, y, bandwidth=2.0)
    without = [kernel_distance(np.delete(x, i, axis=0), y, bandwidth=2.0) for i in range(40)]
    np.testing.assert_allclose((whole - np.array(without)) * 39, of_x, atol=0.1 * np.abs(of_x).max())
    without = [kernel_distance(x, np.delete(y, i, axis=0), bandwidth=2.0) for i in range(30)]
    np.testing.assert_allclose((whole - np.array(without)) * 29, of_y, atol=0.1 * np.abs(of_y).max())


def test_blocks_change_nothing(monkeypatch):
    x, y = normals(130), normals(110, seed=1) + 0.5
    whole = (kernel_distance(x, y), median_distance(x), coverage(x, y))
    monkeypatch.setattr(distances, "BLOCK", 32)
    monkeypatch.setattr(distances, "HELD", 100)  # the median by counting
    assert kernel_distance(x, y) == pytest.approx(whole[0], rel=1e-7)
    assert median_distance(x) == pytest.approx(whole[1], rel=1e-8)
    assert coverage(x, y) == whole[2]
    pairs = [float(np.linalg.norm(x[i] - x[j])) for i in range(130) for j in range(i)]
    assert median_distance(x) == pytest.approx(sorted(pairs)[(len(pairs) - 1) // 2], rel=1e-8)
    assert median_distance(np.ones((130, 2))) == pytest.approx(0, abs=1e-6)


def test_neighbours_by_brute_force():
    x, y, k = normals(45, dim=3), normals(60, dim=3, seed=1, scale=0.7) + 0.4, 4
    found = coverage(x, y, k=k)
    to = np.linalg.norm(x[:, None] - y[None], axis=2)
    reach = [sorted(np.linalg.norm(x - row, axis=1))[k] for row in x]
    generated_reach = [sorted(np.linalg.norm(y - row, axis=1))[k] for row in y]
    assert found.precision == np.mean([any(to[i, j] <= reach[i] for i in range(45)) for j in range(60)])
    assert found.recall == np.mean([any(to[i, j] <= generated_reach[j] for j in range(60)) for i in range(45)])
    assert found.density == pytest.approx(
        np.mean([sum(to[i, j] <= reach[i] for i in range(45)) for j in range(60)]) / k
    )
    assert found.coverage == np.mean([min(to[i]) <= reach[i] for i in range(45)])


def test_neighbours_of_known_sets():
    x = normals(50)
    same = coverage(x, x[::-1].copy())
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert same.density == pytest.approx(6 / 5)
    apart = coverage(x, x + 100)
    assert (apart.precision, apart.recall, apart.density, apart.coverage) == (0, 0, 0, 0)
    one_kind = coverage(x, x[:1] + normals(50, seed=1, scale=1e-3))  # each good, all alike
    assert one_kind.precision == 1
    assert one_kind.coverage < 0.5
    assert one_kind.recall < 0.1
    silent = np.zeros((20, 4))  # equal rows are in each other's balls, of radius 0
    assert coverage(silent, silent).coverage == 1


def test_what_sets_and_classes_are_refused():
    logits = some_logits(n=8)
    with pytest.raises(InputError, match=r"logits of shape \(8, 12\) and \(7, 12\); expected pairs"):
        kl_divergence(logits, logits[:7], classes="softmax")
    with pytest.raises(InputError, match=r"classes of shape \(2,\) and \(1,\); expected pairs"):
        label_accuracy(np.array([1, 2]), np.array([1]))
    with pytest.raises(InputError, match="an inception score of 8 clips in 10 parts; give as many clips as parts"):
        inception_score(logits)
    with pytest.raises(InputError, match="balls to neighbour 0; give 1 or more"):
        coverage(logits, logits, k=0)
    with pytest.raises(InputError, match="generated embeddings: 5 of them; give 6 or more"):
        coverage(logits, logits[:5])
    with pytest.raises(InputError, match="generated embeddings: 1 of them; give at least two"):
        kernel_distance(logits, logits[:1])
    with pytest.raises(InputError, match="embeddings of 12 and 11 numbers; expected sets from one judge"):
        kernel_distance(logits, logits[:, 1:])
    bad = logits.copy()
    bad[6, 2] = np.nan
    for refused in (lambda: kl_divergence(bad, logits, classes="sigmoid"), lambda: coverage(bad, logits)):
        with pytest.raises(InputError, match="reference .*: row 6 is not finite; leave that clip out of both sets"):
            refused()
    with pytest.raises(InputError, match="logits: row 6 is not finite"):
        inception_score(bad, splits=2)
