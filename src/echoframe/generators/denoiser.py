"""The network of mini's generator: what has to be taken from a noisy sequence, given how noisy it is and what to sound like.

A transformer over time (Peebles and Xie, "Scalable diffusion models with transformers", ICCV 2023, arXiv 2212.09748),
with one modulation shared by all blocks (Chen et al., "PixArt-alpha", ICLR 2024, arXiv 2310.00426), rotary positions
(Su et al., arXiv 2104.09864), so that any length will do, and skips from early blocks to late ones (Bao et al., "U-ViT",
CVPR 2023, arXiv 2209.12152).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from echoframe.errors import ConfigError
from echoframe.flow import LEVEL_FEATURES, level_features
from echoframe.weights import load_weights, read_config, read_weights, renamed, save_part

# of weights in bundles made before 0.5.0
NEW_NAMES = {"enter": "proj_in", "leave": "proj_out", "wide": "fc1", "narrow": "fc2"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoiserConfig:
    """channels: numbers of a token. condition_dim: of an audio embedding. depth: blocks, an even number.

    patch: so many tokens are one step of the network. preconditioned: the network adds to the best linear guess.
    """

    channels: int = 128
    condition_dim: int = 512
    width: int = 384
    depth: int = 8
    n_heads: int = 6
    patch: int = 1
    preconditioned: bool = False

    def __post_init__(self) -> None:
        if min(self.channels, self.condition_dim, self.width, self.depth, self.n_heads, self.patch) < 1:
            raise ConfigError(f"denoiser: {self}; every size has to be positive")
        if self.depth % 2 or self.width % (2 * self.n_heads):
            raise ConfigError(
                f"denoiser: depth {self.depth}, width {self.width}, {self.n_heads} heads; "
                "depth has to be even, width a multiple of twice the heads"
            )


class Denoiser(nn.Module):
    """(B, T, C) at noise levels (B,) in [0, 1], with conditions (B, D) of unit length or zero -> (B, T, C)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width, step = config.width, config.patch * config.channels
        self.proj_in = nn.Conv1d(step, width, 3, padding=1)
        self.embed_level = nn.Sequential(nn.Linear(LEVEL_FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        self.embed_condition = nn.Sequential(nn.Linear(config.condition_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.modulate = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(width, config.n_heads) for _ in range(config.depth))
        self.skips = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(config.depth // 2))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.proj_out = nn.Linear(width, step)
        if config.preconditioned:  # the standard deviation of each number of a token
            self.spread = nn.Parameter(torch.ones(config.channels), requires_grad=False)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(
        self,
        noisy: Float[Tensor, "batch frames channels"],
        level: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch dim"],
    ) -> Float[Tensor, "batch frames channels"]:
        if not self.config.preconditioned:
            return self._network(noisy, level, condition)
        kept, added = precondition(level, self.spread)
        return kept * noisy + added * self._network(noisy, level, condition)

    def _network(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        n_tokens, patch = noisy.shape[1], self.config.patch
        noisy = functional.pad(noisy, (0, 0, 0, -n_tokens % patch)).unflatten(1, (-1, patch)).flatten(2)
        cond = self.embed_level(level_features(level)) + self.embed_condition(condition * condition.shape[1] ** 0.5)
        modulation = self.modulate(functional.silu(cond)).unflatten(1, (1, 6, -1))  # (B, 1, 6, width)
        x = self.proj_in(noisy.transpose(1, 2)).transpose(1, 2)
        rotation = rotary(x.shape[1], self.config.width // self.config.n_heads, x)
        half = len(self.skips)
        kept: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            if index >= half:
                x = x + self.skips[index - half](torch.cat([x, kept.pop()], dim=2))
            x = block(x, modulation, rotation)
            if index < half:
                kept.append(x)
        return self.proj_out(self.norm(x)).unflatten(2, (patch, -1)).flatten(1, 2)[:, :n_tokens]


def precondition(level: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """What the direction keeps of the noisy tokens, and how large the rest is: each (B, 1, C).

    As in Karras et al. (arXiv 2206.00364, section 5), for the line between tokens of standard deviation `spread` and
    noise: the best linear guess of noise - tokens from noisy tokens, and the standard deviation of what it misses.
    """
    noise, sound = level[:, None, None], (1 - level)[:, None, None] * spread
    power = (noise.square() + sound.square()).clamp(min=1e-6)
    return (noise - sound * spread) / power, spread / power.sqrt()


class Block(nn.Module):
    """Self-attention over time, then two layers at each time; both modulated, both added."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        # its own part of the modulation: shift, scale and gate of the attention and of the two layers
        own = torch.zeros(6, width)
        own[2::3] = 1.0
        self.own = nn.Parameter(own)
        self.qkv = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        for last in (self.attended, self.fc2):
            nn.init.normal_(last.weight, std=0.02)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, modulation: Tensor, rotation: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_b, scale_b, gate_b = (modulation + self.own).unbind(2)
        x = x + gate_a * self._attend(self.norm(x) * (1 + scale_a) + shift_a, rotation)
        inner = functional.gelu(self.fc1(self.norm(x) * (1 + scale_b) + shift_b), approximate="tanh")
        return x + gate_b * self.fc2(inner)

    def _attend(self, x: Tensor, rotation: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, heads, T, dim)
        out = functional.scaled_dot_product_attention(rotate(q, rotation), rotate(k, rotation), v)
        return self.attended(out.transpose(1, 2).flatten(2))


def rotary(n_frames: int, dim: int, like: Tensor) -> Float[Tensor, "2 frames half"]:
    """Cosines and sines of each position's rotations, for heads of `dim` numbers."""
    rates = 100.0 ** -(torch.arange(0, dim, 2, device=like.device) / dim)  # the slowest turns once in 628 frames
    angles = torch.arange(n_frames, device=like.device)[:, None] * rates
    return torch.stack([angles.cos(), angles.sin()]).to(like.dtype)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turns each pair of numbers (the n-th of both halves) by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = rotation
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def save_denoiser(denoiser: Denoiser, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Writes config.json and model.safetensors into `folder`."""
    save_part(folder, asdict(denoiser.config), denoiser.state_dict(), dtype=dtype)


def load_denoiser(folder: Path) -> Denoiser:
    """The denoiser in `folder`, in eval mode, float32. Raises BundleError for a damaged one."""
    denoiser = Denoiser(read_config(DenoiserConfig, folder / "config.json"))
    path = folder / "model.safetensors"
    load_weights(denoiser, path, weights=renamed(read_weights(path), NEW_NAMES))
    return denoiser.eval()
