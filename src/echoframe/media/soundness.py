"""How sound a recording is: whether it is mostly silent, clipped, clicks or hums.

*Conventions*: a waveform is (S,) float in [-1, 1]. Each fault is a number from 0, none, to 1, as bad as it can be.
"""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

FRAME_S = 0.02
SILENT_DB = -60.0  # of full scale; and under the loudest frame, what counts as silent
MOST_SILENT = 0.7  # share of silent frames that is no fault: a dog barks now and then
FULL = 0.999  # of full scale; samples at it are clipped
MOST_CLIPPED = 0.01  # share of clipped samples that is as bad as it can be
JUMP, AROUND_S, LEAST_JUMP = 25.0, 0.01, 0.05  # a click: that many times the usual bend around it, and of full scale
MOST_CLICKS = 4.0  # a second
MAINS_HZ, N_LINES, LINE_HZ, PROMINENT = (50.0, 60.0), 4, 1.5, 30.0  # a line of hum stands out by so much in power


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults:
    """What is wrong with a sound, each from 0 to 1."""

    silence: float
    clipping: float
    clicks: float
    hum: float

    @property
    def soundness(self) -> float:
        """1 where nothing is wrong, 0 where one fault is as bad as it can be.

        >>> Faults(silence=0.5, clipping=0.0, clicks=0.5, hum=0.0).soundness
        0.25
        """
        return float(np.prod([1 - fault for fault in asdict(self).values()]))


def faults(waveform: Float[np.ndarray, " samples"], sample_rate: int) -> Faults:
    """What is wrong with a sound of at least one sample. sample_rate: Hz."""
    samples = waveform.astype(np.float64)
    return Faults(
        silence=_silence(samples, sample_rate),
        clipping=min(float((np.abs(samples) >= FULL).mean()) / MOST_CLIPPED, 1.0),
        clicks=min(_n_clicks(samples, sample_rate) / (len(samples) / sample_rate) / MOST_CLICKS, 1.0),
        hum=_hum(samples, sample_rate),
    )


def _silence(samples: np.ndarray, sample_rate: int) -> float:
    length = max(min(round(FRAME_S * sample_rate), len(samples)), 1)
    power = np.square(samples[: len(samples) // length * length].reshape(-1, length)).mean(axis=1)
    share = float((power < max(float(power.max()), 1e-12) * 10 ** (SILENT_DB / 10)).mean())
    if power.max() < 10 ** (SILENT_DB / 10):
        return 1.0
    return max(share - MOST_SILENT, 0.0) / (1 - MOST_SILENT)


def _n_clicks(samples: np.ndarray, sample_rate: int) -> int:
    """Single samples at which the waveform bends far more than around them; neighbours count once."""
    bend = np.abs(np.diff(samples, n=2))
    around = max(round(AROUND_S * sample_rate), 2)
    if len(bend) < 2 * around:
        return 0
    blocks = bend[: len(bend) // around * around].reshape(-1, around)
    median = np.pad(np.median(blocks, axis=1), 1, mode="edge")
    usual = np.repeat(np.maximum(np.maximum(median[:-2], median[1:-1]), median[2:]), around)  # an attack is near
    usual = np.concatenate([usual, np.full(len(bend) - len(usual), usual[-1])])
    places = np.flatnonzero((bend > JUMP * usual) & (bend > LEAST_JUMP))
    if len(places) == 0:
        return 0
    groups = np.split(places, np.flatnonzero(np.diff(places) > around) + 1)
    # an attack bends for as long as it lasts, a click for two or three samples
    return sum(1 for group in groups if group[-1] - group[0] <= 3)


def _hum(samples: np.ndarray, sample_rate: int) -> float:
    """The share of the power in narrow lines at the mains' frequency and its multiples, of whichever mains is louder."""
    power = np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))))
    hertz = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    total = float(power.sum())
    if total <= 0 or sample_rate / len(samples) > LINE_HZ:
        return 0.0
    shares = []
    for mains in MAINS_HZ:
        lines = 0.0
        for k in range(1, N_LINES + 1):
            far = np.abs(hertz - k * mains)
            inside, beside = far <= LINE_HZ, (far > 2 * LINE_HZ) & (far <= 8 * LINE_HZ)
            if inside.any() and beside.any() and power[inside].mean() > PROMINENT * power[beside].mean():
                lines += float(power[inside].sum())
        shares.append(lines / total)
    return min(max(shares), 1.0)
