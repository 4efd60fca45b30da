"""Embedding sets as training reads them: what they are, which clips they hold, and the numbers of any of those clips.

*Conventions*: a clip is known by its row, counted over all shards of all sets in order. Numbers stay in the dtype of the
file, visual float16 and audio float32, until the mapper takes them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echoframe.bundles.manifest import Space
from echoframe.data.embedding_manifest import MANIFEST, EncoderFacts, SetManifest, read_manifest
from echoframe.errors import InputError
from echoframe.optional import require_extra
from echoframe.spec import ClipSpec

SPLITS = ("train", "val", "test")
UNIT_WITHIN = 0.02  # half precision rounds


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoders:
    """What made the embeddings. about: what the manifest says of both, with licences and sha256 of their files. sound_rate:
    as in the manifest."""

    visual: Space
    audio: Space
    about: dict[str, EncoderFacts]
    clip: ClipSpec
    sound_rate: int

    @staticmethod
    def of(manifest: SetManifest) -> "Encoders":
        """Those of a set."""
        visual, audio = (_space(manifest.encoders[name]) for name in ("visual_encoder", "audio_encoder"))
        return Encoders(
            visual=visual,
            audio=audio,
            about=manifest.encoders,
            clip=manifest.clip,
            sound_rate=manifest.sound_rate,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips:
    """Numbers of N clips. visual: (N, T, Dv), mask: (N, T) bool, audio: (N, Da), unit length."""

    visual: Tensor
    mask: Tensor
    audio: Tensor

    def __len__(self) -> int:
        return len(self.audio)

    def __getitem__(self, rows: Tensor | slice) -> "Clips":
        return Clips(visual=self.visual[rows], mask=self.mask[rows], audio=self.audio[rows])

    def to(self, device: torch.device | str) -> "Clips":
        """The same on another device."""
        return Clips(visual=self.visual.to(device), mask=self.mask.to(device), audio=self.audio.to(device))

    @staticmethod
    def join(parts: Sequence["Clips"]) -> "Clips":
        """Several as one, in order."""
        names = ("visual", "mask", "audio")
        return Clips(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shard:
    path: Path
    first: int
    n_clips: int


class EmbeddingSets:
    """One or more folders of embeddings by the same encoders, read as one. keys, labels, splits, films: (N,) of text.

    sha256: of what the manifests say of clips and encoders, and of every shard's size, keys, labels, splits and films.
    Raises InputError for a folder that is none, sets of different encoders, a set without sound, a shard that cannot be read
    or is not there, or a clip that is there twice.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        manifests = [_read_whole(folder) for folder in folders]
        described = [Encoders.of(manifest) for manifest in manifests]
        self.encoders = described[0]
        for folder, other in zip(folders, described, strict=True):
            _check_same(folders[0], self.encoders, folder, other)
        self._shards: list[_Shard] = []
        columns: dict[str, list[str]] = {"key": [], "label": [], "split": [], "youtube_id": []}
        digest = hashlib.sha256()
        for folder, manifest in zip(folders, manifests, strict=True):
            said = manifest.identity()
            told = {name: said[name] for name in ("source", "encoders", "clip", "numbers")}
            digest.update(json.dumps(told, sort_keys=True).encode())
            for path in _shard_paths(folder, manifest):
                table = _read(path, list(columns))
                self._shards.append(_Shard(path=path, first=len(columns["key"]), n_clips=table.num_rows))
                for name, values in columns.items():
                    found = [value or "" for value in table[name].to_pylist()]
                    values += found
                    digest.update(f"{path.name} {path.stat().st_size} {name} {found}".encode())
        self.sha256 = digest.hexdigest()
        self._check_keys(columns["key"])
        names = [np.array(values, dtype=str) for values in columns.values()]
        self.keys, self.labels, self.splits, self.films = names
        if not len(self.keys):
            raise InputError(f"{folders[0]}: no clip has embeddings; see its failures.jsonl")
        self.n_frames = self.encoders.clip.n_frames

    def _check_keys(self, keys: list[str]) -> None:
        """Raises InputError for a clip that is there twice: its own sound would be among the wrong answers."""
        first: dict[str, int] = {}
        for row, key in enumerate(keys):
            if first.setdefault(key, row) != row:
                one, other = (self._shards[n].path for n in self.shard_of(np.array([first[key], row])))
                raise InputError(f"{other}: clip {key} is in {one} too; give each clip once")

    @property
    def clip_bytes(self) -> int:
        """Memory of one clip."""
        return self.n_frames * (2 * self.encoders.visual.dim + 1) + 4 * self.encoders.audio.dim

    def rows(self, split: str, *, val_share: float = 0.1) -> np.ndarray:
        """The rows of a split, growing. If no clip is of split "val", a share of the films of "train" is: the same in
        every run, as the film's name decides. Clips of no split count as "train". Raises InputError if there is none.
        """
        assert split in SPLITS, split
        given = np.where(self.splits == "", "train", self.splits)
        if not (given == "val").any():
            held_out = np.array(
                [share_of(film or key) < val_share for film, key in zip(self.films, self.keys, strict=True)]
            )
            given = np.where((given == "train") & held_out, "val", given)
        rows = np.flatnonzero(given == split)
        if not len(rows):
            counts = ", ".join(f"{int((given == name).sum())} {name}" for name in SPLITS)
            raise InputError(
                f"{self._shards[0].path.parent}: no clips of split {split} ({counts}); extract some, or split anew"
            )
        return rows

    def load(self, rows: np.ndarray) -> Clips:
        """The numbers of those rows, in that order. Raises InputError for one that is NaN or infinite, or all padding."""
        order = np.argsort(rows, kind="stable")
        wanted = rows[order]
        found: list[np.ndarray] = []  # filled shard by shard: what is in memory is this, and one shard
        for shard in self._shards:
            low, high = np.searchsorted(wanted, (shard.first, shard.first + shard.n_clips))
            if high == low:
                continue
            taken = wanted[low:high] - shard.first
            parts = self._read_shard(shard, taken)
            if not found:
                found = [np.empty((len(rows), *part.shape[1:]), dtype=part.dtype) for part in parts]
            elif parts[0].dtype.itemsize > found[0].dtype.itemsize:  # sets of half and of single precision
                found[0] = found[0].astype(parts[0].dtype)
            for whole, part in zip(found, parts, strict=True):
                for place, row in zip(order[low:high], taken, strict=True):  # each clip is copied once, not twice
                    whole[place] = part[row]
            del parts
        visual, mask, audio = (torch.from_numpy(whole) for whole in found)
        return Clips(visual=visual, mask=mask, audio=audio)

    def shard_of(self, rows: np.ndarray) -> np.ndarray:
        """Which shard each row is in."""
        return np.searchsorted([shard.first for shard in self._shards], rows, side="right") - 1

    def _check_sizes(self, path: Path, schema: Any) -> None:
        visual, audio = schema.field("visual").type, schema.field("audio").type
        try:
            found = (visual.list_size, visual.value_type.list_size, audio.list_size)
            kinds = {str(visual.value_type.value_type), str(audio.value_type)}
        except AttributeError:  # lists of any length
            found, kinds = "lists of no fixed size", set()
        wanted = (self.n_frames, self.encoders.visual.dim, self.encoders.audio.dim)
        if found != wanted:
            raise InputError(
                f"{path}: frames, visual and audio numbers are {found}, its manifest says {wanted}; extract it again"
            )
        if not kinds <= {"halffloat", "float"}:
            raise InputError(
                f"{path}: numbers of type {', '.join(sorted(kinds))}, expected float or halffloat; extract it again"
            )

    def _read_shard(self, shard: _Shard, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """visual, mask and audio of all of a shard, not to be written to; those of `rows` are checked."""
        table = _read(shard.path, ["key", "visual", "mask", "audio"]).combine_chunks()
        n, frames = table.num_rows, self.n_frames
        self._check_sizes(shard.path, table.schema)

        def numbers(name: str, *shape: int) -> np.ndarray:
            column = table[name].chunk(0)
            if column.null_count:
                raise InputError(f"{shard.path}: {column.null_count} clips have no {name}; extract it again")
            while hasattr(column, "flatten") and column.type.num_fields:
                column = column.flatten()
            return column.to_numpy(zero_copy_only=False).reshape(n, *shape)

        visual = numbers("visual", frames, self.encoders.visual.dim)
        mask, audio = numbers("mask", frames), numbers("audio", self.encoders.audio.dim)
        _check_numbers(shard.path, table["key"].to_pylist(), rows, visual, mask, audio)
        return visual, mask, audio


def share_of(name: str) -> float:
    """A number from 0 to 1 that is a film's own: below the validation share it is held out, in every set that has it."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def _read_whole(folder: Path) -> SetManifest:
    """The manifest of a set that is done. Raises InputError if clips are left, or there are no audio embeddings."""
    manifest = read_manifest(folder)
    if "audio_encoder" not in manifest.encoders:
        raise InputError(f"{folder}: no audio embeddings, the targets; extract with a model that has an audio encoder")
    if "visual_encoder" not in manifest.encoders or manifest.counts is None:
        raise InputError(f"{folder / MANIFEST}: has no visual_encoder, or no counts; extract the embeddings again")
    if manifest.counts.left:
        raise InputError(
            f"{folder}: {manifest.counts.left} clips are not embedded yet; run echoframe extract again to its end"
        )
    return manifest


def _space(encoder: EncoderFacts) -> Space:
    return Space(name=encoder.space, dim=encoder.dim)


def _check_same(one: Path, ours: Encoders, other: Path, theirs: Encoders) -> None:
    for part in ("visual_encoder", "audio_encoder"):
        if ours.about[part] != theirs.about[part]:
            a, b = ours.about[part].space, theirs.about[part].space
            raise InputError(f"{other}: {part} of {b}, {one} has that of {a}; use sets that the same encoders made")
    if ours.sound_rate != theirs.sound_rate:
        a, b = (f"{rate} Hz" if rate else "their own rate" for rate in (ours.sound_rate, theirs.sound_rate))
        raise InputError(f"{other}: its sounds were heard at {b}, those of {one} at {a}; extract one of them again")
    if ours.clip != theirs.clip:
        raise InputError(
            f"{other}: frames as {asdict(theirs.clip)}, {one} has {asdict(ours.clip)}; use sets with the same frames"
        )


def _shard_paths(folder: Path, manifest: SetManifest) -> list[Path]:
    n_shards = -(-manifest.source.clips // manifest.shard_clips)
    return [folder / f"shard-{n:05d}.parquet" for n in range(n_shards)]


def _read(path: Path, columns: list[str]) -> Any:
    arrow, parquet = require_extra("pyarrow", "train"), require_extra("pyarrow.parquet", "train")
    try:
        return parquet.read_table(path, columns=columns, memory_map=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing; run echoframe extract again, it makes what is not there") from error
    except (OSError, arrow.ArrowInvalid, arrow.ArrowKeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: broken ({reason}); remove it and run echoframe extract again") from error


def _not_finite(numbers: np.ndarray) -> np.ndarray:
    """Whether some number along the last axis is NaN or infinite: all bits of its exponent are set (IEEE 754)."""
    kind, exponent = {2: (np.uint16, 0x7C00), 4: (np.uint32, 0x7F800000)}[numbers.dtype.itemsize]
    bits = numbers.view(kind)
    found = np.empty(numbers.shape[:-1], dtype=bool)
    for first in range(0, len(bits), 16):  # what fits a cache: five times as fast as np.isfinite of half precision
        some = slice(first, first + 16)
        found[some] = ((bits[some] & kind(exponent)) == exponent).any(axis=-1)
    return found


def _check_numbers(
    path: Path, keys: list[str], rows: np.ndarray, visual: np.ndarray, mask: np.ndarray, audio: np.ndarray
) -> None:
    taken = np.zeros(len(keys), dtype=bool)
    taken[rows] = True
    bad = {"visual": (_not_finite(visual) & mask).any(axis=1), "audio": _not_finite(audio)}
    for what, is_bad in bad.items():
        if (is_bad & taken).any():
            raise InputError(
                f"{path}: clip {keys[int((is_bad & taken).argmax())]} has NaN or infinite {what} embeddings; extract it "
                "again"
            )
    lengths = np.linalg.norm(audio.astype(np.float32), axis=1)
    odd = (np.abs(lengths - 1) > UNIT_WITHIN) & taken
    if odd.any():
        clip = int(odd.argmax())
        raise InputError(
            f"{path}: clip {keys[clip]} has an audio embedding of length {lengths[clip]:.3g}, expected 1; extract it again"
        )
    empty = ~mask.any(axis=1) & taken
    if empty.any():
        raise InputError(f"{path}: clip {keys[int(empty.argmax())]} has no real frame; extract it again")
