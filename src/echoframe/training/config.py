"""All that decides a training run, in one frozen dataclass; its defaults are the only defaults."""

import math
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, get_args

import torch

from echoframe.errors import ConfigError
from echoframe.mappers.networks import MapperConfig, MapperInput, MapperKind, Pooling, build_mapper
from echoframe.mappers.scaling import ScalingKind

Size = Literal["small", "base", "large"]
Numbers = Literal["auto", "float32", "bfloat16"]
PARAMETERS = {"small": 1_000_000, "base": 4_000_000, "large": 16_000_000}
DEPTH = {"mlp": 3, "residual_mlp": 3, "bilstm": 2, "transformer": 4}
N_HEADS = 4
STEP = 16  # widths are multiples of it: of every head, and of both directions


@dataclass(frozen=True, kw_only=True, slots=True)
class MapperChoice:
    """The network. size: "small", "base" and "large" have about 1, 4 and 16 million parameters, whatever the kind: the
    width is the one that comes nearest. hidden_dim, depth: instead of that, 0 for what size says. input: "auto" is
    "log_probability" for a space of probabilities, else "raw". The rest as in `echoframe.mappers.networks.MapperConfig`.
    """

    kind: MapperKind = "residual_mlp"
    size: Size = "base"
    hidden_dim: int = 0
    depth: int = 0
    dropout: float = 0.1
    pooling: Pooling = "mean"
    input: MapperInput | Literal["auto"] = "auto"
    visual_scaling: ScalingKind = "centre"
    audio_scaling: ScalingKind = "none"

    def __post_init__(self) -> None:
        if self.size not in PARAMETERS or self.hidden_dim < 0 or self.depth < 0:
            raise ConfigError(
                f'mapper: size "{self.size}", hidden_dim {self.hidden_dim}, depth {self.depth}; expected one of '
                f"{', '.join(PARAMETERS)}, and sizes above 0, or 0 for what size says"
            )

    def config(self, *, visual_dim: int, audio_dim: int, n_frames: int, spaces: tuple[str, str]) -> MapperConfig:
        """The mapper between two spaces, (visual, audio)."""
        kept = ("kind", "dropout", "pooling", "input", "visual_scaling", "audio_scaling")
        values: dict[str, Any] = {name: getattr(self, name) for name in kept}
        if self.input == "auto":
            values["input"] = "log_probability" if spaces[0].endswith("probabilities") else "raw"
        depth = self.depth or DEPTH.get(self.kind, 1)
        shape: dict[str, Any] = {"visual_dim": visual_dim, "audio_dim": audio_dim, "n_frames": n_frames, "depth": depth}
        shape |= {"n_heads": N_HEADS, "visual_space": spaces[0], "audio_space": spaces[1]}
        narrow = MapperConfig(**values, **shape, hidden_dim=STEP)
        return replace(narrow, hidden_dim=self.hidden_dim or _width(narrow, PARAMETERS[self.size]))


def n_parameters(config: MapperConfig) -> int:
    """How many numbers a mapper of that config learns."""
    with torch.device("meta"):
        return sum(p.numel() for p in build_mapper(config).parameters())


@cache
def _width(config: MapperConfig, budget: int) -> int:
    """The width, a multiple of `STEP`, whose mapper has nearest to `budget` parameters."""

    def size_of(width: int) -> int:
        return n_parameters(replace(config, hidden_dim=width))

    low = high = STEP
    while size_of(high) < budget:
        low, high = high, 2 * high
    while high - low > STEP:
        middle = (low + high) // 2 // STEP * STEP
        low, high = (middle, high) if size_of(middle) < budget else (low, middle)
    return min((low, high), key=lambda width: abs(size_of(width) - budget))


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorChoice:
    """A prior around the mapper (`echoframe.mappers.prior`), which then draws one of many fitting embeddings.

    components: of the audio space. hidden_dim, depth: of the network that leads noise. guidance, guided_levels: of
    drawing; training does not see them.
    """

    components: int = 128
    hidden_dim: int = 384
    depth: int = 4
    guidance: float = 2.0
    guided_levels: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """How much each loss weighs; see `echoframe.training.loss`. With a prior they are of the mapper it reads with."""

    mse: float = 1.0
    cosine: float = 0.0
    contrastive: float = 0.0

    def __post_init__(self) -> None:
        weights = (self.mse, self.cosine, self.contrastive)
        if min(weights) < 0 or not 0 < sum(weights) < float("inf"):
            raise ConfigError(f"loss: weights {weights}; expected no weight below 0, and at least one above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One run. data: folders that `echoframe extract` wrote, with the same encoders. out: the run's folder.

    epochs, steps: how long; steps, if not 0, is what counts. batch_size: clips of one step, over all processes.
    learning_rate: the highest, after warmup_steps; then half a cosine down to nothing. clip_norm: of the gradient. ema:
    decay of the average of weights, which is what is measured and kept. eval_every: steps, 0 is each epoch, or a tenth of
    the run where that is sooner. patience: measurements without a better one until the run ends early, 0 is never.
    val_share: of the films, where the set has no clips of split "val". memory_gb: a set that is larger is streamed; 0 is
    half of what is free. device, dtype: "auto" is cuda and bfloat16, else mps or cpu and float32.
    """

    data: tuple[str, ...]
    out: str
    mapper: MapperChoice = field(default_factory=MapperChoice)
    prior: PriorChoice | None = None
    loss: LossWeights = field(default_factory=LossWeights)
    epochs: float = 30.0
    steps: int = 0
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup_steps: int = 100
    clip_norm: float = 1.0
    ema: float = 0.999
    eval_every: int = 0
    patience: int = 5
    val_share: float = 0.1
    memory_gb: float = 0.0
    device: str = "auto"
    dtype: Numbers = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError("data: names no folder; give one or more that echoframe extract wrote")
        above = (self.epochs, self.learning_rate, self.clip_norm, self.batch_size)
        least_0 = (self.steps, self.weight_decay, self.warmup_steps, self.eval_every, self.patience)
        if not (all(0 < one < math.inf for one in above) and all(0 <= one < math.inf for one in least_0)):
            raise ConfigError(
                f"epochs {self.epochs}, learning_rate {self.learning_rate}, clip_norm {self.clip_norm}, batch_size "
                f"{self.batch_size}; expected all above 0, and steps, weight_decay, warmup_steps, eval_every and "
                "patience 0 or more"
            )
        if not (0 <= self.ema < 1 and 0 < self.val_share < 1 and 0 <= self.memory_gb < math.inf):
            raise ConfigError(
                f"ema {self.ema}, val_share {self.val_share}, memory_gb {self.memory_gb}; expected ema from 0 to below "
                "1, a share between 0 and 1, memory 0 or more"
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed}; expected 0 to 2^63 - 1")
        if self.dtype not in get_args(Numbers):
            raise ConfigError(f'dtype "{self.dtype}"; expected auto, float32 or bfloat16')
