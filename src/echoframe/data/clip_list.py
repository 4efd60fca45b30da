"""Lists of clips: VGGSound's own CSV, the lists of names that other projects publish, and people's own.

Read are, with or without a header line, quoted or not, in UTF-8:

    YouTube id,start seconds,label,split        vggsound.csv
    NAME,label[,split]                          NAME: ID_000030, ID_000030.mp4 or ID_30000_40000 (milliseconds),
                                                or any other name of a file, with or without its folder and suffix

separated by commas, or by tabs in a .tsv. A label or split may be empty; labels need not be VGGSound's.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from echoframe.bundles.labels import vggsound_labels
from echoframe.errors import InputError
from echoframe.media.video import VIDEO_SUFFIXES

CLIP_S = 10.0  # VGGSound cuts ten seconds
SPLITS = ("train", "val", "test")
SOUND_SUFFIXES = frozenset({".flac", ".wav"})
_ID = r"[A-Za-z0-9_-]{11}"
_NAME = re.compile(rf"({_ID})_(\d{{1,6}})")
_SPAN = re.compile(rf"({_ID})_(\d+)_(\d+)")  # milliseconds
_HEADERS = {"youtube_id", "youtube id", "ytid", "id", "name", "file", "filename", "path", "clip", "video_id", "video"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipRow:
    """One clip that is wanted. start_s: where its ten seconds begin. label, split: "" where the list says nothing.

    name: of a clip that is of no video site; it has neither id nor start.
    """

    youtube_id: str = ""
    start_s: int = 0
    label: str = ""
    split: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        """ID_000030, or a name of its own: the name every file of the clip has."""
        return self.name or f"{self.youtube_id}_{self.start_s:06d}"

    @property
    def film(self) -> str:
        """What the clip was cut from: clips of one film go to one side of a split."""
        return self.youtube_id or self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipList:
    """rows: in the list's order, each key once. n_duplicates: rows that said the same as one before."""

    rows: tuple[ClipRow, ...]
    n_duplicates: int = 0

    @property
    def other_labels(self) -> dict[str, int]:
        """How many clips have each label that VGGSound does not have, the most first."""
        known = {name for name, _ in vggsound_labels()}
        return dict(Counter(row.label for row in self.rows if row.label and row.label not in known).most_common())


def parse_clip_name(name: str) -> tuple[str, int] | None:
    """YouTube id and start in seconds that a file's name says, None if it says none.

    >>> parse_clip_name("glLQrEijrKg_000300.mp4")
    ('glLQrEijrKg', 300)
    >>> parse_clip_name("0nib7bMm8BA_15000_25000.wav")
    ('0nib7bMm8BA', 15)
    """
    stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name)
    if found := _NAME.fullmatch(stem):
        return found[1], int(found[2])
    if (found := _SPAN.fullmatch(stem)) and int(found[2]) % 1000 == 0 and int(found[3]) > int(found[2]):
        return found[1], int(found[2]) // 1000
    return None


def row_named(name: str, *, label: str = "", split: str = "") -> ClipRow:
    """The clip of a file's name, or of its path below the folder of all clips.

    A name of its own is that path, with "_" for all but letters, digits and dashes: it has to fit into tars and URLs.

    >>> row_named("dogs/Take 2.mp4").key, row_named("dogs/glLQrEijrKg_000300.mp4").key
    ('dogs_Take_2', 'glLQrEijrKg_000300')
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if found := parse_clip_name(path.name):
        return ClipRow(youtube_id=found[0], start_s=found[1], label=label, split=split)
    stem = path.with_suffix("") if path.suffix.lower() in VIDEO_SUFFIXES | SOUND_SUFFIXES else path
    return ClipRow(name=re.sub(r"[^\w-]+", "_", str(stem)), label=label, split=split)


def clip_path(folder: Path, key: str, suffix: str) -> Path:
    """Where the clip of that key lies in a clip folder."""
    return folder / "clips" / hashlib.sha1(key.encode()).hexdigest()[:2] / f"{key}{suffix}"


def read_clip_list(path: Path) -> ClipList:
    """The clips listed at `path`.

    Raises InputError, with the line, for columns that are not those of this module's head, an id or start that is
    none, an unknown split, or one clip listed twice with different labels or splits.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a list of clips") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save the list as UTF-8") from error
    rows: dict[str, tuple[int, ClipRow]] = {}
    n_duplicates = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    for cells in reader:
        if not cells or (reader.line_num == 1 and cells[0].strip().lower() in _HEADERS):
            continue
        where = f"{path}, line {reader.line_num}"
        row = _row([cell.strip() for cell in cells], where)
        if row.key not in rows:
            rows[row.key] = reader.line_num, row
            continue
        line, first = rows[row.key]
        if first != row:
            raise InputError(
                f'{where}: {row.key} is "{row.label}" {row.split}, but on line {line} "{first.label}" {first.split}; '
                "keep one of the two"
            )
        n_duplicates += 1
    if not rows:
        raise InputError(f"{path}: lists no clip; expected rows of YouTube id, start seconds, label, split")
    return ClipList(rows=tuple(row for _, row in rows.values()), n_duplicates=n_duplicates)


def _row(cells: Sequence[str], where: str) -> ClipRow:
    is_named = len(cells) in (2, 3) and cells[0] and not (len(cells) == 3 and cells[1].isdecimal())
    if len(cells) != 4 and not is_named:
        raise InputError(
            f"{where}: {len(cells)} columns ({', '.join(cells)[:60]}); expected YouTube id, start seconds, label, "
            "split, or the name of a file and a label"
        )
    split = cells[-1] if len(cells) > 2 else ""
    if split and split not in SPLITS:
        raise InputError(f'{where}: split "{split}" is not known; expected {", ".join(SPLITS)} or nothing')
    if is_named:
        return row_named(cells[0], label=cells[1], split=split)
    youtube_id, start, label, _ = cells
    if not re.fullmatch(_ID, youtube_id):
        raise InputError(f'{where}: "{youtube_id}" is not a YouTube id; expected 11 of A-Z a-z 0-9 _ -')
    if not re.fullmatch(r"\d{1,6}", start):
        raise InputError(f'{where}: start "{start}" is not a number of seconds; expected 0 to 999999')
    return ClipRow(youtube_id=youtube_id, start_s=int(start), label=label, split=split)
