"""The command: arguments in, one line per failure out. All it does is in `jobs`, `pipeline` and `bundle`.

Nothing heavy is imported before the arguments are known to be right: `echoframe --help` loads no torch. argparse, and
neither typing nor pathlib, because --help may take four times as long as an empty program: cyclopts alone takes twelve.
"""

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence

from echoframe.apps.parser import BAD_INPUT, Parser
from echoframe.apps.threads import wait_briefly
from echoframe.errors import EchoFrameError

OK, SOME_FAILED, INTERRUPTED, TERMINATED = 0, 1, 130, 143
# name: (what it does, the module that adds its arguments)
COMMANDS = {
    "generate": ("make the sound of videos and still images", "generate_arguments"),
    "web": ("open a page on which films get their sound", "web_arguments"),
    "look": ("list what will be heard in a video, before anything is generated", "look_arguments"),
    "cues": ("list the shots and onsets of a video, or write them for editors", "cues_arguments"),
    "models": ("list, describe, fetch and check models", "models_arguments"),
    "data": ("download, verify, repair, pack and publish sets of clips", "data_arguments"),
    "extract": ("write the embeddings of every clip of a set", "data_arguments"),
    "library": ("take in your own recordings, and find those that fit a film", "library_arguments"),
    "train": ("learn a mapper from embeddings", "train_arguments"),
    "compare": ("show trained mappers side by side", "train_arguments"),
    "sweep": ("search for a mapper's settings", "train_arguments"),
    "evaluate": ("judge folders of sounds against the real ones", "evaluate_arguments"),
    "rate": ("run listening tests on a web page", "rate_arguments"),
    "completion": ("print a script that completes commands and options in a shell", "completion"),
}


def build_parser() -> Parser:
    """The parser of the whole command."""
    parser = Parser(prog="echoframe", about="Gives a silent video its sound.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_commands("COMMAND", dest="command", required=False)
    for name, (about, module) in COMMANDS.items():
        parser.add_command(name, about, _filler(name, module))
    return parser


def _filler(name: str, module: str) -> Callable[[Parser], None]:
    def fill(parser: Parser) -> None:
        from importlib import import_module

        getattr(import_module(f"echoframe.apps.{module}"), f"add_{name}")(parser)

    return fill


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 1 if some clips failed, 2 for bad input, 130 if interrupted."""
    wait_briefly()
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.version:
        import echoframe

        print(f"echoframe {echoframe.__version__}")
        return OK
    run: Callable[[argparse.Namespace], int] | None = getattr(args, "run", None)
    if run is None:
        parser.print_help()
        return BAD_INPUT
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        sys.exit(TERMINATED)

    # a cluster's way to say stop: unwound like Ctrl-C, so that half-written files go
    signal.signal(signal.SIGTERM, stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without arrows still gets its table
    # Pillow refuses what is twice as large as what it warns of
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    try:
        code = run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads has heard enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except EchoFrameError as error:
        if args.debug:
            raise
        print(f"echoframe: {error}", file=sys.stderr)
        return BAD_INPUT
    except Exception as error:
        if stopped:  # a library within which it was stopped made an error of that
            return TERMINATED
        if args.debug:
            raise
        print(f"echoframe: unexpected {type(error).__name__}: {error}; --debug shows where", file=sys.stderr)
        return SOME_FAILED
    except KeyboardInterrupt:
        print("echoframe: interrupted; what was finished is kept, nothing is half written", file=sys.stderr)
        return INTERRUPTED
