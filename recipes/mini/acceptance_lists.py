"""What the acceptance tables are measured on: held-out recordings, pictures, films, from the shared folders' own lists.

*Conventions*: labels are canonical (label_names.csv), and only those count that the table of AudioSet's classes has.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from echoframe.evaluation.judges.yamnet import label_classes
from tables import label_names, read_rows

HERE = Path(__file__).parent
MANIFESTS = ("corpus/manifest.csv", "corpus/more.csv")
ENOUGH_SOUNDS = 10  # of a label, for its pictures to count
SYSTEMS = {"Frieren": "frieren", "Diff-Foley": "diff_foley", "Im2Wav": "im2wav", "SpecVQGAN": "specvqgan"}


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A recording or a picture with its label. recording: pieces of one recording share it."""

    file: Path
    label: str
    split: str
    recording: str


def canonical(label: str) -> str:
    return label_names().get(label, label)


def read_list(manifest: Path) -> list[Listed]:
    """Everything in a manifest of sounds or pictures whose label has classes."""
    names = label_names()
    rows = read_rows(manifest)
    listed = [
        Listed(
            file=manifest.parent / row["file"],
            label=names.get(row["label"], row["label"]),
            split=row["split"],
            recording=row.get("recording") or row["file"],
        )
        for row in rows
    ]
    return [one for one in listed if one.label in label_classes()]


def read_recordings(shared: Path) -> list[Listed]:
    """The recordings of both manifests."""
    return [one for name in MANIFESTS for one in read_list(shared / name)]


def held_out(recordings: Sequence[Listed], limit: int, split: str = "test") -> list[Listed]:
    """The first piece of each held-out recording, `limit` at most: every label in turn, labels in an order of no meaning."""
    first: dict[tuple[str, str], Listed] = {}
    for one in recordings:
        if one.split == split:
            first.setdefault((one.label, one.recording), one)
    seen: Counter[str] = Counter()
    turns: list[tuple[int, str, Listed]] = []
    for one in first.values():
        turns.append((seen[one.label], sha256(one.label.encode()).hexdigest(), one))
        seen[one.label] += 1
    return [one for *_, one in sorted(turns, key=lambda turn: turn[:2])][:limit]


def read_pictures(shared: Path, recordings: Sequence[Listed], limit: int, split: str = "test") -> list[Listed]:
    """The pictures of labels with ten sounds or more, every label in turn, `limit` at most."""
    sounds = Counter(one.label for one in recordings)
    pictures = [one for one in read_list(shared / "pictures" / "manifest.csv") if sounds[one.label] >= ENOUGH_SOUNDS]
    return held_out(pictures, limit, split)


def read_films(shared: Path) -> dict[str, str]:
    """The label of each of the twelve films, by stem, in order."""
    text = (shared / "peers" / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"\| (\S{11}_\d{6}) \| ([^|\n]+?) (?=\|)", text)
    return dict(sorted(found))
