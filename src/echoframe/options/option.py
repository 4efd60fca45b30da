"""An option describes itself: it is a dataclass field that holds its help and its range."""

from collections.abc import Callable
from dataclasses import Field, field
from typing import Any

from echoframe.errors import InputError


def option(
    *,
    help: str,
    valid: Callable[[Any], bool] | None = None,
    bounds: tuple[float, float] | None = None,
    expected: str = "",
    choices: tuple[str, ...] = (),
    default: Any = ...,
    default_factory: Callable[[], Any] | None = None,
    default_text: str = "",
    unit: str = "",
    metavar: str = "",
    kind: Callable[[str], Any] = str,
    flag: str = "",
) -> Any:
    """A dataclass field that describes itself.

    help: for people, without the default. valid, expected: the range, for the program and in words; or choices. bounds: the
    least and the greatest value, in the place of `valid`.
    default_text: how help calls the default, where it is not a value. kind: makes a value of a command-line word. flag: its
    own name on the command line, where it is given once for each of several values.
    """
    about: dict[str, Any] = {"help": help, "expected": expected, "unit": unit, "metavar": metavar, "kind": kind}
    about["flag"], about["bounds"], about["valid"] = flag, bounds, valid or _within(bounds)
    about["choices"], about["default_text"] = choices, default_text or str(default)
    if default_factory is not None:
        return field(default_factory=default_factory, metadata=about)
    return field(metadata=about) if default is ... else field(default=default, metadata=about)


def _within(bounds: tuple[float, float] | None) -> Callable[[Any], bool]:
    return (lambda _: True) if bounds is None else lambda value: bounds[0] <= value <= bounds[1]


def name_of(option: "Field[Any]") -> str:
    """What people call an option: its name without the unit.

    >>> from dataclasses import fields
    >>> from echoframe.options import Settings
    >>> [name_of(option) for option in fields(Settings)][-3:]
    ['nth', 'whole', 'loudness']
    """
    return option.name.removesuffix("_s").removesuffix("_lufs").removesuffix("_db").replace("_", " ")


def flag_of(option: "Field[Any]") -> str:
    """What an option is called on the command line.

    >>> from dataclasses import fields
    >>> from echoframe.options import Settings
    >>> [flag_of(option) for option in fields(Settings) if option.name in ("duration_s", "labels")]
    ['--duration', '--label']
    """
    return f"--{option.metadata['flag'] or name_of(option).replace(' ', '-')}"


def check(option: "Field[Any]", value: Any) -> None:
    """Raises InputError if `value` is outside the option's range."""
    about = option.metadata
    if about["choices"] and value not in about["choices"]:
        raise InputError(f'{name_of(option)} "{value}" is not known; choose one of {", ".join(about["choices"])}')
    if not about["valid"](value):
        unit = f" {about['unit']}" if about["unit"] else ""
        raise InputError(f"{name_of(option)} {value}{unit}: expected {about['expected']}")
