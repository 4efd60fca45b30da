"""Clips into WebDataset tars: the same clips give the same bytes, on every machine and after every interruption."""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from echoframe.data.clip_list import SPLITS
from echoframe.data.ledger import Entry, Ledger
from echoframe.data.units import size_words
from echoframe.errors import InputError, OutputError
from echoframe.output import atomic_files, file_sha256
from echoframe.progress import ProgressCallback

INDEX = "shards.json"
FORMAT = 1
ALL = "all"  # of clips that have no split
_BLOCK = tarfile.BLOCKSIZE
_NAMES = rf"(?:{'|'.join((*SPLITS, ALL))})-\d{{6}}"
_SHARD = re.compile(rf"{_NAMES}\.tar")
_LEFTOVER = re.compile(rf"\.(?:shards|{_NAMES}(?:\.tar)?)\.[0-9a-f]{{8}}\.tmp\.(?:tar|json)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One tar that is written. bytes, sha256: of the tar."""

    name: str
    n: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PackResult:
    """shards: all that were asked for. n_written: of them by this run. n_removed: tars of an older plan."""

    shards: tuple[Shard, ...]
    n_written: int
    n_removed: int

    def __str__(self) -> str:
        n_clips, size = sum(shard.n for shard in self.shards), sum(shard.bytes for shard in self.shards)
        return (
            f"{n_clips} clips in {len(self.shards)} tars, {size_words(size)}; {self.n_written} tars written, "
            f"{len(self.shards) - self.n_written} were there, {self.n_removed} removed"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """A tar that is to be: what its sidecar says but for the tar's size and hash, and its clips, each with its JSON."""

    about: dict[str, Any]
    members: tuple[tuple[Entry, bytes], ...]

    @property
    def name(self) -> str:
        return self.about["name"]


def pack(
    folder: Path,
    out: Path,
    ledger: Ledger,
    *,
    shard_bytes: int = 1_000_000_000,
    splits: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> PackResult:
    """Writes the clips of `folder` that are done, a JSON beside each, into tars of at most `shard_bytes`.

    A clip that is larger has a tar of its own. Tars are SPLIT-000000.tar ("all" for clips without a split), ordered by
    the sha1 of the key, which mixes the labels. NAME.tar.json says what is in a tar, shards.json which tars there are.
    splits: those to pack, all if empty; tars of the others stay. A tar that is as planned is not written again, one that
    shards.json names and that is planned no more is removed. Raises InputError if no clip is done, or one is not the
    file that the ledger knows.
    """
    planned = _plan(_chosen(folder, ledger, splits), shard_bytes)
    _prepare(out)
    before = {shard.name: shard for shard in read_index(out)} if (out / INDEX).exists() else {}
    now: dict[str, Shard] = {}
    n_written = 0
    for i, plan in enumerate(planned, start=1):
        shard = _as_planned(out, plan)
        n_written += shard is None
        how = "was there" if shard else "written"
        now[plan.name] = shard or _write(folder, out, plan)
        if before.get(plan.name) != now[plan.name]:
            # named at once: also a run that is killed and never resumed leaves no tar that no index knows
            _write_index(out, before | now)
        if progress is not None:
            progress(i, len(planned), f"{plan.name}: {len(plan.members)} clips, {how}")
    gone = [name for name in before if name not in now and (not splits or name.rsplit("-", 1)[0] in splits)]
    for name in gone:
        for path in (out / name, _sidecar(out / name)):
            path.unlink(missing_ok=True)
    _write_index(out, {name: shard for name, shard in (before | now).items() if name not in gone})
    return PackResult(shards=tuple(now.values()), n_written=n_written, n_removed=len(gone))


def read_index(out: Path) -> list[Shard]:
    """What shards.json in `out` says. Raises InputError if it is not one of ours."""
    path = out / INDEX
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}")
        shards = [Shard(**shard) for shard in values["shards"]]
        strange = [shard.name for shard in shards if not _SHARD.fullmatch(shard.name)]
        if strange:  # tars that it names may be removed: it must not name others
            raise ValueError(f"names {strange[0]!r}")
        return shards
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not an index of tars of format {FORMAT} ({error}); pack into an empty folder"
        ) from error


def about(entry: Entry) -> dict[str, Any]:
    """What the JSON beside a clip says. size: bytes. duration_s: of the longer stream. facts: see `verify.ClipFacts`."""
    row, facts = entry.row, dict(entry.facts)
    return {
        "key": row.key,
        "youtube_id": row.youtube_id,
        "start_s": row.start_s,
        "label": row.label,
        "split": row.split,
        "sha256": facts["sha256"],
        "size": facts["size"],
        "duration_s": max(facts.get("video_s") or 0.0, facts.get("audio_s") or 0.0) or None,
        "facts": facts,
    }


def _chosen(folder: Path, ledger: Ledger, splits: Sequence[str]) -> list[Entry]:
    """The clips to pack, in order."""
    unknown = [split for split in splits if split not in (*SPLITS, ALL)]
    if unknown:
        raise InputError(f'split "{unknown[0]}" is not known; expected some of {", ".join((*SPLITS, ALL))}')
    entries = [e for e in ledger.entries(state="done") if not splits or (e.row.split or ALL) in splits]
    if not entries:
        of_split = f" of {', '.join(splits)}" if splits else ""
        raise InputError(
            f"{folder}: no clip{of_split} is done, nothing to pack; run echoframe data download or adopt first"
        )
    for entry in entries:
        if not entry.facts.get("sha256") or not entry.facts.get("size"):
            raise InputError(
                f"{folder / entry.file}: its size and sha256 are not in the ledger; run echoframe data verify {folder}"
            )
    return sorted(entries, key=lambda entry: hashlib.sha1(entry.row.key.encode()).hexdigest())


def _plan(entries: Sequence[Entry], shard_bytes: int) -> list[_Plan]:
    """The tars, from what the ledger knows alone."""
    if shard_bytes < 1:
        raise InputError(f"shard bytes {shard_bytes}; expected 1 or more, 1000000000 is usual")
    by_split: dict[str, list[list[tuple[Entry, bytes]]]] = {}
    room: dict[str, int] = {}
    for entry in entries:
        split, told = entry.row.split or ALL, _json_bytes(about(entry))
        size = 2 * _BLOCK + _padded(entry.facts["size"]) + _padded(len(told))
        shards = by_split.setdefault(split, [])
        if not shards or size > room[split]:
            shards.append([])
            room[split] = shard_bytes // tarfile.RECORDSIZE * tarfile.RECORDSIZE - 2 * _BLOCK  # the tar's end mark
        shards[-1].append((entry, told))
        room[split] -= size
    return [
        _Plan(about=_about_tar(f"{split}-{n:06d}.tar", members), members=tuple(members))
        for split, shards in sorted(by_split.items())
        for n, members in enumerate(shards)
    ]


def _about_tar(name: str, members: Sequence[tuple[Entry, bytes]]) -> dict[str, Any]:
    clips = [
        {
            "key": entry.row.key,
            "file": _file_name(entry),
            "sha256": entry.facts["sha256"],
            "json_sha256": hashlib.sha256(told).hexdigest(),
        }
        for entry, told in members
    ]
    return {"format": FORMAT, "name": name, "n": len(clips), "clips": clips}


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _file_name(entry: Entry) -> str:
    return f"{entry.row.key}{Path(entry.file).suffix}"


def _json_bytes(values: Any) -> bytes:
    return (json.dumps(values, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _sidecar(tar: Path) -> Path:
    return tar.with_name(f"{tar.name}.json")


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder ({error.strerror}); choose another with -o") from error
    for path in out.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            path.unlink()


def _as_planned(out: Path, plan: _Plan) -> Shard | None:
    """The shard, if it lies there whole."""
    tar = out / plan.name
    try:
        found = json.loads(_sidecar(tar).read_text(encoding="utf-8"))
        shard = Shard(name=plan.name, n=found["n"], bytes=found.pop("bytes"), sha256=found.pop("sha256"))
        return shard if found == plan.about and tar.stat().st_size == shard.bytes else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(folder: Path, out: Path, plan: _Plan) -> Shard:
    tar, sidecar = out / plan.name, _sidecar(out / plan.name)
    sidecar.unlink(missing_ok=True)  # no moment may show an old one beside a new tar
    with atomic_files([tar, sidecar]) as (partial, partial_sidecar):
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as opened:
            for entry, told in plan.members:
                _add_clip(opened, folder, entry)
                opened.addfile(_member(f"{entry.row.key}.json", len(told)), io.BytesIO(told))
        shard = Shard(name=plan.name, n=len(plan.members), bytes=partial.stat().st_size, sha256=file_sha256(partial))
        partial_sidecar.write_bytes(_json_bytes(plan.about | {"bytes": shard.bytes, "sha256": shard.sha256}))
    return shard


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # its defaults: time 0, owner 0, no names
    member.size, member.mode = size, 0o644
    return member


def _add_clip(tar: tarfile.TarFile, folder: Path, entry: Entry) -> None:
    path, size = folder / entry.file, int(entry.facts["size"])
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); run echoframe data verify {folder}") from error
    with file:
        clip = _Clip(path, file)
        changed = os.fstat(file.fileno()).st_size != size
        if not changed:
            tar.addfile(_member(_file_name(entry), size), clip)
        if changed or clip.sha256.hexdigest() != entry.facts["sha256"]:
            raise InputError(f"{path}: not the file the ledger knows; run echoframe data verify {folder}")


class _Clip:
    """A file that is hashed while it is read. Raises InputError where it cannot be read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file, self.sha256 = path, file, hashlib.sha256()

    def read(self, n: int = -1, /) -> bytes:
        try:
            piece = self._file.read(n)
        except OSError as error:
            raise InputError(f"{self._path}: breaks off ({error.strerror}); run echoframe data verify") from error
        self.sha256.update(piece)
        return piece


def _write_index(out: Path, shards: dict[str, Shard]) -> None:
    listed = [asdict(shard) for _, shard in sorted(shards.items())]
    totals = {"n_clips": sum(shard["n"] for shard in listed), "bytes": sum(shard["bytes"] for shard in listed)}
    with atomic_files([out / INDEX]) as (partial,):
        partial.write_text(
            json.dumps({"format": FORMAT} | totals | {"shards": listed}, indent=1) + "\n", encoding="utf-8"
        )
