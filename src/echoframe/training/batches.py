"""Which clips each step sees, in what order: the same for the same seed, wherever a run was stopped.

A *window* is what is in memory at once: all clips, or of a set that is streamed the clips of some shards, chosen anew
each epoch. Within a window the order is random. For a GPU one window is read ahead while the last one is used.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from echoframe.data.embedding_reader import Clips, EmbeddingSets
from echoframe.errors import InputError
from echoframe.optional import require_extra

WINDOW_BYTES = 400_000_000
FREE_SHARE = 0.5  # of the memory that is free, for a set that stays in it


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device; on a CPU also as control groups limit it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = require_extra("psutil", "train").virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        free = min(free, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no such files, or "max"
        pass
    return max(free, 0)


class Batches:
    """The batches of one process. rows: of the sets, to train on. memory: bytes for a set that stays in it.

    batch_size: over all `world` processes, of which this is number `rank`; each takes every world-th clip of a batch.
    """

    def __init__(
        self,
        sets: EmbeddingSets,
        rows: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        memory: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._sets, self._rows, self._seed, self._device = sets, rows, seed, device
        self._batch, self._rank, self._world = batch_size, rank, world
        # a CPU computes on all cores: what is read beside that only stands in the way
        self.reads_ahead = device.type != "cpu"
        if min(len(rows), batch_size) < world:
            raise InputError(
                f"{len(rows)} clips in batches of {batch_size} are too few for {world} processes; start fewer processes"
            )
        self.resident = len(rows) * sets.clip_bytes <= memory
        self._all = sets.load(rows).to(device) if self.resident else None

    @property
    def per_epoch(self) -> int:
        """Steps in which each clip is seen once; the last one may be smaller, but no process may have nothing to do."""
        whole, rest = divmod(len(self._rows), self._batch)
        return whole + (rest >= self._world)

    def from_step(self, step: int) -> Iterator[Clips]:
        """Batch after batch without end, from that step on."""
        epoch, done = divmod(step, self.per_epoch)
        while True:
            yield from self._epoch(epoch, done)
            epoch, done = epoch + 1, 0

    def _epoch(self, epoch: int, done: int) -> Iterator[Clips]:
        rng = np.random.default_rng((self._seed, epoch))
        if self._all is not None:
            order = torch.from_numpy(rng.permutation(len(self._rows))).to(self._device)
            for first in range(done * self._batch, len(order) - self._world + 1, self._batch):
                mine = order[first : first + self._batch][self._rank :: self._world]
                yield self._all[mine]
            return
        skip, left = done * self._batch, None
        for clips in self._read_ahead(self._windows(rng), skip):
            first = 0
            if left is not None:
                first = self._batch - len(left)
                left = Clips.join([left, clips[slice(0, first)]])
                if len(left) < self._batch:
                    continue
                yield self._mine(left)
            last = first + (len(clips) - first) // self._batch * self._batch
            for begin in range(first, last, self._batch):
                yield self._mine(clips[slice(begin, begin + self._batch)])
            left = Clips.join([clips[slice(last, None)]])  # a copy: the window can go
        if left is not None and len(left) >= self._world:
            yield self._mine(left)

    def _mine(self, batch: Clips) -> Clips:
        return batch[slice(self._rank, None, self._world)].to(self._device)

    def _windows(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The rows of each window, in the order in which they are seen."""
        shards = self._sets.shard_of(self._rows)
        numbers = rng.permutation(np.unique(shards))
        by_shard = {int(n): self._rows[shards == n] for n in numbers}
        most = max(WINDOW_BYTES // self._sets.clip_bytes, 1)
        windows: list[list[np.ndarray]] = []
        size = 0
        for rows in by_shard.values():
            if not windows or size + len(rows) > most:
                windows.append([])
                size = 0
            windows[-1].append(rows)
            size += len(rows)
        return [rng.permutation(np.concatenate(rows)) for rows in windows]

    def _read_ahead(self, windows: list[np.ndarray], skip: int) -> Iterator[Clips]:
        """The clips of each window but for the first `skip`, which were seen before the run was stopped."""
        cut: list[np.ndarray] = []
        for rows in windows:
            cut.append(rows[min(skip, len(rows)) :])
            skip -= len(rows) - len(cut[-1])
        todo = [rows for rows in cut if len(rows)]
        if not self.reads_ahead:
            yield from map(self._sets.load, todo)
            return
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
            coming = pool.submit(self._sets.load, todo[0]) if todo else None
            for following in [*todo[1:], None]:
                assert coming is not None
                clips = coming.result()
                coming = pool.submit(self._sets.load, following) if following is not None else None
                yield clips
                del clips
