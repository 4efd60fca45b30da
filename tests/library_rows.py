"""All that a library holds, to be compared with what another one holds."""

from pathlib import Path

import numpy as np

from echoframe.library import Library


def rows(path: Path) -> list[object]:
    """Files, words, pieces and embeddings, but for the numbers that files and pieces have in it."""
    with Library.open(path) as library:
        connection, store = library._database.connection, library._store
        found: list[object] = list(library)
        for entry in library:
            for number in store.numbers_of(entry.sha256):
                (data,) = connection.execute("SELECT embedding FROM vectors WHERE rowid = ?", (number,)).fetchone()
                found.append((str(entry.path), np.frombuffer(data, dtype=np.float32).tolist()))
        for table in ("files", "words", "pieces", "vectors"):
            found.append((table, connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()))
        return found
