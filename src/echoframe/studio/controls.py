"""Sliders and fields for options, with the words and the ranges that `echoframe.options` has for them."""

from dataclasses import Field
from typing import Any

from echoframe.optional import require_extra
from echoframe.options import MAX_TEXT, REQUEST_FIELDS, WRITE_FIELDS
from echoframe.options.option import name_of

OPTIONS: dict[str, "Field[Any]"] = {each.name: each for each in [*REQUEST_FIELDS, *WRITE_FIELDS]}


def slider(name: str, value: float, **more: Any) -> Any:
    """A slider over the range of an option."""
    about = OPTIONS[name].metadata
    low, high = about["bounds"]
    step = 1 if about["kind"] is int else 0.05
    return _gradio().Slider(**{"minimum": low, "maximum": high, "step": step, "value": value} | _words(name) | more)


def number(name: str, value: float | None, **more: Any) -> Any:
    """A field for a number. What is out of range is said when it is used: Gradio would not say of which field."""
    precision = 0 if OPTIONS[name].metadata["kind"] is int else None
    return _gradio().Number(**{"value": value, "precision": precision} | _words(name) | more)


def words(name: str, **more: Any) -> Any:
    """A field for a text."""
    return _gradio().Textbox(**{"max_length": MAX_TEXT, "lines": 1, "max_lines": 3} | _words(name) | more)


def _words(name: str) -> dict[str, str]:
    about = OPTIONS[name].metadata
    return {"label": name_of(OPTIONS[name]).capitalize(), "info": about["help"]}


def _gradio() -> Any:
    return require_extra("gradio", "web")
