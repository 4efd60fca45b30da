"""The arguments of `echoframe evaluate`. Imports nothing heavy: --help has to be quick."""

import argparse
from collections.abc import Callable

from echoframe.apps.parser import Parser


def _run_with(parser: Parser) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        if args.what and (len(args.what) != 2 or args.what[0] != "pull"):
            parser.error(f"unexpected {' '.join(args.what)}; expected options alone, or pull and a protocol's name")
        missing = [name for name in ("reference", "generated") if not args.what and not getattr(args, name)]
        if missing:
            parser.error(f"the following arguments are required: {', '.join(f'--{name}' for name in missing)}")
        from echoframe.apps import evaluate

        return evaluate.pull(args.what[1]) if args.what else evaluate.evaluate(args)

    return run


def add_evaluate(parser: Parser) -> None:
    """The arguments of `echoframe evaluate`."""
    parser.description = (
        "Judges folders of generated sounds beside the real ones. Files belong together by their names without suffix, "
        "and NAME.s0, NAME.s1, ... are several sounds of NAME; "
        "every system is judged on the clips that all have. docs/evaluation.md says what each figure means. "
        "`pull PROTOCOL` fetches the weights of a protocol's judges once, and checks them by their published hashes."
    )
    add = parser.add_argument
    add("what", nargs="*", metavar="pull PROTOCOL", help="fetch the weights of a protocol's judges, and judge nothing")
    add("--reference", metavar="DIR", help="the real sounds, or videos for their sound")
    add(
        "--generated",
        nargs="+",
        action="extend",
        metavar="NAME=DIR",
        help="a system's name and its sounds",
    )
    add("--video", metavar="DIR", help="videos of the same names, for alignment with what moves")
    add("--clips", metavar="FILE", help="a list NAME[,label]: only these count, all are expected (default: every file)")
    add("--unpaired", action="store_true", help="compare sets of sounds, whatever their names")
    others = "sets, clap, av-benchmark, audioldm_eval, specvqgan, seed, yamnet"
    add("--protocol", default="echoframe", metavar="P", help=f"echoframe, {others}")
    add(
        "--weights",
        nargs="+",
        action="extend",
        default=[],
        metavar="JUDGE=FILE",
        help="a judge's weights, or its folder",
    )
    add("-o", "--out", default="evaluation", metavar="DIR", help="where evaluation.md, .html, .tex, .csv and .json go")
    add("--draws", type=int, default=1000, metavar="N", help="bootstrap draws for the intervals")
    add("--seed", type=int, default=0, metavar="N", help="seed of the draws and of the shuffled pairs")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    add("--cache", metavar="DIR", help="where features are kept, by content (default: ~/.cache/echoframe/features)")
    add("--quiet", action="store_true", help="show no progress")
    add("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=_run_with(parser))
