"""`echoframe rate`. All work is in `rating/`."""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from echoframe.apps.evaluate import named
from echoframe.errors import InputError
from echoframe.rating.answers import Answers
from echoframe.rating.make import StudyConfig, make_study
from echoframe.rating.report import make_report, write_report
from echoframe.rating.server import LOOPBACK, address, open_socket
from echoframe.rating.server import serve as serve_study
from echoframe.rating.study import ANSWERS, Study, load_study

OK = 0


def make(args: argparse.Namespace) -> int:
    folder = Path(args.study)
    config = StudyConfig(
        generated=named(args.generated, "--generated", "NAME=FOLDER"),
        reference=Path(args.reference) if args.reference else None,
        video=Path(args.video) if args.video else None,
        clips=Path(args.clips) if args.clips else None,
        title=args.title,
        pairs=args.pairs,
        questions=args.questions,
        per_rater=args.per_rater,
        checks=args.checks,
        seed=args.seed,
    )
    if args.raters < 1:
        raise InputError(f"{args.raters} raters; expected 1 or more")
    study = make_study(config, folder, tell=_say)
    with closing(Answers(folder / ANSWERS)) as answers:
        answers.invite(args.raters)
    for note in study.notes:
        _say(note)
    print(
        f"{folder}: {len(study.items_for(1))} items for each of {args.raters} raters; next: echoframe rate serve {folder}"
    )
    return OK


def serve(args: argparse.Namespace) -> int:
    folder = Path(args.study)
    study = load_study(folder)
    _check_url(args.url)
    with closing(Answers(folder / ANSWERS)) as answers, open_socket(args.host, args.port) as listening:
        _print_links(study, answers, args, listening.getsockname()[1])
        if args.host not in LOOPBACK:
            _say(f"listens on {args.host}, without encryption: put a server that speaks HTTPS before it")
        serve_study(study, folder, answers, listening)
    return OK


def links(args: argparse.Namespace) -> int:
    folder = Path(args.study)
    study = load_study(folder)
    if args.add < 0:
        raise InputError(f"--add {args.add}; expected 0 or more")
    _check_url(args.url)
    with closing(Answers(folder / ANSWERS)) as answers:
        answers.invite(args.add)
        _print_links(study, answers, args, args.port)
    return OK


def report(args: argparse.Namespace) -> int:
    folder = Path(args.study)
    study = load_study(folder)
    with closing(Answers(folder / ANSWERS)) as answers:
        found = make_report(study, answers.all())
    paths = write_report(found, Path(args.out) if args.out else folder / "report")
    print(paths[0].read_text(encoding="utf-8"))
    for path in paths:
        print(path)
    return OK


def _print_links(study: Study, answers: Answers, args: argparse.Namespace, port: int) -> None:
    base = (args.url or address(args.host, port)).rstrip("/")
    raters = answers.raters()
    if not raters:
        _say(f"{args.study}: no rater is invited yet; echoframe rate links {args.study} --add 10 invites ten")
    for rater in raters:
        done, given = answers.of(rater), study.items_for(rater.number)
        print(
            f"rater {rater.number:<3} {sum(item.id in done for item in given):>4} of {len(given):<4} {base}/r/{rater.token}"
        )
    sys.stdout.flush()


def _check_url(url: str | None) -> None:
    try:
        is_web = url is None or (urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname))
    except ValueError:
        is_web = False
    if not is_web:
        raise InputError(f'--url "{url}": expected an address such as https://example.org')


def _say(words: str) -> None:
    print("echoframe:", words, file=sys.stderr, flush=True)
