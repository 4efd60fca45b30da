"""The arguments of `echoframe models`. Imports nothing heavy: --help has to be quick."""

import argparse
from collections.abc import Callable

from echoframe.apps.parser import Parser
from echoframe.apps.train_arguments import add_bundle


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from echoframe.apps import models

        return getattr(models, name)(args)

    return run


def add_models(parser: Parser) -> None:
    """The subcommands of `echoframe models`."""
    parser.add_commands("list | info | pull | check | bundle", dest="what")
    for name, function, about in (
        ("list", "list_", "every known model, and whether it is on this machine"),
        ("info", "info", "parts, licences and sources of a model"),
        ("pull", "pull", "fetch a model from the hub, once"),
        ("check", "check", "check every file's hash and that all parts fit together"),
    ):
        command = parser.add_command(name, about)
        if name != "list":
            command.add_argument("model", help="a name from the list, a bundle's folder or a hub repository")
        if name == "check":
            command.add_argument(
                "--sounds",
                nargs="+",
                default=[],
                metavar="FILE",
                help="recordings that show whether AudioLDM's attention is read as it was trained",
            )
            command.add_argument(
                "--schedulers",
                action="store_true",
                help="say which of AudioLDM's schedulers comes nearest to 200 steps; takes minutes",
            )
        command.add_argument("--debug", action="store_true", help="show where a failure came from")
        command.set_defaults(run=_run(function))
    add_bundle(parser.add_command("bundle", "join a trained mapper with encoders and a generator"))
