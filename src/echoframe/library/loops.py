"""Two places at which a sound can be joined to itself: where what surrounds the one is most like what surrounds the other."""

import numpy as np
from jaxtyping import Float

AROUND_S = 0.02  # to each side of a place, is compared
STARTS = 4  # places tried, in the first fourth


def loop_points(waveform: Float[np.ndarray, " samples"], sample_rate: int) -> tuple[int, int] | None:
    """Places start and stop in a mono sound: after stop - 1, start follows with the least break.

    None for silence, and for a sound that is too short.

    Starts are rising zero crossings of the first fourth; of the last half the place is taken whose surroundings have
    the largest normalised correlation with a start's.
    """
    n, around = len(waveform), round(AROUND_S * sample_rate)
    first = n // 2
    if first - around < 2 * around or around < 2:
        return None
    samples = np.asarray(waveform, dtype=np.float64)
    tail = samples[first - around :]
    energy = np.concatenate([[0.0], np.cumsum(np.square(tail))])
    lengths = np.sqrt(np.maximum(energy[2 * around :] - energy[: -2 * around], 1e-12))  # (places,)
    size = 1 << (len(tail) + 2 * around - 1).bit_length()
    spectrum = np.fft.rfft(tail, size)
    best, found = -1.0, None
    for start in _starts(samples, around):
        near = samples[start - around : start + around]
        length = float(np.linalg.norm(near))
        if length < 1e-6:
            continue
        products = np.fft.irfft(spectrum * np.conj(np.fft.rfft(near, size)), size)[: len(lengths)]
        alike = products / (lengths * length)
        place = int(alike.argmax())
        if alike[place] > best:
            best, found = float(alike[place]), (start, first + place)
    return found


def _starts(samples: np.ndarray, around: int) -> list[int]:
    """The first rising zero crossing after each of a few places of the first fourth."""
    found = []
    for place in np.linspace(around, max(len(samples) // 4, around), STARTS).astype(int).tolist():
        part = samples[place : place + around]
        rising = np.flatnonzero((part[:-1] < 0) & (part[1:] >= 0))
        if rising.size:
            found.append(place + int(rising[0]) + 1)
    return sorted(set(found))
