"""The arguments of `echoframe rate`. Imports nothing heavy: --help has to be quick."""

import argparse
from collections.abc import Callable

from echoframe.apps.parser import Parser


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from echoframe.apps import rate

        return getattr(rate, name)(args)

    return run


def add_rate(parser: Parser) -> None:
    """The arguments of `echoframe rate make`, `serve`, `links`, `report`."""
    parser.description = "Listening tests on a web page: make a study, serve it, send out links, report. docs/rating.md"
    parser.add_commands("make | serve | links | report", dest="what")
    about = {
        "make": "a study of folders of sounds, paired by their names without suffix",
        "serve": "the page on which raters answer, until Ctrl-C",
        "links": "print a link for each rater, and make more",
        "report": "mean opinion scores, preferences, and how far raters agree",
    }
    made = {name: parser.add_command(name, words) for name, words in about.items()}
    for name, command in made.items():
        command.add_argument("study", metavar="STUDY", help="the study's folder")
        command.add_argument("--debug", action="store_true", help="show where a failure came from")
        command.set_defaults(run=_run(name))
    add = made["make"].add_argument
    about_systems = "a system's name and its sounds"
    add("--generated", required=True, nargs="+", action="extend", metavar="NAME=DIR", help=about_systems)
    add("--reference", metavar="DIR", help="the real sounds, rated like a system, unnamed")
    add("--video", metavar="DIR", help="videos of the same names: sounds are heard under them")
    add("--clips", metavar="FILE", help="a list NAME[,label]: only these clips, and the page shows the label")
    add("--title", default="Listening test", metavar="TEXT", help="what raters read at the top")
    add(
        "--pairs",
        action="store_true",
        help="two sounds side by side: which is preferred? (default: one sound, rated from 1 to 5)",
    )
    about_questions = "quality, relevance, synchrony (default: all that make sense)"
    add("--questions", nargs="+", action="extend", default=[], metavar="Q", help=about_questions)
    add("--per-rater", type=int, default=0, metavar="N", help="clips each rater is given, in turn, or 0 for all")
    add("--checks", type=int, default=2, metavar="N", help="checks of attention for each rater")
    add("--raters", type=int, default=10, metavar="N", help="links to make at once")
    add("--seed", type=int, default=0, metavar="N", help="seed of the order, the sides, and who is given what")
    for name in ("serve", "links"):
        made[name].add_argument("--url", metavar="URL", help="how raters reach the page (default: http://HOST:PORT)")
    for name in ("serve", "links"):
        made[name].add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on")
        made[name].add_argument("--port", type=int, default=8000, metavar="P", help="port to listen on")
    made["links"].add_argument("--add", type=int, default=0, metavar="N", help="make N more raters")
    made["report"].add_argument(
        "-o", "--out", metavar="DIR", help="where rating.md, .json and .html go (default: STUDY/report)"
    )
