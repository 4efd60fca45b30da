"""What a library knows of a file and of its pieces. Times are seconds from the beginning of the file's sound."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["event", "ambience"]
State = Literal["done", "lost"]
# why a file has no pieces: what it holds, or that it is not there
REASONS = ("silent", "too-short", "broken", "no-sound", "unreadable", "vanished")


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of a recording that can be laid into a film.

    Attributes:
        start_s: where it begins.
        stop_s: where it ends, its tail included.
        kind: an "event" stands between silences or above what is around it; an "ambience" is steady or goes on.
        loudness_lufs: its integrated loudness, mixed to mono; -inf under -70.
        peak_db: the largest sample of any channel, in dBFS.
        onsets_s: when something in it is heard to begin.
        loop_s: two places at which an ambience can be joined to itself, if there are any.
    """

    start_s: float
    stop_s: float
    kind: Kind
    loudness_lufs: float
    peak_db: float
    onsets_s: tuple[float, ...] = ()
    loop_s: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A file of the library.

    Attributes:
        path: where it was found last.
        size: in bytes.
        mtime_ns: when it was changed last, in nanoseconds since 1970.
        sha256: the hash of its content; "" if it could not be read.
        sample_rate: in Hz, as it is in the file; 0 if it is not known.
        channels: how many there are; 0 if it is not known.
        duration_s: seconds of sound.
        state: "done", or "lost" if it has no pieces or is not there.
        reason: one of `REASONS` if it is lost, else "".
        detail: one line about the reason, or about what was left out.
        words: what its name and its metadata say, by field.
        pieces: its parts, in the order of their starts. Files of equal content share theirs.
    """

    path: Path
    size: int
    mtime_ns: int
    sha256: str
    sample_rate: int = 0
    channels: int = 0
    duration_s: float = 0.0
    state: State
    reason: str = ""
    detail: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A piece that a search found.

    Attributes:
        path: the file that it is in.
        also: other files of the same content.
        piece: the piece.
        score: how well it fits; the list that a search gives falls by it.
        similarity: the cosine of the piece with the target, -1 to 1; 0 if a text has no place in the audio space.
        sample_rate: of the file, in Hz.
        channels: of the file.
        words: what the file's name and metadata say, by field.
    """

    path: Path
    also: tuple[Path, ...] = ()
    piece: Piece
    score: float
    similarity: float
    sample_rate: int
    channels: int
    words: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryInfo:
    """What a library holds.

    Attributes:
        path: its file.
        model: the name and version of the model whose audio space its sounds are in.
        source: how that model was loaded.
        space: the name of the audio space.
        dim: numbers of an embedding.
        n_files: files that are there.
        n_lost: files that have no pieces or are not there, by reason.
        n_events: pieces that are events. Equal files count once.
        n_ambiences: pieces that are ambiences.
        duration_s: seconds of sound in the files that are there.
        size: bytes of the library's own file.
    """

    path: Path
    model: str
    source: str
    space: str
    dim: int
    n_files: int
    n_lost: dict[str, int] = field(default_factory=dict)
    n_events: int
    n_ambiences: int
    duration_s: float
    size: int
