"""The command: arguments in, one line per failure out. All it does is in `jobs`, `pipeline` and `bundle`.

Nothing heavy is imported before the arguments are known to be right: `echoframe --help` loads no torch. argparse, and
neither typing nor pathlib, because --help may take four times as long as an empty program: cyclopts alone takes twelve.
"""

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence

from echoframe.apps.data_arguments import add_data, add_extract
from echoframe.apps.evaluate_arguments import add_evaluate
from echoframe.apps.options import add_request, add_writing
from echoframe.apps.rate_arguments import add_rate
from echoframe.apps.train_arguments import add_bundle, add_compare, add_sweep, add_train
from echoframe.errors import EchoFrameError

OK, SOME_FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class Parser(argparse.ArgumentParser):
    """argparse whose complaint is one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(BAD_INPUT, f"{self.prog}: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="echoframe", description="Gives a silent video its sound.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(
        dest="command", metavar="generate | models | data | extract | train | compare | sweep | evaluate | rate"
    )
    _add_generate(commands.add_parser("generate", help="make the sound of films and stills"))
    _add_models(commands.add_parser("models", help="list, describe, fetch and check models"))
    add_data(commands.add_parser("data", help="download, verify, repair, pack and publish sets of clips"))
    add_extract(commands.add_parser("extract", help="embeddings of every clip of a set"))
    add_train(commands.add_parser("train", help="learn a mapper from embeddings"))
    add_compare(commands.add_parser("compare", help="trained mappers side by side"))
    add_sweep(commands.add_parser("sweep", help="search for a mapper's settings"))
    add_evaluate(commands.add_parser("evaluate", help="judge folders of sounds beside the real ones"))
    add_rate(commands.add_parser("rate", help="listening tests on a web page"))
    return parser


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Makes NAME.wav, for a film NAME.mp4 with the sound in it, and NAME.json that says how to make them again. "
        "Clips that are done are skipped. Two clips of the same name cannot share an output folder: that is refused. "
        "A film in the output folder is not overwritten: its copy with sound is NAME.sound.mp4."
    )
    add = parser.add_argument
    add("inputs", nargs="*", metavar="CLIP", help="films and stills, folders of them, or quoted globs")
    add("-o", "--out", default=".", metavar="OUT", help="a folder, or NAME.wav/.flac/.mp3/.mp4/... [this folder]")
    add("--model", metavar="NAME", help="a known model, a bundle's folder or a hub repository [mini]")
    add_request(parser)
    add("--mux", action=argparse.BooleanOptionalAction, default=True, help="write the film with its sound [yes]")
    add_writing(parser)
    add("--picture", action="store_true", help="draw frames, spectrogram and nearest labels as NAME.png")
    add("--from", dest="record", metavar="JSON", help="make the same samples again as this JSON says")
    add("--device", metavar="NAME", help="auto, cpu, cuda, mps [auto]")
    add("--dtype", metavar="NAME", help="auto, float32, float16, bfloat16 [auto]")
    add("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=generate)


def _add_models(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", metavar="list | info | pull | check | bundle", required=True)
    about = {
        "list": "every known model, and whether it is on this machine",
        "info": "parts, licences and sources of a model",
        "pull": "fetch a model from the hub, once",
        "check": "check every file's hash and that all parts fit together",
    }
    for name, function in (("list", list_models), ("info", show_model), ("pull", pull_model), ("check", check_model)):
        command = commands.add_parser(name, help=about[name], description=about[name])
        if name != "list":
            command.add_argument("model", help="a name from the list, a bundle's folder or a hub repository")
        command.add_argument("--debug", action="store_true", help="show where a failure came from")
        command.set_defaults(run=function)
    about_bundle = "join a trained mapper with encoders and a generator"
    add_bundle(commands.add_parser("bundle", help=about_bundle, description=about_bundle))


def generate(args: argparse.Namespace) -> int:
    from echoframe.apps import generate

    return SOME_FAILED if generate.generate(args) else OK


def list_models(_: argparse.Namespace) -> int:
    from echoframe.bundles.bundle import EMBEDDED, find_bundle
    from echoframe.bundles.hub import HUB_MODELS

    about = dict.fromkeys(EMBEDDED, "the embedded model: small, needs no network")
    about |= {name: model.about for name, model in HUB_MODELS.items()}
    for name, text in about.items():
        try:
            find_bundle(name)
            state = "here"
        except EchoFrameError:
            state = "pull"
        print(f"{name:20} {state:5} {text}")
    return OK


def show_model(args: argparse.Namespace) -> int:
    from echoframe.bundles.bundle import find_bundle

    located = find_bundle(args.model)
    manifest = located.manifest
    print(f"{manifest.name} {manifest.version}, {manifest.sample_rate} Hz, licence {manifest.licence}")
    for name, part in manifest.parts.items():
        spaces = " -> ".join(str(space) for space in (part.takes, part.gives) if space)
        print(f"  {name:15} {part.kind:20} {part.licence:24} {spaces}")
        print(f"  {'':15} {part.source}")
    options = manifest.defaults
    print(f"  by default {options.steps} steps of {options.scheduler}, guidance {options.guidance:g}")
    print(f"  revision {located.revision or 'none'}, sha256 {located.sha256}")
    return OK


def pull_model(args: argparse.Namespace) -> int:
    from echoframe.bundles.bundle import EMBEDDED
    from echoframe.bundles.hub import pull

    if args.model in EMBEDDED:
        print(f"{args.model} comes with the package: nothing to fetch")
        return OK
    for name, folder in pull(args.model).items():
        print(f"{name:15} {folder}")
    return OK


def check_model(args: argparse.Namespace) -> int:
    from echoframe.bundles.bundle import check_bundle

    for line in check_bundle(args.model, device="cpu"):
        print(line)
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 1 if some clips failed, 2 for bad input, 130 if interrupted."""
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
    # a cluster's way to say stop: unwound like Ctrl-C, so that half-written files go
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without arrows still gets its table
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
        if args.debug:
            raise
        print(f"echoframe: unexpected {type(error).__name__}: {error}; --debug shows where", file=sys.stderr)
        return SOME_FAILED
    except KeyboardInterrupt:
        print("echoframe: interrupted; what was finished is kept, nothing is half written", file=sys.stderr)
        return INTERRUPTED
