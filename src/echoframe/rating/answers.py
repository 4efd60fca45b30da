"""What raters answered, in SQLite: an answer that was acknowledged survives a killed server, and a second one replaces it."""

import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from echoframe.errors import InputError

_TABLES = """
create table if not exists raters (rater integer primary key, token text not null unique, since text not null);
create table if not exists answers (
    rater integer not null references raters, item text not null, question text not null, value integer not null,
    at text not null, primary key (rater, item, question)
);
"""
# without rows: fails where the tables of that name are another program's
_TRIAL = (
    "select rater, token, since from raters limit 0",
    "select rater, item, question, value, at from answers limit 0",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rater:
    """number: from 1. token: what their link ends with; whoever knows it answers in their name."""

    number: int
    token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """value: 1 to 5; of a preference 1 (the item's first), 0 (neither) or 2 (its second)."""

    rater: int
    item: str
    question: str
    value: int


class Answers:
    """The database at `path`, made if need be. Safe to use from several threads; close it in the end."""

    def __init__(self, path: Path) -> None:
        """Raises InputError if the file is no such database, or cannot be written."""
        self._path, self._lock = path, Lock()
        try:
            path.touch(mode=0o600)
            self._base = sqlite3.connect(path, check_same_thread=False, timeout=30.0)
            with self._base:
                self._base.executescript("pragma journal_mode=wal; pragma synchronous=full;" + _TABLES)
                for query in _TRIAL:
                    self._base.execute(query)
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"{path}: cannot be used for answers ({error}); take it from a copy") from error

    def close(self) -> None:
        self._base.close()

    def raters(self) -> list[Rater]:
        """All of them, by number."""
        with self._reading("select rater, token from raters order by rater") as rows:
            return [Rater(number=number, token=token) for number, token in rows]

    def invite(self, count: int) -> list[Rater]:
        """`count` more raters, each with a token of 128 random bits."""
        with self._lock, self._base:
            for _ in range(count):
                row = (secrets.token_urlsafe(16), _now())
                self._base.execute("insert into raters (token, since) values (?, ?)", row)
        return self.raters()[-count:] if count else []

    def rater(self, token: str) -> Rater | None:
        """Whose token that is."""
        with self._reading("select rater, token from raters where token = ?", (token,)) as rows:
            return next((Rater(number=number, token=found) for number, found in rows), None)

    def save(self, rater: Rater, item: str, values: Mapping[str, int]) -> None:
        """All answers to one item, or none of them; returns once they are on the disk."""
        rows = [(rater.number, item, question, value, _now()) for question, value in values.items()]
        with self._lock, self._base:
            self._base.executemany("insert or replace into answers values (?, ?, ?, ?, ?)", rows)

    def of(self, rater: Rater) -> dict[str, dict[str, int]]:
        """By item and question."""
        found: dict[str, dict[str, int]] = {}
        with self._reading("select item, question, value from answers where rater = ?", (rater.number,)) as rows:
            for item, question, value in rows:
                found.setdefault(item, {})[question] = value
        return found

    def all(self) -> list[Answer]:
        """Every answer, by rater, item and question."""
        query = "select rater, item, question, value from answers order by rater, item, question"
        with self._reading(query) as rows:
            return [Answer(rater=a, item=b, question=c, value=d) for a, b, c, d in rows]

    @contextmanager
    def _reading(self, query: str, values: tuple[object, ...] = ()) -> Iterator[sqlite3.Cursor]:
        with self._lock, closing(self._base.execute(query, values)) as rows:
            yield rows


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
