"""TOML in, frozen dataclass out: defaults live in the dataclass, a file lists only differences."""

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from echoframe.errors import ConfigError

T = TypeVar("T")
_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}


def from_dict(cls: type[T], values: Any, *, name: str) -> T:
    """A `cls` dataclass from plain values; nested dataclasses from nested dicts, lists as tuples
    unless the field says list.

    values: a dict. name: what the error messages call the source (a file name). Raises ConfigError for anything else, an
    unknown key, one that is missing, or a value of another type.
    """
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    if not isinstance(values, dict):
        raise ConfigError(
            f"{name}: {_shown(values)}; expected a table with some of {', '.join(f.name for f in fields)}"
        )
    unknown = sorted(set(values) - {field.name for field in fields})
    if unknown:
        known = ", ".join(field.name for field in fields)
        raise ConfigError(f"{name}: unknown key {', '.join(unknown)}; known keys are {known}")
    needed = [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    missing = [key for key in needed if key not in values]
    if missing:
        raise ConfigError(f"{name}: has no {', '.join(missing)}; add it, there is no default")
    hints = get_type_hints(cls)
    resolved = {key: _fit(value, hints[key], key=key, name=name) for key, value in values.items()}
    try:
        return cls(**resolved)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _fit(value: Any, hint: Any, *, key: str, name: str) -> Any:
    """`value` as the type says; types that JSON and TOML do not have are left to the dataclass."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in kinds:
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            return from_dict(kind, value, name=f"{name} [{key}]")  # type: ignore[arg-type]
        if _is_sequence(kind) and isinstance(value, list | tuple):
            return _fit_all(value, kind, key=key, name=name)
    if any(_is_of(value, kind) for kind in kinds):
        return value
    expected = " or ".join(dict.fromkeys(_called(kind) for kind in kinds))
    raise ConfigError(f"{name}: {key} is {_shown(value)}; expected {expected}")


def _fit_all(values: Sequence[Any], kind: Any, *, key: str, name: str) -> Sequence[Any]:
    inner = get_args(kind) or (Any,)
    is_fixed = get_origin(kind) is tuple and inner[-1] is not Ellipsis
    if is_fixed and len(inner) != len(values):
        raise ConfigError(f"{name}: {key} is {_shown(values)}; expected a list of {len(inner)}")
    each = inner if is_fixed else (inner[0],) * len(values)
    found = [_fit(value, one, key=key, name=name) for value, one in zip(values, each, strict=True)]
    return found if get_origin(kind) is list else tuple(found)


def _is_sequence(kind: Any) -> bool:
    return (get_origin(kind) or kind) in (tuple, list, Sequence)


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:  # whole numbers are numbers too; no setting is NaN or infinite
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind in (None, type(None)):
        return value is None
    if (get_origin(kind) or kind) in (dict, Mapping):
        return isinstance(value, Mapping)
    if dataclasses.is_dataclass(kind):
        return isinstance(value, kind)  # type: ignore[arg-type]
    return not _is_sequence(kind)


def _called(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if _is_sequence(kind):
        return "a list"
    if kind in (None, type(None)):
        return "none"
    return _WORDS.get(kind, "a table")


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def flatten(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables as one, keys joined by dots. An empty table stays: of "prior" it means one with all its defaults.

    >>> flatten({"a": 1, "b": {"c": 2, "d": {}}})
    {'a': 1, 'b.c': 2, 'b.d': {}}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        is_table = isinstance(value, Mapping) and value
        found |= flatten(value, f"{before}{key}.") if is_table else {f"{before}{key}": value}
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """What the TOML file at `path` holds. Raises ConfigError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error}); see the examples in docs/training.md") from error


def load_toml(cls: type[T], path: Path) -> T:
    """A `cls` dataclass from the TOML file at `path`. Raises ConfigError as `read_toml` and `from_dict`."""
    return from_dict(cls, read_toml(path), name=str(path))
