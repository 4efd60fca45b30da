"""A mapper that says what it sees: a clip's frames to probabilities of labels, and a seed draws one of a label's sounds.

Two readers look at each frame. A reviewed table says which sounds belong to ImageNet's classes; a linear layer has learned
labels from photographs. A frame's probabilities are a weighted mean of theirs (a mixture: whichever is sure decides; their
product lets a layer that only knows photographs overrule the table in films). A clip's are the mean over its frames.
Beside each label lie embeddings of recordings of it; the answer is one of them, so that it is a place where a sound was.

*Conventions*: a frame is 1280 features, then 1000 class probabilities (`efficientnet_lite`, features_and_probabilities).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.mappers.networks import PROBABILITY_FLOOR, check_visual, masked_mean, zero_padding
from echoframe.weights import load_weights, read_config, save_part

LABEL_PRIOR_KIND = "label_prior"
TABLE_FLOOR = 1e-3  # share of a frame that the table leaves to all labels alike


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelPriorConfig:
    """labels: their names. n_classes: probabilities at the end of a frame's numbers. per_label: most embeddings of one label.

    learned_share: weight of what was learned from photographs; the rest is the table's. frame_sharpness: the power to
    which a frame's class probabilities are raised before the table is asked: classes that are nearly excluded add up
    otherwise (there are 118 dogs). sharpness: the power to which the labels' probabilities are raised before one is
    drawn; 1 draws as they are, more keeps to what is likely.
    """

    visual_dim: int
    audio_dim: int
    labels: tuple[str, ...]
    n_classes: int = 1000
    per_label: int = 16
    learned_share: float = 0.4
    frame_sharpness: float = 2.0
    sharpness: float = 8.0
    visual_space: str = ""
    audio_space: str = ""
    kind: str = LABEL_PRIOR_KIND

    def __post_init__(self) -> None:
        sizes = (self.visual_dim, self.audio_dim, self.n_classes, self.per_label)
        if self.kind != LABEL_PRIOR_KIND or min(sizes) < 1 or len(self.labels) == 0:
            raise ConfigError(
                f'label prior: kind "{self.kind}", {len(self.labels)} labels, sizes {sizes}; '
                f'expected "{LABEL_PRIOR_KIND}", one label at least and positive sizes'
            )
        if self.n_classes > self.visual_dim:
            raise ConfigError(
                f"label prior: {self.n_classes} classes in a frame of {self.visual_dim} numbers; lower n_classes"
            )
        if not (self.frame_sharpness > 0 and self.sharpness > 0 and 0 <= self.learned_share <= 1):
            raise ConfigError(
                f"label prior: frame_sharpness {self.frame_sharpness}, sharpness {self.sharpness}, learned_share "
                f"{self.learned_share}; expected the first two above 0 and a share from 0 to 1"
            )


class LabelPrior(nn.Module):
    """The mapper. table (L, classes): what share of a class belongs to a label. vectors (L, K, Da), counts (L,): unit
    embeddings of recordings, the first `counts` of a label's K are real. Zeros stand for what is not given."""

    table: Tensor
    mean: Tensor
    deviation: Tensor
    vectors: Tensor
    counts: Tensor

    def __init__(self, config: LabelPriorConfig) -> None:
        super().__init__()
        n_labels = len(config.labels)
        self.config = config
        self.register_buffer("table", torch.zeros(n_labels, config.n_classes))
        self.register_buffer("mean", torch.zeros(config.visual_dim))
        self.register_buffer("deviation", torch.ones(config.visual_dim))
        self.register_buffer("vectors", torch.zeros(n_labels, config.per_label, config.audio_dim))
        self.register_buffer("counts", torch.ones(n_labels))
        self.drop = nn.Dropout(0.5)
        self.learned = nn.Linear(config.visual_dim, n_labels)
        nn.init.zeros_(self.learned.weight)
        nn.init.zeros_(self.learned.bias)

    def read(self, frames: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Features as they are, probabilities as logarithms above the floor; then mean 0 and deviation 1."""
        features, classes = frames.split([frames.shape[-1] - self.config.n_classes, self.config.n_classes], dim=-1)
        numbers = torch.cat([features, (classes / PROBABILITY_FLOOR).log1p()], dim=-1)
        return (numbers - self.mean) / self.deviation

    def scores(self, frames: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch labels"]:
        """Unnormalised log probabilities of the labels, as learned from photographs: what training compares."""
        return self.learned(self.drop(self.read(frames)))

    def look_up(self, frames: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch labels"]:
        """The labels' probabilities as the table has them."""
        classes = frames[..., -self.config.n_classes :].clamp(min=1e-12) ** self.config.frame_sharpness
        found = (classes / classes.sum(dim=-1, keepdim=True)) @ self.table.T + TABLE_FLOOR / len(self.table)
        return found / found.sum(dim=-1, keepdim=True)

    def probabilities(
        self, visual: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch labels"]:
        """What the clips show: rows that sum to 1, in the order of `config.labels`."""
        check_visual(visual, mask, self.config.visual_dim)
        frames = zero_padding(visual.to(self.mean.dtype), mask)
        seen = torch.lerp(self.look_up(frames), self.scores(frames).softmax(dim=2), self.config.learned_share)
        return masked_mean(seen, mask)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels."""
        return self.config.labels

    @property
    def places(self) -> Float[Tensor, "labels audio_dim"]:
        """The mean of each label's recordings, (L, Da), unit length."""
        real = torch.arange(self.config.per_label, device=self.counts.device) < self.counts[:, None]
        return nn.functional.normalize(
            (nn.functional.normalize(self.vectors, dim=2) * real[..., None]).sum(dim=1), dim=1
        )

    @torch.no_grad()
    def chances(
        self, visual: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch labels"]:
        """How likely each label is drawn: rows that sum to 1, float64, on the CPU."""
        likely = self.probabilities(visual, mask).cpu().double() ** self.config.sharpness
        return likely / likely.sum(dim=1, keepdim=True)

    @torch.no_grad()
    def answer(self, chances: Float[Tensor, "batch labels"], seeds: Sequence[int]) -> Float[Tensor, "batch audio_dim"]:
        """The embedding of a recording of a label that each seed draws: (B, L), of any sum -> (B, Da), unit length."""
        if len(seeds) != len(chances):
            raise InputError(f"label prior: {len(seeds)} seeds for {len(chances)} clips; give one for each")
        answers = []
        for row, seed in zip(chances, seeds, strict=True):
            random = torch.Generator().manual_seed(seed)
            label = int(torch.multinomial(row / row.sum(), 1, generator=random))
            which = torch.randint(int(self.counts[label]), (1,), generator=random)
            answers.append(self.vectors[label, int(which)])
        return nn.functional.normalize(torch.stack(answers), dim=1)

    @torch.no_grad()
    def forward(
        self,
        visual: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"],
        *,
        seeds: Sequence[int] | None = None,
    ) -> Float[Tensor, "batch audio_dim"]:
        """A recording's embedding for each clip and its seed (all 0 unless given): (B, Da), unit length."""
        return self.answer(self.chances(visual, mask), [0] * len(visual) if seeds is None else seeds)


def save_label_prior(prior: LabelPrior, directory: Path, *, dtype: torch.dtype | None = None) -> None:
    """Writes config.json and model.safetensors (as `dtype` if given) into `directory`, like a mapper."""
    save_part(directory, asdict(prior.config), prior.state_dict(), dtype=dtype)


def load_label_prior(directory: Path, *, device: torch.device | str = "cpu") -> LabelPrior:
    """The one saved in `directory`, in eval mode, in float32. Raises BundleError if a file is missing or does not fit."""
    path = directory / "config.json"
    try:
        prior = LabelPrior(read_config(LabelPriorConfig, path))
    except (ConfigError, TypeError) as error:
        raise BundleError(f"{path}: not a label prior's config ({error}); fetch the bundle again") from error
    load_weights(prior, directory / "model.safetensors")
    return prior.to(device).eval()
