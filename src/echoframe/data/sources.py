"""What there is to embed: the clips of a clip folder, of a plain folder of films, or of WebDataset tars, in one order."""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from echoframe.data.clip_list import parse_clip_name
from echoframe.data.ledger import LEDGER, open_ledger
from echoframe.errors import InputError
from echoframe.media.video import VIDEO_SUFFIXES


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One clip and where its bytes are. file: relative to the source's folder.

    offset, size: of its bytes in the file; a tar's member begins at `offset`, a file of its own has offset -1.
    version: what changes if the clip does: its sha256 where the ledger says it, else its size.
    """

    key: str
    file: str
    offset: int = -1
    size: int = 0
    version: str = ""
    label: str = ""
    split: str = ""
    youtube_id: str = ""
    start_s: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """kind: "clip folder", "folder" or "tars". folder: what the items' files are relative to."""

    kind: str
    folder: Path
    items: tuple[Item, ...]

    @property
    def plan(self) -> str:
        """sha256 of all that the embeddings depend on, wherever the source lies."""
        lines = (json.dumps(asdict(item), sort_keys=True) for item in self.items)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def list_source(path: Path) -> Source:
    """The clips at `path`, always in the same order. No film is opened.

    A clip folder gives the clips its ledger calls done, by key. A folder with tars gives their films, tar by tar; any
    other folder the films in it and below, by key. There a film's key is its name without the suffix, and label and
    split come from the JSON beside it in the tar. Raises InputError if there is none, if two have the same key, or for a
    tar that cannot be read or has a member that leads out of it.
    """
    if path.is_file():
        if not path.name.endswith(".tar"):
            raise InputError(f"{path}: not a tar; expected a folder of clips, a .tar, or a folder of these")
        kind, folder, items = "tars", path.parent, list(_members(path))
    elif not path.is_dir():
        raise InputError(f"{path}: no such source; expected a folder of clips, a .tar, or a folder of these")
    elif (path / LEDGER).exists():
        kind, folder, items = "clip folder", path, list(_done(path))
    elif tars := sorted(path.glob("[!.]*.tar")):
        kind, folder, items = "tars", path, [item for tar in tars for item in _members(tar)]
    else:
        kind, folder, items = "folder", path, sorted(_films(path), key=lambda item: item.key)
    if not items:
        raise InputError(f"{path}: no clip in this {kind}; run echoframe data download or adopt first")
    _check_keys(path, items)
    return Source(kind=kind, folder=folder, items=tuple(items))


def _check_keys(path: Path, items: list[Item]) -> None:
    seen: dict[str, Item] = {}
    for item in items:
        first = seen.setdefault(item.key, item)
        if first is not item:
            raise InputError(
                f'{path}: two clips have the key "{item.key}": {first.file} and {item.file}; rename one, or take it away'
            )


def _done(folder: Path) -> Iterator[Item]:
    with open_ledger(folder, create=False) as ledger:
        for entry in ledger.entries(state="done"):
            row = entry.row
            yield Item(
                key=row.key,
                file=entry.file,
                version=str(entry.facts.get("sha256", "")),
                label=row.label,
                split=row.split,
                youtube_id=row.youtube_id,
                start_s=row.start_s,
            )


def _films(folder: Path) -> Iterator[Item]:
    for path in folder.rglob("[!.]*"):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            yield _named(path.name, {}, file=path.relative_to(folder).as_posix(), version=str(path.stat().st_size))


def _members(tar: Path) -> Iterator[Item]:
    """The films of one tar, in its order; only its headers and the small JSONs are read."""
    films: dict[str, tarfile.TarInfo] = {}
    said: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(tar, "r:") as opened:
            for member in opened:
                name = _checked(tar, member)
                if not member.isfile() or name.name.startswith("."):
                    continue
                stem = str(name.with_suffix(""))
                if name.suffix.lower() in VIDEO_SUFFIXES:
                    films[stem] = member
                elif name.suffix == ".json" and (file := opened.extractfile(member)):
                    said[stem] = _said(tar, member.name, file.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{tar}: cannot be read as a plain tar ({error}); fetch or pack it again") from error
    for stem, member in films.items():
        where = {"file": tar.name, "offset": member.offset_data, "size": member.size, "version": str(member.size)}
        yield _named(PurePosixPath(member.name).name, said.get(stem, {}), **where)


def _checked(tar: Path, member: tarfile.TarInfo) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise InputError(f"{tar}: member {member.name!r} leads out of the folder; do not use this tar")
    if not (member.isfile() or member.isdir()):
        raise InputError(f"{tar}: member {member.name!r} is a link or a device; expected plain files only")
    return name


def _said(tar: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except ValueError as error:
        raise InputError(f"{tar}: {name} is not JSON ({error}); pack it again") from error
    return values if isinstance(values, dict) else {}


def _named(name: str, said: dict[str, Any], **where: Any) -> Item:
    """The item of a film of that name, with what the JSON beside it says."""
    youtube_id, start_s = parse_clip_name(name) or ("", 0)
    start = said.get("start_s", start_s)
    return Item(
        key=PurePosixPath(name).stem,
        label=str(said.get("label") or ""),
        split=str(said.get("split") or ""),
        youtube_id=str(said.get("youtube_id") or youtube_id),
        start_s=int(start) if isinstance(start, int | float) else start_s,
        **where,
    )
