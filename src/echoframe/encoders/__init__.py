"""Frozen networks that turn frames, sounds and words into vectors: three seams, and what all of them share.

An encoder is a directory: config.json and model.safetensors. CLIP and CLAP keep the model hub's layout
(`model_type` in config.json); our own small networks write `kind` there.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from echoframe.errors import AudioError, BundleError
from echoframe.weights import read_json, read_weights


@runtime_checkable
class VisualEncoder(Protocol):
    """Frames to vectors. short_side: the height or width (px, the smaller) at which it looks at a frame."""

    dim: int
    name: str
    short_side: int

    def __call__(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames dim"]:
        """One float32 vector per RGB frame, on the encoder's device: (T, H, W, 3) uint8 -> (T, dim)."""
        ...


@runtime_checkable
class AudioEncoder(Protocol):
    """Sounds to unit vectors. sample_rate: Hz, at which it listens; it resamples whatever it is given."""

    dim: int
    name: str
    sample_rate: int

    def __call__(self, waveform: Float[Tensor, "batch samples"], sample_rate: int) -> Float[Tensor, "batch dim"]:
        """One float32 unit vector per sound, on the encoder's device: (B, S) in [-1, 1] -> (B, dim)."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Sentences to unit vectors, in the space of the visual or audio encoder it was trained with."""

    dim: int
    name: str

    def __call__(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """One float32 unit vector per text, on the encoder's device."""
        ...


class FrozenModule(nn.Module):
    """A module that is never trained: no gradients of its own, and always in eval mode once `freeze` was called."""

    def freeze(self) -> None:
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "FrozenModule":
        return super().train(False)  # batch norm and dropout must never see a batch, whatever `mode` asks


def use_channels_last(module: nn.Module, device: str | torch.device = "cpu") -> None:
    """Lays the kernels out in memory as a CPU's convolutions like them: half the time for the same numbers.

    device: where the module is to run; Metal has no use for that layout.
    """
    if torch.device(device).type not in ("cpu", "cuda"):
        return
    for weight in module.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def load_visual_encoder(
    directory: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VisualEncoder:
    """The visual encoder in `directory`: EfficientNet-Lite0 or any CLIP. Raises BundleError if it is neither."""
    # imported here: transformers takes seconds, and the small encoders do without it
    kind = encoder_kind(directory)
    if kind == "efficientnet_lite":
        from echoframe.encoders.efficientnet_lite import EfficientNetLiteEncoder

        return EfficientNetLiteEncoder.from_directory(directory, device=device, dtype=dtype)
    if kind in ("clip", "clip_vision_model"):
        from echoframe.encoders.clip import ClipVisualEncoder

        return ClipVisualEncoder.from_directory(directory, device=device, dtype=dtype)
    raise BundleError(f'{directory}: "{kind}" is not a visual encoder; expected efficientnet_lite, clip')


def load_audio_encoder(
    directory: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> AudioEncoder:
    """The audio encoder in `directory`: aiSFX or any CLAP. Raises BundleError if it is neither."""
    kind = encoder_kind(directory)
    if kind == "aisfx":
        from echoframe.encoders.aisfx import AisfxEncoder

        return AisfxEncoder.from_directory(directory, device=device, dtype=dtype)
    if kind in ("clap", "clap_audio_model"):
        from echoframe.encoders.clap import ClapAudioEncoder

        return ClapAudioEncoder.from_directory(directory, device=device, dtype=dtype)
    raise BundleError(f'{directory}: "{kind}" is not an audio encoder; expected aisfx, clap')


def load_text_encoder(
    directory: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> TextEncoder:
    """The text encoder in `directory`: that of CLIP or of CLAP. Raises BundleError if it is neither."""
    kind = encoder_kind(directory)
    if kind in ("clip", "clip_text_model"):
        from echoframe.encoders.clip import ClipTextEncoder

        return ClipTextEncoder.from_directory(directory, device=device, dtype=dtype)
    if kind in ("clap", "clap_text_model"):
        from echoframe.encoders.clap import ClapTextEncoder

        return ClapTextEncoder.from_directory(directory, device=device, dtype=dtype)
    raise BundleError(f'{directory}: "{kind}" is not a text encoder; expected clip, clap')


def encoder_kind(directory: Path) -> str:
    """What config.json calls the encoder: our `kind`, or transformers' `model_type`."""
    require_files(directory, ("config.json",))
    config = read_json(directory / "config.json")
    return str(config.get("kind", config.get("model_type", "unnamed")))


def require_files(directory: Path, names: tuple[str, ...]) -> None:
    """Raises BundleError that lists every file of `names` the encoder directory lacks."""
    if not directory.is_dir():
        raise BundleError(f"{directory}: no such directory; expected an encoder with {', '.join(names)}")
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise BundleError(f"{directory}: lacks {', '.join(missing)}; fetch or convert the encoder again")


def read_encoder(directory: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json and the tensors of one of our own encoders. Raises BundleError if it is not a `kind`."""
    require_files(directory, ("config.json", "model.safetensors"))
    config = read_json(directory / "config.json")
    found = config.get("kind", config.get("model_type", "unnamed"))
    if found != kind:
        raise BundleError(f'{directory}: holds a "{found}" encoder, expected "{kind}"')
    return config, read_weights(directory / "model.safetensors")


def without_repeats(
    frames: UInt8[np.ndarray, "frames height width 3"],
) -> tuple[UInt8[np.ndarray, "distinct height width 3"], Int[Tensor, " frames"]]:
    """The frames that differ from the one before, and which of them each frame is: a still's frames are encoded once."""
    is_new = np.ones(len(frames), dtype=bool)
    is_new[1:] = [not np.array_equal(one, other) for one, other in pairwise(frames)]
    return frames if is_new.all() else frames[is_new], torch.from_numpy(np.cumsum(is_new) - 1)


def as_images(frames: np.ndarray) -> Tensor:
    """(T, H, W, 3) uint8 as (T, 3, H, W), channels last in memory; copied only if it has to be."""
    return torch.from_numpy(np.require(frames, requirements=["C", "W"])).permute(0, 3, 1, 2)


def check_waveform(waveform: Tensor) -> None:
    """Raises AudioError unless `waveform` (B, S) holds samples and all of them are finite."""
    if waveform.shape[-1] == 0:
        raise AudioError("waveform: holds no samples; expected at least one")
    if not bool(torch.isfinite(waveform).all()):
        raise AudioError("waveform: holds NaN or infinite samples; expected finite ones in [-1, 1]")
