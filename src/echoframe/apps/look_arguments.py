"""The arguments of `echoframe look`. Imports nothing heavy: --help has to be quick."""

import argparse

from echoframe.apps.options import add_steering
from echoframe.apps.parser import Parser


def _run(args: argparse.Namespace) -> int:
    from echoframe.apps import look

    return look.look(args)


def add_look(parser: Parser) -> None:
    """The arguments of `echoframe look`."""
    parser.description = (
        "Prints what will be heard in a video or a still image, shot by shot: labels with their chances, which prompts and "
        "--label change. It makes no sound; echoframe generate takes the same options."
    )
    add = parser.add_argument
    add("clip", metavar="CLIP", help="a video or a still image")
    add("--model", metavar="NAME", default="mini", help="a model's name, folder or repository (default: mini)")
    add("--mapper", metavar="FOLDER", help="a finished run of echoframe train, or a mapper's folder")
    add_steering(parser)
    add("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, mps (default: auto)")
    add("--json", action="store_true", help="print one line of JSON to standard output instead of text")
    add("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=_run)
