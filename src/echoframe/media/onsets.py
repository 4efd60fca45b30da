"""When sounds begin, and how well that fits: without a learned model, in float64.

*Conventions*: a waveform is mono, (S,), in [-1, 1], at `sample_rate` Hz; only its course counts, not its level. Times are in
seconds, (reference, generated) in this order.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from echoframe.errors import InputError
from echoframe.media.audio import mel_filters

HOP_S = 0.01
WINDOW_S = 0.04
BANDS = 40
RANGE_DB = 60.0  # under the loudest band: what lies lower is silence
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
    samples = checked(waveform)
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
    loud = peaks[beyond[peaks] >= RISE_DB]
    return np.array(strongest_apart(loud, strength, round(APART_S / HOP_S)), dtype=np.float64) * HOP_S


def strongest_apart(places: Int[np.ndarray, " p"], strength: Float[np.ndarray, " frames"], least: int) -> list[int]:
    """Those of `places` that are `least` frames from each other at least, rising; the stronger of two that are nearer."""
    found: list[int] = []
    for place in sorted(places.tolist(), key=lambda place: -strength[place]):
        if all(abs(place - other) >= least for other in found):
            found.append(place)
    return sorted(found)


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


def checked(waveform: np.ndarray) -> np.ndarray:
    """A waveform in float64. Raises InputError for none, and for one that is not finite."""
    samples = np.asarray(waveform, dtype=np.float64)
    if not samples.size or not np.isfinite(samples).all():
        raise InputError(f"a waveform of {samples.size} samples, not all finite; give at least one, and no NaN")
    return samples
