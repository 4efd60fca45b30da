"""One training run, from embedding sets to a mapper: what `echoframe train` does.

A run's folder holds run.json (config, data, versions), checkpoint.safetensors, log.jsonl and tensorboard/ while it goes,
and, once it is over, mapper/ and result.json. Under `accelerate launch` several processes share each batch.
"""

import json
import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from echoframe.config import flatten
from echoframe.data.embedding_reader import Clips, EmbeddingSets
from echoframe.device import resolve_device
from echoframe.errors import InputError
from echoframe.lock import exclusive_lock
from echoframe.mappers.networks import LearnedMapper, save_mapper
from echoframe.optional import require_extra
from echoframe.output import check_place, remove_partials
from echoframe.training.average import WeightAverage
from echoframe.training.batches import FREE_SHARE, Batches, free_bytes
from echoframe.training.build import new_loss
from echoframe.training.card import CARD, mapper_card
from echoframe.training.checkpoint import (
    CHECKPOINT,
    TrainingProgress,
    load_checkpoint,
    save_checkpoint,
    seed_dropout,
    step_generator,
)
from echoframe.training.config import TrainConfig
from echoframe.training.loss import MapperLoss
from echoframe.training.measure import BATCH, answers, few_words, measure, predict_all
from echoframe.training.rate import learning_rate
from echoframe.training.run_folder import MAPPER, RESULT, RUN, TrainResult, check_run, is_whole, read_result
from echoframe.training.run_log import RunLog
from echoframe.weights import write_json

MEASURED = 10_000  # validation clips, at most, that are looked at during training
MEASUREMENTS = 10  # of a run, at least, where nothing else is asked for
SAVE_S = 120.0
NEW_BEST = 1e-5  # a loss has to be better by that share

_log = logging.getLogger(__name__)
Tell = Callable[[dict[str, Any]], None]  # every few seconds and at every measurement


def train(config: TrainConfig, *, resume: bool = False, tell: Tell | None = None) -> TrainResult:
    """Trains a mapper on the sets of `config` and writes it to `config.out`; resume: goes on with a run that was stopped.

    tell: hears of losses and measurements, and may raise to end the run. Ends early when validation says so. Raises
    InputError for data that cannot be trained on, a folder that holds another run, or one that was not asked to go on.
    """
    folder = Path(config.out)
    if resume and (folder / RUN).exists():
        check_run(folder, config)
        if is_whole(folder):
            return read_result(folder)
    if not resume and any((folder / name).exists() for name in (RUN, RESULT, CHECKPOINT)):
        raise InputError(f"{folder}: holds a run already; continue with --resume, or choose another out")
    check_place(folder, option="out")
    sets = EmbeddingSets([Path(one) for one in config.data])
    _check_labels(sets)
    with _deterministic():
        run = _Run(config, sets, resume=resume, tell=tell)
        return run.go()


@contextmanager
def _deterministic() -> Iterator[None]:
    """Dropout draws from torch's global state: as it was, it is left."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


def _check_labels(sets: EmbeddingSets) -> None:
    found = np.unique(sets.labels)
    if len(found) == 1 and found[0]:
        raise InputError(
            f'all {len(sets.keys)} clips are labelled "{found[0]}", so the mapper would learn a constant; '
            "add clips with other labels"
        )


class _Run:
    """The parts of a run and their loop."""

    def __init__(self, config: TrainConfig, sets: EmbeddingSets, *, resume: bool, tell: Tell | None) -> None:
        self.config, self.sets, self.folder, self._tell = config, sets, Path(config.out), tell
        device = resolve_device(config.device)
        self.accelerator = require_extra("accelerate", "train").Accelerator(cpu=device.type == "cpu")
        is_chosen = device.index is not None and self.accelerator.num_processes == 1  # as cuda:1
        self.device = device if device.type != "cuda" or is_chosen else self.accelerator.device
        self.is_main = self.accelerator.is_main_process
        halved = config.dtype == "bfloat16" or (config.dtype == "auto" and device.type == "cuda")
        self._autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=halved)
        self.rows = sets.rows("train", val_share=config.val_share)
        self.val_rows = sets.rows("val", val_share=config.val_share)[:MEASURED]
        self.loss = new_loss(config, sets, self.rows).to(self.device)
        self.average = WeightAverage(self.loss, config.ema)
        self.optimizer = torch.optim.AdamW(
            self.loss.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.parts: dict[str, nn.Module] = {"model": self.loss, "average": self.average}
        self.progress, self.best = TrainingProgress(), {}
        if resume and (self.folder / CHECKPOINT).exists():
            check_run(self.folder, config, sets)
            self.progress, self.best = load_checkpoint(
                self.folder,
                parts=self.parts,
                optimizer=self.optimizer,
                new_names=self.loss.mapper.new_names,
            )
        self.batches = self._batches()
        self.progress.resident = self.batches.resident
        self.steps = config.steps or max(round(config.epochs * self.batches.per_epoch), 1)
        # a run that is shorter than some epochs has a curve too
        self.eval_every = config.eval_every or min(self.batches.per_epoch, max(self.steps // MEASUREMENTS, 1))

    def _batches(self) -> Batches:
        memory = self.config.memory_gb * 1e9 or FREE_SHARE * free_bytes(self.device)
        if self.progress.step:  # the order of clips has to stay what it was
            memory = 2**62 if self.progress.resident else 0
        return Batches(
            self.sets,
            self.rows,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            memory=int(memory),
            device=self.device,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        )

    @property
    def averaged(self) -> MapperLoss:
        """The mapper with averaged weights, which is what is measured and kept."""
        return cast(MapperLoss, self.average.module)

    def go(self) -> TrainResult:
        """To the last step, or until validation is no better."""
        with ExitStack() as stack:
            if self.is_main:
                stack.enter_context(exclusive_lock(self.folder, "echoframe train"))
                if few := few_words(len(self.val_rows), "val"):
                    _log.warning(few)
                remove_partials(self.folder)
                write_json(self.folder / RUN, _describe(self.config, self.sets, self))
            return self._go()

    def _go(self) -> TrainResult:
        progress, stepped = self.progress, self.accelerator.prepare_model(self.loss)
        val = self.sets.load(self.val_rows) if self.is_main else None
        settings = flatten(asdict(self.config))
        run_log = RunLog(self.folder, self.steps, progress, settings=settings, tell=self._tell, is_main=self.is_main)
        saved_s = time.monotonic()
        with run_log:
            for batch in self.batches.from_step(progress.step):
                if progress.step >= self.steps or self._is_over():
                    break
                losses = self._step(stepped, batch)
                clips = len(batch) * self.accelerator.num_processes
                (rate,) = {group["lr"] for group in self.optimizer.param_groups}
                run_log.step(losses, clips=clips, epoch=progress.step / self.batches.per_epoch, learning_rate=rate)
                if progress.step % self.eval_every == 0 or progress.step == self.steps:
                    measured = self._measure(val) if val is not None else {}
                    self._together(progress)
                    run_log.measured(measured)
                elif time.monotonic() - saved_s < SAVE_S:
                    continue
                self._save(run_log)
                saved_s = time.monotonic()
        return self._finish(run_log)

    def _is_over(self) -> bool:
        return 0 < self.config.patience <= self.progress.waited

    def _step(self, stepped: nn.Module, batch: Clips) -> dict[str, Tensor]:
        config, step = self.config, self.progress.step
        rank = self.accelerator.process_index
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate(step, self.steps, warmup=config.warmup_steps)
        seed_dropout(config.seed, step, rank, self.device)
        stepped.train()
        with self._autocast:
            generator = step_generator(config.seed, step, rank)
            losses = stepped(batch.visual, batch.mask, batch.audio, generator=generator)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(self.loss.parameters(), config.clip_norm)
        self.optimizer.step()
        self.average.follow(self.loss, step)
        self.progress.step += 1
        return {name: value.detach() for name, value in losses.items()}

    @torch.no_grad()
    def _measure(self, val: Clips) -> dict[str, float]:
        """Losses and figures of the averaged weights; keeps them if the loss is the best so far."""
        network, progress = self.averaged.eval(), self.progress
        sums: dict[str, float] = {}
        for first in range(0, len(val), BATCH):
            some = val[slice(first, first + BATCH)].to(self.device)
            generator = step_generator(self.config.seed, first, 2**20)  # the same noise at each measurement
            found = network(some.visual, some.mask, some.audio, generator=generator)
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(some)
        losses = {f"val_{name}": value / len(val) for name, value in sums.items()}
        if losses["val_loss"] < progress.best_loss * (1 - NEW_BEST):
            progress.best_loss, progress.best_step, progress.waited = losses["val_loss"], progress.step, 0
            self.best = {name: value.detach().clone() for name, value in network.mapper.state_dict().items()}
        else:
            progress.waited += 1
        if not np.isfinite(losses["val_loss"]):
            raise InputError(
                f"{self.folder}: the validation loss became NaN or infinite at step {progress.step}; lower learning_rate"
            )
        return losses | measure(self._answers(network.mapper, val), val.audio.numpy()).values()

    def _answers(self, mapper: LearnedMapper, clips: Clips) -> np.ndarray:
        return answers(mapper.eval(), clips, device=self.device).numpy()

    def _together(self, progress: TrainingProgress) -> None:
        """What the first process measured, all know: they stop at the same step."""
        if self.accelerator.num_processes > 1:
            (progress.waited,) = require_extra("accelerate.utils").broadcast_object_list([progress.waited])

    def _save(self, run_log: RunLog) -> None:
        self.progress.seconds = run_log.seconds
        if self.is_main:
            save_checkpoint(
                self.folder, parts=self.parts, optimizer=self.optimizer, best=self.best, progress=self.progress
            )

    def _finish(self, run_log: RunLog) -> TrainResult:
        progress, mapper = self.progress, self.averaged.mapper
        if self.is_main:
            mapper.load_state_dict(self.best)
            save_mapper(mapper, self.folder / MAPPER)
            rows = self.sets.rows("val", val_share=self.config.val_share)
            figures = measure(*predict_all(lambda clips: self._answers(mapper, clips), self.sets, rows))
            result = TrainResult(
                folder=self.folder / MAPPER,
                step=progress.best_step,
                steps=progress.step,
                loss=progress.best_loss,
                seconds=run_log.seconds,
                figures=figures,
            )
            values = asdict(result)
            del values["folder"]
            about = json.loads((self.folder / RUN).read_text(encoding="utf-8"))
            (self.folder / MAPPER / CARD).write_text(mapper_card(about, values), encoding="utf-8")
            write_json(self.folder / RESULT, values)
        self.accelerator.wait_for_everyone()
        return read_result(self.folder)


def _describe(config: TrainConfig, sets: EmbeddingSets, run: _Run) -> dict[str, Any]:
    mapper = run.loss.mapper
    return {
        "config": asdict(config),
        "mapper": asdict(mapper.config),
        "parameters": sum(p.numel() for p in mapper.parameters()),
        "clips": {"train": len(run.rows), "val": len(run.val_rows)},
        "steps": run.steps,
        "in_memory": run.batches.resident,
        "processes": run.accelerator.num_processes,
        "device": str(run.device),
        "data_sha256": sets.sha256,
        "encoders": {name: asdict(facts) for name, facts in sets.encoders.about.items()},
        "clip": asdict(sets.encoders.clip),
        "versions": {name: version(name) for name in ("echoframe", "torch", "accelerate", "numpy")}
        | {"python": platform.python_version()},
    }
