"""The texture: it draws what a codec drops, from a seed, item by item, and learns what there is to learn."""

from dataclasses import replace

import pytest
import torch

from echoframe.errors import BundleError, ConfigError
from echoframe.generators.mel_flow import MelFlowConfig, MelFlowGenerator
from echoframe.generators.texture import (
    Texture,
    TextureConfig,
    fit_axes,
    from_grid,
    load_texture,
    save_texture,
    to_grid,
)
from tiny_mel_flow import tiny_codec, tiny_denoiser

SMALL = TextureConfig(n_mels=8, frames=4, bands=4, width=12, depth=1, strength=1.0)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def awake(config: TextureConfig = SMALL) -> Texture:
    """Untrained, but without the zeros that make a new one's networks silent."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        texture = Texture(config)
        torch.nn.init.normal_(texture.proj_out.weight, std=0.1)
    return texture.requires_grad_(False).eval()


def test_a_grid_is_its_patches_and_comes_back():
    mel = random(2, 12, 8)
    grid = to_grid(mel, SMALL)
    assert grid.shape == (2, 3, 2, 16)
    torch.testing.assert_close(grid[1, 2, 1].reshape(4, 4), mel[1, 8:12, 4:8])
    assert torch.equal(from_grid(grid, SMALL), mel)


def test_axes_are_those_of_the_details_row_by_row():
    """Details of rank one in the lower row, white ones in the upper."""
    grid = torch.zeros(1, 400, 2, 16)
    shape = torch.nn.functional.normalize(torch.arange(1.0, 17), dim=0)
    grid[..., 0, :] = 3 * random(1, 400, 1) * shape
    grid[..., 1, :] = random(1, 400, 16, seed=1)
    texture = Texture(SMALL)
    fit_axes(texture, from_grid(grid, SMALL))
    assert abs(float(texture.basis[0, 0] @ shape)) == pytest.approx(1, abs=1e-4)
    assert float(texture.spread[0, 0]) == pytest.approx(3, rel=0.1)
    assert float(texture.spread[0, 1]) < 0.01
    assert texture.spread[1].sub(1).abs().max() < 0.3
    for row in range(2):
        torch.testing.assert_close(texture.basis[row] @ texture.basis[row].T, torch.eye(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(texture.from_axes(texture.to_axes(grid)), grid, atol=1e-4, rtol=0)


def test_without_training_it_draws_the_gaussian_of_the_details():
    mels = random(32, 400, 8) @ random(8, 8, seed=2)
    texture = Texture(SMALL)
    fit_axes(texture, mels)
    drawn = texture.draw(torch.zeros(32, 400, 8), seeded(*range(32)))
    found, known = (to_grid(x, SMALL)[:, :, 0].flatten(0, 1).T.cov() for x in (drawn, mels))
    assert (found - known).norm() / known.norm() < 0.25


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_detail():
    texture, smooth = awake(), random(1, 24, 8)
    one, two, other = (texture.draw(smooth, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, two)
    assert one.shape == smooth.shape
    assert not torch.allclose(one, other, atol=0.1)


def test_a_batch_is_its_items():
    texture, smooth = awake(), random(3, 24, 8)
    together = texture.draw(smooth, seeded(5, 6, 7))
    for n, seed in enumerate((5, 6, 7)):
        torch.testing.assert_close(
            together[n : n + 1], texture.draw(smooth[n : n + 1], seeded(seed)), atol=1e-5, rtol=0
        )


def test_the_detail_depends_on_the_smooth_mel_nearby_and_not_on_what_is_far():
    texture, smooth = awake(), random(1, 64, 8)
    changed = smooth.clone()
    changed[:, :4] += 1
    moved = (texture.draw(changed, seeded(1)) - texture.draw(smooth, seeded(1))).abs().amax(dim=(0, 2))
    assert moved[:4].max() > 1e-3
    assert moved[48:].max() < 1e-6


def learned(config: TextureConfig, *, steps: int) -> tuple[float, float]:
    """The loss before and after some steps on a detail whose spread is twice as large where the mel is loud."""
    from torch.optim import Adam

    torch.manual_seed(0)
    texture = Texture(config)
    optimizer = Adam(texture.parameters(), lr=1e-2)
    losses = []
    for step in range(steps):
        loud = (random(16, 4, 1, 1, seed=step) > 0).float()
        smooth = from_grid(loud.expand(16, 4, 2, 16), config)
        detail = (0.2 + 1.8 * loud) * random(16, 4, 2, 16, seed=10_000 + step)
        mean, spread = texture.mean_and_spread(smooth)
        loss = (spread.log() + 0.5 * ((detail - mean) / spread).square()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], sum(losses[-10:]) / 10


def test_mean_and_spread_are_learned():
    """The best that can be reached is the entropy: the mean of log 0.2 and log 2, and a half."""
    before, after = learned(SMALL, steps=150)
    assert before > 0.9
    assert after == pytest.approx(0.5 * (torch.tensor(0.2).log() + torch.tensor(2.0).log()).item() + 0.5, abs=0.1)


def test_saved_and_loaded_it_draws_the_same(tmp_path):
    texture, smooth = awake(), random(1, 16, 8)
    save_texture(texture, tmp_path / "decoder")
    loaded = load_texture(tmp_path / "decoder")
    assert loaded.config == SMALL
    assert not any(weight.requires_grad for weight in loaded.parameters())
    assert torch.equal(loaded.draw(smooth, seeded(1)), texture.draw(smooth, seeded(1)))
    (tmp_path / "decoder" / "config.json").write_text('{"n_mels": 8, "frames": 4, "bands": 4}')
    with pytest.raises(BundleError, match="fetch both again"):
        load_texture(tmp_path / "decoder")


@pytest.mark.parametrize("changes", [{"width": 0}, {"depth": 0}, {"frames": -1}])
def test_sizes_are_positive(changes):
    with pytest.raises(ConfigError, match="every size has to be positive"):
        TextureConfig(**changes)


@pytest.mark.parametrize("changes", [{"bands": 7}, {"strength": -0.1}])
def test_bands_divide_the_mels(changes):
    with pytest.raises(
        ConfigError,
        match="texture: patches of . bands, 64 mels, strength .*; bands have to divide the mels, and the strength is at",
    ):
        TextureConfig(**changes)


def test_a_filled_mel_keeps_its_tokens():
    texture = awake(TextureConfig(width=12, depth=1))
    codec, tokens = tiny_codec(), random(1, 4, 32)
    mel = texture.fill(codec, tokens, seeded(1))
    torch.testing.assert_close(codec.encode(mel), tokens, atol=1e-3, rtol=1e-3)
    assert (mel - codec.decode(tokens)).abs().mean() > 0.1


def test_strength_scales_what_is_drawn_and_leaves_the_mean():
    smooth, noise = random(1, 16, 8), random(1, 4, 2, 16)
    details = [awake(replace(SMALL, strength=strength))(smooth, noise) for strength in (0.0, 0.5, 1.0)]
    torch.testing.assert_close(details[1], (details[0] + details[2]) / 2)
    assert not torch.allclose(details[0], details[2], atol=0.1)


def generator(**changes) -> MelFlowGenerator:
    config = MelFlowConfig(min_duration_s=0.32, max_duration_s=1.28, phase_iterations=2)
    return MelFlowGenerator(tiny_denoiser(dim=5, channels=32), tiny_codec(), config=config, **changes)


def test_a_generator_draws_it_from_the_items_seed():
    texture = awake(TextureConfig(width=12, depth=1))
    tokens = random(2, 4, 32)
    with_texture, without = generator(texture=texture), generator()
    assert torch.equal(without.decode(tokens), without.decode(tokens, seeds=[1, 2]))
    sounds = with_texture.decode(tokens, seeds=[1, 2])
    assert torch.equal(sounds, with_texture.decode(tokens, seeds=[1, 2]))
    assert not torch.allclose(sounds, without.decode(tokens), atol=1e-4)
    assert not torch.allclose(sounds, with_texture.decode(tokens, seeds=[3, 4]), atol=1e-4)
    torch.testing.assert_close(with_texture.decode(tokens[1:], seeds=[2]), sounds[1:], atol=1e-4, rtol=0)


def test_a_texture_of_other_mels_is_refused():
    with pytest.raises(BundleError, match="take both from the same model"):
        generator(texture=Texture(SMALL))
