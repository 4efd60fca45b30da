"""The recipe's statistics of sounds, on sounds whose statistics are known."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

RECIPE = Path(__file__).parents[1] / "recipes" / "mini"
RATE = 16_000


@pytest.fixture
def stats(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    import sound_statistics

    yield sound_statistics
    del sys.modules["sound_statistics"]


def seconds(duration_s: float) -> np.ndarray:
    return np.arange(round(duration_s * RATE)) / RATE


def sine(hz: float, amplitude: float = 0.5, duration_s: float = 4.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * seconds(duration_s))


def noise(rms: float = 0.1, duration_s: float = 4.0, seed: int = 0) -> np.ndarray:
    return rms * np.random.default_rng(seed).standard_normal(round(duration_s * RATE))


def brown(rms: float = 0.1, duration_s: float = 4.0) -> np.ndarray:
    """Noise whose power falls with the square of the frequency, above 30 Hz."""
    spectrum = np.fft.rfft(noise(1, duration_s))
    hz = np.fft.rfftfreq(round(duration_s * RATE), 1 / RATE)
    shaped = np.fft.irfft(spectrum / np.maximum(hz, 30))
    return shaped * rms / shaped.std()


def bursts(sound: np.ndarray, per_second: float, length_s: float) -> np.ndarray:
    """`sound` for `length_s` out of every 1 / per_second, the first after half a pause."""
    phase = (seconds(len(sound) / RATE) - 0.5 / per_second) % (1 / per_second)
    return sound * ((phase < length_s) & (seconds(len(sound) / RATE) >= 0.5 / per_second))


def faded(sound: np.ndarray) -> np.ndarray:
    ramp = np.linspace(0, 1, RATE // 100)
    return sound * np.concatenate([ramp, np.ones(len(sound) - 2 * len(ramp)), ramp[::-1]])


@pytest.mark.parametrize("hz", [200, 1000, 3333, 7000])
def test_a_sine_is_where_it_is_and_does_nothing(stats, hz):
    told = stats.describe(sine(hz), RATE)
    assert told["level_dbfs"] == pytest.approx(-9.03, abs=0.01)
    assert told["level_range_db"] < 0.1
    assert told["centroid_hz"] == pytest.approx(hz, abs=5)
    assert told["rolloff_hz"] == pytest.approx(hz, abs=21)
    assert told["flatness_db"] < -40
    assert told["onsets_per_s"] == 0


def test_white_noise_is_flat_and_does_nothing(stats):
    told = stats.describe(noise(0.1, 20), RATE)
    assert told["level_dbfs"] == pytest.approx(-20, abs=0.1)
    assert told["level_range_db"] == pytest.approx(0.71, abs=0.1)  # 3.29 sigma of 4.34 sqrt(2 / 800) dB
    assert told["centroid_hz"] == pytest.approx(4020, abs=30)
    assert told["rolloff_hz"] == pytest.approx(40 + 0.85 * 7960, abs=50)
    assert told["flatness_db"] == pytest.approx(-2.5, abs=0.2)
    assert told["onsets_per_s"] == 0


def test_brown_noise_is_low_and_does_nothing(stats):
    told = stats.describe(brown(0.1, 20), RATE)
    assert told["centroid_hz"] < 250
    assert told["flatness_db"] < -10
    assert told["onsets_per_s"] < 0.3


def test_neither_level_nor_an_offset_nor_the_kind_of_array_changes_the_rest(stats):
    sound = bursts(noise(), 2, 0.1)
    told = stats.describe(sound, RATE)
    quieter = stats.describe(torch.from_numpy((sound * 0.5 + 0.1).astype(np.float32)), RATE)
    assert quieter.pop("level_dbfs") == pytest.approx(told.pop("level_dbfs") - 6.02, abs=0.01)
    # a pause is at -80 dBFS in both
    assert quieter.pop("level_range_db") == pytest.approx(told.pop("level_range_db") - 6.02, abs=0.05)
    assert quieter == pytest.approx(told, rel=1e-3)


def test_the_level_range_is_that_of_the_frames(stats):
    sound = np.concatenate([sine(1000, 0.5), sine(1000, 0.05)])
    assert stats.describe(sound, RATE)["level_range_db"] == pytest.approx(20, abs=0.1)
    assert stats.describe(bursts(noise(0.1), 1, 0.5), RATE)["level_range_db"] == pytest.approx(60, abs=1)


def test_pauses_have_no_part_in_the_spectrum(stats):
    sound = bursts(sine(1000, 0.5), 1, 0.5) + noise(0.0005)
    assert stats.describe(sound, RATE)["centroid_hz"] == pytest.approx(1000, abs=150)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, 0.25)])
def test_silence(stats, samples):
    assert stats.describe(samples, RATE) == {
        "level_dbfs": -80,
        "level_range_db": 0,
        "centroid_hz": 0,
        "rolloff_hz": 0,
        "flatness_db": -80,
        "onsets_per_s": 0,
    }


@pytest.mark.parametrize("background", [0, 0.001])
def test_a_click_train(stats, background):
    clicks = np.zeros(10 * RATE)
    times = 0.125 + np.arange(40) / 4
    clicks[np.round(times * RATE).astype(int)] = 0.5
    sound = clicks + noise(background, 10)
    assert stats.describe(sound, RATE)["onsets_per_s"] == pytest.approx(4, abs=0.1)
    assert stats.onset_times(sound, RATE) == pytest.approx(times, abs=0.02)


@pytest.mark.parametrize("per_second", [1, 3, 8])
@pytest.mark.parametrize("carrier", ["noise", "tone", "low tone", "brown"])
def test_a_burst_train(stats, per_second, carrier):
    sound = {
        "noise": noise(0.1, 10),
        "tone": sine(2000, 0.5, 10),
        "low tone": sine(110, 0.5, 10),
        "brown": brown(0.1, 10),
    }
    made = bursts(sound[carrier], per_second, 0.06)
    assert stats.describe(made, RATE)["onsets_per_s"] == pytest.approx(per_second, rel=0.05)


def test_bursts_stand_out_from_noise_and_notes_from_each_other(stats):
    over_noise = bursts(noise(0.1, 10), 2, 0.1) + noise(0.02, 10, seed=1)
    assert stats.describe(over_noise, RATE)["onsets_per_s"] == pytest.approx(2, abs=0.1)
    notes = np.concatenate([sine(hz, 0.3, 0.5) for hz in (440, 660, 550, 880) * 3])
    assert stats.describe(notes, RATE)["onsets_per_s"] == pytest.approx(11 / 6, abs=0.1)
    slide = 0.5 * np.sin(2 * np.pi * (300 * seconds(4) + 100 * seconds(4) ** 2))
    assert stats.describe(slide, RATE)["onsets_per_s"] == 0


@pytest.mark.parametrize("hz", [300, 1000, 3000])
def test_soft_tones_begin_too(stats, hz):
    """Hoots of 0.3 s that take 50 ms to come and go."""
    phase = seconds(10) % 0.5
    envelope = np.interp(phase, [0.1, 0.15, 0.35, 0.4], [0, 1, 1, 0])
    for background in (0, 0.0003):
        hoots = sine(hz, 0.3, 10) * np.sin(envelope * np.pi / 2) ** 2 + noise(background, 10)
        assert stats.describe(hoots, RATE)["onsets_per_s"] == pytest.approx(2, abs=0.1)


def test_a_narrow_noise_does_little(stats):
    spectrum = np.fft.rfft(noise(1, 20))
    hz = np.fft.rfftfreq(20 * RATE, 1 / RATE)
    narrow = np.fft.irfft(spectrum * np.exp(-0.5 * ((hz - 1000) / 100) ** 2))
    assert stats.describe(narrow * 0.1 / narrow.std(), RATE)["onsets_per_s"] < 1


def test_within(stats):
    reference = list(range(101))
    assert stats.within([4.9, 5, 50, 95, 95.1], reference) == pytest.approx(0.6)
    assert stats.within([4.9, 5, 50, 95, 95.1], reference, low=0, high=100) == 1
    assert stats.within([50, 51], [50]) == 0.5


def test_within_by_label(stats):
    real = {
        "bell": [{"pitch": float(n), "length": 1.0} for n in range(101)],
        "dog": [{"pitch": 1000.0 + n, "length": float(n)} for n in range(5)],
        "cat": [{"pitch": 1.0, "length": 1.0}] * 4,
    }
    generated = {
        "bell": [{"pitch": p, "length": 1.0} for p in (50.0, 60.0, 1000.0)],
        "dog": [{"pitch": p, "length": 2.0} for p in (50.0, 1002.0, 60.0, 70.0)],
        "cat": [{"pitch": 1.0, "length": 1.0}],
        "owl": [{"pitch": 1.0, "length": 1.0}],
    }
    told = stats.within_by_label(generated, real)
    assert told["pitch"] == stats.Agreement(
        labels_inside=0.5, sounds_inside=pytest.approx(3 / 7), n_labels=2, n_sounds=7, left_out=2
    )
    assert told["length"] == stats.Agreement(labels_inside=1, sounds_inside=1, n_labels=2, n_sounds=7, left_out=2)


def test_real_sounds_of_a_label_are_like_each_other(stats):
    real = {"noise": [stats.describe(noise(0.1, 1, seed=n), RATE) for n in range(40)]}
    same = {"noise": [stats.describe(noise(0.1, 1, seed=n), RATE) for n in range(40, 80)]}
    other = {"noise": [stats.describe(sine(300 + n, 0.5, 1), RATE) for n in range(40)]}
    assert min(told.sounds_inside for told in stats.within_by_label(same, real).values()) > 0.7
    differ = stats.within_by_label(other, real)
    assert {name for name, told in differ.items() if told.sounds_inside == 0} >= {
        "centroid_hz",
        "rolloff_hz",
        "flatness_db",
        "level_dbfs",
    }


@pytest.mark.parametrize("hz", [60, 440, 1000])
def test_a_sound_cut_in_the_middle_of_a_wave_clicks(stats, hz):
    whole = faded(sine(hz))
    assert stats.edge_click(whole, RATE) == stats.EdgeClick(begins=False, ends=False)
    # from crest to crest
    start = round((1 + 0.25 / hz) * RATE)
    stop = round((3 + 0.25 / hz) * RATE)
    assert stats.edge_click(whole[start:], RATE) == stats.EdgeClick(begins=True, ends=False)
    assert stats.edge_click(whole[:stop], RATE) == stats.EdgeClick(begins=False, ends=True)
    assert stats.edge_click(whole[start:stop], RATE) == stats.EdgeClick(begins=True, ends=True)
    assert stats.edge_click(faded(whole[start:stop]), RATE) == stats.EdgeClick(begins=False, ends=False)
    # so quiet that nobody hears it
    assert stats.edge_click(0.004 * whole[start:stop], RATE) == stats.EdgeClick(begins=False, ends=False)


def test_a_lone_impulse_at_an_end_clicks_and_an_offset_does(stats):
    sound = faded(sine(440)) * np.hanning(4 * RATE)
    sound[30] += 0.1
    assert stats.edge_click(sound, RATE) == stats.EdgeClick(begins=True, ends=False)
    assert stats.edge_click(np.full(RATE, 0.1), RATE) == stats.EdgeClick(begins=True, ends=True)


@pytest.mark.parametrize("seed", range(10))
def test_noise_does_not_click_and_silence_does_not(stats, seed):
    assert stats.edge_click(noise(seed=seed), RATE) == stats.EdgeClick(begins=False, ends=False)
    assert stats.edge_click(np.zeros(RATE), RATE) == stats.EdgeClick(begins=False, ends=False)


def test_hiss_in_pauses(stats):
    told = stats.noise_floor(bursts(noise(0.1, 10), 1, 0.5) + noise(0.001, 10, seed=1), RATE)
    assert told.floor_dbfs == pytest.approx(-60, abs=0.5)
    assert told.relative_db == pytest.approx(-40.5, abs=0.7)  # the loudest of 200 frames has 0.5 dB more
    assert told.flatness_db == pytest.approx(0, abs=0.5)
    assert told.line_db < 8
    assert told.pauses
    assert told.kind == "hiss"


@pytest.mark.parametrize("hz", [60, 120, 1000])
def test_hum_in_pauses(stats, hz):
    hum = sine(hz, 0.001 * 2**0.5, 10)
    told = stats.noise_floor(bursts(noise(0.1, 10), 1, 0.5) + hum + noise(0.0001, 10, seed=1), RATE)
    assert told.floor_dbfs == pytest.approx(-60, abs=0.5)
    assert told.line_hz == pytest.approx(hz, abs=21)
    assert told.line_db > 25
    assert told.kind == "hum"


def test_a_tone_in_few_of_the_quiet_frames_is_no_hum(stats):
    hiss = noise(0.001, 10, seed=1)
    hiss[: RATE // 4] += sine(1000, 0.0014, 0.25)
    sound = np.concatenate([hiss[: RATE // 2], noise(0.1, 6), hiss[RATE // 2 : RATE]])
    assert stats.noise_floor(sound, RATE).kind == "hiss"


def test_some_sound_in_the_quiet_frames_is_no_floor(stats):
    sound = noise(0.1, 10)
    sound[: RATE * 6 // 10] = 0
    told = stats.noise_floor(sound, RATE)
    assert (told.floor_dbfs, told.kind) == (-80, "none")


def test_other_floors(stats):
    pauses = bursts(noise(0.1, 10), 1, 0.5)
    silent = stats.noise_floor(pauses, RATE)
    assert (silent.floor_dbfs, silent.relative_db, silent.kind, silent.pauses) == (
        -80,
        pytest.approx(-60, abs=1),
        "none",
        True,
    )
    unheard = stats.noise_floor(5 * pauses + noise(0.0002, 10, seed=1), RATE)
    assert (unheard.relative_db, unheard.kind) == (-60, "none")
    assert stats.noise_floor(pauses + brown(0.001, 10), RATE).kind == "other"
    steady = stats.noise_floor(noise(), RATE)
    assert not steady.pauses
    assert steady.relative_db == pytest.approx(-1, abs=0.5)
    nothing = stats.noise_floor(np.zeros(RATE), RATE)
    assert nothing == stats.NoiseFloor(floor_dbfs=-80, relative_db=0, flatness_db=-80, line_db=0, line_hz=0)


def test_the_generated_floor_against_the_real_ones(stats):
    def floor(relative: float):
        return stats.NoiseFloor(floor_dbfs=relative - 10, relative_db=relative, flatness_db=0, line_db=0, line_hz=0)

    real = {
        "knock": [floor(-40.0 - n) for n in range(20)] + [floor(-10.0)],  # limit: -40.95
        "rain": [floor(-5.0)] * 20,
        "mixed": [floor(-50.0), floor(-5.0)] * 10,
        "rare": [floor(-50.0)] * 4,
    }
    generated = {label: [floor(-60.0), floor(-41.0), floor(-40.9), floor(-20.0)] for label in real}
    told = stats.floor_not_above(generated, real)
    assert told == stats.FloorAgreement(not_above=0.5, n_sounds=4, n_labels=1, left_out=3)
    with pytest.raises(ValueError, match="no label with pauses in nine tenths of its real sounds"):
        stats.floor_not_above(generated, {"rain": real["rain"]})


@pytest.mark.parametrize("function", ["describe", "edge_click", "noise_floor", "onset_times"])
@pytest.mark.parametrize(
    ("waveform", "words"),
    [
        (np.zeros((1, RATE)), r"of shape \(1, 16000\) and type float64; expected \(S,\) of floats, mono"),
        (np.zeros(RATE, np.int16), "and type int16; expected"),
        (np.zeros(3999), "of 3999 samples at 16000 Hz; expected at least 0.25 s"),
        (np.full(RATE, np.nan), "with NaN or infinite samples"),
    ],
)
def test_what_is_no_waveform_is_refused(stats, function, waveform, words):
    with pytest.raises(ValueError, match=words):
        getattr(stats, function)(waveform, RATE)


def test_the_shortest_sound_is_taken(stats):
    assert stats.describe(sine(1000, 0.5, 0.25), RATE)["centroid_hz"] == pytest.approx(1000, abs=5)
    assert stats.noise_floor(sine(1000, 0.5, 0.25), RATE).relative_db == pytest.approx(0, abs=0.1)
    assert not stats.edge_click(faded(sine(1000, 0.5, 0.25)), RATE).ends


def test_what_cannot_be_compared_is_refused(stats):
    sounds = [{"pitch": 1.0}]
    with pytest.raises(ValueError, match="no values to compare"):
        stats.within([], [1.0])
    with pytest.raises(ValueError, match="no reference values"):
        stats.within([1.0], [])
    with pytest.raises(ValueError, match="percentiles 95 and 5; expected 0 <= low <= high <= 100"):
        stats.within([1.0], [1.0], low=95, high=5)
    with pytest.raises(ValueError, match="no generated sounds of 'dog'"):
        stats.within_by_label({"dog": []}, {"dog": sounds * 5})
    with pytest.raises(ValueError, match="no label with at least 5 real sounds"):
        stats.within_by_label({"dog": sounds}, {"dog": sounds * 4})
