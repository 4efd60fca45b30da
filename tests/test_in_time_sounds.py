"""Sounds that are turned up and down to onsets, ranked by them, and begun at them: the envelope, the fit, the generators."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.bundles.bundle import EMBEDDED
from echoframe.generators import LatentGenerator, load_generator
from echoframe.generators.audioldm import AudioLdmGenerator
from echoframe.media.frame_array import FrameArray
from echoframe.media.onsets import onset_f1, onsets
from echoframe.options import SampleOptions
from echoframe.timing import envelope
from echoframe.timing.cues import Cues, Onset
from echoframe.timing.envelope import DEPTH_DB, gain_course_db, shape_loudness
from echoframe.timing.watch import watch
from moving_pictures import bouncing
from test_long_sounds import make_audioldm, targets
from tiny_audioldm import write_tiny_textless_audioldm

RATE = 16_000
FAST = SampleOptions(steps=2, guidance=2.0, scheduler="euler", sync=1.0)


def struck(*times_s: float, strength: float = 1.0, confidence: float = 1.0) -> tuple[Onset, ...]:
    return tuple(Onset(time_s=time_s, strength=strength, confidence=confidence) for time_s in times_s)


def clicks(*times_s: float, length_s: float = 3.0) -> Tensor:
    """(S,): short bursts of noise at those times."""
    past = torch.arange(round(length_s * RATE))[:, None] / RATE - torch.tensor([*times_s, 1e6])
    level = torch.where(past >= 0, (-past / 0.03).exp(), torch.zeros(())).sum(dim=1)
    return 0.3 * level * torch.randn(len(past), generator=torch.Generator().manual_seed(0))


# the envelope


def test_a_sound_is_turned_up_at_onsets_and_twelve_decibels_down_between_them_at_most():
    random = np.random.default_rng(0)
    times_s = np.arange(0, 8, 0.001)
    many = tuple(
        Onset(time_s=float(time_s), strength=float(strength), confidence=1.0)
        for time_s, strength in zip(np.sort(random.uniform(0, 8, 40)), random.uniform(0, 1, 40), strict=True)
    )
    course = gain_course_db(many, times_s)
    assert course.min() >= -DEPTH_DB
    assert course.max() <= 0
    assert course.min() < -11
    assert gain_course_db((), times_s).tolist() == [-DEPTH_DB] * len(times_s)


@pytest.mark.parametrize(("strength", "height"), [(1.0, 0.0), (0.5, -3.0), (0.0, -6.0)])
def test_the_height_of_an_onset_is_its_strength_and_it_falls_away(strength, height):
    times_s = np.array([0.999, 1.0, 1.15, 4.0])
    before, at, later, over = gain_course_db(struck(1.0, strength=strength), times_s)
    assert before == -DEPTH_DB
    assert at == pytest.approx(height)
    assert later + DEPTH_DB == pytest.approx((height + DEPTH_DB) / math.e)
    assert over == pytest.approx(-DEPTH_DB, abs=1e-6)


def test_a_sound_that_is_shaped_in_blocks_is_what_one_block_gives(monkeypatch):
    asked = struck(0.2, 0.9, 1.0, 2.7, 6.5)
    plain = torch.randn(8 * RATE, generator=torch.Generator().manual_seed(0))
    whole = plain.clone()
    shape_loudness(whole, asked, RATE)
    monkeypatch.setattr(envelope, "_BLOCK", 1000)
    blocks = plain.clone()
    shape_loudness(blocks, asked, RATE)
    torch.testing.assert_close(blocks, whole, rtol=1e-5, atol=1e-7)
    expected = 10 ** (gain_course_db(asked, np.arange(8 * RATE) / RATE) / 20)
    np.testing.assert_allclose((whole / plain).numpy(), expected, rtol=1e-4)


def test_a_row_of_several_sounds_is_shaped_in_place_and_none_without_onsets():
    rows = torch.ones(2, RATE)
    shape_loudness(rows[1], struck(0.5), RATE)
    assert torch.equal(rows[0], torch.ones(RATE))
    assert rows[1, 0] == pytest.approx(10 ** (-DEPTH_DB / 20))
    assert rows[1, RATE // 2] == pytest.approx(1.0)
    shape_loudness(rows[0], (), RATE)
    assert torch.equal(rows[0], torch.ones(RATE))


# AudioLDM


@pytest.fixture(scope="module")
def audioldm(tmp_path_factory: pytest.TempPathFactory) -> AudioLdmGenerator:
    return make_audioldm(write_tiny_textless_audioldm(tmp_path_factory.mktemp("tiny"), dim=32))


@pytest.mark.parametrize(("length_s", "times_s"), [(1.2, (0.4, 0.9)), (3.5, (0.5, 1.7, 2.9))])
def test_audioldms_sounds_are_louder_at_the_cues(audioldm, length_s, times_s):
    assert len(audioldm.windows_s(length_s)) == (1 if length_s < 1.28 else 4)
    cues = Cues(onsets=struck(*times_s))
    asked = {"duration_s": length_s, "seeds": [0, 1], "options": FAST}
    plain = audioldm.generate(targets(2), **asked)
    timed = audioldm.generate(targets(2), **asked, cues=[cues, None])
    assert torch.equal(timed[1], plain[1])  # an item's cues are its own
    gain = 10 ** (gain_course_db(cues.onsets, np.arange(timed.shape[1]) / RATE) / 20)
    np.testing.assert_allclose(timed[0].numpy(), plain[0].numpy() * gain, atol=1e-6)
    heard, before = (onsets(each[0].numpy(), RATE) for each in (timed, plain))
    assert all(np.abs(heard - time_s).min() <= 0.03 for time_s in times_s)
    found, was = (onset_f1(np.array(times_s), each, tolerance_s=0.03) for each in (heard, before))
    assert found is not None
    assert found.f1 > (was.f1 if was else 0.0)


@pytest.mark.parametrize(("sync", "confidence", "heeds"), [(0.0, 1.0, False), (0.5, 0.4, False), (0.5, 0.6, True)])
def test_what_is_not_sure_enough_is_not_heard(audioldm, sync, confidence, heeds):
    cues = Cues(onsets=struck(0.3, confidence=confidence))
    options = replace(FAST, sync=sync)
    asked = {"duration_s": 0.64, "seeds": [0], "options": options}
    plain, timed = audioldm.generate(targets(1), **asked), audioldm.generate(targets(1), **asked, cues=[cues])
    assert torch.equal(plain, timed) == (not heeds)


def test_sync_without_cues_changes_nothing(audioldm, mini):
    for generator, target, options in (
        (audioldm, targets(1), FAST),
        (mini, remembered_target(mini, "dog barking"), replace(mini.defaults, steps=2, variation=0.5)),
    ):
        without, none, empty = (
            generator.generate(target, duration_s=1.0, seeds=[0], options=replace(options, sync=sync), cues=cues)
            for sync, cues in ((0.0, None), (1.0, None), (1.0, [Cues()]))
        )
        assert torch.equal(without, none)
        assert torch.equal(without, empty)


# mini

HITS = (0.6, 1.2, 1.8, 2.4)
LENGTH_S = 3.2


@pytest.fixture(scope="module")
def mini() -> LatentGenerator:
    return load_generator("mel_flow", EMBEDDED["mini"] / "generator", device="cpu", dtype=torch.float32)


def remembered_target(generator: LatentGenerator, label: str) -> Tensor:
    """(1, D): of the first recording with that label that is not steady."""
    memory = generator.memory
    assert memory is not None
    fitting = [n for n, each in enumerate(memory.entries) if each.label == label and not memory.steady[n]]
    return normalize(memory.embeddings[[fitting[0]]], dim=1)


def test_minis_sounds_begin_when_a_block_meets_the_floor(mini):
    cues = watch(FrameArray(images=bouncing(HITS, length_s=LENGTH_S, rate=25.0), frame_rate=25.0)).cues
    seeds = list(range(4))
    target = remembered_target(mini, "dog barking").expand(len(seeds), -1)
    f1 = []
    for sync in (1.0, 0.0):
        options = replace(mini.defaults, variation=0.0, sync=sync)
        sounds = mini.generate(target, duration_s=LENGTH_S, seeds=seeds, options=options, cues=[cues] * len(seeds))
        scores = (onset_f1(np.array(HITS), onsets(each.numpy(), RATE), tolerance_s=0.1) for each in sounds)
        f1.append(np.mean([score.f1 if score else 0.0 for score in scores]))
    assert f1[0] > f1[1] + 0.25, f1
    assert f1[0] > 0.6, f1
