"""The files every part of a model is kept in: a JSON config and safetensors weights, read strictly, written whole."""

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from echoframe.config import from_dict
from echoframe.errors import BundleError
from echoframe.output import replacing

Config = TypeVar("Config")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file at `path`. Raises BundleError if there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); fetch the model again") from error
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON ({error}); fetch the model again") from error
    if not isinstance(values, dict):
        raise BundleError(f"{path}: found a JSON {type(values).__name__}, expected an object; fetch the model again")
    return values


def read_config(cls: type[Config], path: Path) -> Config:
    """The `cls` dataclass in the JSON file at `path`. Raises BundleError without one, ConfigError for a foreign key."""
    return from_dict(cls, read_json(path), name=str(path))


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Writes `values` to a JSON file at `path`, its folder made if need be; whole or not at all."""
    with _whole(path) as partial:
        partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of the safetensors file at `path`, in the dtype it is stored in. Raises BundleError."""
    if not path.is_file():
        raise BundleError(f"{path}: no such file, expected safetensors weights; fetch the model again")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: not readable as safetensors ({error}); fetch the model again") from error


def why_not_plain(error: Exception) -> str:
    """Why torch.load with weights_only refused a file, in one line, without torch's advice on how to load it unsafely."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named:
        return f"it calls for {named[1]}, which is no tensor"
    if isinstance(error, pickle.UnpicklingError):
        return "it is no pickle of plain tensors"
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def write_weights(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    dtype: torch.dtype | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes `weights` to a safetensors file at `path`, floating ones as `dtype` if given; whole or not at all.

    metadata: for the file's head; transformers reads no file without {"format": "pt"}.
    """
    cast = {k: w.to(dtype) if dtype and w.is_floating_point() else w for k, w in weights.items()}
    with _whole(path) as partial:
        save_file({k: w.detach().cpu().contiguous() for k, w in cast.items()}, partial, metadata=metadata)


def renamed(weights: Mapping[str, Tensor], new_names: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights with every part of a dotted name that `new_names` has replaced by its new name.

    >>> list(renamed({"blocks.0.wide.weight": torch.zeros(1)}, {"wide": "fc1"}))
    ['blocks.0.fc1.weight']
    """
    return {".".join(new_names.get(part, part) for part in name.split(".")): w for name, w in weights.items()}


def load_weights(module: nn.Module, path: Path, *, weights: Mapping[str, Tensor] | None = None) -> None:
    """Copies the weights in `path` into `module`, in the module's own dtype: float16 ones are cast up.

    weights: what was read from `path` already, which then is only named. Strict: raises BundleError that names the
    first weight, by the alphabet, that is missing, unknown or of another shape.
    """
    given, expected = dict(read_weights(path) if weights is None else weights), module.state_dict()
    for name in sorted(given.keys() | expected.keys()):
        found = tuple(given[name].shape) if name in given else "no such weight"
        wanted = tuple(expected[name].shape) if name in expected else "no such weight"
        if found != wanted:
            raise BundleError(
                f"{path}: {name}: found {found}, expected {wanted}; the file belongs to another config or model, "
                "fetch both again"
            )
    module.load_state_dict(given)


def save_part(
    directory: Path, config: Mapping[str, object], weights: Mapping[str, Tensor], *, dtype: torch.dtype | None = None
) -> None:
    """Writes config.json and model.safetensors (as `dtype` if given) into `directory`, made if need be."""
    write_weights(directory / "model.safetensors", weights, dtype=dtype)
    write_json(directory / "config.json", config)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it becomes `path` once it is on the disk, and goes if the writing fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing([path]) as (partial,):
        partial.touch()
        mode = partial.stat().st_mode  # as the umask says; safetensors makes files that others cannot read
        yield partial
        partial.chmod(mode)
