"""The recipe's loop: a stage that was killed ends with the same weights as one that was not."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

RECIPE = Path(__file__).parents[1] / "recipes" / "mini"


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    import stage

    yield stage
    del sys.modules["stage"]


def train(stage, work: Path, steps: int, stop_at: int | None = None) -> dict[str, torch.Tensor]:
    """A small network with dropout and an average of its weights, on random data from the run's generator."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    ema = stage.Ema(network, 0.9)
    parts = {"network": network, "optimizer": optimizer, "ema": ema}
    run = stage.Run("toy", work, stage.CorpusConfig(), parts, steps=steps, seed=1)

    def one_step(step: int) -> dict[str, float]:
        if step == stop_at:
            raise KeyboardInterrupt
        data = torch.randn(16, 4, generator=run.generator)
        loss = (network(data) - data.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(network, step)
        return {"loss": loss.item()}

    run.loop(one_step, log_every=2, save_every=4)
    return ema.weights


def test_a_resumed_run_equals_an_unbroken_one(stage, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    unbroken = train(stage, tmp_path / "a", steps=12)
    with pytest.raises(KeyboardInterrupt):
        train(stage, tmp_path / "b", steps=12, stop_at=7)  # the last checkpoint is of step 4
    resumed = train(stage, tmp_path / "b", steps=12)
    for name, weight in unbroken.items():
        assert torch.equal(weight, resumed[name]), name


def test_the_learning_rate_warms_up_and_falls(stage):
    rates = [stage.cosine_rate(step, 1000) for step in range(1000)]
    assert rates[0] < 0.02
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[-1] < 0.03
    assert all(a >= b for a, b in zip(rates[100:], rates[101:], strict=False))


def test_the_shipped_config_is_known_to_the_recipe(stage):
    recipe = stage.load_toml(stage.RecipeConfig, RECIPE / "cpu.toml")
    assert recipe.device == "cpu"


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_configs_that_come_with_it_are_whole(stage, name):
    from echoframe.config import load_toml
    from echoframe.generators.denoiser import DenoiserConfig

    config = load_toml(stage.RecipeConfig, RECIPE / f"{name}.toml")
    assert config.device == {"cpu": "cpu", "gpu": "cuda"}[name]
    DenoiserConfig(width=config.flow.width, depth=config.flow.depth, n_heads=config.flow.n_heads)  # sizes that can be


def test_a_checkpoint_of_an_older_recipe_is_refused(stage, tmp_path):
    (tmp_path / "toy").mkdir()
    torch.save({"step": 4}, tmp_path / "toy" / "checkpoint.pt")
    with pytest.raises(
        SystemExit, match=r"checkpoint\.pt: is of a recipe before 0\.5\.0, .*; remove it and run the stage"
    ):
        train(stage, tmp_path, steps=12)


def test_the_average_is_the_formula(stage):
    network = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(network.weight)
    ema = stage.Ema(network, 0.5)
    expected, now = 0.0, 0.0
    for step in range(20):
        now += 1.0
        nn.init.constant_(network.weight, now)
        ema.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * now
        torch.testing.assert_close(ema.weights["weight"], torch.full((1, 2), expected))
