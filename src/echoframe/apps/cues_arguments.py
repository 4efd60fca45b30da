"""The arguments of `echoframe cues`. Imports nothing heavy: --help has to be quick."""

import argparse

from echoframe.apps.parser import Parser


def _run(args: argparse.Namespace) -> int:
    from echoframe.apps import cues

    return cues.cues(args)


def add_cues(parser: Parser) -> None:
    """The arguments of `echoframe cues`."""
    parser.description = (
        "Lists what is seen in a video over time: its shots, with their cuts and dissolves, and its onsets, the moments at "
        "which something is struck, each with its strength and how sure it is. It makes no sound."
    )
    add = parser.add_argument
    add("film", metavar="VIDEO", help="a video")
    about_out = (
        "NAME.csv, a table, or NAME.otio, a timeline with clips and markers for editors (default: print a table)"
    )
    add("-o", "--out", metavar="OUT", help=about_out)
    add("--json", action="store_true", help="print one line of JSON to standard output instead of text")
    add("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=_run)
