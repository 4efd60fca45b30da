"""`echoframe train`, `compare`, `sweep` and `models bundle`. All work is in `training/`."""

import argparse
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from echoframe.config import from_dict, load_toml, read_toml
from echoframe.errors import ConfigError
from echoframe.output import check_place

OK = 0
SHOWN = ("val_loss", "cosine", "recall_1", "recall_10")


def _say(*words: object) -> None:
    print("echoframe:", *words, file=sys.stderr, flush=True)


def _told(args: argparse.Namespace) -> Callable[[str], None] | None:
    return None if args.quiet else _say


def train(args: argparse.Namespace) -> int:
    from echoframe.training.config import TrainConfig
    from echoframe.training.train import train as run

    path = Path(args.config)
    values = _with(read_toml(path), args.set)
    config = from_dict(TrainConfig, values, name=str(path))
    result = run(config, resume=args.resume, tell=None if args.quiet else _tell)
    figures = result.figures
    print(
        f"{result.folder}: cosine {figures.cosine:.3f}, R@1 {figures.recall_1:.3f}, R@10 {figures.recall_10:.3f} of "
        f"{figures.n} clips; step {result.step} of {result.steps}, {result.seconds:.0f} s"
    )
    return OK


def _with(values: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """`values` with every "a.b=value" of `changes`; a value is TOML, or else a text."""
    for change in changes:
        name, equals, text = change.partition("=")
        *tables, key = name.strip().split(".")
        place: Any = values
        for table in tables:
            place = place.setdefault(table, {}) if isinstance(place, dict) else None
        if not equals or not key or not isinstance(place, dict):
            raise ConfigError(f"--set {change}: expected KEY=VALUE, as seed=3 or mapper.kind=mlp")
        try:
            place[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            place[key] = text
    return values


def _tell(values: dict[str, Any]) -> None:
    at = f"step {values['step']} of {values['steps']}"
    if "val_loss" in values:
        _say(f"{at}: validation", ", ".join(f"{name} {values[name]:.4f}" for name in SHOWN if name in values))
    else:
        left = values["seconds_left"]
        _say(
            f"{at} (epoch {values['epoch']:.1f}): loss {values['train_loss']:.4f}, {values['clips_per_s']:.0f} clips/s, "
            f"{left / 60:.0f} min left"
            if left >= 90
            else f"{at}: loss {values['train_loss']:.4f}, {left:.0f} s left"
        )


def compare(args: argparse.Namespace) -> int:
    from echoframe.training.compare import compare as run
    from echoframe.training.report import markdown, write_report

    paths = [Path(path) for path in args.runs]
    out = Path(args.out) if args.out else paths[0]
    check_place(out)
    found = run(paths, split=args.split, bridge=args.bridge, device=args.device, told=_told(args))
    print(markdown(found))
    for path in write_report(found, out):
        print(path)
    return OK


def sweep(args: argparse.Namespace) -> int:
    from echoframe.training.sweep import SweepConfig
    from echoframe.training.sweep import sweep as run

    config = load_toml(SweepConfig, Path(args.config))
    found = run(config, told=_told(args))
    print(
        f"{found.n_done} trials done, {found.n_pruned} pruned, {found.n_failed} failed; best {config.metric} "
        f"{found.best_value:.4f} in {found.best_run}, as a run: {found.best_file}"
    )
    return OK


def bundle(args: argparse.Namespace) -> int:
    from echoframe.bundles.hub import check_repo, upload
    from echoframe.training.export import write_bundle

    if args.push:
        check_repo(args.push)
    made = write_bundle(
        Path(args.mapper),
        Path(args.out),
        generator=args.generator,
        encoders=args.encoders,
        name=args.name,
        licence=args.licence,
    )
    print(f"{args.out}: {made.name}, licence {made.licence}")
    if args.push and args.dry_run:
        print(f"{args.push}: nothing was uploaded")
    elif args.push:
        print(upload(Path(args.out), args.push, repo_type="model", message=f"{made.name}, by EchoFrame"))
    return OK
