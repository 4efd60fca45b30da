"""A small network that sees when things are struck: what changes beside the camera's motion, and how it goes on.

*Conventions*: frames are the luma of T frames of one clip, (T, H, W). The residual, (T, H, W), is what a frame differs by
from the one before it where that is moved as the camera moved. Both are in units of the clip's own contrast.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from echoframe.timing.camera import camera_motion, warp
from echoframe.weights import load_weights, read_config

N_BESIDE = 6  # numbers of a frame that are not seen in its pixels: see `beside`


@dataclass(frozen=True, kw_only=True, slots=True)
class OnsetNetConfig:
    """The sizes of the network.

    widths: channels of the three convolutions in space. local_dilations: frames between the taps of the convolutions over
    time in each place. hidden_dim: channels of those over what is seen anywhere. dilations: frames between their taps.
    """

    widths: tuple[int, int, int] = (16, 32, 48)
    local_dilations: tuple[int, ...] = (1, 2, 4)
    hidden_dim: int = 96
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1)


class _Local(nn.Module):
    """How what is seen in a place, and in those beside it, goes on over time."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(width)
        self.over_time = nn.Linear(3 * width, width)
        self.over_space = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, seen: Float[Tensor, "t rows columns c"]) -> Float[Tensor, "t rows columns c"]:
        normed = self.norm(seen)
        far = min(self.dilation, len(seen))
        none = torch.zeros_like(normed[:far])
        before, after = torch.cat([none, normed])[: len(seen)], torch.cat([normed, none])[far:]
        hidden = gelu(self.over_time(torch.cat([before, normed, after], dim=3)))
        return seen + self.over_space(hidden.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class OnsetNet(nn.Module):
    """The log odds that something is struck at each frame: what stops in one place, whatever moves elsewhere."""

    def __init__(self, config: OnsetNetConfig = OnsetNetConfig()) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        self.space = nn.ModuleList(
            [
                nn.Conv2d(3, first, 5, stride=2, padding=2),
                nn.Conv2d(first, second, 3, stride=2, padding=1),
                nn.Conv2d(second, third, 3, stride=2, padding=1),
            ]
        )
        self.local = nn.ModuleList([_Local(third, d) for d in config.local_dilations])
        self.local_out = nn.Linear(third, 1)
        self.proj_in = nn.Linear(2 * third + 1 + N_BESIDE, config.hidden_dim)
        self.time = nn.ModuleList(
            [nn.Conv1d(config.hidden_dim, config.hidden_dim, 3, dilation=d, padding=d) for d in config.dilations]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(config.hidden_dim) for _ in config.dilations])
        self.proj_out = nn.Linear(config.hidden_dim, 1)

    @property
    def reach(self) -> int:
        """How many frames before and after a frame `look` needs for it."""
        return sum(self.config.local_dilations)

    def look(
        self, frames: Float[Tensor, "t h w"], residual: Float[Tensor, "t h w"], following: Float[Tensor, "t h w"]
    ) -> tuple[Float[Tensor, "t seen"], Float[Tensor, "t rows columns"]]:
        """What is seen around each frame, anywhere, and the log odds that something is struck in each place.

        following: the residual of the next frame, 0 for the last one.
        """
        seen = torch.stack([frames, residual, following], dim=1).contiguous(memory_format=torch.channels_last)
        for conv in self.space:
            seen = gelu(conv(seen))
        places = seen.permute(0, 2, 3, 1)
        for local in self.local:
            places = local(places)
        struck = self.local_out(places)[..., 0]
        told = [places.mean(dim=(1, 2)), places.amax(dim=(1, 2)), struck.amax(dim=(1, 2))[:, None]]
        return torch.cat(told, dim=1), struck

    def tell(self, seen: Float[Tensor, "b t seen"], beside: Float[Tensor, "b t 6"]) -> Float[Tensor, "b t"]:
        """The log odds that something is struck, from what `look` saw and `beside` counted over time."""
        hidden = self.proj_in(torch.cat([seen, beside], dim=2))
        for conv, norm in zip(self.time, self.norms, strict=True):
            hidden = hidden + gelu(conv(norm(hidden).mT)).mT
        return self.proj_out(hidden)[..., 0]


def beside(
    frames: Float[Tensor, "t h w"],
    residual: Float[Tensor, "t h w"],
    motion: Float[Tensor, "t 3"],
    times_s: Float[Tensor, " t"],
    scale: Float[Tensor, " t"] | float = 1.0,
) -> Float[Tensor, "t 6"]:
    """The camera's motion, the time since the frame before in 1/25 s, the change of brightness, and how much moves.

    scale: the contrast at each frame, where `frames` and `residual` are not yet divided by it.
    """
    since = torch.diff(times_s, prepend=times_s[:1] - 0.04) * 25
    brightness = frames.mean(dim=(1, 2))
    change = torch.diff(brightness, prepend=brightness[:1]) / scale
    moving = residual.abs().mean(dim=(1, 2)) / scale
    camera = motion * motion.new_tensor([0.3, 0.3, 30.0]) - motion.new_tensor([0.0, 0.0, 30.0])
    return torch.cat([camera, since[:, None], 5 * change[:, None], (moving + 1e-3).log()[:, None] + 3], dim=1)


def residuals(frames: Float[Tensor, "t h w"]) -> tuple[Float[Tensor, "t h w"], Float[Tensor, "t 3"]]:
    """What each frame differs by from the one before, and the camera's motion to it; the first has none."""
    still = torch.tensor([[0.0, 0.0, 1.0]])
    if len(frames) < 2:
        return torch.zeros_like(frames), still.expand(len(frames), 3)
    motion = camera_motion(frames)
    return pad(frames[1:] - warp(frames[:-1], motion), (0, 0, 0, 0, 1, 0)), torch.cat([still, motion])


def load_onset_net(folder: Path) -> OnsetNet:
    """The network in `folder`, to be asked only. Raises BundleError for a damaged one."""
    with torch.random.fork_rng(devices=[]):  # the global generator is the caller's own
        net = OnsetNet(read_config(OnsetNetConfig, folder / "config.json"))
    load_weights(net, folder / "model.safetensors")
    return net.requires_grad_(False).eval()
