"""The rows of a library: files, what they say, their pieces and embeddings."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from echoframe.library.database import Database
from echoframe.library.entries import Entry, Piece

_FILE = "id, path, size, mtime_ns, sha256, sample_rate, channels, duration_s, state, reason, detail"
_PIECE = "sha256, start_s, stop_s, kind, loudness_lufs, peak_db, onsets_s, loop_start_s, loop_stop_s"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Embedded:
    """P pieces in files that are there: their numbers, which rise, contents, kinds, and embeddings of length 1, (P, D)."""

    numbers: Sequence[int]
    contents: Sequence[str]
    kinds: Sequence[str]
    vectors: Float[np.ndarray, "pieces dim"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cut:
    """The pieces of one content, and an embedding of length 1 for each, (P, D)."""

    pieces: Sequence[Piece] = ()
    vectors: Float[np.ndarray, "pieces dim"] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))


class Store:
    """The rows of one open library."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def _db(self) -> Any:
        return self.database.connection

    def files(self) -> dict[str, Entry]:
        """Every file by its path, in the order of paths, without words and pieces."""
        rows = self._db.execute(f"SELECT {_FILE} FROM files ORDER BY path")
        return {row[1]: _entry(row) for row in rows}

    def of_content(self, sha256: str) -> list[Entry]:
        """The files of that content, in the order of paths, without words and pieces; none for ""."""
        rows = self._db.execute(f"SELECT {_FILE} FROM files WHERE sha256 = ? AND sha256 <> '' ORDER BY path", (sha256,))
        return [_entry(row) for row in rows]

    def content(self, sha256: str) -> Entry | None:
        """What is known of a content, as an entry of one of its files; None if it has to be listened to."""
        rows = self.of_content(sha256)
        if not rows:
            return None
        whole = self._db.execute("SELECT 1 FROM pieces WHERE sha256 = ? LIMIT 1", (sha256,)).fetchone() is not None
        there = [entry for entry in rows if entry.reason != "vanished"]
        if there:
            return there[0]
        return replace(rows[0], state="done", reason="", detail="") if whole else None

    def known_contents(self) -> frozenset[str]:
        """The contents that have pieces, or of which it is known why they cannot have any."""
        query = "SELECT sha256 FROM pieces UNION SELECT sha256 FROM files WHERE reason <> 'vanished'"
        return frozenset(sha256 for (sha256,) in self._db.execute(query))

    def entries(self) -> Iterator[Entry]:
        """Every file whole, in the order of paths."""
        for row in self._db.execute(f"SELECT {_FILE} FROM files ORDER BY path").fetchall():
            pieces = self.pieces_of(row[4]) if row[8] == "done" else ()
            yield _entry(row, self.words_of(row[0]), pieces)

    def words_of(self, number: int) -> dict[str, str]:
        """What the file of that number says of itself."""
        return dict(
            self._db.execute("SELECT field, value FROM words WHERE file = ? ORDER BY field", (number,)).fetchall()
        )

    def words_at(self, path: str) -> dict[str, str]:
        """What the file at that path says of itself; nothing if it is not known."""
        row = self._db.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
        return self.words_of(row[0]) if row else {}

    def pieces_of(self, sha256: str) -> tuple[Piece, ...]:
        """The pieces of that content, in the order of their starts."""
        rows = self._db.execute(f"SELECT {_PIECE} FROM pieces WHERE sha256 = ? ORDER BY start_s, id", (sha256,))
        return tuple(_piece(row) for row in rows)

    def piece(self, number: int) -> tuple[str, Piece]:
        """The content that a piece is of, and the piece."""
        row = self._db.execute(f"SELECT {_PIECE} FROM pieces WHERE id = ?", (number,)).fetchone()
        return row[0], _piece(row)

    def kinds(self) -> dict[str, int]:
        """How many pieces of each kind there are in files that are there."""
        query = (
            "SELECT kind, COUNT(*) FROM pieces WHERE sha256 IN (SELECT sha256 FROM files WHERE state = 'done') "
            "GROUP BY kind"
        )
        return dict(self._db.execute(query).fetchall())

    def numbers_of(self, sha256: str) -> list[int]:
        """The numbers of a content's pieces, in the order of their starts."""
        rows = self._db.execute("SELECT id FROM pieces WHERE sha256 = ? ORDER BY start_s, id", (sha256,))
        return [number for (number,) in rows]

    def known_words(self) -> dict[str, str]:
        """All that the files of a content that are there say, in one text, by content."""
        query = (
            "SELECT f.sha256, GROUP_CONCAT(w.value, ' ') FROM files f JOIN words w ON w.file = f.id "
            "WHERE f.state = 'done' GROUP BY f.sha256"
        )
        return dict(self._db.execute(query).fetchall())

    def embedded(self) -> Embedded:
        """All pieces that can be found."""
        query = (
            "SELECT p.id, p.sha256, p.kind, v.chunk_id, v.chunk_offset FROM pieces p JOIN vectors_rowids v ON v.rowid = p.id "
            "WHERE EXISTS (SELECT 1 FROM files f WHERE f.sha256 = p.sha256 AND f.state = 'done') ORDER BY p.id"
        )
        rows = self._db.execute(query).fetchall()
        numbers, contents, kinds, chunks, places = zip(*rows, strict=True) if rows else ((),) * 5
        chunk_of, place_of = np.array(chunks, dtype=int), np.array(places, dtype=int)
        vectors = np.zeros((len(rows), int(self.database.about()["dim"])), dtype=np.float32)
        # sqlite-vec's own tables: it gives one embedding after the other, which takes several times as long
        query = (
            "SELECT c.chunk_id, c.size, b.vectors FROM vectors_chunks c "
            "JOIN vectors_vector_chunks00 b ON b.rowid = c.chunk_id"
        )
        for chunk, size, data in self._db.execute(query):
            here = np.flatnonzero(chunk_of == chunk)
            vectors[here] = np.frombuffer(data, dtype=np.float32).reshape(size, -1)[place_of[here]]
        return Embedded(numbers=numbers, contents=contents, kinds=kinds, vectors=vectors)

    def put(self, entry: Entry, cut: Cut | None, *, instead_of: Iterable[str] = ()) -> None:
        """Writes a file, in the place of what was there under its path and under the paths `instead_of`.

        cut: the pieces of its content; None if they are there already.
        """
        with self.database.change():
            gone = self._forget([str(entry.path), *instead_of])
            number = self._db.execute(
                f"INSERT INTO files ({_FILE}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _values(entry)
            ).lastrowid
            self._db.executemany(
                "INSERT INTO words (file, field, value) VALUES (?, ?, ?)",
                [(number, name, value) for name, value in entry.words.items()],
            )
            if cut is not None:
                self._cut(entry.sha256, cut)
            self._drop(gone)

    def vanish(self, paths: Iterable[str]) -> None:
        """These files are not there any more. Their pieces stay, for the day on which they are found elsewhere."""
        with self.database.change():
            self._db.executemany(
                "UPDATE files SET state = 'lost', reason = 'vanished', detail = 'it is not there any more' WHERE path = ?",
                [(path,) for path in paths],
            )

    def remove(self, paths: Iterable[str]) -> None:
        """Forgets these files, and the pieces that no other file has."""
        with self.database.change():
            self._drop(self._forget(paths))

    def _forget(self, paths: Iterable[str]) -> set[str]:
        """Takes out rows of files; returns the contents that they had."""
        gone = set[str]()
        for path in paths:
            row = self._db.execute("SELECT id, sha256 FROM files WHERE path = ?", (path,)).fetchone()
            if row is not None:
                self._db.execute("DELETE FROM words WHERE file = ?", row[:1])
                self._db.execute("DELETE FROM files WHERE id = ?", row[:1])
                gone.add(row[1])
        return gone

    def _drop(self, contents: Iterable[str]) -> None:
        """Takes out the pieces of those contents that no file has."""
        for sha256 in contents:
            if not self._db.execute("SELECT 1 FROM files WHERE sha256 = ? LIMIT 1", (sha256,)).fetchone():
                for number in self.numbers_of(sha256):
                    self._db.execute("DELETE FROM vectors WHERE rowid = ?", (number,))
                self._db.execute("DELETE FROM pieces WHERE sha256 = ?", (sha256,))

    def _cut(self, sha256: str, cut: Cut) -> None:
        for piece, vector in zip(cut.pieces, cut.vectors, strict=True):
            values = (
                *(sha256, piece.start_s, piece.stop_s, piece.kind),
                piece.loudness_lufs if math.isfinite(piece.loudness_lufs) else None,
                *(piece.peak_db, json.dumps(piece.onsets_s)),
                *(piece.loop_s or (None, None)),
            )
            number = self._db.execute(
                f"INSERT INTO pieces ({_PIECE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values
            ).lastrowid
            self._db.execute(
                "INSERT INTO vectors (rowid, embedding) VALUES (?, ?)",
                (number, np.ascontiguousarray(vector, dtype=np.float32).tobytes()),
            )


def storable(path: str) -> bool:
    """Whether a path can be kept as text: on Linux a name may hold any bytes."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def absolute(path: str | Path) -> str:
    """The path as a library keeps it: absolute, links in it as they are."""
    return os.path.abspath(os.path.expanduser(path))


def _values(entry: Entry) -> tuple[Any, ...]:
    return (
        *(str(entry.path), entry.size, entry.mtime_ns, entry.sha256, entry.sample_rate, entry.channels),
        *(entry.duration_s, entry.state, entry.reason, " ".join(entry.detail.split())[:500]),
    )


def _entry(row: Sequence[Any], words: dict[str, str] | None = None, pieces: tuple[Piece, ...] = ()) -> Entry:
    _, path, size, mtime_ns, sha256, sample_rate, channels, duration_s, state, reason, detail = row
    return Entry(
        path=Path(path),
        size=size,
        mtime_ns=mtime_ns,
        sha256=sha256,
        sample_rate=sample_rate,
        channels=channels,
        duration_s=duration_s,
        state=state,
        reason=reason,
        detail=detail,
        words=words or {},
        pieces=pieces,
    )


def _piece(row: Sequence[Any]) -> Piece:
    _, start_s, stop_s, kind, loudness, peak_db, onsets_s, loop_start_s, loop_stop_s = row
    return Piece(
        start_s=start_s,
        stop_s=stop_s,
        kind=kind,
        loudness_lufs=-math.inf if loudness is None else loudness,
        peak_db=peak_db,
        onsets_s=tuple(json.loads(onsets_s)),
        loop_s=None if loop_start_s is None else (loop_start_s, loop_stop_s),
    )
