"""Sounds whose every event is known, for the tests of the library."""

import numpy as np

RATE = 8000  # Hz


def tone(duration_s: float, hz: float, level: float = 0.5) -> np.ndarray:
    """A sine, (S,) float32."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(duration_s * RATE)) / RATE)).astype(np.float32)


def noise(duration_s: float, level: float, seed: int = 0) -> np.ndarray:
    """White noise of that standard deviation, (S,) float32."""
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(round(duration_s * RATE))).clip(-1, 1).astype(np.float32)


def click_at(times_s: list[float], duration_s: float, *, seed: int = 0) -> np.ndarray:
    """Knocks of noise that begin at 0.5 and fall by 60 dB within 0.4 s, in silence: (S,) float32."""
    sound = np.zeros(round(duration_s * RATE))
    times = np.arange(round(0.4 * RATE)) / RATE
    for i, time_s in enumerate(times_s):
        signs = np.sign(np.random.default_rng(seed + i).standard_normal(len(times)))
        start = round(time_s * RATE)
        sound[start : start + len(times)] = 0.5 * signs * 10 ** (-3 * times / 0.4)
    return sound.astype(np.float32)
