"""`echoframe data` and `echoframe extract`: sets of clips, from a list to a published dataset. All work is in `data/`."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from echoframe.apps.progress import Reporter
from echoframe.data.clip_list import ClipList, read_clip_list
from echoframe.data.ledger import Ledger, open_ledger
from echoframe.errors import InputError
from echoframe.lock import exclusive_lock
from echoframe.progress import ProgressCallback

OK, SOME_FAILED = 0, 1
EVERY_S = 5.0
NAMED = 5  # of the labels that are not VGGSound's, so many are told by name


@contextmanager
def _opened(args: argparse.Namespace, folder: str, *, create: bool = False) -> Iterator[tuple[Path, Ledger]]:
    path = Path(folder)
    if not create and not path.is_dir():
        raise InputError(f"{path}: no such folder; give the folder of echoframe data download, adopt or unpack")
    with exclusive_lock(path, f"echoframe data {args.what}"), open_ledger(path, create=create) as ledger:
        yield path, ledger


def _listed(path: str | None) -> ClipList:
    found = read_clip_list(Path(path)) if path else ClipList(rows=())
    if found.n_duplicates:
        print(
            f"echoframe: {path}: {found.n_duplicates} rows say the same as one before; each counts once",
            file=sys.stderr,
        )
    others = found.other_labels
    if others:
        named = ", ".join(f'"{label}"' for label in list(others)[:NAMED])
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        _say(f"{path}: {sum(others.values())} clips have labels that VGGSound does not have: {named}{more}")
    return found


def _print(counts: Mapping[str, int]) -> None:
    print(", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing to do")


def download(args: argparse.Namespace) -> int:
    from echoframe.data.download import Pace, parse_retry
    from echoframe.data.download import download as run
    from echoframe.data.fetch import FORMAT, YOUTUBE, FetchOptions, fetcher

    if (args.list is None) == (args.from_hub is None):
        raise InputError("data download: give a list of clips, or --from-hub REPO, one of the two")
    if args.from_hub:
        return _from_hub(args)
    options = FetchOptions(
        url=args.url or YOUTUBE,
        format=args.format or FORMAT,
        cookies=Path(args.cookies) if args.cookies else None,
        cookies_from=args.cookies_from_browser,
        proxy=args.proxy,
        sleep_s=args.sleep,
    )
    pace = Pace(workers=args.workers, per_minute=args.rate, tries=args.tries)
    retry, fetch, wanted = parse_retry(args.retry), fetcher(options), _listed(args.list)
    own = next((row.name for row in wanted.rows if row.name), "")
    if own:
        raise InputError(
            f"{args.list}: {own} is not of a video site and cannot be downloaded; expected YouTube id, start seconds, "
            "label, split; echoframe data adopt takes in clips that are here"
        )
    with _opened(args, args.out, create=True) as (folder, ledger):
        ledger.add(wanted.rows)
        with Reporter(len(ledger.to_fetch(retry)), quiet=args.quiet) as reporter:

            def tell(done: int, total: int, what: str) -> None:
                key, _, how = what.rpartition(": ")
                if how == "done":
                    reporter.done("" if args.quiet else key)
                else:
                    reporter.failed(what)

            found = run(folder, ledger, fetch, pace=pace, retry=retry, progress=tell)
        _print(ledger.counts())
        if found.refused:
            raise InputError(
                f"{args.out}: ended early: one clip after the other was refused; wait some hours, slow down with --rate, "
                "or give --cookies, then --retry blocked,rate-limited"
            )
    return SOME_FAILED if found.n_lost else OK


def _from_hub(args: argparse.Namespace) -> int:
    from echoframe.data.mirror import fetch_mirror

    with _opened(args, args.out, create=True) as (folder, ledger):
        counts = fetch_mirror(args.from_hub, folder, ledger, progress=_tell(args))
    _print(counts)
    return SOME_FAILED if counts.get("damaged-tars") else OK


def _say(*words: object) -> None:
    print("echoframe:", *words, file=sys.stderr, flush=True)


def adopt(args: argparse.Namespace) -> int:
    from echoframe.data.adopt import adopt_folder

    rows = {row.key: row for row in _listed(args.list).rows} if args.list else None
    with _opened(args, args.out, create=True) as (folder, ledger):
        _print(adopt_folder(Path(args.source), folder, ledger, rows=rows, move=args.move, progress=_count(args)))
    return OK


class _Counter:
    """Tells how far a run is, every few seconds and at its end: it may have 200,000 steps."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, done: int, of: int, line: str) -> None:
        if done == of or time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + EVERY_S
            _say(f"{done} of {of}:", line)


def _count(args: argparse.Namespace) -> ProgressCallback | None:
    return None if args.quiet else _Counter()


def _tell(args: argparse.Namespace) -> ProgressCallback | None:
    return None if args.quiet else lambda done, total, what: _say(f"{done} of {total}:", what)


def verify(args: argparse.Namespace) -> int:
    from echoframe.data.verify import verify_folder

    with _opened(args, args.folder) as (folder, ledger):
        counts = verify_folder(folder, ledger, n_workers=args.workers, progress=_count(args))
    _print(counts)
    return SOME_FAILED if counts.get("missing") or counts.get("broken") else OK


def repair(args: argparse.Namespace) -> int:
    from echoframe.data.repair import repair_folder

    with _opened(args, args.folder) as (folder, ledger):
        _print(repair_folder(folder, ledger, n_workers=args.workers, progress=_count(args)))
    return OK


def stats(args: argparse.Namespace) -> int:
    from echoframe.data.stats import collect, draw, table, to_json
    from echoframe.output import atomic_files

    official = _listed(args.list).rows
    with open_ledger(Path(args.folder), create=False) as ledger:
        found = collect(ledger.entries(), official)
    print(table(found))
    if args.json:
        with atomic_files([Path(args.json)]) as (partial,):
            partial.write_text(json.dumps(to_json(found), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if args.png:
        draw(found, Path(args.png))
    return OK


def split(args: argparse.Namespace) -> int:
    from echoframe.data.split import split_rows, write_split

    listed = _listed(args.list).rows
    if not any(row.split for row in listed):
        _say(f"{args.list}: has no split column, or an empty one: no clip goes to test")
    rows = split_rows(listed, val_share=args.val_share, seed=args.seed)
    n_films = len({row.film for row in rows if row.split in ("train", "val")})
    if args.val_share > 0 and not any(row.split == "val" for row in rows):
        _say(f"--val-share {args.val_share:g} of {n_films} videos gives no clip to val; raise it, or list more videos")
    write_split(rows, Path(args.out))
    _print({name: sum(row.split == name for row in rows) for name in ("train", "val", "test")})
    left_out = sum(not row.split for row in rows)
    if left_out:
        _say(f"{left_out} clips left out of train: another clip of their video is in test")
    return OK


def pack(args: argparse.Namespace) -> int:
    from echoframe.data.pack import pack as run

    with _opened(args, args.folder) as (folder, ledger):
        result = run(folder, Path(args.out), ledger, shard_bytes=args.shard_bytes, progress=_tell(args))
    print(result)
    return OK


def unpack(args: argparse.Namespace) -> int:
    from echoframe.data.unpack import unpack as run

    with _opened(args, args.out, create=True) as (folder, ledger):
        counts = run(Path(args.source), folder, ledger, progress=_tell(args))
    _print(counts)
    return SOME_FAILED if counts.get("damaged-tars") else OK


def publish(args: argparse.Namespace) -> int:
    from echoframe.bundles.hub import check_repo, upload
    from echoframe.data.publish import write_dataset

    check_repo(args.repo)
    with _opened(args, args.folder) as (_, ledger):
        files = write_dataset(
            Path(args.out),
            ledger.entries(),
            repo=args.repo,
            title=args.title,
            embeddings=Path(args.embeddings) if args.embeddings else None,
            tars=Path(args.tars) if args.tars else None,
            progress=_tell(args),
        )
    print(f"{args.out}: {len(files)} files", "(nothing was uploaded)" if args.dry_run else "")
    if not args.dry_run:
        print(upload(Path(args.out), args.repo, repo_type="dataset", message="Embeddings and clips"))
    return OK


def extract(args: argparse.Namespace) -> int:
    from echoframe.data.extract import extract as run

    found = run(
        Path(args.source),
        Path(args.out),
        model=args.model,
        shard_clips=args.shard_clips,
        workers=args.workers,
        ray_address=args.ray_address,
        retry=[stage.strip() for stage in args.retry.split(",") if stage.strip()],
        max_failed=args.max_failed,
        device=args.device,
        dtype=args.dtype,
        progress=_count(args),
    )
    stages = "".join(f", {n} at {stage}" for stage, n in found.failed_by_stage.items())
    print(f"{found.n_done} of {found.n_clips} clips embedded ({found.n_new} now), {found.n_failed} failed{stages}")
    if found.too_many_failed:
        _say(f"{args.out}: {found.n_failed} of {found.n_clips} failed, more than --max-failed {found.max_failed:g}")
        return SOME_FAILED
    return OK
