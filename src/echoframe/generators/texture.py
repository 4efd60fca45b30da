"""What the mel codec drops, drawn again: a smooth log-mel gets the fine structure that such a sound has.

A patch of 8 frames x 8 bands stands at each point of a grid (time x bands). What the codec drops of a patch has its own
principal axes, one basis for each row of bands. A network reads the smooth mel around a patch and says the mean and the
spread along each axis; a Gaussian of that mean and spread is drawn. Its blocks are ConvNeXt's (Liu et al., CVPR 2022,
arXiv 2201.03545).

*Conventions*: smooth and fine log-mels are (B, frames, mels), normalised as `log_mel` gives them; grids are
(B, time, rows, numbers).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from echoframe.errors import ConfigError
from echoframe.generators.mel_codec import MelCodec
from echoframe.weights import load_weights, read_config, save_part

MAX_LOG_SPREAD = 3.0  # of a spread, relative to its axis: exp(3) = 20 times more or less


@dataclass(frozen=True, kw_only=True, slots=True)
class TextureConfig:
    """n_mels: bands of the mel. frames, bands: a patch's size. width, depth: of the network. strength: of what is drawn;
    1 has the spread of real sounds, 0 is the mean alone. At 0.5 YAMNet hears least difference to validation recordings.
    """

    n_mels: int = 64
    frames: int = 8
    bands: int = 8
    width: int = 128
    depth: int = 4
    strength: float = 0.5

    def __post_init__(self) -> None:
        if min(self.n_mels, self.frames, self.bands, self.width, self.depth) < 1:
            raise ConfigError(f"texture: {self}; every size has to be positive")
        if self.n_mels % self.bands or not self.strength >= 0:
            raise ConfigError(
                f"texture: patches of {self.bands} bands, {self.n_mels} mels, strength {self.strength}; "
                "bands have to divide the mels, and the strength is at least 0"
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
        rows, size, width = config.rows, config.size, config.width
        self.basis = nn.Parameter(torch.eye(size).repeat(rows, 1, 1), requires_grad=False)  # (rows, axis, number)
        self.spread = nn.Parameter(torch.ones(rows, size), requires_grad=False)
        self.proj_in = nn.Conv2d(size, width, 3, padding=1)
        self.row = nn.Parameter(0.02 * torch.randn(rows, width))
        self.blocks = nn.ModuleList(GridBlock(width) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, 2 * size)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    @property
    def reach(self) -> int:
        """Frames on either side of a patch that its detail depends on: each convolution sees one patch further."""
        return (self.config.depth + 1) * self.config.frames

    def mean_and_spread(self, smooth: Float[Tensor, "batch frames mels"]) -> tuple[Tensor, Tensor]:
        """Of the detail along each axis: two grids (B, time, rows, size)."""
        x = over_grid(self.proj_in, to_grid(smooth, self.config)) + self.row
        for block in self.blocks:
            x = block(x)
        mean, log_spread = self.proj_out(self.norm(x)).chunk(2, dim=3)
        bounded = MAX_LOG_SPREAD * torch.tanh(log_spread / MAX_LOG_SPREAD)
        return mean * self.spread, self.spread * bounded.exp()

    def forward(
        self, smooth: Float[Tensor, "batch frames mels"], noise: Float[Tensor, "batch time rows size"]
    ) -> Float[Tensor, "batch frames mels"]:
        """The detail that white `noise` becomes, to be added to `smooth`, whose frames are a multiple of a patch's."""
        mean, spread = self.mean_and_spread(smooth)
        return from_grid(self.from_axes(mean + self.config.strength * spread * noise), self.config)

    def draw(
        self, smooth: Float[Tensor, "batch frames mels"], randoms: list[torch.Generator]
    ) -> Float[Tensor, "batch frames mels"]:
        """A detail of each item from its own random generator (on the CPU): the same seed gives the same detail."""
        return self(smooth, self._noise(smooth.shape[1], randoms).to(smooth))

    def fill(self, codec: MelCodec, tokens: Tensor, randoms: list[torch.Generator]) -> Tensor:
        """(B, N, channels) -> (B, frames, mels): the log-mels of `tokens` with a drawn detail, their tokens unchanged."""
        return self.fill_with(codec, tokens, self._noise(tokens.shape[1] * codec.config.frames, randoms))

    def fill_with(self, codec: MelCodec, tokens: Tensor, noise: Float[Tensor, "batch time rows size"]) -> Tensor:
        """`fill` with the detail that white `noise` becomes."""
        smooth = codec.decode(tokens)
        fine = smooth + self(smooth, noise.to(smooth))
        return fine + smooth - codec.decode(codec.encode(fine))

    def _noise(self, n_frames: int, randoms: list[torch.Generator]) -> Tensor:
        shape = (n_frames // self.config.frames, self.config.rows, self.config.size)
        return torch.stack([torch.randn(shape, generator=random) for random in randoms])

    def to_axes(self, grid: Tensor) -> Tensor:
        """Patches along their row's axes: (B, T, rows, size) -> the same shape."""
        return torch.einsum("btrn,ran->btra", grid, self.basis)

    def from_axes(self, grid: Tensor) -> Tensor:
        return torch.einsum("btra,ran->btrn", grid, self.basis)


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

    def forward(self, x: Float[Tensor, "batch time rows width"]) -> Float[Tensor, "batch time rows width"]:
        mixed = self.norm(over_grid(self.mix, x))
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
