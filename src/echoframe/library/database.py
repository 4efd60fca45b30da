"""The SQLite file of a library: its tables, and a connection that knows vectors (sqlite-vec).

Python's own sqlite3 is used where it can load extensions; some builds cannot, and there pysqlite3 takes its place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from echoframe.errors import InputError, OutputError
from echoframe.optional import require_extra

FORMAT = 1
_WAIT_S = 30.0  # for another program that writes

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    sample_rate INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    duration_s REAL NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX files_by_content ON files (sha256);
CREATE TABLE words (
    file INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (file, field)
) WITHOUT ROWID;
CREATE TABLE pieces (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL,
    start_s REAL NOT NULL,
    stop_s REAL NOT NULL,
    kind TEXT NOT NULL,
    loudness_lufs REAL,
    peak_db REAL NOT NULL,
    onsets_s TEXT NOT NULL,
    loop_start_s REAL,
    loop_stop_s REAL
);
CREATE INDEX pieces_by_content ON pieces (sha256, start_s);
CREATE VIRTUAL TABLE vectors USING vec0(embedding float[{dim}] distance_metric=cosine)
"""


def sqlite() -> ModuleType:
    """The module that opens SQLite files and can load extensions. Raises InputError if there is none."""
    for name in ("sqlite3", "pysqlite3"):
        try:
            module = import_module(name)
        except ModuleNotFoundError:
            continue
        if hasattr(module.Connection, "enable_load_extension"):
            return module
    raise InputError("sqlite3: this Python's own cannot load extensions, which a library needs; pip install pysqlite3")


class Database:
    """One open file. Every change is on the disk when its block ends."""

    def __init__(self, path: Path) -> None:
        """Opens the file at `path`, or an empty one. Raises InputError if it is not a database."""
        vec, self._sqlite = require_extra("sqlite_vec", "library"), sqlite()
        self.path = path
        self.connection: Any = None
        try:
            self.connection = self._sqlite.connect(path, timeout=_WAIT_S, isolation_level=None)
            self.connection.enable_load_extension(True)
            vec.load(self.connection)
            self.connection.enable_load_extension(False)
            self.is_empty = not self.connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        except self._sqlite.Error as error:
            self.close()
            raise InputError(f"{path}: not a library of sounds ({error}); give the file of one") from error

    def close(self) -> None:
        """Closes the file."""
        if self.connection is not None:
            self.connection.close()

    @contextmanager
    def change(self) -> Iterator[Any]:
        """The connection, in a transaction that is on the disk when the block ends, or that never was."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")
        except self._sqlite.OperationalError as error:
            raise OutputError(f"{self.path}: cannot be written ({error}); free some space and try again") from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read within the block is of one moment, whatever another program writes."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    def version(self) -> int:
        """A number that is another one when another connection has written."""
        return self.connection.execute("PRAGMA data_version").fetchone()[0]

    def begin(self, about: dict[str, str], *, dim: int) -> None:
        """Makes the tables of an empty file. about: what it is. dim: numbers of an embedding."""
        with self.change() as connection:
            for statement in _SCHEMA.format(dim=dim).split(";"):
                connection.execute(statement)
            rows = {"format": str(FORMAT), **about}
            connection.executemany("INSERT INTO about (name, value) VALUES (?, ?)", rows.items())
        self.is_empty = False

    def about(self) -> dict[str, str]:
        """What the file says of itself. Raises InputError if it is another database, or of another version."""
        try:
            found = dict(self.connection.execute("SELECT name, value FROM about").fetchall())
        except self._sqlite.Error as error:
            raise InputError(f"{self.path}: not a library of sounds ({error}); give the file of one") from error
        if found.get("format") != str(FORMAT):
            raise InputError(
                f'{self.path}: a library of format "{found.get("format", "")}", expected {FORMAT}; update echoframe, or '
                "add the sounds to a new library"
            )
        return found

    def faults(self) -> list[str]:
        """What is damaged in the file itself, a line each; none if it is whole."""
        try:
            lines = [line for (line,) in self.connection.execute("PRAGMA integrity_check(5)") if line != "ok"]
            n_pieces = self.connection.execute("SELECT COUNT(*) FROM pieces").fetchone()[0]
            n_vectors = self.connection.execute("SELECT COUNT(*) FROM vectors_rowids").fetchone()[0]
        except self._sqlite.Error as error:
            return [str(error)]
        return lines + ([f"{n_pieces} pieces, but {n_vectors} embeddings"] if n_pieces != n_vectors else [])
