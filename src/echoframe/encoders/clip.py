"""CLIP (Radford et al. 2021): frames and sentences to unit vectors in one space, through transformers.

Directories as on the model hub, for example openai/clip-vit-large-patch14: config.json, model.safetensors,
preprocessor_config.json, tokenizer files. Both towers load from the same directory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

from echoframe.encoders import FrozenModule, as_images, require_files, without_repeats
from echoframe.encoders._transformers import Tokenizer, device_of, load_tower
from echoframe.errors import BundleError
from echoframe.weights import read_json

FRAMES_AT_ONCE = 32
BICUBIC = 3  # PIL.Image.Resampling.BICUBIC, as preprocessor_config.json writes it


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipPixels:
    """How frames become pixels: short side and centre crop in px, mean and std of [0, 1] RGB."""

    short_side: int = 224
    crop: int = 224
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    @classmethod
    def from_directory(cls, directory: Path) -> "ClipPixels":
        """What preprocessor_config.json says. Raises BundleError if it asks for anything but CLIP's own steps."""
        path = directory / "preprocessor_config.json"
        require_files(directory, (path.name,))
        values = read_json(path)
        steps = ("do_resize", "do_center_crop", "do_normalize")
        off = [step for step in steps if not values.get(step, True)]
        if off or values.get("resample", BICUBIC) != BICUBIC:
            found = f"{off[0]} off" if off else f"resample {values['resample']}"
            raise BundleError(f"{path}: {found}, expected CLIP's bicubic resize, centre crop and normalisation")
        defaults = cls()
        return cls(
            short_side=_pixels(values.get("size", defaults.short_side)),
            crop=_pixels(values.get("crop_size", defaults.crop)),
            mean=tuple(values.get("image_mean", defaults.mean)),
            std=tuple(values.get("image_std", defaults.std)),
        )


def _pixels(size: int | dict[str, int]) -> int:
    """The hub's older files write 224, the newer ones {"shortest_edge": 224} or {"height": 224, "width": 224}."""
    return int(size.get("shortest_edge", size.get("height", 0))) if isinstance(size, dict) else int(size)


def preprocess(
    frames: UInt8[np.ndarray, "frames height width 3"], pixels: ClipPixels
) -> Float[Tensor, "frames 3 crop crop"]:
    """Bicubic to the short side, centre crop, normalised: (T, H, W, 3) uint8 -> (T, 3, crop, crop) float32.

    As openai/CLIP `clip/clip.py`, `_transform`, to within two grey levels of Pillow's rounding.
    """
    images = as_images(frames)
    height, width = images.shape[2:]
    short = min(height, width)
    if short != pixels.short_side:
        size = (int(pixels.short_side * height / short), int(pixels.short_side * width / short))
        images = nn.functional.interpolate(images, size=size, mode="bicubic", antialias=True)
    top, left = (images.shape[2] - pixels.crop) // 2, (images.shape[3] - pixels.crop) // 2
    square = images[:, :, top : top + pixels.crop, left : left + pixels.crop].float()
    mean, std = torch.tensor(pixels.mean).view(3, 1, 1), torch.tensor(pixels.std).view(3, 1, 1)
    return (square / 255 - mean) / std


class ClipVisualEncoder(FrozenModule):
    """Frames to CLIP's unit vectors."""

    def __init__(self, model: CLIPVisionModelWithProjection, pixels: ClipPixels, *, name: str) -> None:
        super().__init__()
        self.model = model
        self.pixels = pixels
        self.short_side = pixels.short_side
        self.dim = int(model.config.projection_dim)
        self.name = name
        self.freeze()

    @classmethod
    def from_directory(
        cls,
        directory: Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        name: str | None = None,
    ) -> "ClipVisualEncoder":
        """The vision tower in `directory`. name: what to call its space; "clip-" and its dimension if not given."""
        model = load_tower(CLIPVisionModelWithProjection, directory, device=device, dtype=dtype)
        pixels = ClipPixels.from_directory(directory)
        if pixels.crop != model.config.image_size or pixels.short_side < pixels.crop:
            raise BundleError(
                f"{directory}: preprocessor_config.json crops {pixels.crop} px of {pixels.short_side}, "
                f"config.json expects {model.config.image_size}; take both from one model"
            )
        return cls(model, pixels, name=name or f"clip-{model.config.projection_dim}")

    @torch.no_grad()
    def __call__(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames dim"]:
        """One unit vector per RGB frame: (T, H, W, 3) uint8 -> (T, dim) float32, on the encoder's device."""
        device = device_of(self.model)
        outputs: list[Tensor] = []
        distinct, which = without_repeats(frames)
        for first in range(0, len(distinct), FRAMES_AT_ONCE):
            pixels = preprocess(distinct[first : first + FRAMES_AT_ONCE], self.pixels)
            embeds = self.model(pixel_values=pixels.to(device, self.model.dtype)).image_embeds
            outputs.append(nn.functional.normalize(embeds.float(), dim=1))
        return torch.cat(outputs)[which.to(device)] if outputs else torch.zeros(0, self.dim, device=device)


class ClipTextEncoder(FrozenModule):
    """Sentences to CLIP's unit vectors."""

    def __init__(self, model: CLIPTextModelWithProjection, tokenizer: Tokenizer, *, name: str) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        config: Any = model.config
        self.dim = int(config.projection_dim)
        self.name = name
        self.freeze()

    @classmethod
    def from_directory(
        cls,
        directory: Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        name: str | None = None,
    ) -> "ClipTextEncoder":
        """The text tower in `directory`. name: what to call its space; "clip-" and its dimension if not given."""
        model = load_tower(CLIPTextModelWithProjection, directory, device=device, dtype=dtype)
        config: Any = model.config
        tokenizer = Tokenizer(directory, max_length=config.max_position_embeddings)
        return cls(model, tokenizer, name=name or f"clip-{model.config.projection_dim}")

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """One unit vector per text, (T, dim) float32; texts longer than the model reads (77 tokens) are cut."""
        if not texts:
            return torch.zeros(0, self.dim, device=device_of(self.model))
        embeds: Any = self.model(**self.tokenizer(texts, device_of(self.model))).text_embeds
        return nn.functional.normalize(embeds.float(), dim=1)
