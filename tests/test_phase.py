"""Griffin-Lim after the vocoder: it moves a wrong waveform towards its mel, and leaves a right one where it is."""

import pytest
import torch

from echoframe.audio import log_mel
from echoframe.phase import linear_magnitude, refine
from echoframe.spec import AUDIOLDM_MEL, MINI_MEL


def noise(n_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spec", [AUDIOLDM_MEL, MINI_MEL])
def test_magnitudes_have_the_mel_they_were_made_from(spec):
    sound = noise(16_000)
    mel = log_mel(sound, spec)
    magnitude = linear_magnitude(mel, spec)
    assert magnitude.shape == (1, 513, 100)
    assert (magnitude >= 0).all()
    bands = log_mel(refine(sound, mel, spec, iterations=0), spec)
    assert (bands - mel).abs().mean() * spec.scale < 0.5  # about 4 dB: its phases are consistent already


def test_a_wrong_waveform_comes_to_sound_like_its_mel():
    wanted = noise(16_000, seed=1)
    wanted[:, :8000] *= 0.01  # quiet, then loud
    mel = log_mel(wanted, MINI_MEL)
    buzz = torch.sign(torch.sin(torch.arange(16_000) * 2 * torch.pi * 100 / 16_000))[None] * 0.2
    errors = [
        (log_mel(sound, MINI_MEL) - mel).abs().mean().item()
        for sound in (buzz, refine(buzz, mel, MINI_MEL, iterations=4), refine(buzz, mel, MINI_MEL, iterations=32))
    ]
    assert errors[0] > 3 * errors[1] > 3 * errors[2] * 0.9


def test_nothing_in_it_is_random_and_the_length_stays():
    mel = log_mel(noise(16_000), MINI_MEL)
    one, two = (refine(noise(16_000, seed=2), mel, MINI_MEL, iterations=3) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == (1, 16_000)


def test_a_batch_is_its_items():
    sounds = torch.cat([noise(8_000, seed) for seed in range(3)])
    mel = log_mel(sounds, MINI_MEL)
    together = refine(sounds, mel, MINI_MEL, iterations=2)
    for i in range(3):
        alone = refine(sounds[i : i + 1], mel[i : i + 1], MINI_MEL, iterations=2)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_silence_stays_silent():
    mel = log_mel(torch.zeros(1, 8_000), MINI_MEL)
    assert refine(torch.zeros(1, 8_000), mel, MINI_MEL, iterations=4).abs().max() < 1e-4
