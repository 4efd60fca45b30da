"""What each mapper reaches where theory says what can be reached."""

from pathlib import Path

import numpy as np
import pytest
import torch

from echoframe.data.embedding_reader import EmbeddingSets
from echoframe.evaluation.metrics import cosines, energy_distance
from echoframe.training.compare import load
from echoframe.training.config import LossWeights, MapperChoice, PriorChoice, TrainConfig
from echoframe.training.measure import answers
from echoframe.training.run_folder import TrainResult
from echoframe.training.train import train
from planted_embeddings import linear_set, unit, write_set

KINDS = ("mlp", "residual_mlp", "bilstm", "transformer")


def learn(
    data: Path, out: Path, *, steps: int = 300, prior: PriorChoice | None = None, loss=None, **mapper
) -> TrainResult:
    choice = MapperChoice(**{"hidden_dim": 64, "depth": 1, "dropout": 0.0} | mapper)
    return train(
        TrainConfig(
            data=(str(data),),
            out=str(out),
            mapper=choice,
            prior=prior,
            loss=loss or LossWeights(),
            steps=steps,
            batch_size=128,
            learning_rate=4e-3,
            warmup_steps=20,
            ema=0.97,
            eval_every=100,
            patience=0,
            device="cpu",
        )
    )


@pytest.fixture(scope="module")
def linear(tmp_path_factory) -> Path:
    return linear_set(tmp_path_factory.mktemp("linear") / "set", n=1500)


@pytest.fixture(scope="module")
def ordered(tmp_path_factory) -> Path:
    """Targets that the first and the last frame decide, each in another way: the mean frame does not tell."""
    rng = np.random.default_rng(0)
    visual = rng.normal(size=(1500, 4, 12)).astype(np.float16)
    first, last = rng.normal(size=(12, 16)), rng.normal(size=(12, 16))
    audio = unit(visual[:, 0] @ first + visual[:, -1] @ last)
    return write_set(tmp_path_factory.mktemp("ordered") / "set", visual, audio)


@pytest.fixture(scope="module")
def either(tmp_path_factory) -> Path:
    """Four kinds of clips; each has two sounds, with nothing in the picture that says which."""
    rng = np.random.default_rng(0)
    kind = np.arange(1500) % 4
    faces, sounds = rng.normal(size=(4, 12)), unit(rng.normal(size=(4, 2, 16)))
    visual = faces[kind][:, None] + 0.2 * rng.normal(size=(1500, 3, 12))
    which = rng.integers(2, size=1500)
    audio = unit(sounds[kind, which] + 0.05 * rng.normal(size=(1500, 16)))
    return write_set(tmp_path_factory.mktemp("either") / "set", visual, audio)


@pytest.mark.parametrize("kind", KINDS)
def test_a_linear_target_is_found(linear, tmp_path, kind):
    figures = learn(linear, tmp_path / "run", kind=kind).figures
    assert figures.recall_1 == 1.0
    assert figures.cosine > 0.97


@pytest.mark.parametrize("more", [{"audio_scaling": "whiten"}, {"visual_scaling": "whiten"}, {"pooling": "attention"}])
def test_it_is_found_in_every_form(linear, tmp_path, more):
    assert learn(linear, tmp_path / "run", **more).figures.recall_1 > 0.99


@pytest.mark.parametrize("loss", [LossWeights(mse=0, cosine=1), LossWeights(mse=0, contrastive=1)])
def test_it_is_found_by_every_loss(linear, tmp_path, loss):
    assert learn(linear, tmp_path / "run", loss=loss).figures.recall_1 > 0.98


def test_where_order_matters_sequence_models_beat_pooling(ordered, tmp_path):
    found = {kind: learn(ordered, tmp_path / kind, kind=kind, steps=400).figures.cosine for kind in KINDS}
    # the mean frame holds a quarter of each end's variance: a linear reading of it has a cosine of about a half
    assert max(found["mlp"], found["residual_mlp"]) < 0.6
    assert min(found["bilstm"], found["transformer"]) > 0.9


def test_a_non_linear_target_needs_more_than_a_line(tmp_path):
    rng = np.random.default_rng(0)
    visual = rng.normal(size=(2500, 2, 6)).astype(np.float16)
    mean = visual.mean(axis=1, dtype=np.float64)
    products = (mean[:, :, None] * mean[:, None])[:, *np.triu_indices(6)]
    data = write_set(tmp_path / "set", visual, unit(products @ rng.normal(size=(21, 16))))
    deep = learn(data, tmp_path / "deep", kind="residual_mlp", hidden_dim=96, depth=2, steps=500)
    assert deep.figures.cosine > 0.85
    sets = EmbeddingSets([data])
    train_clips, val = sets.load(sets.rows("train")), sets.load(sets.rows("val"))

    def lines(clips):
        means = clips.visual.float().mean(dim=1)
        return torch.cat([means, torch.ones(len(means), 1)], dim=1)

    weights = torch.linalg.lstsq(lines(train_clips), train_clips.audio).solution
    straight = cosines(val.audio.numpy(), (lines(val) @ weights).numpy()).mean()
    assert straight < 0.5


def test_where_two_answers_are_right_regression_gives_their_mean_and_a_prior_one_of_them(either, tmp_path):
    mean = learn(either, tmp_path / "mean")
    prior = learn(
        either, tmp_path / "prior", prior=PriorChoice(components=8, hidden_dim=64, depth=2, guidance=1.0), steps=900
    )
    sets = EmbeddingSets([either])
    rows = sets.rows("val")
    clips, kind = sets.load(rows), rows % 4
    true = clips.audio.numpy()
    found = {
        run.folder: answers(load(run.folder.parent), clips, device=torch.device("cpu")).numpy() for run in (mean, prior)
    }
    apart = {name: [] for name in found}
    for one in range(4):
        own = true[kind == one]
        for name, points in found.items():
            apart[name].append(energy_distance(own, unit(points[kind == one])))
        between = unit(own.mean(axis=0))
        assert cosines(np.tile(between, (len(own), 1)), found[mean.folder][kind == one]).min() > 0.95
        # no true sound lies there
        assert (own @ between).max() < 0.95
    assert np.mean(apart[prior.folder]) < 0.2 * np.mean(apart[mean.folder])
