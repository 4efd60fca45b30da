"""TOML in, frozen dataclass out: defaults live in the dataclass, a file lists only differences."""

import dataclasses
import tomllib
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from echoframe.errors import ConfigError

T = TypeVar("T")


def from_dict(cls: type[T], values: dict[str, Any], *, name: str) -> T:
    """A `cls` dataclass from plain values; nested dataclasses from nested dicts, lists as tuples.

    name: what the error messages call the source (a file name). Raises ConfigError for an unknown key.
    """
    hints = get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"{name}: unknown key {', '.join(unknown)}; known keys are {', '.join(known)}")
    resolved: dict[str, Any] = {}
    for key, value in values.items():
        kinds = get_args(hints[key]) if get_origin(hints[key]) in (Union, UnionType) else (hints[key],)
        table = next((kind for kind in kinds if dataclasses.is_dataclass(kind)), None)
        if table is not None and isinstance(value, dict):
            value = from_dict(table, value, name=f"{name} [{key}]")  # type: ignore[arg-type]
        resolved[key] = tuple(value) if isinstance(value, list) else value
    try:
        return cls(**resolved)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}") from error


def load_toml(cls: type[T], path: Path) -> T:
    """A `cls` dataclass from the TOML file at `path`. Raises ConfigError if it cannot be read or has unknown keys."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error}); see the example configs in recipes/") from error
    return from_dict(cls, values, name=str(path))
