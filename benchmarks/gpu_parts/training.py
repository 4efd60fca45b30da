"""A mapper's epoch, and the training of mini's flow."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gpu_parts.bench import Bench, Taken

MAPPERS = ("residual_mlp", "transformer")


def mapper(bench: Bench) -> None:
    """An epoch of `echoframe train` over clips that stay on the device; a piece of them, again and again, if not all fit."""
    from echoframe.training.batches import FREE_SHARE, free_bytes
    from echoframe.training.config import MapperChoice, TrainConfig

    n_clips, n_frames, seen, heard = (512, 8, 32, 16) if bench.small else (200_000, 64, 768, 512)
    clip_bytes = n_frames * (2 * seen + 1) + 4 * heard
    n_held = max(min(int(FREE_SHARE * free_bytes(bench.device)) // clip_bytes, n_clips), 1)
    clips = _random_clips(bench.device, n_held, (n_frames, seen, heard))
    told = f"{n_clips} x {n_frames} x {seen}" + ("" if n_held == n_clips else f", {n_held} at a time")
    for kind in MAPPERS:
        config = TrainConfig(
            data=("random",),
            out="",
            mapper=MapperChoice(kind=kind, size="small" if bench.small else "base"),
            device=str(bench.device),
        )  # type: ignore[arg-type]
        train = _mapper_steps(bench, config, clips)
        n_steps = -(-n_clips // config.batch_size)
        bench.case(
            f"mapper {kind}, an epoch over {told}",
            lambda train=train: train(4),
            lambda train=train, n_steps=n_steps: train(n_steps),
            lambda taken: f"{taken.seconds:.1f} s, {n_clips / taken.seconds:.0f} clips a second",
            times=n_steps / 4,
        )


def _random_clips(device: torch.device, n: int, sizes: tuple[int, int, int]) -> Any:
    """(n, frames, seen) float16, made where they are to lie, piece by piece: the numbers of one fill would be too many."""
    from echoframe.data.embedding_reader import Clips

    n_frames, seen, heard = sizes
    visual = torch.empty(n, n_frames, seen, dtype=torch.float16, device=device)
    for piece in visual.split(4096):
        piece.normal_()
    mask = torch.ones(n, n_frames, dtype=torch.bool, device=device)
    audio = nn.functional.normalize(torch.randn(n, heard, device=device), dim=1)
    return Clips(visual=visual, mask=mask, audio=audio)


def _mapper_steps(bench: Bench, config: Any, clips: Any) -> Callable[[int], None]:
    """Trains so many steps, as `training/train.py` does in its loop."""
    from echoframe.mappers.networks import build_mapper
    from echoframe.training.average import WeightAverage
    from echoframe.training.loss import MapperLoss

    _, n_frames, seen = clips.visual.shape
    shape = config.mapper.config(
        visual_dim=seen, audio_dim=clips.audio.shape[1], n_frames=n_frames, spaces=("seen", "heard")
    )
    loss = MapperLoss(build_mapper(shape), config.loss).to(bench.device)
    average = WeightAverage(loss, config.ema)
    fused = bench.device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(
        loss.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused
    )
    random = torch.Generator().manual_seed(0)

    def train(n_steps: int) -> None:
        loss.train()
        for step, rows in zip(range(n_steps), _shuffled(len(clips), config.batch_size, bench.device), strict=False):
            some = clips[rows]
            with torch.autocast(bench.device.type, torch.bfloat16, enabled=bench.device.type == "cuda"):
                found = loss(some.visual, some.mask, some.audio, generator=random)
            optimizer.zero_grad(set_to_none=True)
            found["loss"].backward()
            nn.utils.clip_grad_norm_(loss.parameters(), config.clip_norm)
            optimizer.step()
            average.follow(loss, step)

    return train


def _shuffled(n: int, batch: int, device: torch.device) -> Iterator[Tensor]:
    while True:
        yield from torch.from_numpy(np.random.default_rng(0).permutation(n)).to(device).split(batch)


def flow(bench: Bench) -> None:
    """Tokens a second of recipes/mini/train_flow.py, its settings for a GPU, on made-up recordings."""
    _flow(bench, compiled=False)


def flow_compiled(bench: Bench) -> None:
    """The same through torch.compile, as the recipe trains on a GPU."""
    _flow(bench, compiled=True)


def _flow(bench: Bench, *, compiled: bool) -> None:
    from dataclasses import replace

    import train_flow

    more: dict[str, Any] = {"batch_tokens": 256, "width": 32, "depth": 2, "n_heads": 2} if bench.small else {}
    on = {"device": str(bench.device), "threads": torch.get_num_threads(), "compile": False}
    config = replace(train_flow.CONFIGS["gpu"], **on, **more)
    with tempfile.TemporaryDirectory() as folder, _own_precision():
        _write_packed(Path(folder) / "packed", 24 if bench.small else 2000, 16 if bench.small else 192)
        trainer = train_flow.Trainer(Path(folder) / "packed", Path(folder) / "out", config, None)
        if compiled:
            trainer.predict = torch.compile(trainer.network, dynamic=False, backend=bench.backend)
        short, whole = config.whole_every, 4 * config.whole_every  # whole scenes and crops, as they come

        def train(n: int) -> None:
            for _ in range(n):
                trainer.one_step(0.5)

        def tell(taken: Taken) -> str:
            first = f", the first {short} steps {taken.first_s:.0f} s" if compiled else ""
            return f"{whole * config.batch_tokens / taken.seconds:.0f} tokens a second{first}"

        what = "mini's flow, training" + (", torch.compile" if compiled else "")
        bench.case(what, lambda: train(short), lambda: train(whole), tell, times=whole / short)


@contextmanager
def _own_precision() -> Iterator[None]:
    """The recipe sets how float32 matrices are multiplied, for all of its process."""
    before = torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _write_packed(folder: Path, n: int, channels: int, *, dim: int = 512, n_mels: int = 64) -> None:
    """The folder that `recipes/mini/pack.py` writes, with random numbers for `n` recordings of 20 to 200 tokens."""
    folder.mkdir()
    random = np.random.default_rng(0)
    lengths = random.integers(20, 200, n)
    blocks = np.maximum(lengths // 15, 1)
    ones, many = np.ones(channels, np.float32), random.normal(0, 0.1, (3, channels, channels)).astype(np.float32)
    arrays = {
        "tokens": random.integers(-127, 128, (lengths.sum(), channels), np.int8),
        "token_starts": np.cumsum([0, *lengths]),
        "scale": ones / 127,
        "blocks": random.integers(0, 256, (blocks.sum(), dim), np.uint8),
        "block_starts": np.cumsum([0, *blocks]),
        "block_scale": np.ones(dim, np.float32),
        "mean": np.full(dim, 0.3, np.float32),
        "spread": ones,
        "level": ones / channels,
        "floor": np.zeros((), np.float32),
        "unit": ones,
        "bands": many,
        "band_offsets": many[:, 0],
        "curves": random.normal(0, 0.1, (n_mels, channels)).astype(np.float32),
    }
    np.savez(folder / "sounds.npz", **arrays)
    lines = ["label,recording,split,steady"]
    lines += [f"label {i % 100},{i},{'val' if i % 10 == 0 else 'train'},{'ny'[i % 3 == 0]}" for i in range(n)]
    (folder / "sounds.csv").write_text("\n".join(lines) + "\n")
    (folder / "config.json").write_text(json.dumps({"token_s": 0.08, "per_db": 0.05}))
