"""The optional libraries of this room, asked for when they are needed."""

from importlib import import_module
from types import ModuleType

from echoframe.errors import InputError


def require_extra(module: str, extra: str = "data") -> ModuleType:
    """The module of that name. Raises InputError if it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install 'echoframe[{extra}]'") from error
