"""Many clips by Ray, with the engine of `extract`: clips are read on CPUs, beside models that make sounds on GPUs or CPUs.

A row is one of the batches of the plain loop. Its clips are read by a task; an actor, which holds the model, makes their
sounds together and writes the files. All machines see clips, results and models under the same names.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from echoframe import errors
from echoframe.bundles.bundle import find_bundle
from echoframe.data.engine import DIED, THREADS, ClipFields, DecodeOptions, Steps, in_order
from echoframe.data.ray_engine import cluster_device, ray_session, run_ray
from echoframe.device import resolve_device, resolve_dtype
from echoframe.errors import EchoFrameError, InputError
from echoframe.jobs.ahead import Ahead, Values, clip_of, clip_values, packed, same_frames
from echoframe.jobs.earlier import Identity
from echoframe.jobs.orders import How, Order, run_batch, together
from echoframe.jobs.plans import Job, looked_at
from echoframe.jobs.results import is_done
from echoframe.loading import load
from echoframe.media.video import VideoInfo
from echoframe.options import SampleOptions, Settings, WriteOptions, check_duration
from echoframe.pipeline import EchoFrame, settled
from echoframe.sound.decoding import Eyes

THIS_MACHINE = "local"
SMALL = 200_000_000  # bytes of a bundle
_WAVE = 500  # batches given to Ray at once: each of its processes is sent them all

Made = tuple[Job, How | Exception]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading:
    """What `load` is asked for."""

    source: str
    mapper: str | None
    device: str
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What every process is told. identity, eyes, defaults: of the model. folder: where relative names begin."""

    batches: Sequence[Sequence[Order]]
    writing: WriteOptions
    loading: Loading
    identity: Identity
    eyes: Eyes
    defaults: SampleOptions
    folder: str

    def settings(self, job: Job, order: Order) -> Settings:
        """What the order's sound is made with."""
        return settled(job.known, order.request, self.defaults)


def check_for_cluster(orders: Sequence[Order], *, again: bool) -> None:
    """Raises InputError for what only one machine does. again: whether a sound is made again from its record."""
    if again:
        raise InputError("--from: makes one sound again, which a cluster does no sooner; leave out --ray-address")
    libraries = [order.request.library for order in orders if order.request.library]
    if libraries:
        raise InputError(
            f"{libraries[0]}: a library is open on one machine alone; leave out --library or --ray-address"
        )


def run_on_cluster(
    model: EchoFrame, orders: Sequence[Order], writing: WriteOptions, loading: Loading, *, address: str, batch_size: int
) -> Iterator[Made]:
    """Makes the files of every order; each job, with what became of it.

    model: what `loading` loads, on any device; it makes nothing here. address: of a cluster, or `THIS_MACHINE`. A batch
    whose process died each time is tried again clip by clip. Raises InputError if there is no cluster, DeviceError for a
    device that is not known, and if Ray gives up.
    """
    eyes, defaults = model.eyes, model.defaults
    row_bytes = batch_size * DecodeOptions(spec=eyes.clip_spec, short_side=eyes.short_side, with_sound=False).clip_bytes
    if not loading.device.startswith(("auto", "cuda")):  # a GPU is the cluster's
        resolve_device(loading.device)
    with ray_session(None if address == THIS_MACHINE else address, row_bytes=row_bytes):
        device = cluster_device(loading.device)
        dtype = str(resolve_dtype(loading.dtype, torch.device(device))).removeprefix("torch.")
        identity = Identity(identity=model.identity, mapper_id=model.mapper_id, device=device, dtype=dtype)
        batches = [*together(orders, batch_size)]
        for start in range(0, len(batches), _WAVE):
            work = Work(
                batches=batches[start : start + _WAVE],
                writing=writing,
                loading=replace(loading, device=device, dtype=dtype),
                identity=identity,
                eyes=eyes,
                defaults=defaults,
                folder=str(os.getcwd()),
            )
            yield from _tried(work, row_bytes)


def _tried(work: Work, row_bytes: int, *, again: bool = False) -> Iterator[Made]:
    """What became of every order; those of a batch whose process died each time are tried again one by one."""
    lost: list[Order] = []
    for batch, told in _run(work, row_bytes):
        if told is not None:
            yield from _made(batch, told, work.writing)
        elif again:
            yield from ((order.job, InputError(f"{order.job.clip}: {DIED}")) for order in batch)
        else:
            lost.extend(batch)
    if lost:
        yield from _tried(replace(work, batches=[*together(lost, 1)]), row_bytes, again=True)


def _run(work: Work, row_bytes: int) -> Iterator[tuple[Sequence[Order], list[Values] | None]]:
    """Each batch, with what is told of its orders; none if its process died each time."""
    steps = Steps(
        read=partial(read_row, work=work),
        encoder=RowMaker,
        arguments=(work,),
        row_bytes=row_bytes,
        on_gpu=work.loading.device.startswith("cuda"),
        threads=_threads(work.loading.source),
    )
    rows = run_ray([{"n": n} for n in range(len(work.batches))], steps, workers=None)
    for batch, row in zip(work.batches, in_order(rows, len(work.batches)), strict=True):
        yield batch, None if row is None else json.loads(row["told"])


def _threads(source: str) -> int:
    """Of a model on CPUs. A small one is there for each core: threads that wait for each other cost more than memory."""
    size = sum(file.size for part in find_bundle(source).manifest.parts.values() for file in part.files)
    return 1 if 0 < size < SMALL else THREADS  # a hub's model does not say its size, and is large


def _made(batch: Sequence[Order], told: list[Values], writing: WriteOptions) -> Iterator[Made]:
    for each in told:
        job = batch[each["order"]].job
        if each["error"]:
            yield job, _error(each)
            continue
        yield _seen(job, each, writing), each["how"]


def read_row(row: ClipFields, work: Work) -> ClipFields:
    """{n} -> {n, told, images}: what is told of each order, what was read of the clips, and the pixels of all frames."""
    told: list[Values] = []
    read: list[tuple[Job, Settings, Values]] = []
    images: list[bytes] = []
    with _folder(work.folder):
        for n, order in enumerate(work.batches[row["n"]]):
            known: Values = {"order": n, "info": None, "how": "", "error": "", "words": ""}
            told.append(known)
            try:
                job = looked_at(order.job, work.writing)
                known["info"] = clip_values(job.known) if isinstance(job.known, VideoInfo) else None
                settings = work.settings(job, order)
                check_duration(settings.duration_s, force=work.writing.force)
                if is_done(work.identity, job, settings, work.writing):
                    known["how"] = "kept"
                elif not any(_needs_same(each, job, settings) for each in read):
                    values, pixels = packed(job.known, settings, work.eyes)
                    read.append((job, settings, {**values, "order": n, "size": len(pixels)}))
                    images.append(pixels)
            except Exception as error:  # one clip's, which must not cost the others
                known |= _as_error(error)
    words = {"told": told, "read": [values for _, _, values in read]}
    return {"n": row["n"], "told": json.dumps(words), "images": b"".join(images)}


def _needs_same(one: tuple[Job, Settings, Values], job: Job, settings: Settings) -> bool:
    return one[0].known == job.known and same_frames(one[1], settings)


class RowMaker:
    """{n, told, images} -> {n, told}: the files are written, and for each order is told what became of it."""

    def __init__(self, work: Work) -> None:
        """Loads the model. Raises as `load`."""
        self._work, wanted = work, work.loading
        with _folder(work.folder):
            self._model = load(wanted.source, mapper=wanted.mapper, device=wanted.device, dtype=wanted.dtype)

    def __call__(self, row: ClipFields) -> ClipFields:
        """Makes the sounds of a batch; an order that failed before, or was done, passes."""
        batch, words = self._work.batches[row["n"]], json.loads(row["told"])
        told: list[Values] = words["told"]
        writing = self._work.writing
        with _folder(self._work.folder):
            jobs = {each["order"]: _seen(batch[each["order"]].job, each, writing) for each in told if not each["error"]}
            to_make = {n: replace(batch[n], job=job) for n, job in jobs.items() if not told[n]["how"]}
            ahead, start = [], 0
            for values in words["read"]:
                n, stop = values["order"], start + values["size"]
                pixels = memoryview(row["images"])[start:stop]
                ahead.append((jobs[n].known, self._work.settings(jobs[n], batch[n]), values, pixels))
                start = stop
            model = self._model.decoded_by(Ahead(ahead))
            numbers = {order.job.results[0]: n for n, order in to_make.items()}
            try:
                for job, how in run_batch(model, [*to_make.values()], writing):
                    known = told[numbers[job.results[0]]]
                    known |= _as_error(how) if isinstance(how, Exception) else {"how": how}
            except Exception as error:  # of the generator, such as too little memory for the batch
                if len(to_make) > 1:
                    raise  # the clips are tried one by one
                told[next(iter(to_make))] |= _as_error(error)
        return {"n": row["n"], "told": json.dumps(told)}


def _seen(job: Job, told: Values, writing: WriteOptions) -> Job:
    """The job as it was once its clip was looked at."""
    info = job.info if told["info"] is None else clip_of(told["info"])
    return looked_at(replace(job, info=info), writing)


def _as_error(error: Exception) -> Values:
    return {"error": type(error).__name__, "words": str(error)}


def _error(told: Values) -> Exception:
    """The error that `_as_error` was given: one of ours, or a plain one of the same name."""
    kind: Any = getattr(errors, told["error"], None)
    if isinstance(kind, type) and issubclass(kind, EchoFrameError):
        return kind(told["words"])
    return type(told["error"], (Exception,), {})(told["words"])


@contextmanager
def _folder(folder: str) -> Iterator[None]:
    """Relative names begin at `folder`, if this machine has it."""
    if not os.path.isdir(folder):
        yield
        return
    with contextlib.chdir(folder):
        yield
