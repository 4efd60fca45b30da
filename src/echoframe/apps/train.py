"""`echoframe train`, `compare`, `sweep` and `models bundle`. All work is in `training/`."""

import argparse
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from echoframe.config import from_dict, load_toml
from echoframe.errors import ConfigError

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
    values = _with(_read_toml(path), args.set)
    config = from_dict(TrainConfig, values, name=str(path))
    result = run(config, resume=args.resume, tell=None if args.quiet else _tell)
    figures = result.figures
    print(
        f"{result.folder}: cosine {figures.cosine:.3f}, R@1 {figures.recall_1:.3f}, R@10 {figures.recall_10:.3f} of "
        f"{figures.n} clips; step {result.step} of {result.steps}, {result.seconds:.0f} s"
    )
    return OK


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error}); see docs/training.md") from error


def _with(values: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """`values` with every "a.b=value" of `changes`; a value is TOML, or else a text."""
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change}: expected KEY=VALUE, as seed=3 or mapper.kind=mlp")
        *tables, key = name.strip().split(".")
        place = values
        for table in tables:
            place = place.setdefault(table, {})
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
            f"{at} (epoch {values['epoch']:.1f}): loss {values['loss']:.4f}, {values['clips_per_s']:.0f} clips/s, "
            f"{left / 60:.0f} min left"
            if left >= 90
            else f"{at}: loss {values['loss']:.4f}, {left:.0f} s left"
        )


def compare(args: argparse.Namespace) -> int:
    from echoframe.training.compare import compare as run
    from echoframe.training.report import markdown, write_report

    paths = [Path(path) for path in args.runs]
    found = run(paths, split=args.split, bridge=args.bridge, device=args.device, told=_told(args))
    print(markdown(found))
    for path in write_report(found, Path(args.out) if args.out else paths[0]):
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
    from echoframe.hub import upload
    from echoframe.training.export import write_bundle

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
