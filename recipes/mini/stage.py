"""What every training stage of the recipe shares: its config, its work folder, its log, checkpoints that resume."""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from echoframe.config import load_toml
from echoframe.training.config import LossWeights


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusConfig:
    """min/max_items: 10.24-s training scenes per label, however many recordings it has."""

    min_items: int = 24
    max_items: int = 64
    held_out_items: int = 1  # scenes per val and test recording
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecConfig:
    frames: int = 16  # 0.16 s
    components: int = 24
    max_error_db: float = 2.0  # on validation scenes; a worse codec is refused
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowConfig:
    """batch_tokens: tokens of 0.16 s in a step. whole_every: each so many steps has whole 10.24-s scenes, the others
    crops of crop_tokens. condition_noise: expected length of the noise added to a unit condition."""

    width: int = 384
    depth: int = 8
    n_heads: int = 6
    crop_tokens: int = 22  # 3.52 s: two aiSFX blocks
    batch_tokens: int = 1056
    whole_every: int = 3
    steps: int = 5000
    learning_rate: float = 1e-3
    ema: float = 0.999
    unconditional: float = 0.1
    condition_noise: float = 0.3
    bfloat16: bool = False  # autocast; weights and their average stay float32
    compile: bool = False
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class MapperStageConfig:
    """kind, hidden_dim, depth: of the mapper that reads a clip. components, prior_dim, prior_depth, guidance,
    guided_levels: of the prior that draws an embedding from what it says. loss: of the mapper, beside the prior's."""

    kind: str = "residual_mlp"
    hidden_dim: int = 384
    depth: int = 2
    components: int = 128
    prior_dim: int = 256
    prior_depth: int = 3
    guidance: float = 5.0
    guided_levels: tuple[float, float] = (0.3, 0.7)
    loss: LossWeights = field(default_factory=lambda: LossWeights(mse=1.0, contrastive=1.0))
    batch_size: int = 256
    steps: int = 4000
    learning_rate: float = 1e-3
    ema: float = 0.99
    min_top5: float = 0.5  # of the table's classes, a sound of theirs among the five nearest labels
    threads: int = 2
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
    steps: int = 800
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1.0
    smoothing: float = 0.05
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeConfig:
    device: str = "cpu"
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    mapper: MapperStageConfig = field(default_factory=MapperStageConfig)
    eyes: EyesConfig = field(default_factory=EyesConfig)


def arguments(description: str) -> tuple[RecipeConfig, Path, argparse.Namespace]:
    """The recipe's config and work folder from the command line of a stage."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "cpu.toml")
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument(
        "--manifest", type=Path, nargs="+", help="manifest.csv of labelled sounds (corpus and bundle stages)"
    )
    parser.add_argument("--out", type=Path, help="where the bundle goes (bundle stage)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    return load_toml(RecipeConfig, args.config), args.work, args


def cosine_rate(step: int, steps: int, warmup: int = 100) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine down to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Ema:
    """Exponential moving average of a network's weights, with a warm-up so that early steps do not linger."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.weights[key].lerp_(value, 1 - decay)
            else:
                self.weights[key].copy_(value)


class Run:
    """A stage's loop: resumes from its last checkpoint, logs a line of JSON every `log_every` steps.

    parts: everything with a state_dict that has to survive a kill.
    """

    def __init__(self, name: str, work: Path, config: object, parts: dict, *, steps: int, seed: int) -> None:
        self.name, self.steps, self.parts = name, steps, parts
        self.folder = work / name
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.json").write_text(json.dumps(asdict(config), indent=1))  # type: ignore[call-overload]
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.seconds = 0, 0.0
        checkpoint = self.folder / "checkpoint.pt"
        if checkpoint.exists():
            saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
            for key, part in parts.items():
                if isinstance(part, Ema):
                    part.weights = saved[key]
                else:
                    part.load_state_dict(saved[key])
            self.generator.set_state(saved["rng"])
            torch.set_rng_state(saved.get("global_rng", torch.get_rng_state()))  # dropout draws from it
            self.step, self.seconds = saved["step"], saved["seconds"]
            print(f"{name}: resumed at step {self.step}", flush=True)

    def save(self) -> None:
        state = {k: p.weights if isinstance(p, Ema) else p.state_dict() for k, p in self.parts.items()}
        state |= {
            "rng": self.generator.get_state(),
            "global_rng": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
        }
        temporary = self.folder / "checkpoint.pt.tmp"
        torch.save(state, temporary)
        os.replace(temporary, self.folder / "checkpoint.pt")

    def loop(self, one_step: Callable[[int], dict[str, float]], *, log_every: int = 50, save_every: int = 250) -> None:
        sums: dict[str, float] = {}
        count, began = 0, time.monotonic()
        while self.step < self.steps:
            for key, value in one_step(self.step).items():
                sums[key] = sums.get(key, 0.0) + value
            self.step += 1
            count += 1
            if self.step % log_every == 0 or self.step == self.steps:
                elapsed = time.monotonic() - began
                self.seconds += elapsed
                left = (self.steps - self.step) * elapsed / count
                line = {"step": self.step, "s_per_step": round(elapsed / count, 3), "minutes_left": round(left / 60, 1)}
                line |= {key: round(value / count, 4) for key, value in sums.items()}
                with (self.folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                print(self.name, json.dumps(line), flush=True)
                sums, count, began = {}, 0, time.monotonic()
            if self.step % save_every == 0 or self.step == self.steps:
                self.save()
