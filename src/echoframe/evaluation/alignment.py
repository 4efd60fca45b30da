"""How well two sounds go together in time, without a learned model: onsets, loudness, and what moves, in float64.

*Conventions*: a waveform is mono, (S,), in [-1, 1], at `sample_rate` Hz; only its course counts, not its level. Times are in
seconds, (reference, generated) in this order. All of the reference counts, and no more: a generated sound that ends before it
is silent from there.

*Metrics*: F1 of onsets within a tolerance; correlation of the loudness envelopes, and the lag at which it is highest;
correlation of a sound's onset strength with the motion in a film.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from echoframe.errors import InputError
from echoframe.media.audio import mel_filters

HOP_S = 0.01
WINDOW_S = 0.04
BANDS = 40
RANGE_DB = 60.0  # under the loudest band: what lies lower is silence
ENVELOPE_RANGE_DB = 40.0
RISE_DB = 3.0  # an onset's strength beyond the median around it
AROUND_S = 0.4  # to each side, for that median
APART_S = 0.08  # between two onsets
SILENCE = 1e-4  # a peak of -80 dBFS


def onset_strength(waveform: Float[np.ndarray, " samples"], sample_rate: int) -> Float[np.ndarray, " frames"]:
    """How much louder each 10 ms is than 20 ms before: the mean over 40 mel bands of what rises, in dB, 0 or more.

    Spectral flux of log magnitudes with half-wave rectification (Dixon 2006, section 2; the lag of Boeck and Widmer 2013).
    Bands are floored 60 dB under the loudest of the sound, so that its level does not count.
    """
    hop, window = round(HOP_S * sample_rate), round(WINDOW_S * sample_rate)
    samples = _checked(waveform)
    padded = np.pad(samples, (window // 2, window // 2 + hop), mode="symmetric")  # zeros would end in an onset
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][: len(samples) // hop + 1]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(window + 2)[1:-1])))
    filters = mel_filters(
        sample_rate=sample_rate, n_fft=window, n_mels=BANDS, f_min=30.0, f_max=sample_rate / 2, htk=True, norm="slaney"
    )
    bands = power @ filters.T.astype(np.float64)  # (T, bands)
    if np.abs(samples).max() < SILENCE:
        return np.zeros(len(bands))
    level = 10 * np.log10(np.maximum(bands, bands.max() * 10 ** (-RANGE_DB / 10)))
    before = np.concatenate([level[:1], level[:1], level[:-2]])  # what sounds from the start has no onset
    return np.maximum(level - before, 0).mean(axis=1)


def onsets(waveform: Float[np.ndarray, " samples"], sample_rate: int) -> Float[np.ndarray, " onsets"]:
    """When sounds begin, in seconds, rising: peaks of `onset_strength` 3 dB or more above the median of 0.4 s to each side,
    80 ms apart or more, the stronger of two that are nearer (Boeck, Krebs and Schedl 2012, section 2.4). None in silence.
    """
    strength = onset_strength(waveform, sample_rate)
    around = round(AROUND_S / HOP_S)
    views = np.lib.stride_tricks.sliding_window_view(np.pad(strength, around, mode="edge"), 2 * around + 1)
    beyond = strength - np.median(views, axis=1)
    middle = strength[1:-1]
    peaks = np.flatnonzero((middle > strength[:-2]) & (middle >= strength[2:])) + 1
    if strength.size > 1 and strength[0] > strength[1]:
        peaks = np.append(0, peaks)
    found: list[int] = []
    for peak in sorted(peaks[beyond[peaks] >= RISE_DB], key=lambda peak: -strength[peak]):
        if all(abs(peak - other) * HOP_S >= APART_S for other in found):
            found.append(int(peak))
    return np.array(sorted(found), dtype=np.float64) * HOP_S


@dataclass(frozen=True, kw_only=True, slots=True)
class OnsetScore:
    """0 to 1 each, 1 is best."""

    f1: float
    precision: float
    recall: float


def onset_f1(
    reference: Float[np.ndarray, " r"], generated: Float[np.ndarray, " g"], *, tolerance_s: float
) -> OnsetScore | None:
    """Onsets (s, rising) matched one to one within `tolerance_s`, as many as can be: precision is their share of the
    generated, recall of the reference's, F1 their harmonic mean, as mir_eval's onset.f_measure. Where neither sound
    has an onset there is nothing to compare: None, where mir_eval says 0. Where one of them has none: 0.
    """
    if not len(reference) and not len(generated):
        return None
    matched = i = j = 0
    while i < len(reference) and j < len(generated):  # of two rising lists, taking the first that fits matches the most
        apart = generated[j] - reference[i]
        if abs(apart) <= tolerance_s + 1e-9:
            matched, i, j = matched + 1, i + 1, j + 1
        elif apart > 0:
            i += 1
        else:
            j += 1
    precision, recall = matched / max(len(generated), 1), matched / max(len(reference), 1)
    return OnsetScore(f1=2 * matched / (len(reference) + len(generated)), precision=precision, recall=recall)


def envelope(waveform: Float[np.ndarray, " samples"], sample_rate: int) -> Float[np.ndarray, " frames"]:
    """Loudness every 10 ms over 40 ms: RMS in dB under the loudest, -40 at least; all -40 for silence. (S,) -> (T,)."""
    hop, window = round(HOP_S * sample_rate), round(WINDOW_S * sample_rate)
    samples = _checked(waveform)
    if np.abs(samples).max() < SILENCE:
        return np.full(len(samples) // hop + 1, -ENVELOPE_RANGE_DB)
    power = np.pad(np.cumsum(np.square(np.pad(samples, (window // 2, window)))), (1, 0))
    first = np.arange(len(samples) // hop + 1) * hop
    mean = (power[first + window] - power[first]) / window
    return 10 * np.log10(np.maximum(mean / mean.max(), 10 ** (-ENVELOPE_RANGE_DB / 10)))


def envelope_correlation(reference: Float[np.ndarray, " t"], generated: Float[np.ndarray, " u"]) -> float:
    """Pearson correlation of two envelopes, -1 to 1; 1 is best. One that never changes has 0, two that never change 1."""
    generated = _as_long(generated, len(reference), -ENVELOPE_RANGE_DB)
    if _is_flat(reference) and _is_flat(generated):
        return 1.0
    return _pearson(reference, generated)


def _as_long(values: np.ndarray, n: int, filling: float) -> np.ndarray:
    return np.pad(values[:n], (0, max(n - len(values), 0)), constant_values=filling)


def _is_flat(values: np.ndarray) -> bool:
    return bool(np.square(values - values.mean()).sum() < 1e-12)


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    """0 where one of them never changes."""
    if _is_flat(one) or _is_flat(other):
        return 0.0
    x, y = one - one.mean(), other - other.mean()
    return float(np.clip(x @ y / np.sqrt(np.square(x).sum() * np.square(y).sum()), -1.0, 1.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Lag:
    """lag_s: positive if the generated sound comes late. correlation: at that lag."""

    lag_s: float
    correlation: float


def best_lag(reference: Float[np.ndarray, " t"], generated: Float[np.ndarray, " u"], *, most_s: float = 1.0) -> Lag:
    """The shift of up to `most_s` seconds, and half the length, at which two envelopes correlate best, each time over what
    both have; the smallest of equals. Two that never change agree without a shift. Where else no shift correlates, the
    longest: nothing is won by silence, nor by shifting until what happens is out of sight.
    """
    n = len(reference)
    generated = _as_long(generated, n, -ENVELOPE_RANGE_DB)
    if _is_flat(reference) and _is_flat(generated):
        return Lag(lag_s=0.0, correlation=1.0)
    most = min(round(most_s / HOP_S), n // 2)
    found = [
        (_pearson(reference[max(-lag, 0) : n - max(lag, 0)], generated[max(lag, 0) : n - max(-lag, 0)]), lag)
        for lag in range(-most, most + 1)
    ]
    best = max(value for value, _ in found)
    lag = min((lag for value, lag in found if value > best - 1e-9), key=abs) if best > 0 else most
    return Lag(lag_s=lag * HOP_S, correlation=best)


def motion_correlation(
    strength: Float[np.ndarray, " t"], motion: Float[np.ndarray, " u"], *, frame_rate: float
) -> float:
    """Pearson correlation of a sound's onset strength (every 10 ms) with what moves in each frame, -1 to 1; 1 is best.

    Both are smoothed over 100 ms: sound and picture of one event are seldom nearer. All of the film counts.
    """
    strength = _as_long(strength, max(round(len(motion) / frame_rate / HOP_S), 1), 0.0)
    times = np.arange(len(motion) / frame_rate * 25 // 1) / 25
    if len(times) < 3:
        return 0.0
    heard = np.interp(times, np.arange(len(strength)) * HOP_S, _smooth(strength, round(0.1 / HOP_S)))
    seen = np.interp(times, np.arange(len(motion)) / frame_rate, _smooth(motion, max(round(0.1 * frame_rate), 1)))
    return _pearson(heard, seen)


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _checked(waveform: np.ndarray) -> np.ndarray:
    samples = np.asarray(waveform, dtype=np.float64)
    if not samples.size or not np.isfinite(samples).all():
        raise InputError(f"a waveform of {samples.size} samples, not all finite; give at least one, and no NaN")
    return samples
