"""The recipe's tables: CSV files whose lines may be comments, and the names that labels go by."""

import csv
from pathlib import Path

HERE = Path(__file__).parent


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table; empty lines and those that begin with # are left out."""
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(line for line in lines if line.strip() and not line.startswith("#")))


def label_names(path: Path = HERE / "label_names.csv") -> dict[str, str]:
    """The one name of a label, by every other name that it has."""
    return {row["name"]: row["canonical"] for row in read_rows(path)}
