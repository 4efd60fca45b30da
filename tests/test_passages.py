"""A film as passages: which shots share a sound, what is looked at in them, which targets their windows have."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.timing.passages import FADE_S, Passage, Shot, View, course, passages_of, shots_of, views_of
from echoframe.timing.shots import Border

AXES = torch.eye(3)


def cut(time_s: float) -> Border:
    return Border(time_s=time_s, kind="cut")


def stretches(shots: list[Shot]) -> list[tuple[float, float]]:
    return [shot.stretch for shot in shots]


def test_without_borders_there_is_one_shot_however_short():
    assert shots_of((), 0.2) == [Shot(start_s=0.0, stop_s=0.2)]


def test_shots_lie_between_borders_and_fade_into_each_other():
    shots = shots_of((cut(2.0), Border(time_s=5.0, kind="dissolve", lasts_s=0.8)), 9.0)
    assert stretches(shots) == [(0.0, 2.0), (2.0, 5.0), (5.0, 9.0)]
    assert [shot.fade_s for shot in shots] == [0.0, FADE_S, 0.8]


def test_a_dissolve_fades_for_a_second_at_most():
    (_, shot) = shots_of((Border(time_s=5.0, kind="dissolve", lasts_s=2.5),), 9.0)
    assert shot.fade_s == 1.0


@pytest.mark.parametrize(
    ("borders", "expected"),
    [
        ([0.9], [(0.0, 5.0)]),
        ([1.0], [(0.0, 1.0), (1.0, 5.0)]),
        ([2.0, 2.5, 3.2], [(0.0, 2.0), (2.0, 3.2), (3.2, 5.0)]),  # half a second sounds as what was before it
        ([4.1], [(0.0, 5.0)]),
        ([7.0], [(0.0, 5.0)]),  # of a sound that ends before
        ([0.5, 1.0, 1.4, 1.9], [(0.0, 1.0), (1.0, 5.0)]),
    ],
)
def test_a_shot_shorter_than_a_second_belongs_to_another(borders, expected):
    assert stretches(shots_of([cut(time_s) for time_s in borders], 5.0)) == expected


@pytest.mark.parametrize(("length_s", "n"), [(0.3, 1), (10.0, 1), (10.1, 2), (20.0, 2), (31.0, 4)])
def test_views_are_equal_parts_that_are_short_enough(length_s, n):
    views = views_of(Shot(start_s=3.0, stop_s=3.0 + length_s), longest_s=10.0)
    assert len(views) == n
    assert views[0][0] == 3.0
    assert views[-1][1] == 3.0 + length_s
    assert [stop for _, stop in views[:-1]] == [start for start, _ in views[1:]]
    assert [stop - start for start, stop in views] == pytest.approx([length_s / n] * n)


def looked(*targets: Tensor) -> list[tuple[Shot, list[View]]]:
    """Shots of two seconds with one view each."""
    shots = [Shot(start_s=2.0 * n, stop_s=2.0 * n + 2, fade_s=0.1 * (n > 0)) for n in range(len(targets))]
    return [(shot, [View(*shot.stretch, target[None])]) for shot, target in zip(shots, targets, strict=True)]


def passages(*targets: Tensor) -> list[Passage]:
    return passages_of(looked(*targets), lambda one, other: bool(one @ other > 0.9))


def test_neighbours_that_are_alike_are_one_passage():
    a, b = AXES[0], AXES[1]
    found = passages(a, a, b, a, b, b, b)
    assert [len(each.shots) for each in found] == [2, 1, 1, 3]
    assert [len(each.views) for each in found] == [2, 1, 1, 3]
    assert [each.shots[0].start_s for each in found] == [0.0, 4.0, 6.0, 8.0]


def test_a_shot_is_compared_with_the_end_of_the_one_before():
    a, b = AXES[0], AXES[1]
    first, second = Shot(start_s=0.0, stop_s=20.0), Shot(start_s=20.0, stop_s=22.0, fade_s=0.1)
    changing = [View(0.0, 10.0, a[None]), View(10.0, 20.0, b[None])]

    def alike(one: Tensor, other: Tensor) -> bool:
        return bool(one @ other > 0.9)

    (both,) = passages_of([(first, changing), (second, [View(20.0, 22.0, b[None])])], alike)
    assert len(both.views) == 3
    assert len(passages_of([(first, changing), (second, [View(20.0, 22.0, a[None])])], alike)) == 2


def test_a_passage_is_heard_from_the_begin_of_its_fade():
    first, second = passages(AXES[0], AXES[1])
    assert (first.begins_s, first.begins_over_s) == (0.0, 0.0)
    assert (second.begins_s, second.begins_over_s) == (pytest.approx(1.95), pytest.approx(2.05))


def test_a_window_has_the_mean_of_what_it_overlaps():
    views = [View(0.0, 4.0, AXES[[0]]), View(4.0, 8.0, AXES[[1]]), View(8.0, 12.0, AXES[[2]])]
    found = course(views, [(0.0, 4.0), (3.0, 7.0), (3.0, 9.0), (8.0, 12.0)])
    assert found.shape == (1, 4, 3)
    assert torch.equal(found[0, 0], AXES[0])
    assert torch.equal(found[0, 3], AXES[2])
    torch.testing.assert_close(found[0, 1], normalize(torch.tensor([1.0, 3.0, 0.0]), dim=0))
    torch.testing.assert_close(found[0, 2], normalize(torch.tensor([1.0, 4.0, 1.0]), dim=0))


def test_a_fades_share_in_another_view_counts_nothing():
    views = [View(0.0, 4.0, AXES[[0]]), View(4.0, 8.0, AXES[[1]])]
    assert torch.equal(course(views, [(0.0, 4.05)]), AXES[[0]])
    assert not torch.equal(course(views, [(0.0, 4.5)]), AXES[[0]])


def test_a_window_beyond_all_views_has_a_target_as_well():
    assert torch.equal(course([View(0.0, 4.0, AXES[[0]])], [(4.0, 5.0)]), AXES[[0]])
