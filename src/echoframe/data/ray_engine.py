"""The same by Ray Data: files are read by tasks on CPUs, and encoded by a pool of actors on GPUs or CPUs."""

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from echoframe.data.engine import ClipFields, Pool, Steps, plan_pool
from echoframe.errors import DeviceError, InputError
from echoframe.optional import require_extra

_TRIES = 3  # of a row whose process dies
_RESTARTS = 100  # of an encoder
_AHEAD = 6  # rows that were read and wait for each encoder
_LEAST_WAITING = 200_000_000  # bytes
_NICE = 10  # of decoders
_ANSWER_S = 10.0  # for a cluster to answer
_THREADS_SLEEP = {"OMP_WAIT_POLICY": "passive"}  # where they wait for each other: readers have work for the core

# of a session begun here: no reports home, GPUs as they are, and no words of its core about what is as it should be, or,
# among our own on standard output, about a process that died, whose rows are tried again
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


@contextmanager
def ray_session(address: str | None, *, row_bytes: int | None = None) -> Iterator[None]:
    """A connection to the Ray cluster at `address`, or to one begun here; one that is there already stays as it is.

    row_bytes: of `Steps`, for the memory of a cluster begun here. Raises InputError if there is no cluster.
    """
    with _quiet(), _environment(_SETTINGS):  # some of them are read when it is imported
        ray = require_extra("ray")
    if ray.is_initialized():
        yield
        return
    if address is not None:
        _check_answers(address)
    with _quiet(), _environment(_SETTINGS):
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            options |= {"num_cpus": cores, "include_dashboard": False}
            if row_bytes is not None:  # as flat as the rest: it would be a third of the machine's memory
                pool = plan_pool([cores], gpus=0, workers=None)
                options["object_store_memory"] = 2 * _waiting_bytes(row_bytes, pool)
        try:
            # "local": else Ray looks for a cluster of another program on this machine
            with _silent():
                ray.init(address=address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(_no_cluster(address, error)) from error
    try:
        yield
    finally:
        with _quiet():
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Ray itself asks for minutes. Raises InputError if nobody answers at HOST:PORT; other forms are left to Ray."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.rpartition("/")[2], int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(_no_cluster(address, error)) from error


def _no_cluster(address: str | None, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0]
    return f"no Ray cluster at {address or 'this machine'} ({reason}); begin one with ray start --head"


def cluster_device(device: str) -> str:
    """What "auto" is on the connected cluster: cuda if it has a GPU, else cpu."""
    if device != "auto":
        return device
    return "cuda" if require_extra("ray").cluster_resources().get("GPU", 0) >= 1 else "cpu"


def run_ray(rows: Sequence[ClipFields], steps: Steps, *, workers: int | None) -> Iterator[ClipFields]:
    """As `engine.run_plain`, on the connected cluster. A row whose process died each time it was tried is missing.

    Raises DeviceError if Ray gives up: an encoder cannot be loaded, or the cluster is gone.
    """
    with _quiet():
        ray, data = require_extra("ray"), require_extra("ray.data")
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes)) if steps.on_gpu else 0
    pool = plan_pool([node.get("CPU", 0) for node in nodes], gpus=gpus, workers=workers, threads=steps.threads)
    logger = logging.getLogger("ray.data")
    consoles = [handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)]
    levels = [handler.level for handler in consoles]
    try:
        for handler in consoles:
            handler.setLevel(logging.CRITICAL)  # what it says of lost rows, our own rows say
        with _quiet():
            made = iter(_dataset(data, rows, steps, pool).iter_rows())
        while True:
            with _quiet():
                row = next(made, None)
            if row is None:
                return
            yield row
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DeviceError(f"Ray stopped ({reason}); what is done is kept, so run it again to continue") from error
    finally:
        for handler, level in zip(consoles, levels, strict=True):
            handler.setLevel(level)


def _waiting_bytes(row_bytes: int, pool: Pool) -> int:
    """Memory for rows that were read and wait: the same, however many rows there are."""
    return max((2 * pool.decoders + _AHEAD * pool.encoders) * row_bytes, _LEAST_WAITING)


def _dataset(data: Any, rows: Sequence[ClipFields], steps: Steps, pool: Pool) -> Any:
    # a block for each row: one that kills its process takes no other with it
    dataset = data.from_items(list(rows), override_num_blocks=len(rows))
    context = dataset.context
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1
    options = context.execution_options
    options.preserve_order = True
    options.resource_limits = options.resource_limits.copy(object_store_memory=_waiting_bytes(steps.row_bytes, pool))
    found = dataset.map(
        read_behind,
        fn_kwargs={"read": steps.read},
        compute=data.TaskPoolStrategy(size=pool.decoders),
        num_cpus=pool.decoder_cpus,
        max_retries=_TRIES,
    )
    return found.map(
        steps.encoder,
        fn_constructor_args=steps.arguments,
        compute=data.ActorPoolStrategy(size=pool.encoders),
        num_cpus=pool.encoder_cpus,
        num_gpus=pool.gpus,
        # its own environment also keeps Ray from joining both steps in one process
        runtime_env={"env_vars": {"OMP_NUM_THREADS": str(pool.threads), **_THREADS_SLEEP}},
        max_restarts=_RESTARTS,
        max_task_retries=_TRIES,
    )


def read_behind(row: ClipFields, read: Callable[[ClipFields], ClipFields]) -> ClipFields:
    """`read`, where encoders have the cores first: their threads wait for each other, readers for nobody."""
    if hasattr(os, "nice") and os.nice(0) < _NICE:
        os.nice(_NICE - os.nice(0))
    return read(row)


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray warns of its own old options, whoever sets them, and of files it leaves to the collector."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ResourceWarning, UserWarning):
            warnings.filterwarnings("ignore", category=category, module=r"ray(\.|$)")
        warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
        yield


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing that is written to standard error: Ray's core, which is no Python, says at what level it logs."""
    try:
        held = os.dup(2)
    except OSError:  # closed by whoever started this program
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(held, 2)
        os.close(held)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    fresh = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(fresh)
    try:
        yield
    finally:
        for name in fresh:
            del os.environ[name]
