"""What is known of every clip of a clip folder, in one SQLite file: wanted, done, or lost and why."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from echoframe.data.clip_list import ClipRow
from echoframe.errors import InputError, OutputError

LEDGER = "ledger.sqlite"
State = Literal["wanted", "done", "lost"]
# of no use to try again, unless the cause is mended (cookies, another country)
PERMANENT = ("removed", "private", "age", "region", "copyright", "no-audio", "no-video", "too-short", "silent", "black")
TEMPORARY = ("rate-limited", "blocked", "network", "broken", "missing", "unknown")
REASONS = PERMANENT + TEMPORARY

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (
    key TEXT PRIMARY KEY,
    youtube_id TEXT NOT NULL,
    start_s INTEGER NOT NULL,
    label TEXT NOT NULL,
    split TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'wanted',
    reason TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    file TEXT NOT NULL DEFAULT '',
    facts TEXT NOT NULL DEFAULT '{}',
    tries INTEGER NOT NULL DEFAULT 0,
    changed TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One clip's line. reason: one of REASONS, detail: its words, if lost. file: path in the folder, if done.

    facts: what verification found, see `verify.ClipFacts`. tries: how often it was fetched. changed: UTC, ISO 8601.
    """

    row: ClipRow
    state: State
    reason: str
    detail: str
    file: str
    facts: Mapping[str, Any]
    tries: int
    changed: str


class Ledger:
    """The ledger of one clip folder. Every change is on the disk when its call returns: a killed run loses nothing."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def add(self, rows: Iterable[ClipRow]) -> int:
        """Adds clips as wanted. Known ones get the label and the split that they did not have. Returns how many were new.

        Raises InputError if a known clip has another label or split here than there.
        """
        fresh: list[ClipRow] = []
        told: list[ClipRow] = []
        for row in rows:
            before = self.row(row.key)
            if before is None:
                fresh.append(row)
                continue
            now = filled(before, row)
            if (now.label, now.split) != (row.label or now.label, row.split or now.split):
                raise InputError(
                    f'{self.path}: {row.key} is "{before.label}" {before.split} there, "{row.label}" {row.split} in '
                    "the list; use another folder"
                )
            told.extend([now] if now != before else [])
        with self._change():
            self._connection.executemany(
                "INSERT INTO clips (key, youtube_id, start_s, label, split) VALUES (?, ?, ?, ?, ?)",
                [(row.key, row.youtube_id, row.start_s, row.label, row.split) for row in fresh],
            )
            self._connection.executemany(
                "UPDATE clips SET label = ?, split = ? WHERE key = ?", [(row.label, row.split, row.key) for row in told]
            )
        return len(fresh)

    def row(self, key: str) -> ClipRow | None:
        """The clip of that key as it was added, None if it was not."""
        query = "SELECT youtube_id, start_s, label, split FROM clips WHERE key = ?"
        found = self._connection.execute(query, (key,)).fetchone()
        return _row(key, *found) if found else None

    def done(self, key: str, *, file: str, facts: Mapping[str, Any], fetched: bool = False) -> None:
        """The clip lies at `file` and was verified. fetched: count one try."""
        self._set(key, "done", file=file, facts=facts, tries=int(fetched))

    def lost(self, key: str, *, reason: str, detail: str, fetched: bool = False) -> None:
        """The clip cannot be had. reason: one of REASONS. detail: one line."""
        assert reason in REASONS, reason
        self._set(key, "lost", reason=reason, detail=" ".join(detail.split())[:500], tries=int(fetched))

    def want(self, key: str) -> None:
        """The clip is to be fetched again."""
        self._set(key, "wanted")

    def _set(
        self,
        key: str,
        state: State,
        *,
        reason: str = "",
        detail: str = "",
        file: str = "",
        facts: Mapping[str, Any] | None = None,
        tries: int = 0,
    ) -> None:
        with self._change():
            changed = self._connection.execute(
                "UPDATE clips SET state = ?, reason = ?, detail = ?, file = ?, facts = ?, tries = tries + ?,"
                " changed = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE key = ?",
                (state, reason, detail, file, json.dumps(facts or {}), tries, key),
            ).rowcount
        assert changed == 1, key

    def entries(self, *, state: State | None = None) -> Iterator[Entry]:
        """All lines, in the order of their keys."""
        query = "SELECT key, youtube_id, start_s, label, split, state, reason, detail, file, facts, tries, changed FROM clips"
        where, only = (" WHERE state = ?", (state,)) if state else ("", ())
        for values in self._connection.execute(f"{query}{where} ORDER BY key", only).fetchall():
            key, youtube_id, start_s, label, split, now, reason, detail, file, facts, tries, changed = values
            yield Entry(
                row=_row(key, youtube_id, start_s, label, split),
                state=now,
                reason=reason,
                detail=detail,
                file=file,
                facts=json.loads(facts),
                tries=tries,
                changed=changed,
            )

    def to_fetch(self, retry: Iterable[str] = ()) -> list[ClipRow]:
        """Clips wanted, and those lost for one of the reasons `retry`, in the order of their keys."""
        again = set(retry)
        return [e.row for e in self.entries() if e.state == "wanted" or (e.state == "lost" and e.reason in again)]

    def counts(self) -> dict[str, int]:
        """How many are "done", "wanted", and lost for each reason, those that are not none."""
        query = "SELECT CASE state WHEN 'lost' THEN reason ELSE state END AS what, COUNT(*) FROM clips GROUP BY what"
        found = dict(self._connection.execute(query).fetchall())
        return {what: found[what] for what in ("done", "wanted", *REASONS) if what in found}

    @contextmanager
    def _change(self) -> Iterator[None]:
        try:
            with self._connection:
                yield
        except sqlite3.OperationalError as error:
            raise OutputError(f"{self.path}: cannot be written ({error}); free some space and try again") from error


def filled(before: ClipRow, told: ClipRow) -> ClipRow:
    """A known clip with the label and the split that it lacks and a list tells."""
    return replace(before, label=before.label or told.label, split=before.split or told.split)


def _row(key: str, youtube_id: str, start_s: int, label: str, split: str) -> ClipRow:
    return ClipRow(youtube_id=youtube_id, start_s=start_s, label=label, split=split, name="" if youtube_id else key)


@contextmanager
def open_ledger(folder: Path, *, create: bool = True) -> Iterator[Ledger]:
    """The ledger in `folder`, made if it is not there. Raises InputError if it is no ledger, or missing and not made."""
    path = folder / LEDGER
    if not create and not path.exists():
        raise InputError(
            f"{folder}: no {LEDGER} here, so not a clip folder; make one with echoframe data download or adopt"
        )
    try:
        connection = sqlite3.connect(path)
        try:
            connection.execute(_SCHEMA)
            connection.execute("SELECT key, facts, tries FROM clips LIMIT 1")
            yield Ledger(path, connection)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path}: not a ledger ({error}); move it away to begin a new one") from error
