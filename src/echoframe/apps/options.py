"""The options of `echoframe.options` as flags of the command, and back."""

import argparse
from dataclasses import fields
from typing import Any, TypeVar

from echoframe.options import REQUEST_FIELDS, WRITE_FIELDS, Request, RunOptions, WriteOptions
from echoframe.options.option import flag_of

STEERING = ("prompt", "prompt_weight", "negative_prompt", "prompts", "labels", "whole")
Options = TypeVar("Options", Request, RunOptions, WriteOptions)


def add_request(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for everything that can be asked of a sound. One that is not given leaves no trace in the result."""
    for option in REQUEST_FIELDS:
        _add(parser, option)


def add_steering(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of what moves a target, and of whether there is one for all shots."""
    for option in REQUEST_FIELDS:
        if option.name in STEERING:
            _add(parser, option)


def steering_taken(args: argparse.Namespace) -> dict[str, Any]:
    """The values of those flags that were given. Raises InputError for one out of range."""
    request = taken(Request, args)
    return {name: getattr(request, name) for name in STEERING if hasattr(args, name)}


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each of the `RunOptions`."""
    for option in fields(RunOptions):
        _add(parser, option)


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `WriteOptions`."""
    for option in WRITE_FIELDS:
        _add(parser, option)
    for name, words in (
        ("overwrite", "replace earlier results that were made in another way"),
        ("force", "replace files that are not EchoFrame's too, and allow more than an hour"),
        ("reencode", "write the picture as H.264 in an MP4 where no container can hold it as it is, and for a GIF"),
    ):
        parser.add_argument(f"--{name}", action="store_true", default=argparse.SUPPRESS, help=words)


def taken(kind: type[Options], args: argparse.Namespace) -> Options:
    """The `kind` that the flags ask for. Raises InputError for a value out of range."""
    given: dict[str, Any] = {}
    for option in fields(kind):
        if hasattr(args, option.name):
            value = getattr(args, option.name)
            given[option.name] = dict(value) if isinstance(value, list) else value
    return kind(**given)


def flags_given(args: argparse.Namespace) -> list[str]:
    """The flags, given or not by default, that decide what a sound is."""
    return [flag_of(each) for each in [*REQUEST_FIELDS, *fields(RunOptions), *WRITE_FIELDS] if hasattr(args, each.name)]


def _add(parser: argparse.ArgumentParser, option: Any) -> None:
    about = option.metadata
    flag, value = {"action": "store_true"}, {"type": about["kind"], "metavar": about["metavar"]}
    takes: dict[str, Any] = flag if about["kind"] is bool else value
    if about["flag"]:
        takes |= {"action": "append"}
    words = f"{about['help']} (default: {about['default_text']})".replace("%", "%%")
    parser.add_argument(flag_of(option), dest=option.name, default=argparse.SUPPRESS, help=words, **takes)
