"""Time alignment without a model: planted onsets, shifts, levels, and motion in a film."""

import numpy as np
import pytest
import torch

from echoframe.errors import InputError
from echoframe.evaluation.alignment import (
    best_lag,
    envelope,
    envelope_correlation,
    motion_correlation,
)
from echoframe.evaluation.motion import FRAME_RATE, motion_envelope
from echoframe.media.audio import resample
from echoframe.media.onsets import onset_f1, onset_strength, onsets
from planted_video import write_video

RATE = 16_000
TIMES = np.array([0.5, 1.13, 1.91, 2.42, 3.37, 4.05])


def struck(times=TIMES, seconds=5.0, rate=RATE):
    """A tone struck at each time, over faint noise."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * rate)) / rate
    samples = 0.0005 * rng.normal(size=t.size)
    for time in times:
        rings = t >= time
        samples[rings] += 0.4 * np.sin(2 * np.pi * 700 * t[rings]) * np.exp(-(t[rings] - time) / 0.06)
    return samples


@pytest.mark.parametrize("gain", [1.0, 0.1, 2.0])
def test_planted_onsets_are_found_at_any_level(gain):
    found = onsets(gain * struck(), RATE)
    assert len(found) == len(TIMES)
    np.testing.assert_allclose(found, TIMES, atol=0.025)


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000])
def test_another_sample_rate_moves_nothing(rate):
    samples = resample(torch.from_numpy(struck())[None].float(), RATE, rate)[0].double().numpy()
    np.testing.assert_allclose(onsets(samples, rate), onsets(struck(), RATE), atol=0.011)
    assert envelope_correlation(envelope(struck(), RATE), envelope(samples, rate)) > 0.98


@pytest.mark.parametrize(
    "samples", [np.zeros(RATE), np.full(RATE, 0.3), 0.1 * np.random.default_rng(1).normal(size=5 * RATE)]
)
def test_silence_and_what_is_steady_have_no_onset(samples):
    assert len(onsets(samples, RATE)) == 0


def score_of(reference, generated, tolerance_s=0.05):
    score = onset_f1(reference, generated, tolerance_s=tolerance_s)
    assert score is not None
    return score


def test_onsets_match_one_to_one():
    score = score_of(TIMES, TIMES)
    assert (score.f1, score.precision, score.recall) == (1.0, 1.0, 1.0)
    score = score_of(TIMES, np.repeat(TIMES, 2))  # each reference is matched but once
    assert (score.precision, score.recall) == (0.5, 1.0)
    assert score.f1 == pytest.approx(2 / 3)
    assert score_of(TIMES, TIMES + 0.06).f1 == 0
    assert score_of(TIMES, TIMES + 0.06, tolerance_s=0.1).f1 == 1
    none = np.zeros(0)
    assert onset_f1(none, none, tolerance_s=0.05) is None
    assert score_of(TIMES, none).f1 == score_of(none, TIMES).f1 == 0


def test_as_many_are_matched_as_can_be():
    """Second opinion: the largest matching of the graph of near pairs."""
    scipy = pytest.importorskip("scipy.sparse.csgraph")
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(3)
    for _ in range(50):
        x, y = np.sort(rng.uniform(0, 3, size=20)), np.sort(rng.uniform(0, 3, size=25))
        near = sparse.csr_matrix(np.abs(x[:, None] - y) <= 0.1)
        matched = (scipy.maximum_bipartite_matching(near) >= 0).sum()
        assert score_of(x, y, tolerance_s=0.1).recall == pytest.approx(matched / len(x))


@pytest.mark.parametrize("shift_s", [0.2, -0.35, 0.0])
def test_a_shift_is_found_with_its_sign(shift_s):
    late = np.roll(struck(), round(shift_s * RATE))
    lag = best_lag(envelope(struck(), RATE), envelope(late, RATE))
    assert lag.lag_s == pytest.approx(shift_s, abs=0.01)
    assert lag.correlation > 0.95
    if shift_s:
        assert envelope_correlation(envelope(struck(), RATE), envelope(late, RATE)) < 0.5


def test_envelopes_that_never_change():
    flat, other = envelope(np.zeros(2 * RATE), RATE), envelope(struck(), RATE)
    assert envelope_correlation(flat, flat) == 1
    assert envelope_correlation(flat, other) == 0
    assert best_lag(flat, flat).lag_s == 0
    assert best_lag(other, flat).lag_s == 1  # silence has no right time
    assert best_lag(other[:20], other[:20]).lag_s == 0  # too short to look a second far


def test_what_happens_is_not_shifted_out_of_sight():
    """Two clicks too far apart for the largest shift: at some shifts both are gone, and two silences are left."""
    one, other = np.full(1000, -40.0), np.full(1000, -40.0)
    one[30], other[980] = 0.0, 0.0
    found = best_lag(one, other)
    assert found.lag_s == pytest.approx(1.0)
    assert found.correlation <= 0
    assert best_lag(np.full(9, -40.0), np.full(5, -40.0)).lag_s == 0


def test_a_sound_that_ends_is_silent_from_there():
    rng = np.random.default_rng(0)
    reference = rng.uniform(-40, 0, size=400)
    half = reference[:200]
    padded = np.concatenate([half, np.full(200, -40.0)])
    assert envelope_correlation(reference, half) == pytest.approx(envelope_correlation(reference, padded))
    assert envelope_correlation(reference, half) < 0.9
    assert envelope_correlation(reference, np.concatenate([reference, half])) == pytest.approx(1)
    assert abs(envelope_correlation(reference, half[:1])) < 0.1


def test_turned_round_in_time_the_envelope_is_another():
    turned = envelope(struck()[::-1], RATE)
    assert envelope_correlation(envelope(struck(), RATE), turned) < 0.5


@pytest.mark.parametrize("samples", [np.zeros(0), np.array([0.1, np.nan])])
def test_what_is_no_sound_is_refused(samples):
    for function in (onset_strength, envelope):
        with pytest.raises(InputError, match="not all finite; give at least one"):
            function(samples, RATE)


def test_motion_goes_with_its_own_sound():
    moved = np.zeros(125)
    moved[np.round(TIMES * FRAME_RATE).astype(int)] = 5.0
    strength = onset_strength(struck(), RATE)
    assert motion_correlation(strength, moved, frame_rate=FRAME_RATE) > 0.6
    assert motion_correlation(strength, np.roll(moved, 8), frame_rate=FRAME_RATE) < 0.2
    assert motion_correlation(strength, moved[:2], frame_rate=FRAME_RATE) == 0  # too short to say


def test_the_motion_of_a_film_is_seen_frame_by_frame(tmp_path):
    write_video(tmp_path / "film.mp4", n_frames=50)  # grey levels that rise by a step each frame, 2 s
    found = motion_envelope(tmp_path / "film.mp4")
    assert len(found) == 50
    assert found[0] == 0
    assert found[1:].mean() > 0.5
