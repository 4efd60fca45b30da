"""Clips out of tars: our own, or those of a mirror. What climbs out of its folder is refused, what is damaged is said."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from echoframe.data.clip_list import SOUND_SUFFIXES, SPLITS, ClipRow, clip_path, row_named
from echoframe.data.ledger import Ledger
from echoframe.data.verify import remove_partials
from echoframe.errors import InputError, OutputError
from echoframe.media.video import VIDEO_SUFFIXES
from echoframe.output import file_sha256, partial_path
from echoframe.progress import ProgressCallback

TARS = (".tar", ".tar.gz", ".tgz")
COUNTS: tuple[str, ...] = ("unpacked", "known", "not-clips", "damaged-clips", "damaged-tars")
_CLIPS = VIDEO_SUFFIXES | SOUND_SUFFIXES
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20
_JSON_BYTES = 1 << 20  # a longer JSON is none of a clip's


def find_tars(source: Path) -> list[Path]:
    """The tar at `source`, or those in the folder. Raises InputError if there is none."""
    if source.is_file():
        return [source]
    # a dot begins what a run of pack has not finished
    found = sorted(path for path in source.glob("[!.]*") if path.name.endswith(TARS))
    if not found:
        raise InputError(f"{source}: no tar here; expected a {TARS[0]} or {TARS[1]} file, or a folder of them")
    return found


def unpack(source: Path, folder: Path, ledger: Ledger, *, progress: ProgressCallback | None = None) -> dict[str, int]:
    """Takes the clips out of a tar, or of every tar in a folder, into a clip folder; returns counts.

    "unpacked", "known" (done already, and of the size they were), "not-clips" (other files), "damaged-clips" (not the
    sha256 that the JSON beside them says; not taken, lost as broken), "damaged-tars" (what comes before the damage is
    taken, one line to `progress` says how far that is). Label and split come from the ledger, or else from the JSON.

    Raises InputError for a member with a path that leads out of the tar, a link or a device. Of a .tar all members are
    looked at first, so nothing of it is taken. Of a .tar.gz each is looked at before it is written: clips before it are
    taken. No path of a tar is ever written to: a clip's place follows from its key. The caller holds the folder's lock.
    """
    tars = find_tars(source)
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    counts = dict.fromkeys(COUNTS, 0)
    known = _known(folder, ledger)
    for n, path in enumerate(tars, start=1):
        sidecar = _sidecar(path)
        if sidecar.get("keys") and known.issuperset(sidecar["keys"]):
            counts["known"] += len(sidecar["keys"])
            lines = [f"{path.name}: all its clips are here already"]
        else:
            lines = _Taker(path, folder, ledger, known, counts).take(sidecar.get("sha256", ""))
        if progress is not None:
            for line in lines:
                progress(n, len(tars), line)
    return counts


def _known(folder: Path, ledger: Ledger) -> set[str]:
    sizes = {}
    for entry in ledger.entries(state="done"):
        path = folder / entry.file
        sizes[entry.row.key] = path.is_file() and path.stat().st_size == entry.facts.get("size")
    return {key for key, same in sizes.items() if same}


def _sidecar(tar: Path) -> dict[str, Any]:
    """sha256 and keys of a tar of ours, {} if there is no NAME.tar.json beside it."""
    try:
        values = json.loads(tar.with_name(f"{tar.name}.json").read_text(encoding="utf-8"))
        return {"sha256": str(values["sha256"]), "keys": [str(clip["key"]) for clip in values["clips"]]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


class _Header(tarfile.TarInfo):
    """A header for which a bad or missing one is an error: tarfile takes it for the end, and says nothing."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_Header":
        return _strict(super().fromtarfile, tarfile)


def _strict(read: Callable[[tarfile.TarFile], Any], tar: tarfile.TarFile) -> Any:
    try:
        return read(tar)
    except tarfile.HeaderError as error:
        if type(error).__name__ == "EOFHeaderError":  # the end mark
            raise
        what = "ends without an end mark" if "empty header" in str(error) else f"no tar header: {error}"
        raise tarfile.ReadError(f"{what}, at byte {tar.offset}") from error


class _Bytes(io.RawIOBase):
    """The bytes of a tar. Whatever hinders reading them is a ReadError."""

    def __init__(self, source: io.BufferedReader | gzip.GzipFile) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            piece = self._source.read1(len(buffer))  # what comes before the damage, not all or nothing
        except (OSError, EOFError, zlib.error) as error:
            raise tarfile.ReadError(str(error)) from error
        buffer[: len(piece)] = piece
        return len(piece)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """The tar as a stream: one pass. Raises ReadError where it is damaged, InputError if it cannot be opened."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    with file:
        plain = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file
        source = _Bytes(plain)
        with tarfile.open(fileobj=source, mode="r|", bufsize=_PIECE, tarinfo=_Header) as tar:
            yield tar
        while source.read(_PIECE):  # gzip's checksum comes last
            pass


def _check_member(path: Path, member: tarfile.TarInfo) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise InputError(f"{path}: member {member.name!r} leads out of the folder; do not use this tar")
    if not (member.isdir() or (member.isreg() and not member.issparse())):
        raise InputError(f"{path}: member {member.name!r} is a link or a device; expected plain files only")


def _check_headers(path: Path) -> None:
    """Looks at the members of a tar that is not compressed. Damage is met again when clips are taken."""
    try:
        with tarfile.open(path, "r:", tarinfo=_Header) as tar:
            for member in tar:
                _check_member(path, member)
    except (tarfile.TarError, OSError):
        return


class _Held:
    """A clip that is written under a temporary name."""

    def __init__(self, key: str, partial: Path, final: Path, sha256: str, size: int) -> None:
        self.key, self.partial, self.final, self.sha256, self.size = key, partial, final, sha256, size


class _Taker:
    """Takes the clips of one tar. The JSON of a clip comes right after it or, in other people's tars, right before."""

    def __init__(self, path: Path, folder: Path, ledger: Ledger, known: set[str], counts: dict[str, int]) -> None:
        self._path, self._folder, self._ledger, self._known, self._counts = path, folder, ledger, known, counts
        self._held: _Held | None = None
        self._about: dict[str, dict[str, Any]] = {}  # the last JSON, by its clip's key
        self._with_json = False
        self._lines: list[str] = []
        self._n_met = self._n_taken = 0

    def take(self, sha256: str) -> list[str]:
        """Takes what there is, returns lines on it. sha256: what the tar's should be, if that is known."""
        _check_headers(self._path)
        name, damage = self._path.name, ""
        if sha256 and file_sha256(self._path) != sha256:
            damage = f"{name}: not the sha256 that {name}.json says"
        try:
            with _opened(self._path) as tar:
                for member in tar:
                    _check_member(self._path, member)
                    if not member.isdir():
                        self._member(tar, member)
            self._settle()
        except tarfile.TarError as error:
            # where clips have a JSON, one whose JSON is lost was not checked
            self._drop() if self._with_json else self._settle()
            damage = f"{name}: breaks off after {self._n_met} clips ({error})"
        finally:
            self._drop()
        if damage:
            self._counts["damaged-tars"] += 1
            return [*self._lines, f"{damage}; fetch this tar again, and run echoframe data verify {self._folder}"]
        return [*self._lines, f"{name}: {self._n_taken} clips unpacked"]

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        key, suffix = _key_of(PurePosixPath(member.name).name)
        stream = tar.extractfile(member)
        assert isinstance(stream, io.BufferedReader)  # a plain file's
        if self._held is not None and key is not None and self._held.key != key:
            self._settle()
        if key is not None and suffix == ".json":
            self._with_json = True
            self._about = {key: _read_about(stream, member.size)}
            self._settle()
        elif key is None or suffix not in _CLIPS:
            self._counts["not-clips"] += 1
        elif key in self._known or self._held is not None:
            self._counts["known"] += 1
            self._n_met += 1
        else:
            self._held = _hold(stream, self._folder, key, suffix)
            if key in self._about:
                self._settle()

    def _drop(self) -> None:
        if self._held is not None:
            self._held.partial.unlink(missing_ok=True)
            self._held = None

    def _settle(self) -> None:
        """The clip that waits for its JSON goes to its place, or is lost."""
        held = self._held
        if held is None:
            return
        self._n_met += 1
        told = self._about.get(held.key, {})
        facts = told["facts"] if isinstance(told.get("facts"), dict) else {}
        expected = told.get("sha256", facts.get("sha256", held.sha256))
        self._ledger.add([self._ledger.row(held.key) or _row(held.key, told)])
        if expected != held.sha256:
            self._drop()
            line = f"{self._path.name}: {held.key} is not the sha256 that the JSON beside it says"
            self._ledger.lost(held.key, reason="broken", detail=line)
            self._counts["damaged-clips"] += 1
            self._lines.append(line)
            return
        os.replace(held.partial, held.final)
        self._held = None
        file = held.final.relative_to(self._folder).as_posix()
        self._ledger.done(held.key, file=file, facts=facts | {"sha256": held.sha256, "size": held.size})
        self._known.add(held.key)
        self._counts["unpacked"] += 1
        self._n_taken += 1


def _key_of(name: str) -> tuple[str | None, str]:
    """The key of a clip or of its JSON, none if the name is neither's; and the suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    return (row_named(PurePosixPath(name).stem).key if suffix in (*_CLIPS, ".json") else None), suffix


def _read_about(stream: io.BufferedReader, size: int) -> dict[str, Any]:
    """What a JSON says, {} if it is not one that says something of a clip."""
    try:
        values = json.loads(stream.read()) if size <= _JSON_BYTES else {}
        return values if isinstance(values, dict) else {}
    except (ValueError, RecursionError):
        return {}


def _row(key: str, told: dict[str, Any]) -> ClipRow:
    label, split = told.get("label"), told.get("split")
    return row_named(
        key,
        label=label if isinstance(label, str) else "",
        split=split if split in SPLITS else "",
    )


def _hold(stream: io.BufferedReader, folder: Path, key: str, suffix: str) -> _Held:
    final = clip_path(folder, key, suffix)
    partial = partial_path(final)
    digest, size = hashlib.sha256(), 0
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            while piece := stream.read(_PIECE):
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # of the disk: what hinders reading a tar is none
        partial.unlink(missing_ok=True)
        raise OutputError(f"{final}: cannot be written ({error.strerror}); free some space and run it again") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return _Held(key, partial, final, digest.hexdigest(), size)
