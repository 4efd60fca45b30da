"""`echoframe evaluate`. All work is in `evaluation/`."""

import argparse
import sys
from pathlib import Path

from echoframe.errors import InputError
from echoframe.output import make_folder

OK = 0
SOME_FAILED = 1


def evaluate(args: argparse.Namespace) -> int:
    from echoframe.evaluation.evaluate import EvaluateConfig
    from echoframe.evaluation.evaluate import evaluate as run
    from echoframe.evaluation.features import default_cache
    from echoframe.evaluation.report import write_report
    from echoframe.evaluation.table import markdown

    config = EvaluateConfig(
        reference=Path(args.reference),
        generated=named(args.generated, "--generated", "NAME=FOLDER"),
        video=Path(args.video) if args.video else None,
        clips=Path(args.clips) if args.clips else None,
        paired=not args.unpaired,
        protocol=args.protocol,
        weights=named(args.weights, "--weights", "JUDGE=FILE"),
        draws=args.draws,
        seed=args.seed,
        device=args.device,
        cache=Path(args.cache) if args.cache else default_cache(),
    )
    make_folder(Path(args.out))
    found = run(config, tell=None if args.quiet else _say)
    paths = write_report(found, Path(args.out))
    print(markdown(found.table))
    print()
    for path in paths:
        print(path)
    for name, some in found.dropped.items():
        for why in some.values():
            print(f"echoframe: dropped from {name}: {why}", file=sys.stderr)
    return SOME_FAILED if found.dropped else OK


def pull(protocol: str) -> int:
    from echoframe.evaluation.judges.fetch import pull_judges
    from echoframe.evaluation.protocols import find_protocol

    if not pull_judges(find_protocol(protocol).judges, tell=_say):
        print(f"protocol {protocol} needs no weights: nothing to fetch")
    return OK


def _say(words: str) -> None:
    print("echoframe:", words, file=sys.stderr, flush=True)


def named(pairs: list[str], option: str, form: str) -> dict[str, Path]:
    """NAME=PATH arguments, by name. Raises InputError for another form, or a name given twice."""
    found: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not name or not path:
            raise InputError(f'{option} "{pair}": expected {form}')
        if name in found:
            raise InputError(f'{option} "{pair}": {name} is given twice; give each its own name')
        found[name] = Path(path)
    return found
