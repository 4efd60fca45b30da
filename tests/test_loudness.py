"""Loudness: what BS.1770 says of a sine, gating, peaks that may not pass, sounds too short or too quiet to measure."""

import math

import pytest
import torch

from echoframe.media.loudness import bring_to_loudness, integrated_loudness, to_loudness


def sine(seconds: float, *, hertz: float = 997.0, level_db: float = -23.0, rate: int = 16_000) -> torch.Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    return (10 ** (level_db / 20) * torch.sin(2 * math.pi * hertz * time))[None]


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_sine_in_one_channel_is_3_lu_under_its_peak(rate):
    # BS.1770-4, annex 1: a 997 Hz sine at 0 dBFS in one channel reads -3.01 LKFS
    assert integrated_loudness(sine(3, rate=rate), rate) == pytest.approx(-26.01, abs=0.1)
    assert integrated_loudness(sine(3, rate=rate, level_db=-40), rate) == pytest.approx(-43.01, abs=0.1)


def test_ears_hear_less_of_the_deep_and_more_of_the_high():
    deep, middle, high = (integrated_loudness(sine(3, hertz=f), 16_000) for f in (50, 997, 4000))
    assert deep < middle - 2
    assert middle + 2 < high


def test_silence_around_a_sound_does_not_make_it_quieter():
    sound = torch.cat([sine(2), torch.zeros(1, 96_000)], dim=1)
    assert integrated_loudness(sound, 16_000) == pytest.approx(integrated_loudness(sine(2), 16_000), abs=0.5)


@pytest.mark.parametrize("seconds", [0.01, 0.3, 70.0])
def test_a_sound_of_any_length_is_measured_and_brought_to_the_target(seconds):
    sound = sine(seconds)
    brought = to_loudness(sound, 16_000, -30.0)
    assert brought.shape == sound.shape
    assert integrated_loudness(brought, 16_000) == pytest.approx(-30.0, abs=0.2)


def test_a_peak_stays_under_1_dbfs_and_the_sound_is_as_loud_as_that_lets_it():
    clicks = torch.zeros(1, 48_000)
    clicks[0, ::8000] = 0.1
    brought = to_loudness(clicks, 16_000, -10.0)
    assert brought.max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)
    torch.testing.assert_close(brought / brought.max(), clicks / clicks.max())


def test_silence_and_what_is_next_to_it_stay_as_they_are():
    for sound in (torch.zeros(1, 16_000), sine(2, level_db=-90)):
        assert integrated_loudness(sound, 16_000) == -math.inf
        assert torch.equal(to_loudness(sound, 16_000, -23.0), sound)


@pytest.mark.parametrize(("level_db", "target_lufs"), [(-40.0, -23.0), (-3.0, -30.0), (-3.0, 0.0), (-math.inf, -23.0)])
def test_in_place_the_same_samples_come_out(level_db, target_lufs):
    sound = sine(5, level_db=level_db)  # longer than the filter is given at once
    expected = to_loudness(sound, 16_000, target_lufs)
    place = sound.data_ptr()
    bring_to_loudness(sound, 16_000, target_lufs)
    assert torch.equal(sound, expected)
    assert sound.data_ptr() == place
