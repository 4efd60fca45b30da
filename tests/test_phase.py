"""Griffin-Lim: the magnitudes have their mel, more iterations come nearer, and nothing in it is random."""

import pytest
import torch

from echoframe.media.audio import log_mel
from echoframe.media.phase import griffin_lim, griffin_lim_in_pieces, linear_magnitude, phase_steps
from echoframe.spec import AUDIOLDM_MEL, MINI_MEL


def noise(n_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(seed))


def chirps(n_samples: int) -> torch.Tensor:
    """Three gliding tones, quiet, then loud."""
    time = torch.arange(n_samples) / 16_000
    sound = sum(torch.sin(2 * torch.pi * (f + 200 * time) * time) for f in (300, 700, 1900))
    return (0.1 * sound * (0.05 + (time > time[-1] / 2)))[None]


@pytest.mark.parametrize("spec", [AUDIOLDM_MEL, MINI_MEL])
def test_magnitudes_have_the_mel_they_were_made_from(spec):
    mel = log_mel(noise(16_000), spec)
    magnitude = linear_magnitude(mel, spec)
    assert magnitude.shape == (1, spec.n_fft // 2 + 1, 100)
    assert (magnitude >= 0).all()


@pytest.mark.parametrize("sound", [noise(16_000, seed=1), chirps(16_000)])
def test_a_sound_comes_to_have_its_mel(sound):
    mel = log_mel(sound, MINI_MEL)
    errors = [
        (log_mel(griffin_lim(mel, MINI_MEL, iterations=n), MINI_MEL) - mel).abs().mean().item() * MINI_MEL.scale * 8.686
        for n in (0, 4, 32)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 3.0  # dB: magnitudes are flat within a band, a tone is not


def test_nothing_in_it_is_random_and_the_length_stays():
    mel = log_mel(noise(16_000), MINI_MEL)
    one, two = (griffin_lim(mel, MINI_MEL, iterations=3) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == (1, 16_000)


def test_a_batch_is_its_items():
    mel = log_mel(torch.cat([noise(8_000, seed) for seed in range(3)]), MINI_MEL)
    together = griffin_lim(mel, MINI_MEL, iterations=2)
    for i in range(3):
        alone = griffin_lim(mel[i : i + 1], MINI_MEL, iterations=2)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_silence_stays_silent():
    mel = log_mel(torch.zeros(1, 8_000), MINI_MEL)
    assert griffin_lim(mel, MINI_MEL, iterations=4).abs().max() < 1e-3


def spectrum(sound: torch.Tensor) -> torch.Tensor:
    return torch.stft(sound, 512, 160, window=torch.hann_window(512), center=False, return_complex=True)[None]


def test_a_tone_turns_by_its_frequency_from_frame_to_frame():
    found = spectrum(torch.sin(2 * torch.pi * 1010 * torch.arange(16_000) / 16_000))
    along_time, _ = phase_steps(found.abs(), MINI_MEL)
    loud = (found.abs() > 0.3 * found.abs().max())[:, :, 1:]
    true = torch.full_like(along_time, 2 * torch.pi * 1010 * 160 / 16_000)
    assert loud.sum() > 150
    torch.testing.assert_close(along_time[loud], true[loud], atol=0.02, rtol=0)


def test_a_clicks_phase_falls_by_its_place_from_bin_to_bin():
    sound = torch.zeros(2_000)
    sound[1_000] = 1  # frame 5 begins at 800: 200 samples before it
    found = spectrum(sound)
    _, along_bins = phase_steps(found.abs(), MINI_MEL)
    true = -2 * torch.pi * 200 / 512
    torch.testing.assert_close(
        along_bins[0, 5:200, 5], torch.full((195,), true, dtype=torch.float64), atol=0.02, rtol=0
    )


@pytest.mark.parametrize("sound", [noise(16_000, seed=1), chirps(16_000)])
def test_phases_from_the_gradient_are_nearer_at_once(sound):
    mel = log_mel(sound, MINI_MEL)
    apart = {
        start: (log_mel(griffin_lim(mel, MINI_MEL, iterations=0, start=start), MINI_MEL) - mel).abs().mean()
        for start in ("noise", "gradient")
    }
    assert apart["gradient"] < apart["noise"]


def test_phases_from_the_gradient_are_always_the_same_and_a_batch_is_its_items():
    mel = log_mel(torch.cat([noise(8_000, seed) for seed in range(3)]), MINI_MEL)
    one, two = (griffin_lim(mel, MINI_MEL, iterations=2, start="gradient") for _ in range(2))
    assert torch.equal(one, two)
    for i in range(3):
        alone = griffin_lim(mel[i : i + 1], MINI_MEL, iterations=2, start="gradient")
        torch.testing.assert_close(one[i : i + 1], alone, atol=1e-4, rtol=1e-3)


def test_silence_stays_silent_from_the_gradient():
    mel = log_mel(torch.zeros(1, 8_000), MINI_MEL)
    assert griffin_lim(mel, MINI_MEL, iterations=2, start="gradient").abs().max() < 1e-3


@pytest.mark.parametrize("start", ["noise", "gradient"])
@pytest.mark.parametrize("iterations", [1, 4])
@pytest.mark.parametrize("sound", [noise(16_000, seed=1), chirps(16_000)])
def test_a_stretch_at_a_time_it_is_what_one_piece_is(sound, iterations, start):
    mel, asked = log_mel(sound, MINI_MEL), []

    def between(low: int, high: int) -> torch.Tensor:
        asked.append(high - low)
        return mel[:, low:high]

    whole = griffin_lim(mel, MINI_MEL, iterations=iterations, start=start)
    for longest in (9, 40, 1000):
        pieces = griffin_lim_in_pieces(between, 100, MINI_MEL, iterations=iterations, start=start, longest=longest)
        torch.testing.assert_close(torch.cat(list(pieces), dim=1), whole, atol=1e-4, rtol=0)
    assert max(asked[:12]) < 9 + 2 * 30
