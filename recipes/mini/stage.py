"""What every training stage of the recipe shares: its config, its work folder, its log, checkpoints that resume."""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from echoframe.config import load_toml
from echoframe.generators.texture import TextureConfig
from echoframe.output import remove_partials
from echoframe.training.average import WeightAverage
from echoframe.training.checkpoint import (
    CHECKPOINT,
    TrainingProgress,
    load_checkpoint,
    save_checkpoint,
    seed_dropout,
    step_generator,
)
from echoframe.training.rate import learning_rate
from echoframe.weights import write_json

WARMUP = 100  # steps
FLOOR = 0.02  # of the peak learning rate, at the end


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusConfig:
    """min/max_items: 10.24-s training scenes per label, however many recordings it has."""

    min_items: int = 24
    max_items: int = 64
    held_out_items: int = 1  # scenes per val and test recording
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecConfig:
    frames: int = 8  # 0.08 s
    bands: int = 64
    components: int = 192
    max_error_db: float = 2.0  # on validation scenes; a worse codec is refused
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TextureStageConfig:
    """batch crops of crop_tokens tokens in a step, each louder or softer by up to `gain` (2.5 nepers)."""

    network: TextureConfig = field(default_factory=TextureConfig)
    crop_tokens: int = 32
    batch: int = 8
    gain: float = 0.3
    steps: int = 2000
    learning_rate: float = 2e-3
    ema: float = 0.998
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EyesConfig:
    """learned_share, frame_sharpness, sharpness, per_label: as in `echoframe.mappers.label_prior`, chosen on films.
    typical_share: of a label's recordings, how many of the most typical ones an answer may be."""

    learned_share: float = 0.4
    frame_sharpness: float = 2.0
    sharpness: float = 8.0
    per_label: int = 16
    typical_share: float = 0.5
    steps: int = 700
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1.0
    smoothing: float = 0.05
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeConfig:
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    texture: TextureStageConfig = field(default_factory=TextureStageConfig)
    eyes: EyesConfig = field(default_factory=EyesConfig)


def read_config(path: Path | None) -> RecipeConfig:
    """The defaults, with the differences that a TOML file holds."""
    return RecipeConfig() if path is None else load_toml(RecipeConfig, path)


def arguments(description: str) -> tuple[RecipeConfig, Path, argparse.Namespace]:
    """The recipe's config and work folder from the command line of a stage."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, help="a TOML file of differences from the defaults in stage.py")
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--manifest", type=Path, nargs="+", help="manifest.csv of labelled sounds (corpus stage)")
    parser.add_argument("--out", type=Path, help="where the bundle goes (bundle stage)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    return read_config(args.config), args.work, args


def cosine_rate(step: int, steps: int, warmup: int = WARMUP, floor: float = FLOOR) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine down to `floor`."""
    return learning_rate(step, steps, warmup=warmup, floor=floor)


class Ema(WeightAverage):
    """The average of a network's weights that a stage keeps."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, decay)
        self.n_averaged.fill_(1)  # the weights at the start count as the first, and are not copied over

    @property
    def weights(self) -> dict[str, Tensor]:
        """As the network's own state_dict."""
        return self.module.state_dict()

    def update(self, network: nn.Module, step: int) -> None:
        """Moves the average towards the network as it is after `step`."""
        self.follow(network, step)


class Run:
    """A stage's loop: resumes from its last checkpoint, logs a line of JSON every `log_every` steps.

    parts: every module that has to survive a kill, and the "optimizer". generator: the random numbers of a step; it
    follows from the seed and the step alone, as dropout's do, so that a resumed run equals an unbroken one.
    """

    def __init__(self, name: str, work: Path, config: Any, parts: dict[str, Any], *, steps: int, seed: int) -> None:
        self.name, self.steps, self._seed = name, steps, seed
        self.folder = work / name
        write_json(self.folder / "config.json", asdict(config))
        remove_partials(self.folder)
        self.optimizer: torch.optim.Optimizer = parts["optimizer"]
        self.parts: dict[str, nn.Module] = {key: part for key, part in parts.items() if key != "optimizer"}
        self.generator, self.progress = step_generator(seed, 0), TrainingProgress()
        if (self.folder / CHECKPOINT).exists():
            self.progress, _ = load_checkpoint(self.folder, parts=self.parts, optimizer=self.optimizer)
            print(f"{name}: resumed at step {self.step}", flush=True)

    @property
    def step(self) -> int:
        """How many steps were made."""
        return self.progress.step

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        save_checkpoint(self.folder, parts=self.parts, optimizer=self.optimizer, best={}, progress=self.progress)

    def loop(self, one_step: Callable[[int], dict[str, float]], *, log_every: int = 50, save_every: int = 250) -> None:
        """Makes the steps that are left. one_step: takes the step's number, gives its losses by name."""
        device = next(tensor.device for part in self.parts.values() for tensor in part.parameters())
        sums: dict[str, float] = {}
        count, began = 0, time.monotonic()
        while self.step < self.steps:
            self.generator = step_generator(self._seed, self.step)
            seed_dropout(self._seed, self.step, 0, device)
            for key, value in one_step(self.step).items():
                sums[key] = sums.get(key, 0.0) + value
            self.progress.step += 1
            count += 1
            if self.step % log_every == 0 or self.step == self.steps:
                self._log({key: value / count for key, value in sums.items()}, count, time.monotonic() - began)
                sums, count, began = {}, 0, time.monotonic()
            if self.step % save_every == 0 or self.step == self.steps:
                self.save()

    def _log(self, losses: dict[str, float], count: int, elapsed: float) -> None:
        self.progress.seconds += elapsed
        left = (self.steps - self.step) * elapsed / count
        line = {"step": self.step, "s_per_step": round(elapsed / count, 3), "minutes_left": round(left / 60, 1)}
        line |= {key: round(value, 4) for key, value in losses.items()}
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(self.name, json.dumps(line), flush=True)
