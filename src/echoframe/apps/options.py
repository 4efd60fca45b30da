"""The options of `echoframe.options` as flags of the command, and back."""

import argparse
from dataclasses import fields
from typing import Any, TypeVar

from echoframe.options import REQUEST_FIELDS, WRITE_FIELDS, Request, RunOptions, WriteOptions, name_of

Options = TypeVar("Options", Request, RunOptions, WriteOptions)


def add_request(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for everything that can be asked of a sound. One that is not given leaves no trace in the result."""
    for option in REQUEST_FIELDS:
        _add(parser, option)


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
    return kind(**{each.name: getattr(args, each.name) for each in fields(kind) if hasattr(args, each.name)})


def flags_given(args: argparse.Namespace) -> list[str]:
    """The flags, given or not by default, that decide what a sound is."""
    return [_flag(each) for each in [*REQUEST_FIELDS, *fields(RunOptions), *WRITE_FIELDS] if hasattr(args, each.name)]


def _flag(option: Any) -> str:
    return f"--{name_of(option).replace(' ', '-')}"


def _add(parser: argparse.ArgumentParser, option: Any) -> None:
    about = option.metadata
    flag, value = {"action": "store_true"}, {"type": about["kind"], "metavar": about["metavar"]}
    takes: dict[str, Any] = flag if about["kind"] is bool else value
    words = f"{about['help']} (default: {about['default_text']})".replace("%", "%%")
    parser.add_argument(_flag(option), dest=option.name, default=argparse.SUPPRESS, help=words, **takes)
