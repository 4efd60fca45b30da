"""A mapper that knows many answers: it draws a fitting point of the audio space for a clip, another for every seed.

One picture has many right sounds, and regression returns their mean, which is none of them. A prior learns how they are
spread (V2A-Mapper, AAAI 2024, arXiv 2308.09300, showed it for CLIP to CLAP; there by diffusion, here by a rectified
flow). An ordinary mapper reads the clip; what it says conditions a small network that leads noise to an embedding.

*Conventions*: the flow runs in the audio space's strongest principal components, whitened half-way (each divided by the
root of its deviation): fully, the weakest would count like those that tell a dog from a bell. Their mean variance is 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from echoframe.config import from_dict
from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.flow import LEVEL_FEATURES, flow_levels, level_features, solve
from echoframe.mappers.networks import LearnedMapper, MapperConfig, MapperNetwork, build_mapper
from echoframe.weights import load_weights, read_json, read_weights, renamed

PRIOR_KIND = "flow_prior"
# of weights in bundles and runs made before 0.5.0
NEW_NAMES = {"enter": "proj_in", "leave": "proj_out", "wide": "fc1", "narrow": "fc2", "mapper": "regressor"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorConfig:
    """regressor: what reads the clip. components: of the audio space. hidden_dim, depth: of the network that leads noise.

    steps, guidance: of sampling; guidance 1 draws as the training clips were spread, more draws nearer to what is
    typical of the clip. guided_levels: between which noise levels it guides; at the others it does as with 1, which
    keeps the draws apart (Kynkaanniemi et al., NeurIPS 2024, arXiv 2404.07724).
    """

    regressor: MapperConfig
    components: int = 128
    hidden_dim: int = 256
    depth: int = 4
    steps: int = 20
    guidance: float = 1.0
    guided_levels: tuple[float, float] = (0.0, 1.0)
    kind: str = PRIOR_KIND

    def __post_init__(self) -> None:
        sizes = (self.components, self.hidden_dim, self.depth, self.steps)
        if self.kind != PRIOR_KIND or min(sizes) < 1 or not 0 <= self.guidance < math.inf:
            raise ConfigError(
                f'prior: kind "{self.kind}", sizes {sizes}, guidance {self.guidance}; '
                f'expected "{PRIOR_KIND}", positive sizes and a guidance of at least 0'
            )
        if not 0 <= self.guided_levels[0] <= self.guided_levels[1] <= 1:
            raise ConfigError(
                f"prior: guided_levels {self.guided_levels}; expected two levels from 0 to 1 with the lower one first"
            )
        if self.components > self.regressor.audio_dim:
            raise ConfigError(
                f"prior: {self.components} components of a space of {self.regressor.audio_dim} dimensions; ask for fewer"
            )

    @property
    def visual_dim(self) -> int:
        return self.regressor.visual_dim

    @property
    def audio_dim(self) -> int:
        return self.regressor.audio_dim

    @property
    def visual_space(self) -> str:
        return self.regressor.visual_space

    @property
    def audio_space(self) -> str:
        return self.regressor.audio_space


class Block(nn.Module):
    """Two layers, modulated by the clip and the noise level, added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 3 * width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        shift, scale, gate = self.modulate(cond).chunk(3, dim=1)
        return x + gate * self.fc2(functional.silu(self.fc1(self.norm(x) * (1 + scale) + shift)))


class FlowPrior(LearnedMapper):
    """A mapper whose answer depends on a seed. `fit_space` before training; `flow_loss`
    and a loss of the mapper's own answers are what training brings down."""

    centre: Tensor
    basis: Tensor
    new_names = NEW_NAMES

    def __init__(self, config: PriorConfig, regressor: MapperNetwork) -> None:
        super().__init__()
        self.config, self.regressor = config, regressor
        width = config.hidden_dim
        self.register_buffer("centre", torch.zeros(config.audio_dim))
        self.register_buffer("basis", torch.eye(config.audio_dim)[: config.components])  # orthogonal rows
        self.embed_clip = nn.Sequential(
            nn.LayerNorm(config.audio_dim), nn.Linear(config.audio_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.embed_level = nn.Sequential(nn.Linear(LEVEL_FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        self.proj_in = nn.Linear(config.components, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(config.depth))
        self.proj_out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.components))

    def fit_space(self, embeddings: Float[Tensor, "items dim"]) -> None:
        """Takes centre, components and their deviations from the embeddings to be learned, more than `components`."""
        if len(embeddings) <= self.config.components:
            raise InputError(
                f"prior: {len(embeddings)} embeddings, {self.config.components} components; give more, or ask for fewer"
            )
        self.centre.copy_(embeddings.mean(dim=0))
        _, values, rows = torch.linalg.svd(embeddings - self.centre, full_matrices=False)
        deviations = values[: self.config.components] / (len(embeddings) - 1) ** 0.5
        lengths = (deviations * deviations.mean()).sqrt()
        self.basis.copy_(lengths[:, None] * rows[: self.config.components])

    def to_components(self, embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch components"]:
        """Coordinates, of mean variance 1 over what `fit_space` saw."""
        return (embeddings - self.centre) @ (self.basis / self.basis.square().sum(dim=1, keepdim=True)).T

    def direction(
        self, noisy: Float[Tensor, "batch components"], level: Float[Tensor, " batch"], clip: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch components"]:
        """noise - data at a point on the way. clip: of `look`, or zeros for no clip at all."""
        cond = functional.silu(clip + self.embed_level(level_features(level)))
        x = self.proj_in(noisy)
        for block in self.blocks:
            x = block(x, cond)
        return self.proj_out(x)

    def look(
        self, visual: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch hidden"]:
        """What the clips say to the flow."""
        return self.embed_clip(self.regressor.regress(visual, mask))

    def flow_loss(
        self,
        answer: Float[Tensor, "batch dim"],
        target: Float[Tensor, "batch dim"],
        *,
        generator: torch.Generator,
        unconditional: float = 0.1,
    ) -> Float[Tensor, ""]:
        """Mean squared error of the direction to `target` at random levels, given what the mapper answers (`regress`).

        The mapper needs a loss of its own beside this one: through the flow alone it learns to read very slowly.
        unconditional: share of clips that are not shown to the flow.
        """
        data = self.to_components(target)
        level = torch.rand(len(data), generator=generator).to(data)
        noise = torch.randn(data.shape, generator=generator).to(data)
        shown = (torch.rand((len(data), 1), generator=generator) >= unconditional).to(data)
        noisy = torch.lerp(data, noise, level[:, None])
        found = self.direction(noisy, level, self.embed_clip(answer) * shown)
        return (found - (noise - data)).square().mean()

    def get_regressor(self) -> MapperNetwork:
        return self.regressor

    def own_losses(self, regressed: Tensor, target: Tensor, *, generator: torch.Generator) -> dict[str, Tensor]:
        return {"flow": self.flow_loss(regressed, target, generator=generator)}

    def answer(self, visual: Tensor, mask: Tensor, *, seeds: Sequence[int]) -> Float[Tensor, "batch audio_dim"]:
        return self(visual, mask, seeds=seeds)

    @torch.no_grad()
    def forward(
        self,
        visual: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"],
        *,
        seeds: Sequence[int] | None = None,
    ) -> Float[Tensor, "batch audio_dim"]:
        """A fitting audio embedding for each clip and its seed (all 0 unless given): (B, Da), unit length."""
        seeds = [0] * len(visual) if seeds is None else seeds
        if len(seeds) != len(visual):
            raise InputError(f"prior: {len(seeds)} seeds for {len(visual)} clips; give one for each")
        clip = self.look(visual, mask)
        randoms = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise = torch.stack([torch.randn(self.config.components, generator=random) for random in randoms]).to(clip)

        def direction(noisy: Tensor, level: float) -> Tensor:
            levels = torch.full((len(noisy),), level).to(noisy)
            cond = self.direction(noisy, levels, clip)
            low, high = self.config.guided_levels
            if self.config.guidance == 1 or not low <= level <= high:
                return cond
            uncond = self.direction(noisy, levels, torch.zeros_like(clip))
            return uncond + self.config.guidance * (cond - uncond)

        found = solve(direction, noise, flow_levels(self.config.steps, 1.0), second_order=False)
        return functional.normalize(found @ self.basis + self.centre, dim=1).float()


def build_prior(config: PriorConfig, *, seed: int = 0) -> FlowPrior:
    """A new prior in float32 on the CPU, its weights drawn from `seed`. The global random state is left as it was."""
    regressor = build_mapper(config.regressor, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return FlowPrior(config, regressor)


def load_prior(directory: Path, *, device: torch.device | str = "cpu") -> FlowPrior:
    """The prior saved in `directory`, in eval mode, in float32. Raises BundleError if a file is missing or does not fit."""
    path = directory / "config.json"
    try:
        values = read_json(path)
        if "mapper" in values:  # as it was called before 0.5.0
            values = {"regressor" if key == "mapper" else key: value for key, value in values.items()}
        prior = build_prior(from_dict(PriorConfig, values, name=str(path)))
    except (ConfigError, TypeError) as error:
        raise BundleError(f"{path}: not a prior's config ({error}); fetch the bundle again") from error
    weights = directory / "model.safetensors"
    load_weights(prior, weights, weights=renamed(read_weights(weights), NEW_NAMES))
    return prior.to(device).eval()
