"""Fetching all clips of a ledger: in parallel, not too fast, and never the same twice."""

import random
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from echoframe.data.clip_list import ClipRow, clip_path
from echoframe.data.fetch import Fetch, Unfetched
from echoframe.data.ledger import REASONS, TEMPORARY, Ledger
from echoframe.data.verify import ClipFacts, inspect_clip, problems
from echoframe.errors import AudioError, EchoFrameError, InputError, OutputError, VideoError
from echoframe.progress import ProgressCallback

PARTIAL = ".fetching"
FREE_BYTES = 100_000_000  # below this the disk counts as full
LOSING = ("no-audio", "no-video", "too-short")  # what makes a fetched clip useless; silent or black is kept and said
REFUSALS = ("rate-limited", "blocked")  # the whole address is meant, not one clip
GIVE_UP_AFTER = 20  # clips in a row that were refused
LONGEST_WAIT_S = 900.0
Fetched = tuple[Path, ClipFacts]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """workers: downloads at once. per_minute: how many may begin in a minute, None: as many as can. tries: of one clip,
    for what passes by itself. backoff_s: the first wait; each one after is twice as long, up to 15 minutes."""

    workers: int = 4
    per_minute: float | None = None
    tries: int = 3
    backoff_s: float = 5.0

    def __post_init__(self) -> None:
        if self.workers < 1 or self.tries < 1 or self.backoff_s < 0 or (self.per_minute or 1) <= 0:
            raise InputError(
                f"workers {self.workers}, tries {self.tries}, rate {self.per_minute}, backoff {self.backoff_s} s; "
                "expected workers and tries of 1 or more, a rate above 0, a wait of 0 or more"
            )


@dataclass(kw_only=True, slots=True)
class Download:
    """What a run did. n_done, n_lost: clips of this run. refused: it ended early, as one clip after the other was refused."""

    n_done: int = 0
    n_lost: int = 0
    refused: bool = False
    reasons: dict[str, int] = field(default_factory=dict)


def parse_retry(text: str) -> tuple[str, ...]:
    """The reasons that "network,rate-limited" names; "temporary" and "all" stand for several. Raises InputError.

    >>> parse_retry("network,age")
    ('network', 'age')
    """
    several = {"temporary": TEMPORARY, "all": REASONS}
    found = [
        reason for word in text.split(",") if word.strip() for reason in several.get(word.strip(), (word.strip(),))
    ]
    for reason in found:
        if reason not in REASONS:
            raise InputError(f'--retry "{reason}": no such reason; expected temporary, all, or {", ".join(REASONS)}')
    return tuple(dict.fromkeys(found))


def download(
    folder: Path,
    ledger: Ledger,
    fetch: Fetch,
    *,
    pace: Pace = Pace(),
    retry: Iterable[str] = (),
    progress: ProgressCallback | None = None,
) -> Download:
    """Fetches every wanted clip of `ledger`, and those lost for a reason in `retry`, into the clip folder.

    A clip is verified before it gets its name, and has its name before the ledger says done; where the two disagree
    after a kill, the file is looked at again and not fetched. The caller holds the folder's lock. Raises OutputError
    when the disk is full: the clips that were not fetched stay wanted.
    """
    result = Download()
    rows = ledger.to_fetch(retry)
    for leftover in folder.glob(f"{PARTIAL}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = folder / f"{PARTIAL}-{secrets.token_hex(4)}"
    gate = Gate(pace)
    in_a_row = 0

    def one(row: ClipRow) -> Fetched:
        return _try(row, folder, partial, fetch, pace, gate)

    try:
        with _pool(pace.workers, gate) as pool:
            for n, (row, future) in enumerate(_in_flight(pool, one, rows, 2 * pace.workers), start=1):
                reason = _settle(ledger, folder, row, future, result)
                if progress is not None:
                    progress(n, len(rows), f"{row.key}: {reason}")
                in_a_row = in_a_row + 1 if reason in REFUSALS else 0
                if in_a_row >= GIVE_UP_AFTER:
                    result.refused = True
                    break
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return result


class Gate:
    """When the next download may begin: not more than so many a minute, and after a refusal not for a while."""

    def __init__(self, pace: Pace) -> None:
        self._every_s = 60.0 / pace.per_minute if pace.per_minute else 0.0
        self._backoff_s = pace.backoff_s
        self._lock = threading.Lock()
        self._pause_s = 0.0
        self.closed = threading.Event()

    def enter(self) -> None:
        """Waits until it is this download's turn."""
        with self._lock:  # held while waiting: the others queue behind
            self.sleep(self._every_s + self._pause_s)

    def refused(self) -> None:
        """Everybody waits before the next download, twice as long as after the refusal before."""
        self._pause_s = min(max(2 * self._pause_s, self._backoff_s), LONGEST_WAIT_S)

    def served(self) -> None:
        """Something came: no more waiting."""
        self._pause_s = 0.0

    def sleep(self, seconds: float) -> None:
        """As time.sleep; ended early when the run ends."""
        if self.closed.is_set() or self.closed.wait(seconds):
            raise Unfetched("network", "the run was stopped")


@contextmanager
def _pool(workers: int, gate: Gate) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    try:
        yield pool
    finally:
        gate.closed.set()
        pool.shutdown(cancel_futures=True)


def _in_flight(
    pool: ThreadPoolExecutor, work: Callable[[ClipRow], Fetched], rows: list[ClipRow], at_once: int
) -> Iterator[tuple[ClipRow, "Future[Fetched]"]]:
    """Each row with its finished future, as they finish; never more than `at_once` begun."""
    waiting = iter(rows)
    running: dict[Future[Fetched], ClipRow] = {}
    while True:
        for row in waiting:
            running[pool.submit(work, row)] = row
            if len(running) >= at_once:
                break
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future


def _settle(ledger: Ledger, folder: Path, row: ClipRow, future: "Future[Fetched]", result: Download) -> str:
    """Writes into the ledger how the clip ended; the reason of the loss, or "done"."""
    try:
        path, facts = future.result()
    except EchoFrameError:
        raise
    except Exception as error:
        # one clip that nobody foresaw must not end a run of a week
        loss = error if isinstance(error, Unfetched) else Unfetched("unknown", f"{type(error).__name__}: {error}")
        ledger.lost(row.key, reason=loss.reason, detail=loss.detail, fetched=True)
        result.n_lost += 1
        result.reasons[loss.reason] = result.reasons.get(loss.reason, 0) + 1
        return loss.reason
    ledger.done(row.key, file=path.relative_to(folder).as_posix(), facts=asdict(facts), fetched=True)
    result.n_done += 1
    return "done"


def _try(row: ClipRow, folder: Path, partial: Path, fetch: Fetch, pace: Pace, gate: Gate) -> Fetched:
    """The clip, verified and at its place; tried again after a while for what passes by itself. Raises Unfetched."""
    for attempt in range(pace.tries):
        here = _is_here(row, folder)
        if here is not None:
            return here
        gate.enter()
        try:
            found = _fetch_and_verify(row, folder, partial, fetch)
            gate.served()
            return found
        except Unfetched as loss:
            if loss.reason in REFUSALS:
                gate.refused()
            if loss.reason not in TEMPORARY or attempt + 1 == pace.tries:
                raise
            # drawn, so that clips that failed together do not come back together
            drawn = random.Random(f"{row.key} {attempt}").uniform(0.5, 1.5)
            gate.sleep(min(pace.backoff_s * 2**attempt * drawn, LONGEST_WAIT_S))
    raise AssertionError("tries is at least 1")


def _is_here(row: ClipRow, folder: Path) -> Fetched | None:
    """A clip that a run killed between two writes has left at its place."""
    path = clip_path(folder, row.key, ".mp4")
    if not path.is_file():
        return None
    try:
        facts = inspect_clip(path)
    except (VideoError, AudioError):
        return None
    return (path, facts) if not _losing(facts) else None


def _losing(facts: ClipFacts) -> list[tuple[str, str]]:
    return [problem for problem in problems(facts) if problem[0] in LOSING]


def _fetch_and_verify(row: ClipRow, folder: Path, partial: Path, fetch: Fetch) -> Fetched:
    if shutil.disk_usage(folder).free < FREE_BYTES:
        raise OutputError(f"{folder}: the disk is full; free some space, then run the same command again to continue")
    own = partial / row.key
    own.mkdir(parents=True, exist_ok=True)
    try:
        path = fetch(row, own)
        try:
            facts = inspect_clip(path)
        except (VideoError, AudioError) as error:
            raise Unfetched("broken", str(error).removeprefix(f"{path}: ")) from error
        for reason, detail in _losing(facts):
            raise Unfetched(reason, detail)
        final = clip_path(folder, row.key, path.suffix)
        final.parent.mkdir(parents=True, exist_ok=True)
        path.replace(final)
        return final, facts
    finally:
        shutil.rmtree(own, ignore_errors=True)
