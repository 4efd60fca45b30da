"""Many runs over a space of settings, by Optuna: what `echoframe sweep` does.

The study is an SQLite file in the sweep's folder; each trial is a run of its own beside it. A sweep that was stopped
goes on: a trial that was under way is begun again.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echoframe.config import flatten, from_dict
from echoframe.data.embedding_reader import EmbeddingSets
from echoframe.errors import ConfigError, InputError
from echoframe.lock import exclusive_lock
from echoframe.optional import require_extra
from echoframe.output import atomic_files, check_place
from echoframe.training.checkpoint import hash_of
from echoframe.training.config import TrainConfig
from echoframe.training.train import train

STUDY, BEST = "study.sqlite", "best.toml"
STOPPED = "stopped"  # of a trial that was interrupted and is asked for again
DIRECTIONS = {
    "val_loss": "minimize",
    "mse": "minimize",
    "cosine": "maximize",
    "recall_1": "maximize",
    "recall_5": "maximize",
    "recall_10": "maximize",
    "median_rank": "minimize",
}
Told = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepConfig:
    """out: the sweep's folder. base: a run as `echoframe train` takes it, without out. space: for each setting, as
    "mapper.dropout", either a list of choices or {low, high} with log = true or step. trials: in all. metric: what
    counts, on validation clips; val_loss compares only runs with the same losses. seed: of the search.
    """

    out: str
    base: dict[str, Any]
    space: dict[str, Any]
    trials: int = 30
    metric: str = "cosine"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.metric not in DIRECTIONS:
            raise ConfigError(f'metric "{self.metric}"; expected one of {", ".join(DIRECTIONS)}')
        if self.trials < 1 or not self.space:
            raise ConfigError(f"{self.trials} trials over {len(self.space)} settings; expected one or more of both")
        if "?" in self.out:  # it would end the database's name
            raise ConfigError(f'out "{self.out}": expected a path without "?"')
        for name, values in self.space.items():
            if not (_is_range(values) if isinstance(values, dict) else isinstance(values, list | tuple) and values):
                raise ConfigError(
                    f"space: {name} = {values}; expected a list of choices, or {{low, high}}, numbers of which low is not "
                    "the larger, and maybe either log = true, with low above 0, or step, above 0"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepResult:
    """What is known of the study now. n_pruned: trials that were ended early. best_file: the best run, as TOML."""

    n_done: int
    n_pruned: int
    n_failed: int
    best_value: float
    best: dict[str, Any]
    best_run: Path
    best_file: Path


def sweep(config: SweepConfig, *, told: Told | None = None) -> SweepResult:
    """Runs what is missing of the trials. Raises InputError for data that cannot be read, or if every trial fails."""
    optuna = require_extra("optuna", "train")
    out = Path(config.out)
    check_place(out, option="out")
    first = _run_config(config, {}, out / "none")
    for name, values in config.space.items():  # a setting that is none is none in every trial
        _run_config(config, {name: values["low"] if isinstance(values, dict) else values[0]}, out / "none")
    EmbeddingSets([Path(one) for one in first.data])  # what is wrong with the data is wrong with every trial
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # each trial is told of here
    with exclusive_lock(out, "echoframe sweep"):
        study = _open(optuna, config, out)
        lost = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]
        for trial in lost:
            study._storage.set_trial_user_attr(trial._trial_id, STOPPED, True)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
        finished = [t for t in study.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]
        study.optimize(
            lambda trial: _one(optuna, trial, config, out, told),
            n_trials=max(config.trials - len(finished), 0),
            catch=(InputError, ConfigError),
        )
        return _result(study, config, out)


def _open(optuna: Any, config: SweepConfig, out: Path) -> Any:
    storage = f"sqlite:///{(out / STUDY).resolve()}"
    try:
        known = optuna.get_all_study_names(storage)
    except require_extra("sqlalchemy.exc", "train").DatabaseError as error:
        raise InputError(f"{out / STUDY}: not a study ({error.orig}); remove it to begin the sweep anew") from error
    n_before = len(optuna.load_study(study_name="sweep", storage=storage).trials) if known else 0
    study = optuna.create_study(
        study_name="sweep",
        storage=storage,
        load_if_exists=True,
        direction=DIRECTIONS[config.metric],
        # another seed after each interruption: the same one would propose the first trials again
        sampler=optuna.samplers.TPESampler(seed=hash_of(config.seed, n_before) % 2**32),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )
    asked = json.dumps(
        {key: value for key, value in asdict(config).items() if key not in ("trials", "out")}, sort_keys=True
    )
    before = study.user_attrs.get("config", asked)
    if before != asked:
        raise InputError(f"{out}: holds a sweep of other settings; choose another out, or put them back")
    study.set_user_attr("config", asked)
    return study


def _one(optuna: Any, trial: Any, config: SweepConfig, out: Path, told: Told | None) -> float:
    asked = {name: _suggest(trial, name, values) for name, values in config.space.items()}
    best: list[float] = []
    better = min if DIRECTIONS[config.metric] == "minimize" else max

    def tell(values: dict[str, Any]) -> None:
        if config.metric in values:  # a measurement: what is told between them has other names
            best.append(better([*best[-1:], values[config.metric]]))
            trial.report(best[-1], len(best) - 1)
            if trial.should_prune():
                raise optuna.TrialPruned

    def say(how: str) -> None:
        if told is not None:
            told(f"trial {trial.number}: {_toml(asked, ', ')}: {how}")

    try:
        run = _run_config(config, asked, out / f"trial-{trial.number:04d}")
        result = train(run, tell=tell)
        value = result.loss if config.metric == "val_loss" else result.figures.values()[config.metric]
    except optuna.TrialPruned:
        say("pruned")
        raise
    except (InputError, ConfigError) as error:
        say(str(error))
        raise
    except KeyboardInterrupt:
        trial.set_user_attr(STOPPED, True)
        trial.study.enqueue_trial(trial.params)
        raise
    say(f"{config.metric} {value:.4f}")
    return value


def _suggest(trial: Any, name: str, values: Any) -> Any:
    if not isinstance(values, dict):
        return trial.suggest_categorical(name, list(values))
    whole = all(isinstance(values[key], int) for key in ("low", "high"))
    suggest = trial.suggest_int if whole else trial.suggest_float
    options = {key: values[key] for key in ("log", "step") if key in values}
    return suggest(name, values["low"], values["high"], **options)


def _run_config(config: SweepConfig, asked: dict[str, Any], out: Path) -> TrainConfig:
    values = json.loads(json.dumps(config.base))
    for name, value in asked.items():
        *tables, key = name.split(".")
        place = values
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = value
    return from_dict(TrainConfig, values | {"out": str(out)}, name="sweep")


def _result(study: Any, config: SweepConfig, out: Path) -> SweepResult:
    trials = study.get_trials(deepcopy=False)
    states = [trial.state.name for trial in trials]
    if "COMPLETE" not in states:
        raise InputError(
            f"{out}: no trial was completed ({states.count('FAIL')} failed); train the base alone to see why"
        )
    best = study.best_trial
    run = _run_config(config, best.params, Path(config.out) / "best")
    with atomic_files([out / BEST]) as (file,):
        head = f"# trial {best.number}: {config.metric} {best.value:.5f}\n"
        flat = {key: value for key, value in flatten(config.base | {"out": run.out}).items() if key not in best.params}
        file.write_text(head + _toml(flat | best.params, "\n") + "\n", encoding="utf-8")
    return SweepResult(
        n_done=states.count("COMPLETE"),
        n_pruned=states.count("PRUNED"),
        n_failed=sum(trial.state.name == "FAIL" and STOPPED not in trial.user_attrs for trial in trials),
        best_value=best.value,
        best=best.params,
        best_run=out / f"trial-{best.number:04d}",
        best_file=out / BEST,
    )


def _toml(values: dict[str, Any], between: str) -> str:
    # numbers, texts, truths, lists of them and empty tables are written alike in JSON and TOML
    return between.join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _is_range(values: dict[str, Any]) -> bool:
    if not {"low", "high"} <= set(values) <= {"low", "high", "log", "step"}:
        return False
    numbers = [values[key] for key in ("low", "high", "step") if key in values]
    if any(isinstance(x, bool) or not isinstance(x, int | float) or not math.isfinite(x) for x in numbers):
        return False
    log = values.get("log", False)
    if not isinstance(log, bool) or (log and (values["low"] <= 0 or "step" in values)):
        return False
    return values["low"] <= values["high"] and values.get("step", 1) > 0
