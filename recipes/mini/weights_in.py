"""The weights that training begins from: a denoiser's folder, its parts, or a bundle, of the same shape or nearly so."""

from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn

RENAMED = {"enter.": "proj_in.", "leave.": "proj_out.", ".wide.": ".fc1.", ".narrow.": ".fc2."}  # until mini 0.4
PLACES = ("", "denoiser", "generator/denoiser", "parts")


class StartError(Exception):
    """Weights that training cannot begin from; the text is one line."""


def read_start(path: Path) -> dict[str, Tensor]:
    """Every weight in a folder: model.safetensors whole or in parts, there or where a bundle has its denoiser."""
    for place in PLACES:
        files = sorted((path / place).glob("model.safetensors*"))
        if files:
            found = load(b"".join(file.read_bytes() for file in files))
            return {rename(name): weight for name, weight in whole(found).items()}
    raise StartError(f"{path}: no model.safetensors here or in {', '.join(PLACES[1:])}; give a denoiser or a bundle")


def whole(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """float32 weights; those in 8 bits times the scale of their rows."""
    weights = {}
    for name, weight in found.items():
        scale = found.get(name + ".scale")
        if not name.endswith(".scale"):
            weights[name] = weight.float() if scale is None else (weight.flatten(1) * scale[:, None]).view(weight.shape)
    return weights


def rename(name: str) -> str:
    """A weight's name as it is now."""
    for old, new in RENAMED.items():
        name = name.replace(old, new) if name.startswith(old) or old.startswith(".") else name
    return name


def load_start(network: nn.Module, path: Path) -> str:
    """Takes over every weight whose shape is the same, and says how many were not."""
    found, own = read_start(path), network.state_dict()
    fits = {name: weight for name, weight in found.items() if name in own and own[name].shape == weight.shape}
    fits.pop("spread", None)  # it belongs to the sounds, not to the weights
    if not fits:
        raise StartError(f"{path}: no weight has the shape of one here; train with the same width and depth")
    with torch.no_grad():
        network.load_state_dict(own | fits)
    new = sorted(own.keys() - fits.keys())
    return f"train_flow: {len(fits)} weights from {path}, {len(new)} new ({', '.join(new[:6])})"
