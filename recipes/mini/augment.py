"""The same sound, slightly other: changes a listener would not name a label by. float32 (S,) at 16 kHz, in and out.

Speed moves pitch and time together, up to a semitone; the equaliser is a smooth random curve of +-6 dB; the room is
exponentially decaying noise, 0.1 to 0.6 s to -60 dB, at most as loud as 10 dB under the dry sound; the quiet ambience
behind lies 24 to 36 dB under the sound's own level. A scene is scaled to one peak afterwards, so gain needs none.
"""

import numpy as np

RATE = 16_000  # Hz
SEMITONES = 1.0
EQ_DB, EQ_POINTS = 6.0, 6
ROOM_SHARE, AMBIENCE_SHARE = 0.3, 0.2  # of the varied scenes


def change_speed(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to a semitone faster or slower, by linear interpolation."""
    speed = 2 ** rng.uniform(-SEMITONES / 12, SEMITONES / 12)
    places = np.arange(0, len(samples) - 1, speed)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def equalise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A gain that wanders by up to 6 dB between six points spread evenly in log frequency from 60 Hz to 8 kHz."""
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    points = np.geomspace(60, RATE / 2, EQ_POINTS)
    gain_db = np.interp(np.log(np.maximum(frequencies, 1.0)), np.log(points), rng.uniform(-EQ_DB, EQ_DB, EQ_POINTS))
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(samples)).astype(np.float32)


def add_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A room's tail behind the sound, cut where the sound's own samples end."""
    seconds = rng.uniform(0.1, 0.6)
    times = np.arange(int(seconds * RATE)) / RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    size = len(samples) + len(tail)
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]
    level = 10 ** (rng.uniform(-24, -10) / 20) * np.std(samples) / max(np.std(wet), 1e-9)
    return (samples + level * wet).astype(np.float32)


def add_ambience(samples: np.ndarray, ambience: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another recording, repeated to the same length, far behind."""
    behind = np.resize(ambience, len(samples))
    level = 10 ** (rng.uniform(-36, -24) / 20) * np.std(samples) / max(np.std(behind), 1e-9)
    return (samples + level * behind).astype(np.float32)


def vary(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another speed and spectrum, and sometimes a room."""
    samples = equalise(change_speed(samples, rng), rng)
    return add_room(samples, rng) if rng.uniform() < ROOM_SHARE else samples
