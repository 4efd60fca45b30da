"""The recipe's loop: a stage that was killed ends with the same weights as one that was not."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn


@pytest.fixture
def stage(recipe):
    import stage

    return stage


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


def test_a_stage_takes_the_defaults_but_for_what_a_file_says(stage, tmp_path, monkeypatch):
    (tmp_path / "my.toml").write_text("[codec]\ncomponents = 24\n")
    work = tmp_path / "work"
    monkeypatch.setattr(sys, "argv", ["stage.py", "--work", str(work)])
    assert stage.arguments("a stage")[:2] == (stage.RecipeConfig(), work)
    assert work.is_dir()
    monkeypatch.setattr(sys, "argv", ["stage.py", "--work", str(work), "--config", str(tmp_path / "my.toml")])
    config, _, _ = stage.arguments("a stage")
    assert config == stage.RecipeConfig(codec=stage.CodecConfig(components=24))


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
