"""The one network EchoFrame learns: a clip's visual embeddings to one point on the unit sphere of an audio space.

Contract of every kind: visual (B, T, Dv) and mask (B, T), True where a frame is real -> (B, Da) float32, unit length.
What stands in padded frames (even NaN), how many there are and where never changes a result. `seeds`, one a clip, choose
among the points that fit; the kinds here know one point only and do not look at them (`echoframe.mappers.prior` does).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.mappers.scaling import Scaling, ScalingKind
from echoframe.weights import load_weights, read_config, save_part

MapperKind = Literal["mlp", "residual_mlp", "bilstm", "transformer"]
MapperInput = Literal["raw", "log_probability"]
Pooling = Literal["mean", "attention"]
PROBABILITY_FLOOR = 1e-4
_CHOICES = {
    "kind": MapperKind,
    "input": MapperInput,
    "visual_scaling": ScalingKind,
    "audio_scaling": ScalingKind,
    "pooling": Pooling,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MapperConfig:
    """Sizes of a mapper and the two spaces it joins.

    hidden_dim: width (both directions of a bilstm together). depth: hidden layers, residual blocks, LSTM or attention
    layers. n_heads: transformer only. n_frames: most frames a transformer can tell apart. input: "raw" takes visual
    embeddings as they are; "log_probability" takes class probabilities p as log(p + 1e-4) - log(1e-4): raw ones are
    nearly all zero, these are 0 for an absent class, 9.2 for a certain one, about 1 in root mean square over 1000.
    visual_scaling: of each frame after that. audio_scaling: of the space in which it answers.
    See `echoframe.mappers.scaling`.
    pooling: of the frames, in the MLPs and the bilstm; "attention" weighs them by what they show.
    visual_space, audio_space: ids of the embeddings it was trained on; a bundle refuses any other.
    """

    kind: MapperKind = "residual_mlp"
    visual_dim: int
    audio_dim: int = 512
    hidden_dim: int = 512
    depth: int = 2
    n_heads: int = 4
    dropout: float = 0.1
    n_frames: int = 64
    input: MapperInput = "raw"
    visual_scaling: ScalingKind = "none"
    audio_scaling: ScalingKind = "none"
    pooling: Pooling = "mean"
    visual_space: str = ""
    audio_space: str = ""

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in get_args(known):
                raise ConfigError(
                    f'mapper: {name} "{getattr(self, name)}" is not known; known are {", ".join(get_args(known))}'
                )
        sizes = (self.visual_dim, self.audio_dim, self.hidden_dim, self.depth, self.n_heads, self.n_frames)
        if min(sizes) < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"mapper: sizes {sizes} and dropout {self.dropout}; every size has to be positive, dropout in [0, 1)"
            )
        parts = {"bilstm": 2, "transformer": self.n_heads}.get(self.kind, 1)
        if self.hidden_dim % parts:
            raise ConfigError(f"mapper: hidden_dim {self.hidden_dim} of a {self.kind} has to be a multiple of {parts}")


class LearnedMapper(nn.Module):
    """What training needs of a mapper, be it a network or a prior that reads clips with one. config: a dataclass."""

    config: Any
    new_names: ClassVar[Mapping[str, str]] = {}  # of weights that had other names in older files

    def get_regressor(self) -> "MapperNetwork":
        """The network that regression losses train."""
        raise NotImplementedError

    def answer(self, visual: Tensor, mask: Tensor, *, seeds: Sequence[int]) -> Float[Tensor, "batch audio_dim"]:
        """What is measured beside the true embeddings: (B, Da), of any length."""
        raise NotImplementedError

    def own_losses(self, regressed: Tensor, target: Tensor, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses beside the regressor's, by name, given what it answered and (B, Da) targets. Each has weight 1."""
        return {}


class MapperNetwork(LearnedMapper):
    """Base of the kinds: checks and prepares what comes in, lets `embed` do its part, normalises what goes out."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__()
        self.config = config
        self.visual_scaling = Scaling(config.visual_scaling, config.visual_dim)
        self.audio_scaling = Scaling(config.audio_scaling, config.audio_dim)

    def get_regressor(self) -> "MapperNetwork":
        return self

    def answer(self, visual: Tensor, mask: Tensor, *, seeds: Sequence[int]) -> Float[Tensor, "batch audio_dim"]:
        return self.regress(visual, mask)

    def forward(
        self,
        visual: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"],
        *,
        seeds: Sequence[int] | None = None,
    ) -> Float[Tensor, "batch audio_dim"]:
        """Audio embeddings of a batch of clips: (B, T, Dv), mask True where a frame is real -> (B, Da), unit length."""
        return nn.functional.normalize(self.regress(visual, mask), dim=1).float()

    def regress(
        self, visual: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch audio_dim"]:
        """The same before it is brought to unit length, (B, Da)."""
        return self.audio_scaling.undo(self.predict(visual, mask))

    def predict(
        self, visual: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch audio_dim"]:
        """The same in the scaled audio space: what training compares with `audio_scaling(target)`."""
        check_visual(visual, mask, self.config.visual_dim)
        visual = zero_padding(visual.to(next(self.parameters()).dtype), mask)
        visual = self.visual_scaling(self.read(visual))
        return self.embed(visual if self.config.visual_scaling == "none" else zero_padding(visual, mask), mask)

    def read(self, visual: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Visual embeddings as `config.input` says, not scaled yet."""
        if self.config.input == "log_probability":
            return (visual / PROBABILITY_FLOOR).log1p()  # = log(p + floor) - log(floor), and 0 where padded
        return visual

    def embed(self, visual: Tensor, mask: Tensor) -> Tensor:
        """(B, T, Dv), zero where padded, and (B, T) -> (B, Da) of any length."""
        raise NotImplementedError


def check_visual(visual: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"], dim: int) -> None:
    """Raises InputError for embeddings of another size than `dim`, or a clip with no real frame at all."""
    if visual.shape[2] != dim:
        raise InputError(
            f"mapper: visual embeddings have {visual.shape[2]} numbers, this mapper takes {dim}; "
            "use the visual encoder it was trained with"
        )
    if not bool(mask.any(dim=1).all()):
        rows = (~mask.any(dim=1)).nonzero().flatten().tolist()
        raise InputError(f"mapper: clip {rows} of the batch is all padding; give every clip at least one real frame")


def zero_padding(
    x: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
) -> Float[Tensor, "batch frames dim"]:
    """x, with zeros where a frame is padded, whatever stood there."""
    # with a pooled mapper each such pass over the frames takes a fifth of a training step
    return x if bool(mask.all()) else x.masked_fill(~mask[..., None], 0)


def masked_mean(x: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]) -> Float[Tensor, "batch dim"]:
    """Mean over the real frames. A padded frame may hold anything."""
    return zero_padding(x, mask).sum(dim=1) / mask.sum(dim=1, keepdim=True)


class FramePool(nn.Module):
    """One vector from the frames: their mean, or a mean weighted by what they show (at first, the plain mean)."""

    def __init__(self, kind: Pooling, dim: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, 1, bias=False) if kind == "attention" else None
        if self.score is not None:
            nn.init.zeros_(self.score.weight)

    def forward(
        self, x: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch dim"]:
        """x: a padded frame holds no NaN."""
        if self.score is None:
            return masked_mean(x, mask)
        weights = self.score(x)[..., 0].masked_fill(~mask, -torch.inf).softmax(dim=1)  # (B, T)
        return (weights[:, None] @ x)[:, 0]


def _last_layer(width: int, audio_dim: int) -> nn.Linear:
    """Begins with answers no longer than the targets, unit vectors: else MSE spends its time on making them shorter."""
    layer = nn.Linear(width, audio_dim)
    with torch.no_grad():
        layer.weight.div_(audio_dim**0.5)
        layer.bias.zero_()
    return layer


def _real_frames_first(visual: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    # a recurrent state and a learned position see the n-th real frame, wherever the padding stands
    order = torch.argsort((~mask).byte(), dim=1, stable=True)
    n_longest = int(mask.sum(dim=1).max())
    return visual.gather(1, order[..., None].expand_as(visual))[:, :n_longest], mask.gather(1, order)[:, :n_longest]


class MlpMapper(MapperNetwork):
    """The frames pooled, then `depth` hidden layers."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__(config)
        self.pool = FramePool(config.pooling, config.visual_dim)
        layers: list[nn.Module] = []
        width = config.visual_dim
        for _ in range(config.depth):
            layers += [nn.Linear(width, config.hidden_dim), nn.GELU(), nn.Dropout(config.dropout)]
            width = config.hidden_dim
        self.layers = nn.Sequential(*layers, _last_layer(width, config.audio_dim))

    def embed(self, visual: Tensor, mask: Tensor) -> Tensor:
        return self.layers(self.pool(visual, mask))


class ResidualMlpMapper(MapperNetwork):
    """The frames pooled, then `depth` pre-norm residual blocks."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__(config)
        self.pool = FramePool(config.pooling, config.visual_dim)
        d = config.hidden_dim
        self.project_in = nn.Linear(config.visual_dim, d)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * d, d)
            )
            for _ in range(config.depth)
        )
        self.project_out = nn.Sequential(nn.LayerNorm(d), _last_layer(d, config.audio_dim))

    def embed(self, visual: Tensor, mask: Tensor) -> Tensor:
        x = self.project_in(self.pool(visual, mask))
        for block in self.blocks:
            x = x + block(x)
        return self.project_out(x)


class BilstmMapper(MapperNetwork):
    """A packed bidirectional LSTM over the real frames, then its states pooled."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__(config)
        self.pool = FramePool(config.pooling, config.hidden_dim)
        self.lstm = nn.LSTM(
            config.visual_dim,
            config.hidden_dim // 2,
            num_layers=config.depth,
            dropout=config.dropout if config.depth > 1 else 0.0,  # torch drops out between layers only, and warns
            bidirectional=True,
            batch_first=True,
        )
        self.project_out = _last_layer(config.hidden_dim, config.audio_dim)

    def embed(self, visual: Tensor, mask: Tensor) -> Tensor:
        visual, mask = _real_frames_first(visual, mask)
        packed = nn.utils.rnn.pack_padded_sequence(
            visual, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)  # (B, T, H)
        return self.project_out(self.pool(states, mask))


class TransformerMapper(MapperNetwork):
    """Learned positions and a pool token in front; the token's state after `depth` layers is the answer."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__(config)
        d = config.hidden_dim
        self.project_in = nn.Linear(config.visual_dim, d)
        self.pool_token = nn.Parameter(torch.randn(1, 1, d) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, config.n_frames, d) * 0.02)
        layer = nn.TransformerEncoderLayer(
            d, config.n_heads, 2 * d, config.dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.depth, nn.LayerNorm(d), enable_nested_tensor=False)
        self.project_out = _last_layer(d, config.audio_dim)

    def embed(self, visual: Tensor, mask: Tensor) -> Tensor:
        visual, mask = _real_frames_first(visual, mask)
        n_frames = visual.shape[1]
        if n_frames > self.config.n_frames:
            raise InputError(
                f"mapper: a clip has {n_frames} frames, but this mapper takes at most {self.config.n_frames}; sample fewer"
            )
        x = self.project_in(visual) + self.positions[:, :n_frames]
        x = torch.cat([self.pool_token.expand(len(x), -1, -1), x], dim=1)  # (B, 1 + T, H)
        padded = nn.functional.pad(~mask, (1, 0), value=False)
        return self.project_out(self.encoder(x, src_key_padding_mask=padded)[:, 0])


_CLASSES: dict[str, type[MapperNetwork]] = {
    "mlp": MlpMapper,
    "residual_mlp": ResidualMlpMapper,
    "bilstm": BilstmMapper,
    "transformer": TransformerMapper,
}


def build_mapper(config: MapperConfig, *, seed: int = 0) -> MapperNetwork:
    """A new mapper in float32 on the CPU, its weights drawn from `seed`. The global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return _CLASSES[config.kind](config)


def save_mapper(mapper: LearnedMapper, directory: Path, *, dtype: torch.dtype | None = None) -> None:
    """Writes config.json and model.safetensors (as `dtype` if given) into `directory`, made if need be."""
    save_part(directory, asdict(mapper.config), mapper.state_dict(), dtype=dtype)


def load_mapper(directory: Path, *, device: torch.device | str = "cpu") -> MapperNetwork:
    """The mapper saved in `directory`, in eval mode, in float32: a float16 file is cast up.

    Raises BundleError if a file is missing or unreadable, or a weight is missing, unknown or of another shape.
    """
    path = directory / "config.json"
    try:
        mapper = build_mapper(read_config(MapperConfig, path))
    except (ConfigError, TypeError) as error:
        raise BundleError(f"{path}: not a mapper's config ({error}); fetch or train the mapper again") from error
    load_weights(mapper, directory / "model.safetensors")
    return mapper.to(device).eval()
