"""Visual and audio embeddings of every clip of a set, from one decode of each, as Parquet shards with a manifest."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from echoframe.bundles.bundle import Located, find_bundle
from echoframe.bundles.check import one_space_in
from echoframe.data.embedding_manifest import NumberTypes, SetManifest, SourceFacts, check_manifest
from echoframe.data.embedding_set import (
    STAGES,
    Counts,
    Failure,
    Row,
    Shard,
    plan_shards,
    read_failures,
    read_rows,
    remove_partials,
    write_manifest,
    write_shard,
)
from echoframe.data.encode import EncoderChoice, describe, from_anywhere, shape_of, short_side_of
from echoframe.data.engine import (
    DIED,
    WAVE,
    ClipFields,
    DecodeOptions,
    RowEncoder,
    Steps,
    decode_row,
    in_order,
    run_plain,
    to_result,
)
from echoframe.data.ray_engine import cluster_device, ray_session, run_ray
from echoframe.data.sources import Item, Source, list_source
from echoframe.device import resolve_device, resolve_dtype
from echoframe.errors import InputError
from echoframe.lock import exclusive_lock
from echoframe.optional import require_extra
from echoframe.progress import ProgressCallback


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractResult:
    """What the set holds now. n_new: clips embedded by this run. failed_by_stage: of n_failed.

    max_failed: the share of clips that may fail.
    """

    out: Path
    n_clips: int
    n_done: int
    n_failed: int
    n_new: int
    failed_by_stage: dict[str, int]
    max_failed: float

    @property
    def too_many_failed(self) -> bool:
        """Whether a larger share failed than may."""
        return self.n_failed > self.max_failed * self.n_clips


def extract(
    source: Path,
    out: Path,
    *,
    model: str | Path = "mini",
    shard_clips: int = 1000,
    workers: int | None = None,
    ray_address: str | None = None,
    retry: Sequence[str] = (),
    max_failed: float = 0.05,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: ProgressCallback | None = None,
) -> ExtractResult:
    """Embeds every clip of `source` (see `sources.list_source`) into `out` (see `embedding_set`); goes on where it was.

    model: whose encoders and clip spec, a name, directory or repository. workers: decoders at once, as many as cores if
    not given; 0 is a plain loop without Ray. ray_address: of a cluster, whose nodes see source and model at the same
    paths. retry: stages whose failures are tried again. A clip that fails is counted, never raised. Raises InputError
    for a source without clips, an `out` that holds other embeddings or is in use; BundleError or DeviceError for the
    model.
    """
    _check(retry, workers, max_failed)
    for module in ("pyarrow", *(("ray",) if workers != 0 else ())):
        require_extra(module)
    listed = list_source(source)
    choice = EncoderChoice(model=from_anywhere(model), device=device, dtype=dtype, cache_dir=cache_dir)
    located = choice.find()
    one_space_in(find_bundle(choice.model, cache_dir=cache_dir), cache_dir=cache_dir, device="cpu")
    with ExitStack() as stack:
        stack.enter_context(exclusive_lock(out, "echoframe extract"))
        remove_partials(out)
        if ray_address is not None and workers != 0:
            stack.enter_context(ray_session(ray_address))
            device = cluster_device(device)  # not this machine's
        else:
            device = str(resolve_device(device))
        choice = replace(choice, device=device, dtype=_dtype_name(dtype, device))
        shards = plan_shards(out, listed.items, shard_clips)
        manifest = _manifest(listed, located, choice, shard_clips)
        check_manifest(out, manifest)
        run = _Run(
            source=listed,
            located=located,
            choice=choice,
            shards=shards,
            workers=workers,
            retry=frozenset(retry),
            progress=progress,
        )
        write_manifest(out, manifest, run.counts())
        if run.todo:
            if workers != 0:
                stack.enter_context(ray_session(ray_address, row_bytes=run.steps.row_bytes))
            run.go()
            write_manifest(out, manifest, run.counts())
    found = run.counts()
    return ExtractResult(
        out=out,
        n_clips=len(listed.items),
        n_done=found.n_done,
        n_failed=len(found.failed),
        n_new=run.n_new,
        failed_by_stage=dict(Counter(failure.stage for failure in found.failed)),
        max_failed=max_failed,
    )


def _check(retry: Sequence[str], workers: int | None, max_failed: float) -> None:
    unknown = [stage for stage in retry if stage not in STAGES]
    if unknown:
        raise InputError(f'retry "{unknown[0]}" is not a stage of extract; choose from {", ".join(STAGES)}')
    if workers is not None and workers < 0:
        raise InputError(f"workers {workers}; expected 1 or more decoders, or 0 for a plain loop without Ray")
    if not 0 <= max_failed <= 1:
        raise InputError(f"max failed {max_failed}; expected a share of the clips, 0 to 1")


def _dtype_name(dtype: str, device: str) -> str:
    """The name of what "auto" is on `device`, which may be another machine's."""
    return str(resolve_dtype(dtype, torch.device(device))).removeprefix("torch.")


def _manifest(source: Source, located: Located, choice: EncoderChoice, shard_clips: int) -> SetManifest:
    """What may not change between two runs into one folder."""
    return SetManifest(
        encoders=describe(located),
        clip=located.manifest.clip,
        numbers=NumberTypes(computed=choice.dtype),
        sound_rate=choice.sound_rate(),
        source=SourceFacts(kind=source.kind, clips=len(source.items), sha256=source.plan),
        shard_clips=shard_clips,
    )


class _Run:
    """One run over the shards that are not complete."""

    def __init__(
        self,
        *,
        source: Source,
        located: Located,
        choice: EncoderChoice,
        shards: Sequence[Shard],
        workers: int | None,
        retry: frozenset[str],
        progress: ProgressCallback | None,
    ) -> None:
        self.n_new = self._n_tried = 0
        decode = DecodeOptions(
            spec=located.manifest.clip,
            short_side=short_side_of(located.folders["visual_encoder"]),
            with_sound="audio_encoder" in located.manifest.parts,
            threads=0 if workers == 0 else 1,  # clips are decoded side by side
        )
        self.steps = Steps(
            read=partial(decode_row, options=decode),
            encoder=RowEncoder,
            arguments=(choice,),
            row_bytes=decode.clip_bytes,
            on_gpu=choice.device.startswith("cuda"),
        )
        self._folder, self._shape = source.folder, shape_of(located)
        self._shards, self._workers, self._progress = shards, workers, progress
        self._failed = {shard.path: read_failures(shard) for shard in shards}
        self.todo = [(shard, items) for shard in shards if (items := self._missing(shard, retry))]
        self._n_todo = sum(len(items) for _, items in self.todo)

    def _missing(self, shard: Shard, retry: frozenset[str]) -> tuple[Item, ...]:
        failed = self._failed[shard.path]
        if failed is None:
            return shard.items
        again = {failure.key for failure in failed if failure.stage in retry}
        return tuple(item for item in shard.items if item.key in again)

    def counts(self) -> Counts:
        """What the shards hold now."""
        written = [(shard, failed) for shard in self._shards if (failed := self._failed[shard.path]) is not None]
        n_clips = sum(len(shard.items) for shard in self._shards)
        n_written = sum(len(shard.items) for shard, _ in written)
        lost = [failure for _, failed in written for failure in failed]
        return Counts(n_done=n_written - len(lost), failed=lost, n_left=n_clips - n_written)

    def go(self) -> None:
        """Extracts what is missing, shard by shard."""
        wave: list[tuple[Shard, tuple[Item, ...]]] = []
        for shard, items in self.todo:
            if wave and sum(len(some) for _, some in wave) + len(items) > WAVE:
                self._extract(wave)
                wave = []
            wave.append((shard, items))
        self._extract(wave)

    def _extract(self, wave: Sequence[tuple[Shard, tuple[Item, ...]]]) -> None:
        items = [item for _, some in wave for item in some]
        rows = [_fields(n, item, self._folder) for n, item in enumerate(items)]
        if self._workers == 0:
            made = run_plain(rows, self.steps)
        else:
            made = run_ray(rows, self.steps, workers=self._workers)
        results = self._told(items, _results(made, items))
        for shard, some in wave:
            fresh = itertools.islice(results, len(some))
            self._failed[shard.path] = write_shard(shard, self._merged(shard, some, fresh), self._shape)
        next(results, None)  # lets the engine end

    def _merged(self, shard: Shard, todo: Sequence[Item], fresh: Iterator[Row | Failure]) -> Iterator[Row | Failure]:
        """A result for each of the shard's clips: a fresh one, or what was there."""
        keys = {item.key for item in todo}
        lost = {failure.key: failure for failure in self._failed[shard.path] or ()}
        kept = read_rows(shard) if len(keys) < len(shard.items) else iter(())
        for item in shard.items:
            if item.key in keys:
                yield next(fresh)
            elif item.key in lost:
                yield lost[item.key]
            else:
                key, row = next(kept)
                assert key == item.key, (key, item.key)
                yield row

    def _told(self, items: Sequence[Item], results: Iterator[Row | Failure]) -> Iterator[Row | Failure]:
        for item, result in zip(items, results, strict=True):
            self.n_new += isinstance(result, Row)
            self._n_tried += 1
            if self._progress is not None:
                how = f"{result.stage}: {result.reason}" if isinstance(result, Failure) else "done"
                self._progress(self._n_tried, self._n_todo, f"{item.key}: {how}")
            yield result


def _fields(n: int, item: Item, folder: Path) -> ClipFields:
    path = (folder / item.file).resolve()  # a worker of Ray has another working directory
    return {"n": n, "path": str(path), "offset": item.offset, "size": item.size}


def _results(rows: Iterator[ClipFields], items: Sequence[Item]) -> Iterator[Row | Failure]:
    """A result for every item."""
    for row, item in zip(in_order(rows, len(items)), items, strict=True):
        yield Failure(key=item.key, stage="decode", reason=DIED) if row is None else to_result(row, item.key)
