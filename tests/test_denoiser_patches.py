"""The denoiser of several tokens a step, and the linear guess that it adds to."""

import pytest
import torch

from echoframe.generators.denoiser import Denoiser, DenoiserConfig, load_denoiser, precondition, save_denoiser

CONFIG = DenoiserConfig(channels=6, condition_dim=5, width=16, depth=2, n_heads=2, patch=2, preconditioned=True)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_any_number_of_tokens_fits_a_patch(tmp_path):
    denoiser = Denoiser(CONFIG)
    torch.nn.init.normal_(denoiser.proj_out.weight, generator=torch.Generator().manual_seed(0))
    for n_tokens in (1, 7, 8):
        out = denoiser(random(2, n_tokens, 6), torch.tensor([0.1, 0.9]), random(2, 5))
        assert out.shape == (2, n_tokens, 6)
        assert torch.isfinite(out).all()
    save_denoiser(denoiser, tmp_path)
    loaded = load_denoiser(tmp_path)
    level, condition = torch.tensor([0.5, 0.2]), random(2, 5)
    torch.testing.assert_close(loaded(random(2, 7, 6), level, condition), denoiser(random(2, 7, 6), level, condition))
    assert not loaded.spread.requires_grad


@pytest.mark.parametrize("level", [0.05, 0.3, 0.8, 1.0])
def test_a_new_one_gives_the_best_linear_guess(level):
    """Against least squares, on tokens of known spread; what is missed has the size that is said."""
    spread = torch.tensor([0.3, 1.0, 4.0])
    sound, noise = random(200_000, 3) * spread, random(200_000, 3, seed=1)
    noisy = (1 - level) * sound + level * noise
    direction = noise - sound
    kept, size = (part[0, 0] for part in precondition(torch.tensor([level]), spread))
    best = (direction * noisy).mean(0) / noisy.square().mean(0)
    torch.testing.assert_close(kept, best, atol=0.03, rtol=0.02)
    missed = (direction - best * noisy).square().mean(0).sqrt()
    torch.testing.assert_close(size, missed, atol=0.01, rtol=0.02)
    denoiser = Denoiser(DenoiserConfig(channels=3, condition_dim=2, width=8, depth=2, n_heads=2, preconditioned=True))
    denoiser.spread.data.copy_(spread)
    torch.testing.assert_close(denoiser(noisy[None, :4], torch.tensor([level]), torch.zeros(1, 2))[0], kept * noisy[:4])
