"""The prior: it learns how answers are spread, a seed chooses among them, and every complaint."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.flow import flow_levels, solve
from echoframe.mappers.networks import MapperConfig, save_mapper
from echoframe.mappers.prior import FlowPrior, PriorConfig, build_prior, load_prior

READER = MapperConfig(kind="mlp", visual_dim=8, audio_dim=6, hidden_dim=32, depth=1, dropout=0.0)
TINY = PriorConfig(regressor=READER, components=5, hidden_dim=64, depth=2)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mask_for(visual: torch.Tensor) -> torch.Tensor:
    return torch.ones(visual.shape[:2], dtype=torch.bool)


def some_prior() -> FlowPrior:
    prior = build_prior(TINY, seed=3)
    prior.fit_space(nn.functional.normalize(random(50, 6), dim=1))
    with torch.no_grad():  # a new one's blocks do nothing yet
        for n, weight in enumerate(prior.parameters()):
            weight += 0.1 * random(*weight.shape, seed=n)
    return prior.eval()


def test_components_are_whitened_half_way_and_lead_back():
    prior = build_prior(replace(TINY, components=6))
    deviations = torch.tensor([4.0, 3, 2, 1, 0.5, 0.1])
    embeddings = random(4000, 6) * deviations + 2
    prior.fit_space(embeddings)
    coordinates = prior.to_components(embeddings)
    expected = torch.diag(deviations / deviations.mean())
    torch.testing.assert_close(torch.cov(coordinates.T), expected, atol=0.15, rtol=0)
    torch.testing.assert_close(coordinates @ prior.basis + prior.centre, embeddings, atol=1e-3, rtol=0)


def two_answers(size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clips of two kinds; each kind has two right answers, at random, orthogonal to one another."""
    kind = torch.randint(0, 2, (size,), generator=generator)
    answer = 2 * kind + torch.randint(0, 2, (size,), generator=generator)
    visual = nn.functional.one_hot(kind, 8).float()[:, None] + 0.05 * torch.randn(size, 3, 8, generator=generator)
    targets = torch.eye(6)[answer] + 0.05 * torch.randn(size, 6, generator=generator)
    return visual, mask_for(visual), nn.functional.normalize(targets, dim=1), kind


def test_draws_every_right_answer_where_regression_returns_their_mean():
    generator = torch.Generator().manual_seed(0)
    prior = build_prior(TINY).train()
    prior.fit_space(two_answers(500, generator)[2])
    optimizer = torch.optim.Adam(prior.parameters(), lr=3e-3)
    for _ in range(400):
        visual, mask, target, _ = two_answers(128, generator)
        answer = prior.regressor.regress(visual, mask)
        loss = prior.flow_loss(answer, target, generator=generator)
        loss = loss + 1 - nn.functional.cosine_similarity(answer, target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    visual, mask, _, kind = two_answers(200, generator)
    drawn = prior.eval()(visual, mask, seeds=range(200))
    nearest = drawn[:, :4].argmax(dim=1)
    assert (nearest // 2 == kind).float().mean() > 0.97
    assert 0.3 < (nearest % 2).float().mean() < 0.7
    # the mean of two orthogonal answers has a cosine of 0.71 to each: these are near one of them
    assert drawn.amax(dim=1).quantile(0.2) > 0.9


def test_the_seed_chooses_and_nothing_else_does():
    prior = some_prior()
    visual = random(4, 7, 8)
    mask = mask_for(visual)
    one = prior(visual, mask, seeds=[1, 2, 3, 4])
    torch.testing.assert_close(one.norm(dim=1), torch.ones(4))
    assert torch.equal(one, prior(visual, mask, seeds=[1, 2, 3, 4]))
    single = torch.cat([prior(visual[i : i + 1], mask[i : i + 1], seeds=[i + 1]) for i in range(4)])
    torch.testing.assert_close(one, single, atol=1e-5, rtol=0)
    assert (one - prior(visual, mask, seeds=[5, 6, 7, 8])).abs().max() > 0.01
    torch.testing.assert_close(prior(visual, mask), prior(visual, mask, seeds=[0] * 4))


@pytest.mark.parametrize("filling", [0.0, float("nan")])
def test_padding_never_changes_a_result(filling):
    prior, visual = some_prior(), random(2, 7, 8)
    longer = torch.cat([visual, torch.full((2, 3, 8), filling)], dim=1)
    mask = torch.cat([mask_for(visual), torch.zeros(2, 3, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(prior(longer, mask), prior(visual, mask_for(visual)), atol=1e-5, rtol=0)


def test_guidance_of_one_is_the_plain_direction_and_zero_does_not_look():
    visual = random(2, 3, 8)
    plain = some_prior()
    guided = some_prior()
    guided.config = replace(TINY, guidance=1.0000001)
    torch.testing.assert_close(guided(visual, mask_for(visual)), plain(visual, mask_for(visual)), atol=1e-4, rtol=0)
    guided.config = replace(TINY, guidance=0.0)
    found = guided(visual, mask_for(visual), seeds=[9, 9])
    torch.testing.assert_close(found[0], found[1])


def test_guidance_keeps_to_its_levels():
    visual = random(2, 3, 8)
    plain, guided = some_prior(), some_prior()

    def apart(levels):
        guided.config = replace(TINY, guidance=5.0, guided_levels=levels)
        return (guided(visual, mask_for(visual)) - plain(visual, mask_for(visual))).abs().max().item()

    assert apart((0.0, 0.0)) == 0.0  # no step begins at level 0
    assert apart((0.0, 1.0)) > 1e-3
    assert apart((0.0, 0.5)) not in (0.0, apart((0.5, 1.0)), apart((0.0, 1.0)))


def test_straight_lines_are_followed_exactly_in_one_step():
    noise, data = random(3, 4), random(3, 4, seed=1)
    found = solve(lambda x, level: noise - data, noise, flow_levels(1, 1.0), second_order=False)
    torch.testing.assert_close(found, data)


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_saved_and_loaded(dtype, tmp_path):
    prior, visual = some_prior(), random(2, 3, 8)
    save_mapper(prior, tmp_path, dtype=dtype)
    again = load_prior(tmp_path)
    assert again.config == prior.config
    assert not again.training
    expected = prior(visual, mask_for(visual))
    torch.testing.assert_close(again(visual, mask_for(visual)), expected, atol=1e-6 if dtype is None else 2e-2, rtol=0)


def test_seed_gives_the_weights_and_leaves_the_global_state():
    state = torch.random.get_rng_state()
    one, other = build_prior(TINY, seed=1), build_prior(TINY, seed=2)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(one.proj_in.weight, other.proj_in.weight)
    assert torch.equal(one.proj_in.weight, build_prior(TINY, seed=1).proj_in.weight)


def test_a_seed_for_each_clip():
    visual = random(2, 3, 8)
    with pytest.raises(InputError, match="1 seeds for 2 clips; give one for each"):
        some_prior()(visual, mask_for(visual), seeds=[1])


def test_too_few_embeddings_for_the_components():
    with pytest.raises(InputError, match="5 embeddings, 5 components; give more"):
        build_prior(TINY).fit_space(random(5, 6))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "diffusion"}, 'kind "diffusion".*expected "flow_prior"'),
        ({"depth": 0}, "expected.*positive sizes"),
        ({"guidance": -1.0}, "a guidance of at least 0"),
        ({"guided_levels": (0.7, 0.3)}, "expected two levels from 0 to 1 with the lower one first"),
        ({"components": 7}, "7 components of a space of 6 dimensions; ask for fewer"),
    ],
)
def test_impossible_configs_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        replace(TINY, **changes)


@pytest.mark.parametrize("changes", [{"kind": "mlp"}, {"steps": 0}, {"colour": 1}])
def test_another_config_is_refused(changes, tmp_path):
    save_mapper(some_prior(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(BundleError, match=r"config.json: not a prior's config .*fetch the bundle again"):
        load_prior(tmp_path)
