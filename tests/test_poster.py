"""The picture: its axes are where they say, its colours follow the sound, it holds for any length and shape."""

import numpy as np
import pytest
import torch

from echoframe.media.poster import (
    LEFT,
    MARGIN,
    N_MELS,
    WIDTH,
    band_centres,
    draw_poster,
    magma,
    mel_image,
    poster_spec,
)

RATE = 16_000


def tone(frequency: float, duration_s: float, rate: int = RATE) -> torch.Tensor:
    times_s = torch.arange(int(duration_s * rate), dtype=torch.float64) / rate
    return 0.5 * torch.sin(2 * torch.pi * frequency * times_s).float()[None]


def test_colours_go_from_dark_to_bright():
    ramp = magma(np.linspace(0, 1, 101)[None])[0].astype(int)
    assert ramp[0].tolist() == [0, 0, 4]
    assert ramp[-1].tolist() == [252, 253, 191]
    luminance = ramp @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize("frequency", [300.0, 1000.0, 4000.0])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_tone_is_brightest_where_the_axis_says_its_frequency_is(frequency, rate):
    image = mel_image(tone(frequency, 1.0, rate), rate)
    band = N_MELS - 1 - int(image.mean(axis=1).argmax())
    centres = band_centres(poster_spec(rate))
    assert abs(np.interp(frequency, centres, np.arange(N_MELS)) - band) <= 1
    assert (np.diff(centres) > 0).all()


def test_a_click_stands_at_its_time():
    waveform = torch.zeros(1, 4 * RATE)
    waveform[0, 3 * RATE] = 1.0
    image = mel_image(waveform, RATE)
    assert image.mean(axis=0).argmax() == pytest.approx(300, abs=2)
    assert image.shape == (N_MELS, 400)


def test_a_long_sound_has_as_many_columns_and_the_same_picture():
    waveform = torch.cat([tone(500.0, 50.0), tone(3000.0, 50.0)], dim=1)
    image = mel_image(waveform, RATE, max_columns=100)
    assert image.shape == (N_MELS, 100)
    assert image[:, 10].argmax() > image[:, 90].argmax()  # low bands last
    assert np.allclose(image[:, 5:45], image[:, 5:6], atol=0.02)


def test_silence_and_a_single_sample_can_be_drawn():
    for n_samples in (1, 100, RATE):
        assert np.isfinite(mel_image(torch.zeros(1, n_samples), RATE)).all()


@pytest.mark.parametrize("shape", [(8, 90, 160, 3), (8, 160, 90, 3), (1, 90, 160, 3), (8, 4, 128, 3)])
def test_any_frames_fit_on_the_page(shape):
    frames = np.full(shape, 77, dtype=np.uint8)
    times_s = [float(i) for i in range(shape[0])]
    image = draw_poster(tone(440, 2.0), RATE, frames=frames, times_s=times_s, title="x" * 300, subtitle="y" * 300)
    assert image.width == WIDTH
    pixels = np.asarray(image)
    columns = np.flatnonzero((pixels == 77).all(axis=2).any(axis=0))
    assert columns.min() >= LEFT - 1
    assert columns.max() <= WIDTH - MARGIN


def test_labels_are_drawn_as_long_as_their_cosine():
    frames = np.zeros((1, 20, 20, 3), dtype=np.uint8)
    nearest = [("full", 1.0), ("half", 0.5), ("against", -0.4)]
    image = draw_poster(tone(440, 1.0), RATE, frames=frames, times_s=[0.0], nearest=nearest)
    labels = np.asarray(image)[-140:]
    lengths = (labels == (181, 54, 122)).all(axis=2).sum(axis=1)
    full, half = sorted(set(lengths[lengths > 300].tolist()))[-1], 0.5 * (WIDTH - MARGIN - 90 - 420)
    assert full == pytest.approx(2 * half, abs=3)
    assert np.isclose(lengths, half, atol=3).sum() >= 10
    assert len(np.flatnonzero(np.diff((lengths > 300).astype(int)) == 1)) <= 2
    assert draw_poster(tone(440, 1.0), RATE, frames=frames, times_s=[0.0]).height < image.height
