"""What the mel codec drops, drawn again: a smooth log-mel gets the fine structure that such a sound has.

A patch of 8 frames x 8 bands stands at each point of a grid (time x bands). What the codec drops of a patch has its own
principal axes (one basis for each row of bands). A first network reads the smooth mel around a patch and says the mean
and the spread along each axis. A second one, a rectified flow (Liu et al., ICLR 2023, arXiv 2209.03003), carries white
noise to what is left when that mean and that spread are taken away: neighbours then fit each other.
Both are ConvNeXt blocks (Liu et al., CVPR 2022, arXiv 2201.03545) over the grid.

*Conventions*: smooth and fine log-mels are (B, frames, mels), normalised as `log_mel` gives them; grids are
(B, time, rows, numbers); level 1 is noise, level 0 is sound.
"""

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from echoframe.errors import ConfigError
from echoframe.flow import LEVEL_FEATURES, level_features
from echoframe.weights import load_weights, read_config, save_part

MAX_LOG_SPREAD = 3.0  # of a spread, relative to its axis: exp(3) = 20 times more or less


@dataclass(frozen=True, kw_only=True, slots=True)
class TextureConfig:
    """n_mels: bands of the mel. frames, bands: a patch's size. width, depth: of the network that says mean and spread.
    flow_width, flow_depth: of the flow; depth 0 means that white noise alone is drawn. steps: Euler steps of the flow.
    """

    n_mels: int = 64
    frames: int = 8
    bands: int = 8
    width: int = 128
    depth: int = 4
    flow_width: int = 160
    flow_depth: int = 6
    steps: int = 4

    def __post_init__(self) -> None:
        if min(self.n_mels, self.frames, self.bands, self.width, self.depth, self.flow_width, self.steps) < 1:
            raise ConfigError(f"texture: {self}; every size has to be positive")
        if self.n_mels % self.bands or self.flow_depth < 0:
            raise ConfigError(
                f"texture: patches of {self.bands} bands, {self.n_mels} mels, flow depth {self.flow_depth}; "
                "bands have to divide the mels, and the depth is at least 0"
            )

    @property
    def rows(self) -> int:
        return self.n_mels // self.bands

    @property
    def size(self) -> int:
        """Numbers of a patch."""
        return self.frames * self.bands


class Texture(nn.Module):
    """Smooth log-mels to fine ones. basis, spread: of each row's detail, fitted by `fit_axes`, not learned."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.config = config
        rows, size = config.rows, config.size
        self.basis = nn.Parameter(torch.eye(size).repeat(rows, 1, 1), requires_grad=False)  # (rows, axis, number)
        self.spread = nn.Parameter(torch.ones(rows, size), requires_grad=False)
        self.moments = GridNetwork(size, 2 * size, rows, width=config.width, depth=config.depth, levels=False)
        if config.flow_depth:
            self.flow = GridNetwork(4 * size, size, rows, width=config.flow_width, depth=config.flow_depth, levels=True)

    def mean_and_spread(self, smooth: Float[Tensor, "batch frames mels"]) -> tuple[Tensor, Tensor]:
        """Of the detail along each axis: two grids (B, time, rows, size)."""
        mean, log_spread = self.moments(to_grid(smooth, self.config)).chunk(2, dim=3)
        bounded = MAX_LOG_SPREAD * torch.tanh(log_spread / MAX_LOG_SPREAD)
        return mean * self.spread, self.spread * bounded.exp()

    def direction(self, noisy: Tensor, level: Float[Tensor, " batch"], given: Tensor) -> Tensor:
        """Noise minus data at `level`, for details in units of their spread. given: from `conditions`.

        Zero networks leave the direction of a white Gaussian, for which every level has the same distribution.
        """
        share = level[:, None, None, None]
        gain = (2 * share - 1) / (share.square() + (1 - share).square())
        return gain * noisy + self.flow(torch.cat([noisy, given], dim=3), level)

    def conditions(self, smooth: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """What the flow sees beside the noisy detail: the smooth patch, its detail's mean and the log of its spread."""
        relative = torch.cat([mean / self.spread, (spread / self.spread).log()], dim=3)
        return torch.cat([to_grid(smooth, self.config), relative], dim=3)

    def forward(
        self, smooth: Float[Tensor, "batch frames mels"], noise: Float[Tensor, "batch time rows size"]
    ) -> Float[Tensor, "batch frames mels"]:
        """The detail that white `noise` becomes, to be added to `smooth`, whose frames are a multiple of a patch's."""
        mean, spread = self.mean_and_spread(smooth)
        if self.config.flow_depth:
            noise = self._follow(noise, self.conditions(smooth, mean, spread))
        return from_grid(self.from_axes(mean + spread * noise), self.config)

    def _follow(self, noise: Tensor, given: Tensor) -> Tensor:
        """Details in units of their spread, by Euler steps of equal angle; zero networks leave the noise as it is.

        With level = r sin(angle), 1 - level = r cos(angle) and a point divided by its r, the part of the direction that
        a white Gaussian has is gone: few steps would make the detail weaker by it.
        """
        angles = torch.linspace(math.pi / 2, 0, self.config.steps + 1).tolist()
        for now, after in pairwise(angles):
            r = 1 / (math.sin(now) + math.cos(now))
            level = torch.full((len(noise),), r * math.sin(now)).to(noise)
            noise = noise - (now - after) * r * self.flow(torch.cat([r * noise, given], dim=3), level)
        return noise

    def draw(
        self, smooth: Float[Tensor, "batch frames mels"], randoms: list[torch.Generator]
    ) -> Float[Tensor, "batch frames mels"]:
        """A detail of each item from its own random generator (on the CPU): the same seed gives the same detail."""
        shape = (smooth.shape[1] // self.config.frames, self.config.rows, self.config.size)
        noise = torch.stack([torch.randn(shape, generator=random) for random in randoms])
        return self(smooth, noise.to(smooth))

    def to_axes(self, grid: Tensor) -> Tensor:
        """Patches along their row's axes: (B, T, rows, size) -> the same shape."""
        return torch.einsum("btrn,ran->btra", grid, self.basis)

    def from_axes(self, grid: Tensor) -> Tensor:
        return torch.einsum("btra,ran->btrn", grid, self.basis)


class GridNetwork(nn.Module):
    """(B, T, rows, channels in) -> (B, T, rows, channels out), with noise levels (B,) if `levels`."""

    def __init__(self, n_in: int, n_out: int, rows: int, *, width: int, depth: int, levels: bool) -> None:
        super().__init__()
        self.proj_in = nn.Conv2d(n_in, width, 3, padding=1)
        self.row = nn.Parameter(0.02 * torch.randn(rows, width))
        self.blocks = nn.ModuleList(GridBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, n_out)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        self.embed_level = None
        if levels:
            self.embed_level = nn.Sequential(nn.Linear(LEVEL_FEATURES, width), nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, grid: Tensor, level: Tensor | None = None) -> Tensor:
        x = over_grid(self.proj_in, grid) + self.row
        scale, shift = torch.zeros(()), torch.zeros(())
        if self.embed_level is not None and level is not None:
            scale, shift = self.embed_level(level_features(level))[:, None, None].chunk(2, dim=3)
        for block in self.blocks:
            x = block(x, scale, shift)
        return self.proj_out(self.norm(x))


class GridBlock(nn.Module):
    """A convolution of each channel over the neighbours, then two layers at each point; added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 3 * width)
        self.fc2 = nn.Linear(3 * width, width)
        nn.init.normal_(self.fc2.weight, std=0.02)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        mixed = self.norm(over_grid(self.mix, x)) * (1 + scale) + shift
        return x + self.fc2(functional.gelu(self.fc1(mixed), approximate="tanh"))


def over_grid(convolution: nn.Conv2d, grid: Tensor) -> Tensor:
    """A 2-D convolution of a (B, T, rows, channels) grid."""
    return convolution(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def to_grid(mel: Float[Tensor, "batch frames mels"], config: TextureConfig) -> Float[Tensor, "batch time rows size"]:
    return mel.unflatten(2, (-1, config.bands)).unflatten(1, (-1, config.frames)).transpose(2, 3).flatten(3)


def from_grid(grid: Float[Tensor, "batch time rows size"], config: TextureConfig) -> Tensor:
    """The inverse of `to_grid`: (B, T, rows, size) -> (B, T * frames, mels)."""
    return grid.unflatten(3, (config.frames, config.bands)).transpose(2, 3).flatten(3).flatten(1, 2)


@torch.no_grad()
def fit_axes(texture: Texture, details: Float[Tensor, "batch frames mels"]) -> None:
    """Sets basis and spread to the principal axes of `details`, row by row. Axes that hold nothing stay narrow."""
    patches = to_grid(details, texture.config).flatten(0, 1).transpose(0, 1).double()  # (rows, patches, size)
    variance, vectors = torch.linalg.eigh(patches.transpose(1, 2) @ patches / patches.shape[1])
    spread = variance.flip(1).clamp(min=0).sqrt()
    texture.basis.copy_(vectors.flip(2).transpose(1, 2))
    texture.spread.copy_(spread.clamp(min=1e-3 * float(spread.max())))


def save_texture(texture: Texture, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Writes config.json and model.safetensors into `folder`."""
    save_part(folder, asdict(texture.config), texture.state_dict(), dtype=dtype)


def load_texture(folder: Path) -> Texture:
    """The texture in `folder`, frozen, float32. Raises BundleError for a damaged one."""
    texture = Texture(read_config(TextureConfig, folder / "config.json"))
    load_weights(texture, folder / "model.safetensors")
    return texture.requires_grad_(False).eval()
