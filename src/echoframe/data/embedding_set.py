"""An embedding set on the disk: Parquet shards, each with its failures in it, and a manifest that says what they are.

*Columns.* key, label, split, youtube_id: string; start_s: int32, s; duration_s: float32, s, of the clip's file;
visual: T lists of Dv float16; mask: T bool, False where the video had ended and its last frame is held; audio: Da
float32, absent where the model has no audio encoder. A shard's clips are fixed when the set is begun, and so are its
bytes, in however many runs it comes to be. Clips that failed are in its file metadata ("echoframe"), and in failures.jsonl.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from echoframe import output
from echoframe.data.embedding_manifest import MANIFEST, SetCounts, SetManifest, manifest_text
from echoframe.data.sources import Item
from echoframe.errors import InputError, OutputError
from echoframe.optional import require_extra
from echoframe.output import atomic_files

FAILURES = "failures.jsonl"
STAGES = ("read", "decode", "encode")
GROUP = 100  # rows held in memory, and written at once
N_REASONS = 20  # in the manifest, the most frequent first
_META = b"echoframe"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The numbers of a row. n_frames: T. visual_dim: Dv. audio_dim: Da, 0 without an audio encoder."""

    n_frames: int
    visual_dim: int
    audio_dim: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A clip without embeddings. stage: one of STAGES. reason: one line."""

    key: str
    stage: str
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """A clip's embeddings. visual: (T, Dv) float16, mask: (T,) bool, audio: (Da,) float32."""

    visual: np.ndarray
    mask: np.ndarray
    audio: np.ndarray
    duration_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many clips have embeddings, which failed, and how many are in shards that are not written yet."""

    n_done: int
    failed: Sequence[Failure]
    n_left: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One file of the set and the clips that belong into it, in order."""

    path: Path
    items: tuple[Item, ...]

    @property
    def plan(self) -> str:
        """sha256 of what goes in."""
        return hashlib.sha256(json.dumps([asdict(item) for item in self.items]).encode()).hexdigest()


def plan_shards(out: Path, items: Sequence[Item], shard_clips: int) -> list[Shard]:
    """shard-00000.parquet and so on, `shard_clips` clips each, the last one maybe fewer. Raises InputError below 1."""
    if shard_clips < 1:
        raise InputError(f"shard clips {shard_clips}; expected 1 or more, 1000 is usual")
    cuts = range(0, len(items), shard_clips)
    return [
        Shard(path=out / f"shard-{n:05d}.parquet", items=tuple(items[first : first + shard_clips]))
        for n, first in enumerate(cuts)
    ]


def read_failures(shard: Shard) -> list[Failure] | None:
    """The clips that failed in a shard that is written; None if it is not, or not as planned."""
    arrow, parquet = require_extra("pyarrow"), require_extra("pyarrow.parquet")
    try:
        about = json.loads(parquet.read_metadata(shard.path).metadata[_META])
        return [Failure(**failed) for failed in about["failed"]] if about["plan"] == shard.plan else None
    except (FileNotFoundError, KeyError, TypeError, ValueError, arrow.ArrowInvalid):
        return None


def write_shard(shard: Shard, results: Iterable[Row | Failure], shape: Shape) -> list[Failure]:
    """Writes one shard, whole or not at all, from a result for each of its clips in order; returns the failures.

    At most `GROUP` rows are in memory at once.
    """
    parquet = require_extra("pyarrow.parquet")
    failed: list[Failure] = []
    schema = _schema(shape)
    with atomic_files([shard.path]) as (partial,):
        # floats do not repeat: a dictionary of them would only cost
        writer = parquet.ParquetWriter(partial, schema, compression="zstd", use_dictionary=["label", "split"])
        try:
            for group in _groups(_kept(zip(shard.items, results, strict=True), failed)):
                writer.write_table(_table(group, schema, shape))
            about = {"plan": shard.plan, "failed": [asdict(failure) for failure in failed]}
            writer.add_key_value_metadata({_META.decode(): json.dumps(about)})
        finally:
            writer.close()
    return failed


def read_rows(shard: Shard) -> Iterator[tuple[str, Row]]:
    """Key and embeddings of every clip in a shard that is written, in order, `GROUP` at a time."""
    file = require_extra("pyarrow.parquet").ParquetFile(shard.path)
    with file:
        for batch in file.iter_batches(batch_size=GROUP):
            yield from _rows(batch)


def _kept(pairs: Iterable[tuple[Item, Row | Failure]], failed: list[Failure]) -> Iterator[tuple[Item, Row]]:
    for item, result in pairs:
        if isinstance(result, Failure):
            failed.append(result)
        else:
            yield item, result


def _groups(rows: Iterator[tuple[Item, Row]]) -> Iterator[list[tuple[Item, Row]]]:
    while group := list(itertools.islice(rows, GROUP)):
        yield group


def _schema(shape: Shape) -> Any:
    arrow = require_extra("pyarrow")
    frame = arrow.list_(arrow.float16(), shape.visual_dim)
    fields = [
        *[(name, arrow.string()) for name in ("key", "label", "split", "youtube_id")],
        ("start_s", arrow.int32()),
        ("duration_s", arrow.float32()),
        ("visual", arrow.list_(frame, shape.n_frames)),
        ("mask", arrow.list_(arrow.bool_(), shape.n_frames)),
    ]
    if shape.audio_dim:
        fields.append(("audio", arrow.list_(arrow.float32(), shape.audio_dim)))
    return arrow.schema(fields)


def _table(group: Sequence[tuple[Item, Row]], schema: Any, shape: Shape) -> Any:
    arrow = require_extra("pyarrow")
    items, rows = [item for item, _ in group], [row for _, row in group]

    def lists(values: list[np.ndarray], *sizes: int) -> Any:
        array = arrow.array(np.stack(values).reshape(-1))
        for size in reversed(sizes):
            array = arrow.FixedSizeListArray.from_arrays(array, size)
        return array

    columns: dict[str, Any] = {name: [getattr(item, name) for item in items] for name in schema.names[:5]}
    columns["duration_s"] = np.array([row.duration_s for row in rows], dtype=np.float32)
    columns["visual"] = lists([row.visual for row in rows], shape.n_frames, shape.visual_dim)
    columns["mask"] = lists([row.mask for row in rows], shape.n_frames)
    if shape.audio_dim:
        columns["audio"] = lists([row.audio for row in rows], shape.audio_dim)
    return arrow.table(columns, schema=schema)


def _rows(batch: Any) -> Iterator[tuple[str, Row]]:
    n = batch.num_rows
    visual = batch["visual"].flatten().flatten().to_numpy(zero_copy_only=False)
    mask = batch["mask"].flatten().to_numpy(zero_copy_only=False).reshape(n, -1)
    visual = visual.reshape(n, mask.shape[1], -1)
    has_audio = "audio" in batch.schema.names
    audio = batch["audio"].flatten().to_numpy(zero_copy_only=False) if has_audio else np.zeros(0, dtype=np.float32)
    audio = audio.reshape(n, -1)
    for i, (key, duration_s) in enumerate(zip(batch["key"].to_pylist(), batch["duration_s"].to_pylist(), strict=True)):
        yield key, Row(visual=visual[i], mask=mask[i], audio=audio[i], duration_s=duration_s)


def write_manifest(out: Path, manifest: SetManifest, counts: Counts) -> None:
    """Writes manifest.json and failures.jsonl."""
    failed = counts.failed
    stages = Counter(failure.stage for failure in failed)
    reasons = Counter(failure.reason for failure in failed)
    counted = SetCounts(
        done=counts.n_done,
        failed=len(failed),
        left=counts.n_left,
        failed_by_stage={stage: stages[stage] for stage in STAGES if stages[stage]},
        failed_by_reason=dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))[:N_REASONS]),
    )
    lines = [json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failed]
    with atomic_files([out / FAILURES, out / MANIFEST]) as (lost, whole):
        lost.write_text("".join(lines), encoding="utf-8")
        whole.write_text(manifest_text(manifest, counted), encoding="utf-8")


def remove_partials(out: Path) -> None:
    """Makes `out` if it is not there, and removes what a killed run left half written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        output.remove_partials(out)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written to ({error.strerror}); choose another folder with -o") from error
