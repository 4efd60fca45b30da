"""Tables that people write: CSV files with a header line."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from echoframe.errors import InputError


def read_table(path: Path, columns: Sequence[str], *, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of the table at `path`, each with what messages call its place; lines that hold nothing are left out.

    columns: the names that are known, of which those `needed` have to be there. Raises InputError for a file that cannot be
    read, another column, and a line that holds more or less than the header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as UTF-8 text ({error}); give a CSV file with a column {', '.join(needed)}"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    found = [cell.strip().lower() for cell in next(reader, [])]
    others = [column for column in columns if column not in needed]
    if not {*needed} <= {*found} <= {*columns} or len(set(found)) < len(found):
        than = f" than {', '.join(others)}" if others else ""
        raise InputError(
            f"{path}: columns {', '.join(found) or 'none'}; expected {', '.join(needed)}, and no others{than}, each once, "
            "in a header line"
        )
    for cells in reader:
        where = f"{path}, line {reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(found):
            raise InputError(
                f"{where}: {len(cells)} cells, the header has {len(found)}; quote a name that holds a comma"
            )
        yield where, dict(zip(found, map(str.strip, cells), strict=True))
