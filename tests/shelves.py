"""A small library of made recordings."""

from pathlib import Path

import numpy as np
import soundfile

from echoframe.library import Library
from echoframe.pipeline import EchoFrame
from planted_sounds import RATE, click_at, noise, tone


def both_sides(samples: np.ndarray) -> np.ndarray:
    """Two channels, (S, 2), the second half as loud."""
    return np.stack([samples, 0.5 * samples], axis=1)


def write_shelf(folder: Path, model: EchoFrame) -> Path:
    """A library of three stereo files and one of one channel, at another rate; its file lies beside their folder."""
    soundfile.write(folder / "hum.wav", both_sides(tone(1.0, 30)), RATE)
    soundfile.write(folder / "wind.flac", both_sides(noise(9.0, 0.1)), RATE)
    soundfile.write(folder / "clicks.wav", both_sides(click_at([0.5, 1.5], 2.5)), RATE)
    soundfile.write(folder / "whistle.wav", np.repeat(tone(1.0, 80), 2), 2 * RATE)
    path = folder.parent / f"{folder.name}.library"
    with Library.create(path, model) as library:
        library.add(folder)
    return path
