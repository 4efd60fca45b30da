"""The denoiser: shapes of any length, positions that turn with time, batches that are their items."""

from math import pi

import pytest
import torch

from echoframe.errors import BundleError, ConfigError
from echoframe.generators.denoiser import (
    Denoiser,
    DenoiserConfig,
    level_features,
    load_denoiser,
    rotary,
    rotate,
    save_denoiser,
)
from tiny_mel_flow import tiny_denoiser

TINY = DenoiserConfig(channels=6, condition_dim=5, width=16, depth=2, n_heads=2)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_new_one_says_nothing_and_every_length_fits():
    denoiser = Denoiser(TINY)
    for n_frames in (1, 7, 64):
        out = denoiser(random(2, n_frames, 6), torch.tensor([0.1, 0.9]), random(2, 5))
        assert out.shape == (2, n_frames, 6)
        assert (out == 0).all()


def test_it_hears_the_condition_the_level_and_the_whole_sequence():
    denoiser = tiny_denoiser(dim=5, channels=6).eval()
    noisy, level, condition = random(1, 8, 6), torch.tensor([0.5]), random(1, 5, seed=1)
    plain = denoiser(noisy, level, condition)
    assert not torch.allclose(plain, denoiser(noisy, level, random(1, 5, seed=2)), atol=1e-3)
    assert not torch.allclose(plain, denoiser(noisy, torch.tensor([0.6]), condition), atol=1e-3)
    other = noisy.clone()
    other[0, 7] += 1
    assert not torch.allclose(plain[0, 0], denoiser(other, level, condition)[0, 0], atol=1e-5)


def test_a_batch_is_its_items():
    denoiser = tiny_denoiser(dim=5, channels=6).eval()
    noisy, level, condition = random(3, 8, 6), torch.tensor([0.2, 0.5, 0.8]), random(3, 5)
    together = denoiser(noisy, level, condition)
    for i in range(3):
        alone = denoiser(noisy[i : i + 1], level[i : i + 1], condition[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=1e-4)


def test_it_learns_to_point_from_a_known_sound_to_noise():
    torch.manual_seed(0)
    denoiser = Denoiser(DenoiserConfig(channels=4, condition_dim=2, width=32, depth=2, n_heads=2))
    sounds = torch.stack([torch.ones(6, 4), -torch.ones(6, 4)])  # one for each condition
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        which = torch.randint(2, (32,))
        level, noise = torch.rand(32), torch.randn(32, 6, 4)
        noisy = torch.lerp(sounds[which], noise, level[:, None, None])
        predicted = denoiser(noisy, level, torch.eye(2)[which])
        loss = (predicted - (noise - sounds[which])).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.8  # of noise and a sound of unit power
    assert sum(losses[-10:]) / 10 < 0.35


def test_level_features_tell_near_levels_apart_and_hold_their_range():
    features = level_features(torch.tensor([0.0, 0.5, 0.501, 1.0]))
    assert features.shape == (4, 128)
    assert features.abs().max() <= 1
    assert (features[1] - features[2]).norm() > 1
    assert torch.equal(features[0, 64:], torch.ones(64))


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    rotation = rotary(10, 8, torch.zeros(1))
    assert rotation.shape == (2, 10, 4)
    assert rotation[1, 1, 0] == pytest.approx(torch.sin(torch.tensor(1.0)).item())
    q, k = random(10, 8).expand(10, 8)[:1].expand(10, 8), random(1, 8, seed=1).expand(10, 8)
    turned_q, turned_k = rotate(q, rotation), rotate(k, rotation)
    torch.testing.assert_close(turned_q.norm(dim=1), q.norm(dim=1))
    products = turned_q @ turned_k.T
    torch.testing.assert_close(products[3, 1], products[7, 5])
    assert abs(products[3, 1] - products[3, 2]) > 1e-3
    assert 2 * pi * 100 ** (6 / 8) > 64  # the slowest of these turns more than a scene before it repeats


def test_saved_and_loaded_it_is_the_same(tmp_path):
    denoiser = tiny_denoiser(dim=5, channels=6).eval()
    save_denoiser(denoiser, tmp_path)
    inputs = random(1, 8, 6), torch.tensor([0.5]), random(1, 5)
    assert torch.equal(load_denoiser(tmp_path)(*inputs), denoiser(*inputs))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(BundleError, match="expected an object"):
        load_denoiser(tmp_path)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"width": 0}, "every size has to be positive"),
        ({"depth": 3}, "depth has to be even"),
        ({"width": 30, "n_heads": 4}, "width a multiple of twice the heads"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes, words):
    with pytest.raises(ConfigError, match=words):
        DenoiserConfig(**sizes)
