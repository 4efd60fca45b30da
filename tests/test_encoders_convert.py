"""Pickles to safetensors: what is kept, what is dropped, and what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from echoframe.encoders.aisfx import AisfxConfig, AisfxEncoder, AisfxNetwork
from echoframe.encoders.convert import convert_aisfx, convert_efficientnet_lite, convert_pytorch_bin
from echoframe.encoders.efficientnet_lite import STAGES, EfficientNetLiteEncoder
from echoframe.errors import BundleError
from echoframe.weights import read_json

Convert = Callable[[Path, Path], None]


def aisfx_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint like the package's, at width 4: (weights with classifiers, data sets with a numpy scalar)."""
    weights = {
        f"embedding_net.{name}": tensor for name, tensor in AisfxNetwork(AisfxConfig(width=4)).state_dict().items()
    }
    weights["fc.0.0.weight"] = torch.zeros(16, 32)
    torch.save((weights, {"UCS": (0, np.int64(82))}), path)
    return weights


def lite_checkpoint(path: Path, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """A checkpoint with the names and shapes of efficientnet-lite0-57934424.pth and random numbers."""
    random = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}

    def add(conv: str, norm: str, *shape: int) -> None:
        fan_in = shape[1] * shape[2] * shape[3]
        weights[f"{conv}.weight"] = torch.randn(shape, generator=random) * (2 / fan_in) ** 0.5
        for name, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", 0, 1),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 2),
        ):
            weights[f"{norm}.{name}"] = torch.empty(shape[0]).uniform_(low, high, generator=random)
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    channels, block = 32, 0
    for repeats, kernel, _, expansion, out_channels in STAGES:
        for _ in range(repeats):
            prefix, inner = f"_blocks.{block}.", channels * expansion
            if expansion > 1:
                add(f"{prefix}_expand_conv", f"{prefix}_bn0", inner, channels, 1, 1)
            add(f"{prefix}_depthwise_conv", f"{prefix}_bn1", inner, 1, kernel, kernel)
            add(f"{prefix}_project_conv", f"{prefix}_bn2", out_channels, inner, 1, 1)
            channels, block = out_channels, block + 1
    add("_conv_head", "_bn1", 1280, channels, 1, 1)
    weights["_fc.weight"] = torch.randn((1000, 1280), generator=random) * 0.03
    weights["_fc.bias"] = torch.zeros(1000)
    torch.save(weights, path)
    return weights


def test_aisfx_keeps_the_embedding_network_and_drops_the_classifiers(tmp_path: Path) -> None:
    weights = aisfx_checkpoint(tmp_path / "checkpoint.pth")
    convert_aisfx(tmp_path / "checkpoint.pth", tmp_path / "aisfx")
    assert read_json(tmp_path / "aisfx" / "config.json") == {"kind": "aisfx", "width": 4}
    tensors = load_file(tmp_path / "aisfx" / "model.safetensors")
    assert set(tensors) == {
        "mean",
        *(name.replace("embedding_net.", "network.") for name in weights if not name.startswith("fc.")),
    }
    assert torch.equal(tensors["network.conv_block3.conv1.weight"], weights["embedding_net.conv_block3.conv1.weight"])
    assert torch.equal(tensors["mean"], torch.zeros(32))
    assert sorted(file.name for file in (tmp_path / "aisfx").iterdir()) == ["config.json", "model.safetensors"]


def test_half_precision_is_for_kernels_only(tmp_path: Path) -> None:
    aisfx_checkpoint(tmp_path / "checkpoint.pth")
    convert_aisfx(tmp_path / "checkpoint.pth", tmp_path / "aisfx", dtype=torch.float16)
    tensors = load_file(tmp_path / "aisfx" / "model.safetensors")
    assert tensors["network.conv_block1.conv1.weight"].dtype == torch.float16
    assert tensors["network.conv_block1.bn1.running_var"].dtype == torch.float32
    # loading brings everything to the dtype that was asked for
    encoder = AisfxEncoder.from_directory(tmp_path / "aisfx")
    assert {tensor.dtype for tensor in encoder.state_dict().values()} == {torch.float32}


def test_efficientnet_folds_every_batch_norm(tmp_path: Path) -> None:
    weights = lite_checkpoint(tmp_path / "lite.pth")
    convert_efficientnet_lite(tmp_path / "lite.pth", tmp_path / "lite", output="features")
    assert read_json(tmp_path / "lite" / "config.json") == {"kind": "efficientnet_lite", "output": "features"}
    encoder = EfficientNetLiteEncoder.from_directory(tmp_path / "lite")
    assert encoder.dim == 1280
    # the stem by hand, with torch's own batch norm
    pixels = torch.randn(1, 3, 33, 33, generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(pixels, (1, 1, 1, 1))
    plain = torch.nn.functional.conv2d(padded, weights["_conv_stem.weight"], stride=2)
    mean, variance, weight, bias = (weights[f"_bn0.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
    expected = torch.nn.functional.batch_norm(plain, mean, variance, weight, bias, eps=1e-3)
    assert torch.allclose(encoder.network.stem(pixels), expected, atol=1e-5)


@pytest.mark.parametrize("convert", [convert_aisfx, convert_efficientnet_lite])
def test_a_missing_checkpoint_is_named(tmp_path: Path, convert: Convert) -> None:
    with pytest.raises(BundleError, match=r"nowhere\.pth: no such file"):
        convert(tmp_path / "nowhere.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
@pytest.mark.parametrize("convert", [convert_aisfx, convert_efficientnet_lite])
def test_a_broken_checkpoint_is_named(tmp_path: Path, convert: Convert, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(BundleError, match=r"a\.pth: not a checkpoint of plain tensors"):
        convert(tmp_path / "a.pth", tmp_path / "out")


class Payload:
    """What a pickle may not do: it would create a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("convert", [convert_aisfx, convert_efficientnet_lite])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, convert: Convert) -> None:
    torch.save({"a": Payload(tmp_path / "ran")}, tmp_path / "a.pth")
    with pytest.raises(BundleError, match=r"a\.pth: not a checkpoint of plain tensors"):
        convert(tmp_path / "a.pth", tmp_path / "out")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Payload(tmp_path / "ran"), protocol=2))
    with pytest.raises(BundleError, match=r"b\.pth: not a checkpoint of plain tensors"):
        convert(tmp_path / "b.pth", tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(BundleError, match=r"a\.pth: no embedding_net\.\* weights in it; expected aisfx"):
        convert_aisfx(tmp_path / "a.pth", tmp_path / "out")
    words = r"a\.pth: lacks _bn0\.running_mean; expected efficientnet-lite0-57934424\.pth of efficientnet-lite0-pytorch"
    with pytest.raises(BundleError, match=words):
        convert_efficientnet_lite(tmp_path / "a.pth", tmp_path / "out")
    torch.save([torch.zeros(1)], tmp_path / "b.pth")
    with pytest.raises(BundleError, match=r"b\.pth: holds a list, expected a dictionary of tensors"):
        convert_efficientnet_lite(tmp_path / "b.pth", tmp_path / "out")


def test_a_checkpoint_with_a_missing_layer_is_refused(tmp_path: Path) -> None:
    weights = aisfx_checkpoint(tmp_path / "a.pth")
    del weights["embedding_net.conv_block2.bn1.weight"]
    torch.save((weights, {}), tmp_path / "a.pth")
    with pytest.raises(BundleError, match=r"a\.pth: conv_block2\.bn1\.weight: found no such weight, expected \(8,\)"):
        convert_aisfx(tmp_path / "a.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pytorch_bin_becomes_safetensors(tmp_path: Path) -> None:
    tied = torch.randn(3, 2)
    torch.save({"a": tied, "b": tied}, tmp_path / "pytorch_model.bin")
    convert_pytorch_bin(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert torch.equal(tensors["a"], tied)
    assert torch.equal(tensors["b"], tied)
    assert not (tmp_path / "model.safetensors.tmp").exists()
    with pytest.raises(BundleError, match=r"pytorch_model\.bin: no such file"):
        convert_pytorch_bin(tmp_path / "elsewhere")
