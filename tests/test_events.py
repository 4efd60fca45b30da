"""Recordings laid where something is struck: what they offer, where they begin, how loud they are and how they end."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from echoframe.generators.events import (
    APART,
    BEFORE,
    FADE_DB,
    GAIN_DB,
    Material,
    Struck,
    background,
    gain_db,
    lay,
    material,
)

PER_DB = math.log(10) / 20  # magnitudes that are divided by nothing
FLOOR_DB, FALLS_DB, BANDS = -70.0, 2.0, 8


def knocks(n_frames: int, at: Sequence[int], *, loud_db: float = 0.0, bands: Sequence[int] | None = None) -> Tensor:
    """(F, 8) log-mel: blows at those frames that fall by 2 dB a frame, each in all bands or in its own one."""
    past = torch.arange(n_frames)[:, None] - torch.tensor(at)  # (F, blows)
    level = torch.where(past >= 0, loud_db - FALLS_DB * past, torch.tensor(FLOOR_DB)).clamp(min=FLOOR_DB)
    found = torch.full((n_frames, BANDS), FLOOR_DB)
    for nth, course in enumerate(level.T):
        own = slice(None) if bands is None else slice(bands[nth], bands[nth] + 1)
        found[:, own] = torch.maximum(found[:, own], course[:, None])
    return found * PER_DB


def made_of(mel: Tensor) -> Material:
    return material(mel, PER_DB)


def ground(n_frames: int) -> Tensor:
    return torch.full((n_frames, BANDS), FLOOR_DB * PER_DB)


def laid(materials: Sequence[Material], struck: Sequence[Struck], *, n_frames: int = 200, seed: int = 0) -> np.ndarray:
    """(F, 8) in decibels."""
    found = lay(materials, ground(n_frames), struck, PER_DB, torch.Generator().manual_seed(seed))
    assert found.shape == (n_frames, BANDS)
    return (found / PER_DB).numpy()


@pytest.fixture(scope="module")
def knock() -> Material:
    """One blow that is heard for 35 frames, in a recording of 120."""
    return made_of(knocks(120, [20]))


# what a recording offers


def test_a_recordings_onsets_are_where_it_is_struck():
    found = made_of(knocks(200, [20, 60, 100, 150]))
    assert found.onsets.tolist() == [20, 60, 100, 150]
    assert found.loudest_db == pytest.approx(10 * math.log10(BANDS), abs=0.01)
    assert found.course_db[30] == pytest.approx(found.loudest_db - 10 * FALLS_DB, abs=0.01)


def test_of_two_near_onsets_the_stronger_stays_and_a_soft_rise_is_none():
    mel = torch.maximum(knocks(200, [80]), knocks(200, [80 - APART + 2], loud_db=-40))
    assert made_of(mel).onsets.tolist() == [80]
    slow = (FLOOR_DB + torch.arange(200) * 0.2)[:, None].expand(-1, BANDS) * PER_DB
    slow = slow.clone()
    slow[120:] += 1.0 * PER_DB
    assert made_of(slow).onsets.tolist() == [120]  # the steepest rise, where nothing rises enough
    assert len(made_of(ground(50)).onsets) == 1


def test_the_background_is_one_quiet_mean_and_far_under_the_loudest(knock):
    found = background(knock, 30, PER_DB)
    assert found.shape == (30, BANDS)
    torch.testing.assert_close(found / PER_DB, torch.full((30, BANDS), FLOOR_DB))
    loud = background(made_of(knocks(120, [20]).clamp(min=-10 * PER_DB)), 5, PER_DB)
    torch.testing.assert_close(loud / PER_DB, torch.full((5, BANDS), -40.0), atol=0.1, rtol=0)


# where it begins


@pytest.mark.parametrize("frame", [0, 1, 50, 197])
def test_a_recording_begins_to_be_heard_at_the_frame_that_is_struck(knock, frame):
    found = laid([knock], [Struck(frame)])
    assert found[frame] == pytest.approx(np.zeros(BANDS), abs=0.1)
    if frame:
        assert found[:frame].max() < FLOOR_DB + 7  # the floors of ground and recording add up
    falls = -FALLS_DB * np.arange(min(3, 200 - frame))
    assert found[frame : frame + 3, 0] == pytest.approx(falls, abs=0.1)


@pytest.mark.parametrize("struck", [[], [Struck(200 + BEFORE)], [Struck(500), Struck(900)]])
def test_nothing_struck_within_the_sound_leaves_the_ground(knock, struck):
    assert np.array_equal(laid([knock], struck), (ground(200) / PER_DB).numpy())


def test_an_event_beyond_the_end_takes_nothing_from_the_one_before(knock):
    found = laid([knock], [Struck(170), Struck(260)])
    assert found[170:190, 0] == pytest.approx(-FALLS_DB * np.arange(20), abs=0.3)
    assert found[:168] == pytest.approx(FLOOR_DB)


def test_it_goes_on_where_there_is_room_and_is_cut_where_there_is_not(knock):
    roomy, tight = laid([knock], [Struck(50)]), laid([knock], [Struck(50), Struck(62)])
    falls = -FALLS_DB * np.arange(18)
    assert roomy[50:68, 0] == pytest.approx(falls, abs=0.2)
    assert tight[50:55, 0] == pytest.approx(falls[:5], abs=0.1)
    assert tight[59, 0] == pytest.approx(-18 - FADE_DB, abs=1)  # the last frame before the next one's own start
    assert tight[62:80, 0] == pytest.approx(falls, abs=0.3)


def test_a_whole_burst_is_heard_in_a_large_room_and_a_single_blow_in_a_small_one():
    burst = made_of(knocks(160, [20, 40, 60]))
    large = laid([burst], [Struck(30)], n_frames=300, seed=2)
    small = [laid([burst], [Struck(30), Struck(44)], n_frames=50, seed=seed) for seed in range(6)]
    begins = {tuple(made_of(torch.from_numpy(each) * PER_DB).onsets) for each in small}
    assert begins == {(30, 44)}
    per_seed = [laid([burst], [Struck(30)], n_frames=300, seed=seed) for seed in range(12)]
    n_blows = {len(made_of(torch.from_numpy(each) * PER_DB).onsets) for each in [large, *per_seed]}
    assert n_blows == {1, 2, 3}  # whichever onset begins, what follows it goes on


def test_a_rattle_is_not_begun_where_single_blows_fit():
    single = made_of(knocks(400, [20, 120, 220, 320], bands=[0, 1, 2, 3]))
    rattle = made_of(knocks(160, [20, 30, 40, 50, 60]))  # in all bands, so in 5 as well
    struck = [Struck(60 * n) for n in range(1, 9)]
    n_blows = []
    for seed in range(5):
        course = laid([single, rattle], struck, n_frames=600, seed=seed)[:, 5]
        blows = np.flatnonzero(np.diff(course) > 5) + 1
        n_blows += [((blows >= each.frame) & (blows < each.frame + 58)).sum() for each in struck]
    assert max(n_blows) <= 2  # of five, if it is begun at its first
    alone = laid([rattle], [Struck(60)], seed=0)[:, 5]
    assert (np.diff(alone) > 5).sum() > 2


# how loud it is


@pytest.mark.parametrize(
    ("strength", "expected"), [(1.0, 0.0), (0.25, -6.0), (0.0, GAIN_DB), (4.0, 0.0), (-1.0, GAIN_DB)]
)
def test_a_weaker_onset_is_softer(knock, strength, expected):
    assert gain_db(strength) == pytest.approx(expected)
    assert laid([knock], [Struck(50, gain_db(strength))])[50, 0] == pytest.approx(expected, abs=0.1)


def test_a_recording_that_helps_out_is_as_loud_as_the_one_that_is_wanted():
    wanted = made_of(knocks(120, [20], bands=[0]))
    soft = made_of(knocks(400, [20, 120, 220, 320], loud_db=-20.0, bands=[1, 2, 3, 4]))
    struck = [Struck(50 * n) for n in range(1, 10)]
    found = laid([wanted, soft], struck, n_frames=500)
    bands = {int(found[each.frame].argmax()) for each in struck}
    assert len(bands) > 1
    assert [found[each.frame].max() for each in struck] == pytest.approx([0.0] * 9, abs=0.1)


def test_magnitudes_of_what_overlaps_add_up(knock):
    loud = torch.full((200, BANDS), -6.0206 * PER_DB)  # half of the blow's
    found = lay([knock], loud, [Struck(50)], PER_DB, torch.Generator())
    assert float(found[50, 0] / PER_DB) == pytest.approx(20 * math.log10(1.5), abs=0.01)
    assert float(found[40, 0] / PER_DB) == pytest.approx(-6.02, abs=0.01)


# what has just been heard


@pytest.mark.parametrize("n_onsets", [2, 3, 6])
def test_no_onset_is_heard_three_times_in_a_row(n_onsets):
    several = made_of(knocks(100 * n_onsets, [20 + 100 * n for n in range(n_onsets)], bands=range(n_onsets)))
    struck = [Struck(40 * n) for n in range(1, 31)]
    for seed in range(5):
        found = laid([several], struck, n_frames=1300, seed=seed)
        heard = [int(found[each.frame].argmax()) for each in struck]
        assert len(set(heard)) == n_onsets
        thrice = [n for n, (one, two) in enumerate(pairwise(pairwise(heard))) if len({*one, *two}) == 1]
        assert thrice == []


def test_an_only_onset_is_heard_every_time(knock):
    struck = [Struck(40 * n) for n in range(1, 5)]
    found = laid([knock], struck)
    assert [found[each.frame, 0] for each in struck] == pytest.approx([0.0] * 4, abs=0.1)


def test_the_seed_chooses(knock):
    several = made_of(knocks(300, [20, 120, 220], bands=[0, 1, 2]))
    struck = [Struck(40 * n) for n in range(1, 5)]
    one, again, *others = (laid([several], struck, seed=seed) for seed in (1, 1, 2, 3, 4))
    assert np.array_equal(one, again)
    assert any(not np.array_equal(one, other) for other in others)
    assert BEFORE < APART
