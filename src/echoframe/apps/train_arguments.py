"""The arguments of `echoframe train`, `compare`, `sweep`, `models bundle`. Imports nothing heavy: --help has to be quick."""

import argparse
from collections.abc import Callable

from echoframe.apps.parser import Parser


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from echoframe.apps import train

        return getattr(train, name)(args)

    return run


def _always(parser: Parser, name: str) -> None:
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=_run(name))


def add_train(parser: Parser) -> None:
    """The arguments of `echoframe train`."""
    parser.description = (
        "Trains a mapper on embedding sets. The TOML file says data, out, and what differs from the defaults; accelerate "
        "launch -m echoframe train RUN.toml shares the work among several GPUs or nodes."
    )
    add = parser.add_argument
    add("config", metavar="RUN.toml", help="the run")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="another value: seed=3, mapper.kind=mlp, ...")
    add("--resume", action="store_true", help="continue a run that was stopped")
    _always(parser, "train")


def add_compare(parser: Parser) -> None:
    """The arguments of `echoframe compare`."""
    parser.description = "One table and one picture of trained mappers and of the bounds they lie between."
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="runs, or folders that hold some")
    add("-o", "--out", metavar="DIR", help="where compare.md, compare.json and compare.png go (default: the first RUN)")
    add("--split", default="val", choices=("val", "test"), help="on which clips")
    add("--bridge", metavar="MODEL", help="a model whose zero-shot bridge is one of the bounds (default: none)")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    _always(parser, "compare")


def add_sweep(parser: Parser) -> None:
    """The arguments of `echoframe sweep`."""
    parser.description = "Many runs over a space of settings, by Optuna; run it again to go on."
    parser.add_argument("config", metavar="SWEEP.toml", help="out, [base] of a run, [space] of settings")
    _always(parser, "sweep")


def add_bundle(parser: Parser) -> None:
    """The arguments of `echoframe models bundle`."""
    add = parser.add_argument
    add("--mapper", required=True, metavar="RUN", help="the folder of a finished run")
    add("--generator", required=True, metavar="MODEL", help="whose generator: a known model, a bundle or a repository")
    add("--encoders", metavar="MODEL", help="whose encoders (default: those of the generator's model)")
    add("-o", "--out", required=True, metavar="DIR", help="the bundle")
    add("--name", help="name of the model (default: the folder's)")
    add("--licence", default="LicenseRef-unstated", metavar="SPDX", help="licence of the mapper's weights")
    add("--push", metavar="REPO", help="upload it to this repository of the hub")
    add("--dry-run", action="store_true", help="write the folder, upload nothing")
    _always(parser, "bundle")
