"""The arguments of `echoframe library`. Imports nothing heavy: --help has to be quick."""

import argparse
from collections.abc import Callable

from echoframe.apps.parser import Parser


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from echoframe.apps import library

        return getattr(library, name)(args)

    return run


def add_library(parser: Parser) -> None:
    """The subcommands of `echoframe library`."""
    parser.description = (
        "Your own recordings, found by what they sound like. They stay where they are: a library is one file that knows "
        "them. docs/library.md"
    )
    parser.add_commands("COMMAND", dest="what")
    for name, about, arguments in (
        ("add", "take in sound files and films; run it again to go on, or after they have changed", _add),
        ("search", "list the recordings that fit a film, a text or a sound best", _search),
        ("info", "count what a library holds, and say which model it was made with", _info),
        ("remove", "forget files; they stay on the disk", _remove),
        ("check", "compare a library with the disk; nothing is changed", _check),
    ):
        command = parser.add_command(name, about)
        arguments(command.add_argument)
        command.add_argument("--debug", action="store_true", help="show where a failure came from")
        command.set_defaults(run=_run(name))


def _add(add: Callable[..., object]) -> None:
    add("paths", nargs="+", metavar="PATH", help="sound files, films, and folders with such files in them")
    add("-o", "--out", required=True, metavar="LIBRARY", help="the library's file; it is made if it is not there")
    about_model = "in whose audio space: a known model, a bundle or a repository (default: the library's own, or mini)"
    add("--model", metavar="NAME", help=about_model)
    add("--workers", type=int, metavar="N", help="processes that read and cut (default: one a core)")
    add(
        "--ray-address", metavar="ADDRESS", help="address of a running Ray cluster (default: this machine, without Ray)"
    )
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    add("--quiet", action="store_true", help="show no progress")


def _search(add: Callable[..., object]) -> None:
    _info(add)
    add("query", metavar="QUERY", help="a film, a picture or a sound file; or a text, in quotes")
    add("--top", type=int, default=10, metavar="N", help="how many to list, of a film for each shot")
    add("--model", metavar="NAME", help="the model that looks and listens (default: the one it was made with)")
    add("--seed", type=int, default=0, metavar="N", help="as of echoframe generate, for a film")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")


def _library(add: Callable[..., object]) -> None:
    add("library", metavar="LIBRARY", help="the library's file")


def _info(add: Callable[..., object]) -> None:
    _library(add)
    add("--json", action="store_true", help="print one line of JSON to standard output instead of text")


def _remove(add: Callable[..., object]) -> None:
    _library(add)
    add("paths", nargs="+", metavar="PATH", help="files, and folders with all that is known in them")


def _check(add: Callable[..., object]) -> None:
    _library(add)
