"""Comparing, searching and joining trained mappers."""

import json
import shutil
import sqlite3
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from echoframe.apps import cli
from echoframe.bundles.bundle import load_bundle, save_bundle
from echoframe.bundles.manifest import read_manifest as read_bundle
from echoframe.config import flatten
from echoframe.data.embedding_reader import EmbeddingSets
from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.loading import load
from echoframe.mappers.networks import ResidualMlpMapper
from echoframe.training import sweep as sweeping
from echoframe.training.bounds import bridge_bound
from echoframe.training.compare import compare, find_runs, name_of, names_of
from echoframe.training.config import LossWeights, MapperChoice, PriorChoice, TrainConfig
from echoframe.training.export import write_bundle
from echoframe.training.picture import BOUND_LINES, style_of
from echoframe.training.report import markdown, write_report
from echoframe.training.sweep import SweepConfig, sweep
from echoframe.training.train import train
from planted_embeddings import linear_set, unit, write_set
from tiny_bundles import CLIP, DIM, EARS, FACES, HEARD, SEEN, write_tiny_clip_clap, write_tiny_mini

BOUNDS = [
    "true embedding (oracle)",
    "label mean (knows the label)",
    "ridge regression",
    "nearest neighbour",
    "global mean",
]


def run_config(data: Path, out: Path, **more) -> TrainConfig:
    mapper = MapperChoice(hidden_dim=32, depth=1, dropout=0.0)
    values = {"mapper": mapper, "batch_size": 64, "steps": 60, "learning_rate": 3e-3, "eval_every": 20, "ema": 0.9}
    return TrainConfig(data=(str(data),), out=str(out), device="cpu", warmup_steps=5, **values | more)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Three seeds of one mapper and one prior, on one set; and a run that is not over."""
    folder = tmp_path_factory.mktemp("runs")
    data = linear_set(folder / "data", n=600)
    for seed in range(3):
        train(run_config(data, folder / "runs" / f"mse-{seed}", seed=seed))
    prior = PriorChoice(components=8, hidden_dim=16, depth=1)
    train(run_config(data, folder / "runs" / "prior", prior=prior, steps=20))
    shutil.copytree(folder / "runs" / "prior", folder / "runs" / "unfinished")
    (folder / "runs" / "unfinished" / "result.json").unlink()
    return folder


def test_few_clips_of_val_are_said(tmp_path, caplog):
    data = linear_set(tmp_path / "data", n=100)
    config = run_config(data, tmp_path / "run", steps=2, eval_every=2)
    words = "val has 20 clips, so one clip is worth 5% of each recall; for figures to choose a mapper by, extract"
    for work in (lambda: train(config), lambda: compare([tmp_path / "run"])):
        caplog.clear()
        work()
        assert caplog.messages[0].startswith(words)


def test_the_table(runs, tmp_path, capsys, caplog):
    found = compare([runs / "runs"])
    assert [row.name for row in found.mappers] == [
        "residual_mlp 32 x 1, mse",
        "residual_mlp 32 x 1, mse, prior, guidance 2",
    ]
    assert [len(row.figures["cosine"]) for row in found.mappers] == [3, 1]
    assert (found.n_clips, found.n_labels, found.spaces) == (120, 4, ("seen", "heard"))
    assert not [words for words in caplog.messages if "so one clip is worth" in words]
    best = found.mappers[0]
    for run, cosine in zip(find_runs([runs / "runs"])[0][:3], best.figures["cosine"], strict=True):
        assert json.loads((run.folder / "result.json").read_text())["figures"]["cosine"] == pytest.approx(cosine)
    bounds = {row.name: row for row in found.bounds}
    assert list(bounds) == BOUNDS
    assert bounds[BOUNDS[0]].mean("recall_1") == 1
    assert bounds[BOUNDS[0]].mean("mse") == pytest.approx(0, abs=1e-12)
    assert bounds["ridge regression"].mean("cosine") > 0.95  # the target is linear but for its length
    assert bounds["global mean"].mean("recall_1") == pytest.approx(1 / 120)  # one answer for all is one clip's
    assert bounds["nearest neighbour"].mean("cosine") > bounds["label mean (knows the label)"].mean("cosine")
    assert set(best.labels) == {"dog barking", "rain", "playing violin", "engine idling"}
    assert all(one["n"] == 30 for one in best.labels.values())
    assert cli.main(["compare", str(runs / "runs"), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("| ")]
    assert lines[0].count("|") == lines[1].count("|") == lines[-1].count("|") + 9
    assert "+-" in lines[1]
    values = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert values["mappers"][0]["figures"]["recall_1"] == best.figures["recall_1"]
    assert [[step for step, _ in curve] for curve in values["mappers"][0]["curves"]] == [[20, 40, 60]] * 3
    assert (tmp_path / "out" / "compare.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "compare.md").read_text() in said


def test_means_and_deviations(runs):
    row = compare([runs / "runs" / "mse-0", runs / "runs" / "mse-1"]).mappers[0]
    assert row.mean("cosine") == pytest.approx(np.mean(row.figures["cosine"]))
    assert row.deviation("cosine") == pytest.approx(np.std(row.figures["cosine"], ddof=1))
    assert compare([runs / "runs" / "prior"]).mappers[0].deviation("cosine") is None


def test_lines_of_the_picture_can_be_told_apart():
    styles = [style_of(i) for i in range(28)]
    assert len({tuple(style.values()) for style in styles}) == 28
    assert all(one["color"] != other["color"] for one, other in pairwise(styles))
    assert len(set(BOUND_LINES)) == len(BOUND_LINES) > len(BOUNDS)


def test_what_cannot_be_compared(runs, tmp_path):
    with pytest.raises(InputError, match="unfinished: 1 runs, none of them finished; train to the end first"):
        compare([runs / "runs" / "unfinished"])
    other = linear_set(tmp_path / "other", n=200, seed=4)
    train(run_config(other, tmp_path / "run", steps=5))
    with pytest.raises(InputError, match="run: another data than .*mse-0; compare runs on the same clips"):
        compare([runs / "runs" / "mse-0", tmp_path / "run"])
    linear_set(other, n=150)
    with pytest.raises(InputError, match="other: changed since the runs were trained; train them again"):
        compare([tmp_path / "run"])
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(InputError, match="run.json: not a run's description"):
        compare([tmp_path / "run"])


def test_runs_that_are_not_over_are_named_and_those_given_twice_count_once(runs, tmp_path):
    for name in ("mse-0", "mse-1"):
        shutil.copytree(runs / "runs" / name, tmp_path / "runs" / name)
    (tmp_path / "runs" / "mse-1" / "result.json").unlink()
    found = compare([tmp_path / "runs", tmp_path / "runs" / ".." / "runs" / "mse-0"])
    assert found.unfinished == (str(tmp_path / "runs" / "mse-1"),)
    assert [len(row.figures["cosine"]) for row in found.mappers] == [1]
    assert f"Not finished, and left out: {tmp_path / 'runs' / 'mse-1'}." in markdown(found)
    shutil.copytree(tmp_path / "runs" / "mse-0", tmp_path / "runs" / "other")
    with pytest.raises(
        InputError, match="other: is the same run as .*mse-0, with the same seed 0; leave one of them out"
    ):
        compare([tmp_path / "runs"])


def test_mappers_of_one_name_are_told_apart(runs, tmp_path):
    plain = TrainConfig(data=("a",), out="b")
    slow, other = replace(plain, learning_rate=1e-4), replace(plain, mapper=MapperChoice(kind="mlp"))
    assert names_of([plain, slow, other]) == [
        "residual_mlp base, mse, learning_rate 0.001",
        "residual_mlp base, mse, learning_rate 0.0001",
        "mlp base, mse",
    ]


def test_a_damaged_run_is_named(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs / "runs" / "mse-0", run)
    path = run / "mapper" / "model.safetensors"
    save_file({name: torch.full_like(value, torch.nan) for name, value in load_file(path).items()}, path)
    with pytest.raises(InputError, match="run: predicted embeddings: row 0 is not finite.*; train it again"):
        compare([run])
    (run / "mapper" / "config.json").write_text("{")
    with pytest.raises(BundleError, match="config.json: not valid JSON"):
        compare([run])
    about = json.loads((run / "run.json").read_text())
    about["config"]["data"] = [str(tmp_path / "nowhere")]
    (run / "run.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="run.json: its data, seen from this folder: .*nowhere.*: cannot be read"):
        compare([run])


def test_the_bridge_has_to_join_the_same_spaces(runs):
    with pytest.raises(InputError, match="mini: has its own mapper and no zero-shot bridge"):
        bridge_bound("mini", EmbeddingSets([runs / "data"]))


def test_a_bridge_that_joins_other_spaces_and_one_that_does_not(tmp_path):
    write_tiny_clip_clap(tmp_path / "model")
    rng = np.random.default_rng(0)
    visual, audio = rng.normal(size=(60, 4, SEEN.dim)), unit(rng.normal(size=(60, HEARD.dim)))
    other = write_set(tmp_path / "other", visual, audio)
    with pytest.raises(InputError, match=r"its bridge joins tiny-clip and tiny-clap, the data have seen and heard"):
        bridge_bound(tmp_path / "model", EmbeddingSets([other]))
    data = write_set(tmp_path / "data", visual, audio, spaces=(SEEN.name, HEARD.name))
    train(run_config(data, tmp_path / "run", steps=5))
    found = compare([tmp_path / "run"], bridge=str(tmp_path / "model"))
    assert found.bounds[-1].name == "zero-shot bridge"
    assert found.bounds[-1].figures["length"] == [pytest.approx(1)]


def test_a_bridge_and_a_model_of_two_audio_spaces_are_refused(tmp_path):
    """The generator's text tower is another's: its name promises the space of the CLAP beside it, its texts do not."""
    for name, seed in (("model", 0), ("other", 1)):
        write_tiny_clip_clap(tmp_path / name, seed=seed)
    shutil.rmtree(tmp_path / "model" / "generator" / "text_encoder")
    shutil.copytree(
        tmp_path / "other" / "generator" / "text_encoder", tmp_path / "model" / "generator" / "text_encoder"
    )
    save_bundle(tmp_path / "model", read_bundle(tmp_path / "model"))
    rng = np.random.default_rng(0)
    visual, audio = rng.normal(size=(60, 4, SEEN.dim)), unit(rng.normal(size=(60, HEARD.dim)))
    data = write_set(tmp_path / "data", visual, audio, spaces=(SEEN.name, HEARD.name))
    train(run_config(data, tmp_path / "run", steps=5))
    with pytest.raises(BundleError, match="embed the same text with a cosine of"):
        compare([tmp_path / "run"], bridge=str(tmp_path / "model"))
    with pytest.raises(BundleError, match="these are not the same audio space; take both from the same CLAP"):
        write_bundle(tmp_path / "run", tmp_path / "joined", generator=str(tmp_path / "model"))
    assert not (tmp_path / "joined").exists()


def test_names():
    config = TrainConfig(data=("a",), out="b", loss=LossWeights(mse=1, contrastive=0.5))
    assert name_of(config) == "residual_mlp base, mse + 0.5 contrastive"
    other = MapperChoice(kind="bilstm", size="small", pooling="attention", audio_scaling="whiten")
    assert (
        name_of(TrainConfig(data=("a",), out="b", mapper=other))
        == "bilstm small, attention pooling, whitened audio, mse"
    )


def sweep_config(runs: Path, out: Path, **more) -> SweepConfig:
    base = {"data": [str(runs / "data")], "steps": 30, "eval_every": 10, "batch_size": 64, "device": "cpu"}
    base["mapper"] = {"depth": 1}
    space = {"mapper.hidden_dim": [16, 32], "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    return SweepConfig(**{"out": str(out), "base": base, "space": space, "trials": 3} | more)


@pytest.mark.parametrize(("how", "n_asked"), [(SystemExit, 2), (KeyboardInterrupt, 3)])  # the second asks again at once
def test_a_sweep_goes_on_where_it_was_stopped(runs, tmp_path, monkeypatch, capsys, how, n_asked):
    out, trained = tmp_path / "sweep", []
    whole = sweeping.train

    def until_the_second(config, **more):
        trained.append(config.out)
        if len(trained) == 2:
            raise how
        return whole(config, **more)

    monkeypatch.setattr(sweeping, "train", until_the_second)
    with pytest.raises(how):
        sweep(sweep_config(runs, out))
    with sqlite3.connect(out / "study.sqlite") as study:
        assert study.execute("SELECT count(*) FROM trials").fetchone() == (n_asked,)
    found = sweep(sweep_config(runs, out))
    assert (found.n_done + found.n_pruned, found.n_failed) == (3, 0)
    with sqlite3.connect(out / "study.sqlite") as study:  # the second and the third have the same settings
        settings = study.execute("SELECT trial_id, param_name, param_value FROM trial_params ORDER BY 1, 2").fetchall()
    assert [row[1:] for row in settings if row[0] == 2] == [row[1:] for row in settings if row[0] == 3]
    assert set(found.best) == {"mapper.hidden_dim", "learning_rate"}
    with sqlite3.connect(out / "study.sqlite") as study:
        values = study.execute("SELECT value FROM trial_values").fetchall()
    assert found.best_value == pytest.approx(max(value for (value,) in values))
    n_trained = len(trained)
    assert sweep(sweep_config(runs, out)) == found
    assert len(trained) == n_trained
    # its best is a run as it stands
    monkeypatch.undo()
    capsys.readouterr()
    assert cli.main(["train", str(found.best_file), "--quiet"]) == 0
    assert f"cosine {found.best_value:.3f}" in capsys.readouterr().out
    with pytest.raises(InputError, match="sweep: holds a sweep of other settings; choose another out"):
        sweep(sweep_config(runs, out, metric="recall_1"))


def test_what_is_reported_is_what_validation_says(runs, tmp_path):
    """Of losses and figures some have one name: a loss of training is not a measurement."""
    base = sweep_config(runs, tmp_path).base | {"steps": 150, "eval_every": 50, "loss": {"mse": 0.0, "cosine": 1.0}}
    sweep(sweep_config(runs, tmp_path / "sweep", base=base, space={"learning_rate": [2e-6]}, trials=1))
    with sqlite3.connect(tmp_path / "sweep" / "study.sqlite") as study:
        reported = study.execute(
            "SELECT step, intermediate_value FROM trial_intermediate_values ORDER BY step"
        ).fetchall()
    log = (tmp_path / "sweep" / "trial-0000" / "log.jsonl").read_text().splitlines()
    measured = [line["cosine"] for line in map(json.loads, log) if "val_loss" in line]
    assert [step for step, _ in reported] == [0, 1, 2]
    assert [value for _, value in reported] == [pytest.approx(max(measured[: n + 1])) for n in range(3)]


def test_a_combination_that_cannot_be_ends_its_trial_and_no_other(runs, tmp_path):
    base = sweep_config(runs, tmp_path).base | {"mapper": {"kind": "transformer", "depth": 1}}
    said = []
    space = {"mapper.hidden_dim": [16, 18]}
    found = sweep(sweep_config(runs, tmp_path / "s", base=base, space=space, trials=4), told=said.append)
    assert found.n_failed >= 1
    assert found.n_done >= 1
    assert any("hidden_dim 18 of a transformer has to be a multiple of 4" in line for line in said)


def test_a_best_run_is_written_as_it_was():
    values = {"out": "\N{HEADPHONE}", "prior": {}, "mapper": {"depth": 1}}
    assert tomllib.loads(sweeping._toml(flatten(values), "\n")) == values


def test_hopeless_trials_are_ended_early(runs, tmp_path):
    base = sweep_config(runs, tmp_path).base | {"steps": 60, "eval_every": 10, "mapper": {"hidden_dim": 16, "depth": 1}}
    found = sweep(sweep_config(runs, tmp_path / "sweep", base=base, space={"learning_rate": [3e-3, 1e-7]}, trials=12))
    assert found.n_pruned >= 1
    assert found.best == {"learning_rate": 3e-3}


def test_sweeps_that_are_refused(runs, tmp_path):
    with pytest.raises(ConfigError, match='metric "fad"; expected one of val_loss, mse, cosine'):
        sweep_config(runs, tmp_path, metric="fad")
    with pytest.raises(ConfigError, match="0 trials over 2 settings"):
        sweep_config(runs, tmp_path, trials=0)
    ranges = ({"low": 1}, {"low": 1, "high": 2, "middle": 3}, {"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True})
    steps = (
        {"low": 1, "high": 2, "step": 0},
        {"low": 1.0, "high": 2.0, "step": 0.1, "log": True},
        {"low": "a", "high": 1},
    )
    for values in (*ranges, *steps, {"low": 1, "high": 2, "log": "yes"}, 7, []):
        with pytest.raises(ConfigError, match="space: seed = .*; expected a list of choices, or {low, high}"):
            sweep_config(runs, tmp_path, space={"seed": values})
    with pytest.raises(ConfigError, match=r'out ".*\?": expected a path without "\?"'):
        sweep_config(runs, tmp_path / "a?")
    with pytest.raises(ConfigError, match="sweep: unknown key mapper.nonsense|unknown key nonsense"):
        sweep(sweep_config(runs, tmp_path / "a", space={"mapper.nonsense": [1]}))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "study.sqlite").write_text("no database" * 100)
    with pytest.raises(InputError, match="study.sqlite: not a study .*; remove it to begin the sweep anew"):
        sweep(sweep_config(runs, tmp_path / "c"))
    base = sweep_config(runs, tmp_path).base
    with pytest.raises(ConfigError, match="sweep: unknown key nonsense; known keys are data, out"):
        sweep(sweep_config(runs, tmp_path / "a", base=base | {"nonsense": 1}))
    base |= {"warmup_steps": 0, "clip_norm": 1e30}
    with pytest.raises(InputError, match="no trial was completed .1 failed"):
        sweep(sweep_config(runs, tmp_path / "b", base=base, space={"learning_rate": [1e30]}, trials=1))


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """A tiny model, and a run on embeddings that say they are of its encoders."""
    folder = tmp_path_factory.mktemp("joined")
    manifest = write_tiny_mini(folder / "model")
    rng = np.random.default_rng(0)
    visual = rng.dirichlet(np.ones(FACES.dim), size=(120, CLIP.n_frames))
    spaces = (FACES.name, EARS.name)
    data = write_set(folder / "data", visual, unit(rng.normal(size=(120, DIM))), spaces=spaces)
    path = data / "manifest.json"
    about = json.loads(path.read_text())
    for name, part in about["encoders"].items():
        part["files"] = {file.path: file.sha256 for file in manifest.parts[name].files}
    path.write_text(json.dumps(about))
    config = run_config(data, folder / "run", steps=10, eval_every=10)
    train(config)
    return folder


def test_a_mapper_becomes_a_model(joined, tmp_path, capsys):
    command = ["models", "bundle", "--mapper", joined / "run", "--generator", joined / "model", "-o", tmp_path / "mine"]
    more = ["--licence", "CC-BY-NC-4.0", "--push", "me/mine", "--dry-run"]
    assert cli.main([str(word) for word in [*command, *more]]) == 0
    said = capsys.readouterr().out
    assert "mine, licence" in said
    assert "me/mine: nothing was uploaded" in said
    bundle = load_bundle(tmp_path / "mine", device="cpu")
    assert isinstance(bundle.mapper, ResidualMlpMapper)
    assert bundle.mapper.config.hidden_dim == 32
    assert bundle.manifest.parts["mapper"].licence == "CC-BY-NC-4.0"
    assert bundle.manifest.metrics["mapper"]["n"] == 24
    card = (tmp_path / "mine" / "MODEL_CARD.md").read_text()
    assert "residual_mlp" in card
    assert (tmp_path / "mine" / "mapper" / "README.md").exists()
    assert cli.main(["models", "check", str(tmp_path / "mine")]) == 0
    capsys.readouterr()
    assert cli.main([str(word) for word in [*command, *more]]) == 0  # the same again, as to push it after all
    capsys.readouterr()
    assert cli.main([str(word) for word in command]) == 2
    assert "mine: exists already and is another bundle; choose another folder, or remove it" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    assert cli.main([str(word) for word in [*command[:-1], tmp_path / "folder"]]) == 2
    assert "folder: exists already and is not a bundle; choose another" in capsys.readouterr().err
    assert cli.main([str(word) for word in [*command, "--push", "me/x y!", "--dry-run"]]) == 2
    assert '"me/x y!": is not a valid repository name; expected a name such as me/my-model' in capsys.readouterr().err


def test_a_bundle_sounds_as_its_mapper_does_without_one(joined, tmp_path):
    write_bundle(joined / "run", tmp_path / "mine", generator=str(joined / "model"))
    clip = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    models = load(tmp_path / "mine", device="cpu"), load(joined / "model", mapper=joined / "run", device="cpu")
    bundled, loose = (model.generate(clip, frame_rate=10.0, duration_s=0.2).waveform for model in models)
    assert torch.equal(bundled, loose)


def test_a_run_without_its_mapper_is_no_model(joined, tmp_path):
    shutil.copytree(joined / "run", tmp_path / "run")
    (tmp_path / "run" / "mapper" / "README.md").unlink()
    with pytest.raises(
        InputError, match="mapper: is incomplete; continue with echoframe train --resume, which writes it again"
    ):
        write_bundle(tmp_path / "run", tmp_path / "a", generator=str(joined / "model"))
    (tmp_path / "run" / "mapper" / "README.md").touch()
    (tmp_path / "run" / "run.json").write_text('{"config": []}')
    with pytest.raises(InputError, match="run.json: not a run's description .*config is .*; train it again"):
        write_bundle(tmp_path / "run", tmp_path / "a", generator=str(joined / "model"))


def test_parts_that_do_not_belong_together(joined, runs, tmp_path):
    with pytest.raises(BundleError, match='mapper takes "seen"'):
        write_bundle(runs / "runs" / "mse-0", tmp_path / "a", generator=str(joined / "model"))
    write_tiny_mini(tmp_path / "other", seed=5)
    with pytest.raises(BundleError, match="run: trained on embeddings of another audio_encoder|another visual_encoder"):
        write_bundle(joined / "run", tmp_path / "b", generator=str(tmp_path / "other"))
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    assert not list(tmp_path.glob(".*.tmp"))


def test_command_lines(runs, tmp_path, capsys):
    toml = tmp_path / "run.toml"
    toml.write_text(f'data = ["{runs / "data"}"]\nout = "{tmp_path / "run"}"\nsteps = 5\nunknown_key = 1\n')
    assert cli.main(["train", str(toml)]) == 2
    assert "unknown key unknown_key; known keys are data, out, mapper, prior, loss" in capsys.readouterr().err
    toml.write_text(f'data = ["{runs / "data"}"]\nsteps = 5\ndevice = "cpu"\n')
    assert cli.main(["train", str(toml), "--set", "steps"]) == 2
    assert "--set steps: expected KEY=VALUE" in capsys.readouterr().err
    changes = ["--set", f"out={tmp_path / 'run'}", "--set", "mapper.hidden_dim=16", "--set", "mapper.kind=mlp"]
    assert cli.main(["train", str(toml), *changes]) == 0
    assert "of 120 clips; step 5 of 5" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["mapper"]["kind"] == "mlp"
    toml.write_text("data = [")
    assert cli.main(["train", str(toml)]) == 2
    assert "not valid TOML" in capsys.readouterr().err
    assert cli.main(["train", str(tmp_path / "none.toml")]) == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err
    sweep_toml = tmp_path / "sweep.toml"
    sweep_toml.write_text(
        f'out = "{tmp_path / "sweep"}"\ntrials = 1\n[base]\ndata = ["{runs / "data"}"]\nsteps = 5\ndevice = "cpu"\n'
        '[base.mapper]\nhidden_dim = 16\ndepth = 1\n[space]\n"seed" = { low = 0, high = 5 }\n'
    )
    assert cli.main(["sweep", str(sweep_toml)]) == 0
    said = capsys.readouterr()
    assert "1 trials done, 0 pruned, 0 failed; best cosine" in said.out
    assert "trial 0: seed = " in said.err


def test_a_report_without_labels(runs, tmp_path):
    rng = np.random.default_rng(0)
    data = write_set(tmp_path / "data", rng.normal(size=(60, 2, 8)), unit(rng.normal(size=(60, 8))), labels=("",))
    train(run_config(data, tmp_path / "run", steps=5))
    found = compare([tmp_path / "run"])
    assert "Labels of" in markdown(found)  # the unnamed label is one
    assert [path.name for path in write_report(found, tmp_path)] == ["compare.md", "compare.json", "compare.png"]
