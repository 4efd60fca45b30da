"""Where one shot ends and the next begins: cuts and dissolves are found, and what only looks like one is not."""

import numpy as np
import pytest

from echoframe.media.frame_array import FrameArray
from echoframe.timing.shots import SHORTEST_S, Border, find_borders
from echoframe.timing.watch import watch
from moving_pictures import SIZE, coloured, held, joined, panned, wall

WIDTH, HEIGHT = SIZE


def borders(film: np.ndarray, rate: float = 25.0) -> list[Border]:
    return list(watch(FrameArray(images=coloured(film), frame_rate=rate)).borders)


def cuts(film: np.ndarray, rate: float = 25.0) -> list[float]:
    found = borders(film, rate)
    assert all(border.kind == "cut" and border.lasts_s == 0 for border in found)
    return [border.time_s for border in found]


def shots(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    """Pictures with as many frames each, whose patches are so large that they differ in the mean of any place."""
    return [held(wall(seed + i, patch=30, low=10, high=245), n) for i, n in enumerate(lengths)]


@pytest.mark.parametrize("rate", [12.5, 25.0, 30000 / 1001])
def test_a_cut_stands_at_the_first_frame_of_the_next_shot(rate):
    lengths = [20, 31, 17, 26]
    assert cuts(joined(shots(lengths)), rate) == pytest.approx([20 / rate, 51 / rate, 68 / rate])


def test_a_cut_is_found_between_pictures_that_move():
    pan = [panned((1.5, 0.0), 30, seed=1), panned((-1.0, 0.5), 30, seed=2), panned((0.0, 1.0), 30, seed=3)]
    assert cuts(joined(pan)) == pytest.approx([1.2, 2.4])


@pytest.mark.parametrize("lasts", [8, 14, 24, 40])
def test_a_dissolve_stands_in_its_middle(lasts):
    first, second = shots([60, 60])
    (found,) = borders(joined([first, second], dissolve=lasts))
    assert found.kind == "dissolve"
    assert found.time_s == pytest.approx((60 - lasts / 2) / 25, abs=0.13)
    assert 0.4 * lasts / 25 <= found.lasts_s <= 2 * lasts / 25 + 0.2


@pytest.mark.parametrize("block", [1024, 7])
def test_cuts_and_dissolves_of_one_film_are_told_apart_and_rise(block, monkeypatch):
    monkeypatch.setattr("echoframe.timing.shots.BLOCK", block)
    one, two, three, four = shots([40, 50, 50, 40])
    film = np.concatenate([joined([one, two], dissolve=14), joined([three, four], dissolve=14)])
    assert [border.kind for border in borders(film)] == ["dissolve", "cut", "dissolve"]
    times = [border.time_s for border in borders(film)]
    assert times == pytest.approx([33 / 25, 76 / 25, 119 / 25], abs=0.13)


def test_a_flash_is_no_border():
    for lasts in (1, 2, 3):
        film = held(wall(4, patch=30), 60)
        film[30 : 30 + lasts] = 255
        assert borders(film) == []


def test_a_light_that_dies_away_in_half_a_second_is_no_border():
    film = 0.3 * held(wall(4, patch=30), 75).astype(float)
    film[25:] += 150 * np.exp(-np.arange(50) / 5)[:, None, None]
    assert borders(np.clip(film, 0, 255).astype(np.uint8)) == []


def test_a_light_that_goes_on_or_slowly_dims_is_no_dissolve():
    film = held(wall(4, patch=30), 60)
    dims = film * np.linspace(1, 0.5, 60)[:, None, None]
    assert borders(dims) == []


def test_things_that_move_and_a_camera_that_pans_are_no_borders():
    film = held(wall(5, patch=12), 60)
    for i, frame in enumerate(film):
        frame[20:70, 2 * i : 2 * i + 40] = 250
    assert borders(film) == []
    assert borders(panned((3.0, 0.0), 60, seed=2)) == []


def test_a_shot_lasts_four_tenths_of_a_second_at_least():
    short = round(SHORTEST_S * 25) - 2
    assert cuts(joined(shots([30, short, 30]))) == pytest.approx([30 / 25])
    assert cuts(joined(shots([30, short + 3, 30]))) == pytest.approx([30 / 25, (33 + short) / 25])
    assert cuts(joined(shots([short, 30]))) == []
    assert cuts(joined(shots([30, 2]))) == []  # nothing is left to see of the last one


def test_a_flash_at_the_end_and_a_cut_after_the_first_frame_are_no_borders():
    film = held(wall(4, patch=30), 30)
    film[-1] = 255
    assert borders(film) == []
    assert borders(joined(shots([1, 30]))) == []


def test_two_frames_have_no_borders():
    small = np.zeros((2, 336), dtype=np.float32)
    assert find_borders(small, np.zeros(2), np.array([0.0, 0.04])) == []
    assert find_borders(small[:1], np.zeros(1), np.zeros(1)) == []


def test_steps_all_around_are_no_cut():
    """Where every frame is another picture, none of them begins a shot."""
    random = np.random.default_rng(0)
    assert cuts(np.stack([wall(int(seed), patch=30) for seed in random.integers(1 << 30, size=40)])) == []


def test_a_cut_is_surer_than_a_dissolve_beside_it():
    one, two, three = shots([40, 11, 40])
    film = np.concatenate([joined([one, two], dissolve=8), three])  # 3 frames of the second picture alone
    assert cuts(film) == pytest.approx([43 / 25])
