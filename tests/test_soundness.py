"""What is wrong with a sound: each fault is planted, and found alone."""

import numpy as np
import pytest

from echoframe.media.soundness import MOST_SILENT, Faults, faults

RATE = 16_000
TIMES = np.arange(4 * RATE) / RATE


def noise(level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=len(TIMES)) * level


def test_nothing_is_wrong_with_noise_or_with_a_bark_now_and_then():
    assert faults(noise(), RATE) == Faults(silence=0, clipping=0, clicks=0, hum=0)
    barks = noise(0.2) * np.sin(np.pi * np.minimum(TIMES % 1.0 / 0.4, 1))
    assert faults(barks, RATE).soundness == pytest.approx(1.0)


def test_silence_counts_where_there_is_hardly_anything_else():
    assert faults(np.zeros(100), RATE).silence == 1.0
    assert faults(np.full(1, 0.5), RATE).silence == 0.0
    once = noise() * (TIMES < 0.4)  # a tenth
    assert faults(once, RATE).silence == pytest.approx((0.9 - MOST_SILENT) / (1 - MOST_SILENT), abs=0.02)


def test_clipping_is_samples_at_full_scale():
    clipped = noise()
    clipped[::200] = 1.0
    assert faults(clipped, RATE).clipping == pytest.approx(0.5)


def test_clicks_are_single_jumps_and_an_attack_is_none():
    tone = 0.3 * np.sin(2 * np.pi * 220 * TIMES)
    assert faults(tone, RATE).clicks == 0
    clicked = tone.copy()
    clicked[[9_000, 25_000, 40_000, 55_000]] += 0.5
    assert faults(clicked, RATE).clicks == pytest.approx(4 / 4 / 4)
    struck = noise(0.3) * np.exp(-(TIMES % 1.0) / 0.05) * (TIMES % 1.0 < 0.5)
    assert faults(struck, RATE).clicks == 0


@pytest.mark.parametrize("mains", [50, 60])
def test_hum_is_power_in_lines_of_the_mains_and_a_tone_elsewhere_is_none(mains):
    hum = 0.1 * np.sin(2 * np.pi * mains * TIMES) + 0.05 * np.sin(2 * np.pi * 3 * mains * TIMES)
    assert faults(hum, RATE).hum > 0.95
    assert faults(hum + noise(0.01), RATE).hum > 0.8
    assert faults(0.1 * np.sin(2 * np.pi * 440 * TIMES) + noise(0.01), RATE).hum == 0
    assert faults(np.sin(2 * np.pi * mains * TIMES[:100]), RATE).hum == 0  # too short to tell
