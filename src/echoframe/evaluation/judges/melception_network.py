"""Melception's network: torchvision's Inception3 for one channel, without its two early max poolings.

Names of weights as in SpecVQGAN's checkpoint. Sources: v-iashin/SpecVQGAN, evaluation/feature_extractors/melception.py,
read in its copy in sameraslan/PerceptAlign at 6ba7422; torchvision 0.9.1 (theirs) and 0.29.2, models/inception.py, the
network of Szegedy et al. 2016 (arXiv 1512.00567).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FULL_WIDTH = 32
CLASSES = 309
WIDE, TALL = (1, 7), (7, 1)  # kernels: height (bands), width (frames)


@dataclass(frozen=True, slots=True)
class _Step:
    """A convolution of a branch. padded: keeps the height and width."""

    name: str
    channels: int
    kernel: int | tuple[int, int]
    stride: int = 1
    padded: bool = True


@dataclass(frozen=True, slots=True)
class _Branch:
    """Convolutions one after the other; those of `fork` side by side behind them."""

    steps: tuple[_Step, ...]
    fork: tuple[_Step, ...] = ()


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, step: _Step, width: int) -> None:
        super().__init__()
        channels = _scaled(step.channels, width)
        kernel = step.kernel if isinstance(step.kernel, tuple) else (step.kernel, step.kernel)
        padding = (kernel[0] // 2, kernel[1] // 2) if step.padded else (0, 0)
        self.conv = nn.Conv2d(in_channels, channels, kernel, step.stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Branches that hear the same and whose channels are joined, in their order, and a pooling one behind them.

    pooled: the channels of that branch's 1x1 convolution after a mean; 0 for a maximum at half the size and no more.
    """

    def __init__(self, in_channels: int, branches: tuple[_Branch, ...], pooled: int, width: int) -> None:
        super().__init__()
        self.branches, self.pooled = branches, pooled
        self.channels = _scaled(pooled, width) if pooled else in_channels
        for branch in branches:
            channels = in_channels
            for step in branch.steps:
                self.add_module(step.name, _Conv(channels, step, width))
                channels = _scaled(step.channels, width)
            for step in branch.fork:
                self.add_module(step.name, _Conv(channels, step, width))
            ends = branch.fork or branch.steps[-1:]
            self.channels += sum(_scaled(step.channels, width) for step in ends)
        if pooled:
            self.branch_pool = _Conv(in_channels, _Step("branch_pool", pooled, 1), width)

    def forward(self, x: Tensor) -> Tensor:
        heard: list[Tensor] = []
        for branch in self.branches:
            y = x
            for step in branch.steps:
                y = self.get_submodule(step.name)(y)
            heard += [self.get_submodule(step.name)(y) for step in branch.fork] or [y]
        if self.pooled:
            heard.append(self.branch_pool(nn.functional.avg_pool2d(x, 3, stride=1, padding=1)))
        else:
            heard.append(nn.functional.max_pool2d(x, 3, stride=2))
        return torch.cat(heard, dim=1)


class _AuxiliaryHead(nn.Module):
    """A second classifier that only training listens to: its weights are in the file, so that it loads strictly."""

    def __init__(self, in_channels: int, classes: int, width: int) -> None:
        super().__init__()
        self.conv0 = _Conv(in_channels, _Step("conv0", 128, 1), width)
        self.conv1 = _Conv(_scaled(128, width), _Step("conv1", 768, 5, padded=False), width)
        self.fc = nn.Linear(_scaled(768, width), classes)


def _scaled(channels: int, width: int) -> int:
    return channels * width // 32


_STEM = (
    _Step("Conv2d_1a_3x3", 32, 3, stride=2, padded=False),
    _Step("Conv2d_2a_3x3", 32, 3, padded=False),
    _Step("Conv2d_2b_3x3", 64, 3),
    _Step("Conv2d_3b_1x1", 80, 1),
    _Step("Conv2d_4a_3x3", 192, 3, padded=False),
)
_FINE = (
    _Branch((_Step("branch1x1", 64, 1),)),
    _Branch((_Step("branch5x5_1", 48, 1), _Step("branch5x5_2", 64, 5))),
    _Branch((_Step("branch3x3dbl_1", 64, 1), _Step("branch3x3dbl_2", 96, 3), _Step("branch3x3dbl_3", 96, 3))),
)
_HALVED = (
    _Branch((_Step("branch3x3", 384, 3, stride=2, padded=False),)),
    _Branch(
        (
            _Step("branch3x3dbl_1", 64, 1),
            _Step("branch3x3dbl_2", 96, 3),
            _Step("branch3x3dbl_3", 96, 3, stride=2, padded=False),
        )
    ),
)
_QUARTERED = (
    _Branch((_Step("branch3x3_1", 192, 1), _Step("branch3x3_2", 320, 3, stride=2, padded=False))),
    _Branch(
        (
            _Step("branch7x7x3_1", 192, 1),
            _Step("branch7x7x3_2", 192, WIDE),
            _Step("branch7x7x3_3", 192, TALL),
            _Step("branch7x7x3_4", 192, 3, stride=2, padded=False),
        )
    ),
)
_COARSE = (
    _Branch((_Step("branch1x1", 320, 1),)),
    _Branch(
        (_Step("branch3x3_1", 384, 1),),
        fork=(_Step("branch3x3_2a", 384, (1, 3)), _Step("branch3x3_2b", 384, (3, 1))),
    ),
    _Branch(
        (_Step("branch3x3dbl_1", 448, 1), _Step("branch3x3dbl_2", 384, 3)),
        fork=(_Step("branch3x3dbl_3a", 384, (1, 3)), _Step("branch3x3dbl_3b", 384, (3, 1))),
    ),
)


def _middle(channels: int) -> tuple[_Branch, ...]:
    """Kernels of 7 along the bands and along the frames, `channels` wide within."""
    return (
        _Branch((_Step("branch1x1", 192, 1),)),
        _Branch(
            (_Step("branch7x7_1", channels, 1), _Step("branch7x7_2", channels, WIDE), _Step("branch7x7_3", 192, TALL))
        ),
        _Branch(
            (
                _Step("branch7x7dbl_1", channels, 1),
                _Step("branch7x7dbl_2", channels, TALL),
                _Step("branch7x7dbl_3", channels, WIDE),
                _Step("branch7x7dbl_4", channels, TALL),
                _Step("branch7x7dbl_5", 192, WIDE),
            )
        ),
    )


# name: branches, channels behind the pooling
_MIXED: dict[str, tuple[tuple[_Branch, ...], int]] = {
    "Mixed_5b": (_FINE, 32),
    "Mixed_5c": (_FINE, 64),
    "Mixed_5d": (_FINE, 64),
    "Mixed_6a": (_HALVED, 0),
    "Mixed_6b": (_middle(128), 192),
    "Mixed_6c": (_middle(160), 192),
    "Mixed_6d": (_middle(160), 192),
    "Mixed_6e": (_middle(192), 192),
    "Mixed_7a": (_QUARTERED, 0),
    "Mixed_7b": (_COARSE, 192),
    "Mixed_7c": (_COARSE, 192),
}


class MelceptionNetwork(nn.Module):
    """Standardised spectrograms to embeddings and logits. width: channels of the first layer, the others in proportion."""

    def __init__(self, *, width: int = FULL_WIDTH, classes: int = CLASSES) -> None:
        super().__init__()
        self.layers = (*(step.name for step in _STEM), *_MIXED)
        channels = 1
        for step in _STEM:
            self.add_module(step.name, _Conv(channels, step, width))
            channels = _scaled(step.channels, width)
        for name, (branches, pooled) in _MIXED.items():
            block = _Mixed(channels, branches, pooled, width)
            self.add_module(name, block)
            channels = block.channels
        self.AuxLogits = _AuxiliaryHead(_scaled(768, width), classes, width)
        self.fc = nn.Linear(channels, classes)
        self.dim = channels

    def forward(
        self, x: Float[Tensor, "batch bands frames"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch classes"]]:
        """(B, 80, 848) -> (B, 2048), mean over what is left of bands and frames, and (B, 309) before the softmax.

        No dropout: it is only for listening.
        """
        y = x[:, None]
        for name in self.layers:
            y = self.get_submodule(name)(y)
        embeddings = y.mean(dim=(2, 3))
        return embeddings, self.fc(embeddings)


def fold_batch_norms(network: MelceptionNetwork) -> None:
    """Moves every batch norm into the convolution before it, in place: the same numbers, sooner."""
    network.eval()
    for module in list(network.modules()):
        if isinstance(module, _Conv) and isinstance(module.bn, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()
