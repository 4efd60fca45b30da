"""What can be counted of a sound without a model, and whether generated sounds lie where real ones of their label do.

*Conventions*: a waveform is mono, (S,), in [-1, 1]; `rate` in Hz. Levels are RMS in dBFS: a square wave of full scale
has 0, a sine -3.01; all are floored at -80. Frames are 50 ms long, one every 25 ms, each without its mean; spectra are
theirs with a Hann window, from 40 Hz up. A frame is silent if what its window leaves is at -80 dBFS, or 40 dB under the
loudest frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from echoframe.media.audio import mel_filters

SHORTEST_S = 0.25
FLOOR_DBFS = -80.0
FRAME_S, HOP_S = 0.05, 0.025
LOWEST_HZ = 40.0
SILENT_DB = 40.0  # under the loudest frame
MIN_REAL = 5  # real sounds of a label, for its range to count

Wave = torch.Tensor | np.ndarray
Statistics = dict[str, float]


def describe(waveform: Wave, rate: int) -> Statistics:
    """Six statistics of a sound.

    level_dbfs      RMS of the whole sound without its mean.
    level_range_db  95th minus 5th percentile of the frames' levels.
    centroid_hz     spectral centroid, weighted by power; this and the next two are means over the frames not silent.
    rolloff_hz      the frequency under which 85 % of the power lies.
    flatness_db     geometric over arithmetic mean of the power spectrum (bins 80 dB under the strongest count as that):
                    -2.5 for white noise, under -40 for a sine.
    onsets_per_s    `onset_times` over the duration.

    A silent sound has level and flatness -80 and 0 for everything else.
    """
    samples = _checked(waveform, rate)
    frames = _frames(samples, rate, FRAME_S, HOP_S)
    levels = _levels(frames)
    power, hz = _spectra(frames, rate)
    left = _decibels(power.mean(axis=1))
    power = power[left > max(FLOOR_DBFS, left.max() - SILENT_DB)]
    centroid = rolloff = 0.0
    flatness = FLOOR_DBFS
    if len(power):
        total = power.sum(axis=1)
        centroid = float((power @ hz / total).mean())
        rolloff = float(hz[(power.cumsum(axis=1) >= 0.85 * total[:, None]).argmax(axis=1)].mean())
        flatness = float(_flatness_db(power).mean())
    return {
        "level_dbfs": float(_levels((samples - samples.mean())[None])[0]),
        "level_range_db": float(np.percentile(levels, 95) - np.percentile(levels, 5)),
        "centroid_hz": centroid,
        "rolloff_hz": rolloff,
        "flatness_db": flatness,
        "onsets_per_s": len(onset_times(samples, rate)) / (len(samples) / rate),
    }


ONSET_WINDOW_S, ONSET_HOP_S = 0.032, 0.01
ONSET_BANDS, FEWEST_BANDS = 24, 8
ONSET_LAG = 2  # frames
ONSET_DEPTH_DB = 60.0  # what lies further under the loudest band is not heard
ONSET_REACH, ONSET_MEMORY = 3, 9  # frames
ONSET_RISE_DB = 3.0


def onset_times(waveform: Wave, rate: int) -> np.ndarray:
    """When something begins, in seconds, (N,): peaks of the spectral flux. What already sounds at 0 s is no onset.

    *Flux* (Bello et al. 2005, "A Tutorial on Onset Detection in Music Signals", section III.B, on a logarithmic scale):
    the rises of 24 mel bands in dB over 20 ms, falls being 0, summed and divided by the number of bands in use, or by 8
    if these are fewer. Windows of 32 ms, one every 10 ms; band levels are floored 60 dB under the sound's loudest band
    and at -80 dBFS, and a band above that is in use.

    *Peaks* (Dixon 2006, "Onset Detection Revisited", section 2.6): largest within 30 ms on both sides, and above the
    mean from 90 ms before to 30 ms after. Where Dixon asks for a part of the standard deviation, which finds onsets in
    any steady noise, it must be 3 dB above. A sudden end spreads over the bands as well: no peak counts if the level of
    all bands together is 10 ms after it more than 1 dB lower than 20 ms before it.

    Steady white noise and tones have none; noise 250 Hz wide swells by itself and has up to one a second; a growl's
    pulses count one by one.
    """
    samples = _checked(waveform, rate)
    power, _ = _spectra(_frames(samples, rate, ONSET_WINDOW_S, ONSET_HOP_S), rate, lowest_hz=0)
    n_fft = round(ONSET_WINDOW_S * rate)
    filters = mel_filters(
        sample_rate=rate, n_fft=n_fft, n_mels=ONSET_BANDS, f_min=LOWEST_HZ, f_max=rate / 2, htk=False, norm="l1"
    )
    bands = _decibels(power @ filters.T)
    lowest = max(FLOOR_DBFS, bands.max() - ONSET_DEPTH_DB)
    bands = bands.clip(lowest)
    used = (bands > lowest).sum(axis=1).clip(FEWEST_BANDS)
    whole = _decibels(power.mean(axis=1))
    flux = (bands[ONSET_LAG:] - bands[:-ONSET_LAG]).clip(0).sum(axis=1) / used[ONSET_LAG:]
    growth = np.append(whole[ONSET_LAG + 1 :], whole[-1]) - whole[:-ONSET_LAG]
    peaks = []
    for n in np.flatnonzero(flux >= ONSET_RISE_DB):
        before = flux[max(0, n - ONSET_REACH) : n]
        after = flux[n + 1 : n + 1 + ONSET_REACH]
        around = flux[max(0, n - ONSET_MEMORY) : n + 1 + ONSET_REACH]
        highest = (before < flux[n]).all() and (after <= flux[n]).all()
        if highest and flux[n] >= around.mean() + ONSET_RISE_DB and growth[n] >= -1:
            peaks.append(n)
    return (np.array(peaks, dtype=float) + ONSET_LAG) * ONSET_HOP_S + ONSET_WINDOW_S / 2


def within(values: Sequence[float], reference: Sequence[float], low: float = 5, high: float = 95) -> float:
    """The share of `values` between the percentiles `low` and `high` of `reference`, both included."""
    bottom, top = _span(reference, low, high)
    inside = np.asarray(values, dtype=float)
    if len(inside) == 0:
        raise ValueError("no values to compare: give at least one")
    return float(((inside >= bottom) & (inside <= top)).mean())


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often generated sounds lie in the range of their label's real ones, in one statistic.

    labels_inside: share of the labels whose generated median does; sounds_inside: share of the single sounds that do;
    n_labels, n_sounds: how many these are; left_out: labels not counted, having fewer than 5 real sounds.
    """

    labels_inside: float
    sounds_inside: float
    n_labels: int
    n_sounds: int
    left_out: int


def within_by_label(
    generated: Mapping[str, Sequence[Statistics]], real: Mapping[str, Sequence[Statistics]]
) -> dict[str, Agreement]:
    """`Agreement` in every statistic of `describe`, in the 5th to 95th percentile of each label's real sounds.

    Other real sounds do not reach 1 either, by far not where a label has few: of a tenth of the sounds one expects that
    they lie outside, and of 5 sounds the range holds 3. Other real sounds given as `generated` are the ceiling.
    """
    counted = _counted(generated, real)
    agreements = {}
    for name in real[counted[0]][0]:
        medians, singles = [], []
        for label in counted:
            reference = [sound[name] for sound in real[label]]
            values = [sound[name] for sound in generated[label]]
            medians.append(within([float(np.median(values))], reference))
            singles += [within([value], reference) for value in values]
        agreements[name] = Agreement(
            labels_inside=float(np.mean(medians)),
            sounds_inside=float(np.mean(singles)),
            n_labels=len(counted),
            n_sounds=len(singles),
            left_out=len(generated) - len(counted),
        )
    return agreements


CLICK_S, NEIGHBOURS_S = 0.005, 0.2
CLICK_FACTOR = 2.0
CLICK_LEAST = 0.003  # -50 dBFS


@dataclass(frozen=True, kw_only=True)
class EdgeClick:
    """Whether a sound begins and whether it ends with a click."""

    begins: bool
    ends: bool


def edge_click(waveform: Wave, rate: int) -> EdgeClick:
    """Whether the sound begins or ends with a click.

    Outside its ends a sound is zero, so that one cut in the middle of a wave jumps there. An end clicks if the largest
    jump from sample to sample in its outer 5 ms, the one from or to zero included, is at least 0.003 and more than twice
    the 99.9th percentile of the jumps in the 200 ms beside them (all there is, in a shorter sound). Noise and high tones
    jump as far all the time: cut off, they do not count as a click.
    """
    samples = _checked(waveform, rate)
    return EdgeClick(begins=_begins_with_click(samples, rate), ends=_begins_with_click(samples[::-1], rate))


def _begins_with_click(samples: np.ndarray, rate: int) -> bool:
    jumps = np.abs(np.diff(samples, prepend=0.0))
    edge, stop = round(CLICK_S * rate), round((CLICK_S + NEIGHBOURS_S) * rate)
    largest = jumps[:edge].max()
    return bool(largest >= CLICK_LEAST and largest > CLICK_FACTOR * np.percentile(jumps[edge:stop], 99.9))


QUIETEST = 0.1  # of the frames
PAUSE_DB = -30.0  # relative to the loudest frame
INAUDIBLE_DB = -60.0  # relative to the loudest frame
HISS_FLATNESS_DB = -10.0
HUM_LINE_DB = 15.0
LOWEST_LINE_HZ = 60.0


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """What is left in the quietest tenth of a sound's frames.

    floor_dbfs: the median of their levels; relative_db: that minus the loudest frame's level, -60 at least, as what lies
    lower is not heard; flatness_db: of their median power spectrum, 0 for much white noise; line_db: how far the
    strongest line of that spectrum stands out (`_strongest_line`); line_hz: where.
    """

    floor_dbfs: float
    relative_db: float
    flatness_db: float
    line_db: float
    line_hz: float

    @property
    def pauses(self) -> bool:
        """Whether the sound has pauses: its quietest tenth is 30 dB under its loudest frame, or more."""
        return self.relative_db <= PAUSE_DB

    @property
    def kind(self) -> str:
        """What the floor is like: one of four words.

        "none" if it is not heard (-80 dBFS, or 60 dB under the loudest frame); "hum" if a line stands out by 15 dB or
        more; "hiss" if the flatness is at least -10 dB; else "other". Only in pauses is this noise: elsewhere, and where
        a string rings out, it is the sound.
        """
        if self.floor_dbfs <= FLOOR_DBFS or self.relative_db <= INAUDIBLE_DB:
            return "none"
        if self.line_db >= HUM_LINE_DB:
            return "hum"
        return "hiss" if self.flatness_db >= HISS_FLATNESS_DB else "other"


def noise_floor(waveform: Wave, rate: int) -> NoiseFloor:
    """The floor under a sound, and of what kind it is. A silent sound has -80, 0 relative to itself, and no line.

    All medians: few frames that hold a part of the sound change nothing, and a line must be there in most frames.
    """
    frames = _frames(_checked(waveform, rate), rate, FRAME_S, HOP_S)
    levels = _levels(frames)
    quiet = np.argsort(levels, kind="stable")[: max(1, round(QUIETEST * len(levels)))]
    floor = np.median(levels[quiet])
    if floor <= FLOOR_DBFS:
        flatness, line, line_hz = FLOOR_DBFS, 0.0, 0.0
    else:
        power, hz = _spectra(frames[quiet], rate)
        spectrum = np.median(power, axis=0)
        flatness = float(_flatness_db(spectrum[None])[0])
        line, line_hz = _strongest_line(spectrum, hz)
    relative = max(floor - levels.max(), INAUDIBLE_DB)
    return NoiseFloor(
        floor_dbfs=float(floor), relative_db=float(relative), flatness_db=flatness, line_db=line, line_hz=line_hz
    )


def _strongest_line(power: np.ndarray, hz: np.ndarray) -> tuple[float, float]:
    """How far the strongest line of a spectrum (bins,) stands out in dB, and where it is in Hz, from 60 Hz up.

    A line is measured against the lowest of the bins 3 to 5 places beside it (nearer ones a Hann window fills too), on
    the side where that is higher: noise that falls steeply is no line. All bins are floored at -80 dBFS. Harmonics
    nearer to each other than 80 Hz are not told apart.
    """
    levels = _decibels(power).clip(FLOOR_DBFS)
    heights = np.zeros(len(levels))
    for n in np.flatnonzero(hz >= LOWEST_LINE_HZ):
        sides = (levels[max(0, n - 5) : max(0, n - 2)], levels[n + 3 : n + 6])
        heights[n] = levels[n] - max(side.min() for side in sides if len(side))
    strongest = int(heights.argmax())
    return float(heights[strongest]), float(hz[strongest])


@dataclass(frozen=True, kw_only=True)
class FloorAgreement:
    """not_above: share of the generated sounds whose floor is not above their label's real ones'; n_sounds, n_labels: how
    many these are; left_out: labels not counted, having fewer than 5 real sounds or real sounds without pauses."""

    not_above: float
    n_sounds: int
    n_labels: int
    left_out: int


def floor_not_above(
    generated: Mapping[str, Sequence[NoiseFloor]], real: Mapping[str, Sequence[NoiseFloor]]
) -> FloorAgreement:
    """How often a generated sound's `relative_db` is at most the 95th percentile of its label's real sounds with pauses.

    Labels count if at least nine tenths of their real sounds have pauses; whether the generated ones have any is what is
    asked. Of many other real sounds 0.85 or more are expected.
    """
    enough = _counted(generated, real)
    counted = [label for label in enough if np.mean([sound.pauses for sound in real[label]]) >= 0.9]
    if not counted:
        raise ValueError("no label with pauses in nine tenths of its real sounds: nothing to compare")
    fine: list[bool] = []
    for label in counted:
        _, limit = _span([sound.relative_db for sound in real[label] if sound.pauses], 0, 95)
        fine += [sound.relative_db <= limit for sound in generated[label]]
    return FloorAgreement(
        not_above=float(np.mean(fine)),
        n_sounds=len(fine),
        n_labels=len(counted),
        left_out=len(generated) - len(counted),
    )


def _checked(waveform: Wave, rate: int) -> np.ndarray:
    """`waveform` in float64, (S,)."""
    taken = waveform.detach().cpu().numpy() if isinstance(waveform, torch.Tensor) else waveform
    if taken.ndim != 1 or not np.issubdtype(taken.dtype, np.floating):
        raise ValueError(f"a waveform of shape {taken.shape} and type {taken.dtype}; expected (S,) of floats, mono")
    if len(taken) < SHORTEST_S * rate:
        raise ValueError(f"a waveform of {len(taken)} samples at {rate} Hz; expected at least {SHORTEST_S} s")
    if not np.isfinite(taken).all():
        raise ValueError("a waveform with NaN or infinite samples; expected finite ones")
    return taken.astype(np.float64)


def _frames(samples: np.ndarray, rate: int, frame_s: float, hop_s: float) -> np.ndarray:
    """(frames, S of a frame), each without its mean; what does not fill a frame at the end is left out."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, round(frame_s * rate))[:: round(hop_s * rate)]
    return frames - frames.mean(axis=1, keepdims=True)


def _levels(frames: np.ndarray) -> np.ndarray:
    """(N, S) -> (N,) RMS in dBFS, -80 at least."""
    return _decibels(np.square(frames).mean(axis=1)).clip(FLOOR_DBFS)


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-20))


def _spectra(frames: np.ndarray, rate: int, lowest_hz: float = LOWEST_HZ) -> tuple[np.ndarray, np.ndarray]:
    """Power spectra (N, bins) and the bins' frequencies in Hz; white noise of level L has L in every bin."""
    length = frames.shape[1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    power = np.square(np.abs(np.fft.rfft(frames * window, axis=1))) / np.square(window).sum()
    hz = np.fft.rfftfreq(length, 1 / rate)
    return power[:, hz >= lowest_hz], hz[hz >= lowest_hz]


def _flatness_db(power: np.ndarray) -> np.ndarray:
    """(N, bins) -> (N,)."""
    floored = np.maximum(power, power.max(axis=1, keepdims=True) * 1e-8)
    return _decibels(floored).mean(axis=1) - _decibels(floored.mean(axis=1))


def _span(reference: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """The percentiles `low` and `high`, interpolated linearly."""
    if len(reference) == 0:
        raise ValueError("no reference values: give at least one")
    if not 0 <= low <= high <= 100:
        raise ValueError(f"percentiles {low} and {high}; expected 0 <= low <= high <= 100")
    bottom, top = np.percentile(np.asarray(reference, dtype=float), [low, high])
    return float(bottom), float(top)


def _counted(generated: Mapping[str, Sequence], real: Mapping[str, Sequence]) -> list[str]:
    """The generated labels with enough real sounds, sorted."""
    empty = sorted(label for label, sounds in generated.items() if not sounds)
    if empty:
        raise ValueError(f"no generated sounds of {empty[0]!r}: leave the label out or give at least one")
    counted = sorted(label for label in generated if len(real.get(label, ())) >= MIN_REAL)
    if not counted:
        raise ValueError(f"no label with at least {MIN_REAL} real sounds: nothing to compare")
    return counted
