"""How well two sounds go together in time, without a learned model: loudness, and what moves, in float64.

*Conventions*: a waveform is mono, (S,), in [-1, 1], at `sample_rate` Hz; only its course counts, not its level. Times are in
seconds, (reference, generated) in this order. All of the reference counts, and no more: a generated sound that ends before it
is silent from there.

*Metrics*: F1 of onsets within a tolerance; correlation of the loudness envelopes, and the lag at which it is highest;
correlation of a sound's onset strength with the motion in a film.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from echoframe.media.onsets import HOP_S, SILENCE, WINDOW_S, checked

ENVELOPE_RANGE_DB = 40.0
FLAT = 1e-12  # the sum of squares about the mean, of what never changes


def envelope(waveform: Float[np.ndarray, " samples"], sample_rate: int) -> Float[np.ndarray, " frames"]:
    """Loudness every 10 ms over 40 ms: RMS in dB under the loudest, -40 at least; all -40 for silence. (S,) -> (T,)."""
    hop, window = round(HOP_S * sample_rate), round(WINDOW_S * sample_rate)
    samples = checked(waveform)
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
    return bool(np.square(values - values.mean()).sum() < FLAT)


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    """0 where one of them never changes."""
    return float(_pearson_by_lag(one, other, 0)[0])


def _pearson_by_lag(one: np.ndarray, other: np.ndarray, most: int) -> np.ndarray:
    """The same for each lag of the other, -most to most, over what both (N,) have then: (2 most + 1,)."""
    shifted = sliding_window_view(np.pad(other, most), len(one))
    both = sliding_window_view(np.pad(np.ones(len(one)), most), len(one))

    def centred(values: np.ndarray) -> np.ndarray:
        return both * (values - (both * values).sum(1, keepdims=True) / both.sum(1, keepdims=True))

    x, y = centred(one), centred(shifted)
    x_power, y_power = np.square(x).sum(1), np.square(y).sum(1)
    changes = np.minimum(x_power, y_power) >= FLAT
    scale = np.sqrt(np.where(changes, x_power * y_power, 1.0))
    return np.where(changes, np.clip((x * y).sum(1) / scale, -1.0, 1.0), 0.0)


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
    found = _pearson_by_lag(reference, generated, most)
    best = float(found.max())
    lags = np.flatnonzero(found > best - 1e-9) - most
    lag = int(min(lags, key=abs)) if best > 0 else most
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
