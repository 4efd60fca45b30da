"""The files of a part: what is written is what is read, whole or not at all, and nothing foreign is loaded."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from echoframe.errors import BundleError
from echoframe.weights import load_weights, read_json, read_weights, save_part, write_json, write_weights


def linear() -> nn.Linear:
    layer = nn.Linear(3, 2)
    nn.init.constant_(layer.weight, 0.1)  # not a number of float16
    nn.init.constant_(layer.bias, -2.5)
    return layer


def test_json_written_is_read(tmp_path):
    values = {"names": ["Vögel", 'a "b"'], "n": 3, "nested": {"x": None}}
    write_json(tmp_path / "new" / "config.json", values)
    assert read_json(tmp_path / "new" / "config.json") == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "found a JSON list, expected an object; fetch"),
        (b"\xff", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
    ],
)
def test_broken_json_is_refused(content, message, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"config\.json: {message}"):
        read_json(path)


def test_missing_json_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"config.json: cannot be read \(No such file or directory\); fetch"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_keep_the_dtype_they_are_stored_in(dtype, tmp_path):
    stored = {"w": torch.tensor([0.1, -3.0], dtype=dtype), "n": torch.tensor([3])}
    write_weights(tmp_path / "new" / "a.safetensors", stored)
    found = read_weights(tmp_path / "new" / "a.safetensors")
    assert found.keys() == stored.keys()
    assert all(found[name].dtype == stored[name].dtype and torch.equal(found[name], stored[name]) for name in stored)


def test_written_weights_keep_integers_when_cast(tmp_path):
    write_weights(tmp_path / "a.safetensors", {"w": torch.ones(2), "n": torch.tensor([3])}, dtype=torch.float16)
    assert {k: v.dtype for k, v in load_file(tmp_path / "a.safetensors").items()} == {
        "w": torch.float16,
        "n": torch.int64,
    }


def test_views_and_parameters_can_be_written(tmp_path):
    square = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    write_weights(tmp_path / "a.safetensors", {"w": square.t()}, metadata={"format": "pt"})
    assert torch.equal(read_weights(tmp_path / "a.safetensors")["w"], square.detach().t())
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_missing_weights_file_is_refused(tmp_path):
    with pytest.raises(BundleError, match="a.safetensors: no such file, expected safetensors weights; fetch"):
        read_weights(tmp_path / "a.safetensors")
    with pytest.raises(BundleError, match="a.safetensors: no such file, expected safetensors weights; fetch"):
        load_weights(linear(), tmp_path / "a.safetensors")


@pytest.mark.parametrize("kept", [0, 4, -10])
def test_truncated_weights_file_is_refused(kept, tmp_path):
    path = tmp_path / "a.safetensors"
    write_weights(path, linear().state_dict())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BundleError, match="a.safetensors: not readable as safetensors"):
        read_weights(path)


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_loading_casts_to_the_modules_own_dtype(dtype, tmp_path):
    save_part(tmp_path / "part", {"kind": "x"}, linear().state_dict(), dtype=dtype)
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == ["config.json", "model.safetensors"]
    assert read_json(tmp_path / "part" / "config.json") == {"kind": "x"}
    module = nn.Linear(3, 2)
    load_weights(module, tmp_path / "part" / "model.safetensors")
    assert module.weight.dtype == torch.float32
    torch.testing.assert_close(module.weight, linear().weight.to(dtype or torch.float32).float(), atol=0, rtol=0)
    assert torch.equal(module.bias, linear().bias)


def test_weights_at_hand_are_taken_and_the_path_only_named(tmp_path):
    module = nn.Linear(3, 2)
    load_weights(module, tmp_path / "no such file", weights=linear().state_dict())
    assert torch.equal(module.weight, linear().weight)
    with pytest.raises(BundleError, match=r"no such file: bias: found no such weight, expected \(2,\)"):
        load_weights(module, tmp_path / "no such file", weights={"weight": linear().weight})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": None}, r"bias: found no such weight, expected \(2,\)"),
        ({"a.bias": torch.ones(2)}, r"a.bias: found \(2,\), expected no such weight"),
        ({"weight": torch.ones(3, 2)}, r"weight: found \(3, 2\), expected \(2, 3\)"),
        ({"bias": torch.ones(1)}, r"bias: found \(1,\), expected \(2,\)"),
    ],
)
def test_missing_unknown_or_misshapen_weights_are_refused(changes, message, tmp_path):
    path = tmp_path / "a.safetensors"
    changed = linear().state_dict() | changes
    write_weights(path, {name: weight for name, weight in changed.items() if weight is not None})
    module = nn.Linear(3, 2)
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    with pytest.raises(BundleError, match=f"a.safetensors: {message}; the file belongs to another config or model"):
        load_weights(module, path)
    assert all(torch.equal(weight, before[name]) for name, weight in module.state_dict().items())


@pytest.mark.parametrize(
    ("write", "name", "new"),
    [
        (write_json, "config.json", {"kind": "new"}),
        (write_weights, "model.safetensors", {"w": torch.ones(2)}),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_no_half_one(write, name, new, tmp_path, monkeypatch):
    save_part(tmp_path, {"kind": "old"}, {"w": torch.zeros(2)})
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / name, new)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old
    write(tmp_path / name, new)
    assert (tmp_path / name).read_bytes() != old[name]


def test_values_json_cannot_hold_leave_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"kind": "old"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "config.json", {"kind": object()})
    assert os.listdir(tmp_path) == ["config.json"]
    assert json.loads((tmp_path / "config.json").read_text()) == {"kind": "old"}
