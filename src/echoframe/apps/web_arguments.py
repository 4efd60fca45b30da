"""The arguments of `echoframe web`. Imports nothing heavy: --help has to be quick."""

import argparse

from echoframe.apps.parser import Parser


def _run(args: argparse.Namespace) -> int:
    from echoframe.apps import web

    return web.web(args)


def add_web(parser: Parser) -> None:
    """The arguments of `echoframe web`."""
    parser.description = "A page on which films get their sound, and the same over HTTP, until Ctrl-C. docs/studio.md"
    add = parser.add_argument
    add("--model", metavar="NAME", help="a known model, a bundle's folder or a hub repository (default: mini)")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    about_library = "a library that visitors can choose (echoframe library add); give it again for more"
    add("--library", action="append", default=[], metavar="FILE", help=about_library)
    add("--host", default="127.0.0.1", metavar="H", help="address to listen on")
    add("--port", type=int, default=7860, metavar="P", help="port to listen on")
    add(
        "--auth",
        default="",
        metavar="USER:PASSWORD",
        help="ask for these (default: whoever reaches the page may use it)",
    )
    add("--max-upload", type=float, default=200.0, metavar="MB", help="the largest upload, in megabytes")
    add("--max-duration", type=float, default=600.0, metavar="S", help="the longest film and sound, in seconds")
    add("--queue", type=int, default=20, metavar="N", help="how many may wait while a sound is made")
    about_folder = "where visitors' files lie (default: one for this port in the folder for temporary files)"
    add("--folder", metavar="DIR", help=about_folder)
    add("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=_run)
