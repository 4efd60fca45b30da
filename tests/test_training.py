"""Runs: what they leave, that they go on where they were killed, what they refuse."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from echoframe.data.embedding_reader import EmbeddingSets
from echoframe.errors import ConfigError, InputError, OutputError
from echoframe.mappers.networks import MapperNetwork, load_mapper
from echoframe.mappers.prior import FlowPrior, load_prior
from echoframe.training import checkpoint
from echoframe.training.build import build, spread_of
from echoframe.training.config import LossWeights, MapperChoice, PriorChoice, TrainConfig, n_parameters
from echoframe.training.loss import MapperLoss, info_nce
from echoframe.training.run_folder import read_result
from echoframe.training.run_log import validation_curve
from echoframe.training.train import train
from planted_embeddings import linear_set

SMALL = MapperChoice(hidden_dim=32, depth=1, dropout=0.2)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return linear_set(tmp_path_factory.mktemp("data") / "set", n=400)


def config(data: Path, out: Path, **more) -> TrainConfig:
    values = {"mapper": SMALL, "batch_size": 64, "steps": 40, "eval_every": 10, "warmup_steps": 5, "device": "cpu"}
    return TrainConfig(data=(str(data),), out=str(out), **values | more)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "mapper" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_a_run_leaves(data, tmp_path):
    said = []
    found = train(config(data, tmp_path / "run"), tell=said.append)
    mapper = load_mapper(found.folder)
    assert (mapper.config.visual_space, mapper.config.audio_space) == ("seen", "heard")
    assert (mapper.config.visual_dim, mapper.config.audio_dim, mapper.config.n_frames) == (24, 16, 4)
    assert (found.steps, found.figures.n) == (40, 80)
    assert read_result(tmp_path / "run") == found
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["config"]["mapper"]["hidden_dim"] == 32
    assert about["data_sha256"] == EmbeddingSets([data]).sha256
    assert about["versions"]["torch"] == torch.__version__
    assert about["clips"] == {"train": 320, "val": 80}
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "val_loss" in line] == [10, 20, 30, 40]
    losses = [line["val_loss"] for line in log if "val_loss" in line]
    assert losses[-1] < 0.8 * losses[0]
    assert [one["step"] for one in said if "cosine" in one] == [10, 20, 30, 40]
    trained = next(line for line in log if "train_loss" in line)
    assert trained["step"] == 40
    assert trained["clips_per_s"] > 0
    assert trained["epoch"] == pytest.approx(40 / 5)
    assert 0 < trained["learning_rate"] < 1e-4  # at the last step, of 1e-3
    card = (found.folder / "README.md").read_text()
    for words in ("seen", "heard", "320 clips", "CC0-1.0", about["data_sha256"]):
        assert words in card


def test_tensorboard_groups_its_curves_and_knows_the_settings(data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(config(data, tmp_path / "run", eval_every=0, loss=LossWeights(mse=1, cosine=0.5)))
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    tags = set(board.Tags()["scalars"])
    assert {tag.split("/")[0] for tag in tags} == {"train", "val"}
    assert {f"{split}/{name}" for split in ("train", "val") for name in ("loss", "loss_mse", "loss_cosine")} <= tags
    assert {"train/learning_rate", "train/clips_per_s", "train/epoch", "val/cosine", "val/recall_10"} <= tags
    # an epoch has five steps; a run of eight epochs is measured ten times
    assert [event.step for event in board.Scalars("val/cosine")] == [*range(4, 41, 4)]
    assert validation_curve(tmp_path / "run") == [
        (event.step, pytest.approx(event.value, rel=1e-6)) for event in board.Scalars("val/cosine")
    ]
    settings = board.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"learning_rate" in settings
    assert b"mapper.hidden_dim" in settings
    assert validation_curve(tmp_path) == []


def test_the_same_seed_gives_the_same_weights_and_torch_is_left_alone(data, tmp_path):
    before = torch.random.get_rng_state()
    one, other = (train(config(data, tmp_path / name)) for name in ("one", "other"))
    third = train(config(data, tmp_path / "third", seed=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(weights(tmp_path / "one"), weights(tmp_path / "other"))
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "third"))
    assert one.figures == other.figures != third.figures


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"prior": PriorChoice(components=8, hidden_dim=16, depth=1)},
        {"loss": LossWeights(mse=1, contrastive=0.5)},
        {"memory_gb": 1e-9},
    ],
    ids=["regression", "prior", "contrastive", "streamed"],
)
def test_a_run_that_was_stopped_ends_with_the_same_bits(data, tmp_path, more):
    train(config(data, tmp_path / "whole", **more))

    def stop(values):
        if values["step"] >= 20 and "val_loss" in values:
            raise Stopped  # before the checkpoint of step 20: it goes on from that of step 10

    again = config(data, tmp_path / "broken", **more)
    with pytest.raises(Stopped):
        train(again, tell=stop)
    assert not (tmp_path / "broken" / "result.json").exists()
    with pytest.raises(InputError, match="broken: holds a run already; continue with --resume, or choose another out"):
        train(again)
    train(again, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    steps = [json.loads(line)["step"] for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert len([step for step in steps if step == 20]) == 1
    assert train(again, resume=True) == read_result(tmp_path / "broken")  # over: nothing is left to do
    shutil.rmtree(tmp_path / "broken" / "mapper")
    with (tmp_path / "broken" / "log.jsonl").open("a") as log:
        log.write('{"step": 4')  # as a machine leaves it that loses its power
    train(again, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    (tmp_path / "broken" / "run.json").unlink()
    with pytest.raises(InputError, match="broken: holds a run already"):
        train(again)


def test_killed_and_resumed_from_the_command_line(data, tmp_path):
    toml = tmp_path / "run.toml"
    lines = [
        f'data = ["{data}"]',
        "steps = 300",
        "eval_every = 20",
        "batch_size = 64",
        'device = "cpu"',
        "patience = 0",
    ]
    toml.write_text("\n".join([*lines, "[mapper]", "hidden_dim = 32", "depth = 1"]))
    command = [sys.executable, "-m", "echoframe", "train", str(toml), "--set"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([*command, f"out={whole}", "--quiet"], check=True, capture_output=True)
    begun = subprocess.Popen([*command, f"out={broken}", "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (broken / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(begun.pid, signal.SIGKILL)
    begun.communicate()
    assert not (broken / "result.json").exists()
    done = subprocess.run([*command, f"out={broken}", "--resume"], check=True, capture_output=True, text=True)
    assert "cosine" in done.stdout
    assert "validation val_loss" in done.stderr
    assert same(weights(whole), weights(broken))


@pytest.mark.parametrize(
    ("batch_size", "loss"),
    [(64, "mse = 1.0"), (63, "mse = 0.0\ncontrastive = 1.0")],  # of 63, one process has a clip more than the other
    ids=["mse", "contrastive"],
)
def test_two_processes_learn_what_one_does(data, tmp_path, batch_size, loss):
    """By gloo on this machine: each has half of every batch, so only rounding may differ."""
    toml = tmp_path / "run.toml"
    lines = [f'data = ["{data}"]', "steps = 12", "eval_every = 6", f"batch_size = {batch_size}", 'device = "cpu"']
    mapper = ["[mapper]", "hidden_dim = 32", "depth = 1", "dropout = 0.0"]
    toml.write_text("\n".join([*lines, *mapper, "[loss]", loss]))
    train_one = [sys.executable, "-m", "echoframe", "train", str(toml), "--quiet", "--set"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *train_one[1:]]
    for command, name in ((train_one, "one"), (launch, "two")):
        subprocess.run([*command, f"out={tmp_path / name}"], check=True, capture_output=True, timeout=300)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=2e-4, rtol=2e-3)


def test_it_ends_early_when_validation_says_so(data, tmp_path):
    found = train(config(data, tmp_path / "run", steps=4000, learning_rate=0.05, eval_every=5, patience=3, ema=0.5))
    assert found.steps < 4000
    assert found.steps == found.step + 15


def test_bfloat16_learns_too(data, tmp_path):
    found = train(config(data, tmp_path / "run", dtype="bfloat16", steps=80))
    assert found.figures.cosine > 0.5
    assert weights(tmp_path / "run")["project_in.weight"].dtype == torch.float32


def test_a_prior_is_kept_as_a_prior(data, tmp_path):
    found = train(config(data, tmp_path / "run", prior=PriorChoice(components=8, hidden_dim=16, depth=1, guidance=1.5)))
    prior = load_prior(found.folder)
    assert isinstance(prior, FlowPrior)
    assert (prior.config.components, prior.config.guidance) == (8, 1.5)
    with pytest.raises(ConfigError, match="prior: 99 components of a space of 16 dimensions"):
        train(config(data, tmp_path / "wide", prior=PriorChoice(components=99)))


def test_a_full_disk_leaves_the_last_checkpoint(data, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    seen = []

    def later(values):
        seen.append(values)
        if values["step"] == 20:
            monkeypatch.setattr(checkpoint, "write_weights", full)

    again = config(data, tmp_path / "run")
    with pytest.raises(
        OutputError, match="checkpoint.safetensors: cannot be written .*No space.*the previous checkpoint is kept"
    ):
        train(again, tell=later)
    monkeypatch.undo()
    train(again, resume=True)
    train(config(data, tmp_path / "whole"))
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_runs_that_do_not_belong_together(data, tmp_path):
    again = config(data, tmp_path / "run")
    train(again)
    with pytest.raises(
        InputError, match="was started with learning_rate 0.001, but this config has 0.1; change it back, or choose"
    ):
        train(replace(again, learning_rate=0.1), resume=True)
    (tmp_path / "run" / "result.json").unlink()
    other = linear_set(tmp_path / "other", n=300, seed=3)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    about["config"]["data"] = [str(other)]
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="was started on other data than .*other holds now; choose another out"):
        train(replace(again, data=(str(other),)), resume=True)
    for text in ("{}", '{"config": [], "data_sha256": ""}'):
        (tmp_path / "run" / "run.json").write_text(text)
        with pytest.raises(
            InputError, match="run.json: not a run's description .*; start the run again in another folder"
        ):
            train(again, resume=True)


def test_checkpoints_that_are_none(data, tmp_path):
    again = config(data, tmp_path / "run")
    train(again)
    (tmp_path / "run" / "result.json").unlink()
    path = tmp_path / "run" / "checkpoint.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match="checkpoint.safetensors: not a checkpoint .*remove it and start the run again"
    ):
        train(again, resume=True)
    path.write_bytes(whole)
    tensors = load_file(path)
    tensors["model/mapper.project_in.weight"] = torch.zeros(3, 3)
    save_file(tensors, path, metadata={"progress": json.dumps({"step": 40})})
    with pytest.raises(InputError, match="checkpoint.safetensors: belongs to another mapper"):
        train(again, resume=True)
    path.write_bytes(whole)
    with safe_open(path, framework="pt") as file:
        head, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del tensors["optimizer/0/exp_avg"]
    save_file(tensors, path, metadata=head)
    with pytest.raises(
        InputError, match="belongs to another mapper .its optimizer knows other weights.; start the run again"
    ):
        train(again, resume=True)
    (tmp_path / "run" / "result.json").write_text("[]")
    with pytest.raises(InputError, match="result.json: not a run's result"):
        read_result(tmp_path / "run")
    with pytest.raises(InputError, match="result.json: cannot be read .*; the run is not finished"):
        read_result(tmp_path)


def test_data_that_teaches_nothing(tmp_path):
    one = linear_set(tmp_path / "one", n=50, labels=("dog barking",))
    with pytest.raises(
        InputError, match='all 50 clips are labelled "dog barking", so the mapper would learn a constant'
    ):
        train(config(one, tmp_path / "run"))
    none = linear_set(tmp_path / "none", n=50, splits=("test",))
    with pytest.raises(InputError, match=r"no clips of split train \(0 train, 0 val, 50 test\)"):
        train(config(none, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_numbers_below_0_are_no_probabilities(data, tmp_path):
    read = replace(SMALL, input="log_probability")
    with pytest.raises(
        InputError, match="visual embeddings below 0 are not probabilities, which mapper.input asks for"
    ):
        train(config(data, tmp_path / "run", mapper=read))


def test_places_that_cannot_be_written_to(data, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="file: is a file, expected an output folder; choose another with out"):
            train(config(data, out))


def test_a_loss_that_is_no_number_ends_the_run(data, tmp_path):
    with pytest.raises(InputError, match="the validation loss became NaN or infinite at step 10; lower learning_rate"):
        train(config(data, tmp_path / "run", learning_rate=1e30, clip_norm=1e30, warmup_steps=0))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"data": ()}, "data: names no folder; give one or more that echoframe extract wrote"),
        ({"epochs": 0.0}, "epochs 0.0, learning_rate 0.001.*expected all above 0"),
        ({"patience": -1}, "patience 0 or more"),
        ({"ema": 1.0}, "ema 1.0, val_share 0.1, memory_gb 0.0; expected ema from 0 to below 1"),
        ({"dtype": "float8"}, 'dtype "float8"; expected auto, float32 or bfloat16'),
    ],
)
def test_configs_that_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        altered(TrainConfig(data=("a",), out="b"), **values).__post_init__()


def altered(config, **values):
    """Past the type checker that only tests have."""
    for name, value in values.items():
        object.__setattr__(config, name, value)
    return config


def test_choices_that_are_refused():
    with pytest.raises(
        ConfigError, match='mapper: size "huge", hidden_dim 0, depth 0; expected one of small, base, large'
    ):
        altered(MapperChoice(), size="huge").__post_init__()
    with pytest.raises(
        ConfigError, match=r"loss: weights \(0.0, 0, 0\); expected no weight below 0, and at least one above 0"
    ):
        LossWeights(mse=0.0, cosine=0, contrastive=0)


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_kinds_of_one_size_have_as_many_parameters(size):
    wanted = {"small": 1e6, "base": 4e6, "large": 16e6}[size]
    for kind in ("mlp", "residual_mlp", "bilstm", "transformer"):
        found = MapperChoice(kind=kind, size=size).config(visual_dim=768, audio_dim=512, n_frames=64, spaces=("a", "b"))
        assert n_parameters(found) == pytest.approx(wanted, rel=0.05), kind


def test_probabilities_are_read_as_such():
    options = {"visual_dim": 8, "audio_dim": 4, "n_frames": 2}
    assert MapperChoice().config(**options, spaces=("x/probabilities", "b")).input == "log_probability"
    assert MapperChoice().config(**options, spaces=("clip", "b")).input == "raw"


def test_contrastive_loss():
    same_points = torch.eye(4)
    assert float(info_nce(same_points, same_points, torch.tensor(50.0))) < 1e-6
    assert float(info_nce(torch.ones(4, 4), same_points, torch.tensor(1.0))) == pytest.approx(1.0)
    by_hand = torch.tensor([[2.0, 1.0], [0.5, 3.0]])
    rows, columns = -by_hand.log_softmax(1).diagonal().mean(), -by_hand.log_softmax(0).diagonal().mean()
    assert float(info_nce(by_hand, torch.eye(2), torch.tensor(1.0))) == pytest.approx(
        float((rows + columns) / 2 / np.log(2))
    )


def test_losses_are_about_one_for_an_answer_that_is_always_the_mean(data, monkeypatch):
    sets = EmbeddingSets([data])
    clips = sets.load(sets.rows("train"))
    for scaling in ("none", "centre", "whiten"):
        choice = MapperChoice(hidden_dim=32, depth=1, audio_scaling=scaling)
        mapper = build(TrainConfig(data=("a",), out="b", mapper=choice), sets, clips)
        assert isinstance(mapper, MapperNetwork)
        mean = mapper.audio_scaling(clips.audio).mean(dim=0).expand(len(clips), -1)
        monkeypatch.setattr(mapper, "predict", lambda visual, mask, mean=mean: mean)
        loss = MapperLoss(mapper, LossWeights(mse=1, cosine=1, contrastive=1), spread=spread_of(mapper, clips.audio))
        values = loss(clips.visual.float(), clips.mask, clips.audio, generator=torch.Generator())
        found = {name: float(value.detach()) for name, value in values.items()}
        assert found["mse"] == pytest.approx(1, rel=1e-4)
        assert found["cosine"] == pytest.approx(1, abs=0.2)
        assert found["contrastive"] == pytest.approx(1, abs=0.6)
        assert found["loss"] == pytest.approx(found["cosine"] + found["mse"] + found["contrastive"], rel=1e-5)
