"""What `echoframe train` costs: beside a plain PyTorch loop and Lightning, and on a set larger than memory.

    python benchmarks/training.py [--only loops | scale] [--clips 200000] [--device auto] [--folder DIR]

*loops*: clips a second through the same mapper, data and optimizer: `echoframe train`, a plain loop over a DataLoader,
the same loop with the batch taken from one tensor, and Lightning, where it is installed. They take turns; the best round of
each counts. *scale*: a synthetic set of `--clips` clips of 64 x 768 float16 (0.1 MB each, 20 GB for 200,000; DIR, or the
temporary folder, has to hold it), one epoch streamed from the disk: its time beside that of only reading all shards, and
of only the arithmetic, and the most memory of the process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from echoframe.data.embedding_manifest import EncoderFacts, SetManifest, SourceFacts
from echoframe.data.embedding_reader import EmbeddingSets
from echoframe.data.embedding_set import Counts, Row, Shape, plan_shards, write_manifest, write_shard
from echoframe.data.sources import Item
from echoframe.device import resolve_device
from echoframe.mappers.networks import build_mapper
from echoframe.spec import ClipSpec
from echoframe.training.config import MapperChoice, TrainConfig
from echoframe.training.train import train

FRAMES, SEEN, HEARD = 64, 768, 512
SHARD = 1000
BATCH = 256
SIZE = "small"
LOOPS = {"residual_mlp": (300, 256), "transformer": (150, 32)}  # steps, clips in one


def write_set(folder: Path, n: int) -> Path:
    """Random embeddings of `n` clips; of every shard the same numbers, shifted, as drawing 20 GB would take longer."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(SHARD + 50, FRAMES, SEEN)).astype(np.float16)
    sounds = rng.normal(size=(SHARD + 50, HEARD)).astype(np.float32)
    sounds /= np.linalg.norm(sounds, axis=1, keepdims=True)
    mask = np.ones(FRAMES, dtype=bool)
    items = [
        Item(key=f"{i:011d}_0", file="", label=f"label {i % 309}", split="val" if i % 50 == 0 else "train")
        for i in range(n)
    ]
    for number, shard in enumerate(plan_shards(folder, items, SHARD)):
        shift = number % 50
        rows = (
            Row(visual=pool[shift + i], mask=mask, audio=sounds[shift + i], duration_s=10.0)
            for i in range(len(shard.items))
        )
        write_shard(shard, rows, Shape(n_frames=FRAMES, visual_dim=SEEN, audio_dim=HEARD))

    def encoder(space: str, dim: int) -> EncoderFacts:
        return EncoderFacts(kind="none", source="random", licence="CC0-1.0", space=space, dim=dim)

    manifest = SetManifest(
        encoders={"visual_encoder": encoder("seen", SEEN), "audio_encoder": encoder("heard", HEARD)},
        clip=ClipSpec(),
        source=SourceFacts(kind="folder", clips=n, sha256=""),
        shard_clips=SHARD,
    )
    write_manifest(folder, manifest, Counts(n_done=n, failed=[], n_left=0))
    return folder


def run_config(data: Path, out: Path, *, steps: int, device: str, **more: object) -> TrainConfig:
    values = {
        "steps": steps,
        "eval_every": 10**9,
        "batch_size": BATCH,
        "device": device,
        "dtype": "float32",
        "ema": 0.0,
    }
    return TrainConfig(data=(str(data),), out=str(out), **values | more)  # type: ignore[arg-type]


def ours(data: Path, out: Path, kind: str, steps: int, batch: int, device: str) -> float:
    """Clips a second, from log.jsonl: without loading and the measurement at the end."""
    train(run_config(data, out, steps=steps, device=device, mapper=choice_of(kind), batch_size=batch))
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steady = [line for line in lines if "train_loss" in line]
    return (steady[-1]["step"] - steady[0]["step"]) * batch / (steady[-1]["seconds"] - steady[0]["seconds"])


def choice_of(kind: str) -> MapperChoice:
    """Without scaling: the other loops have none."""
    return MapperChoice(kind=kind, size=SIZE, visual_scaling="none")  # type: ignore[arg-type]


def mapper_of(kind: str, device: torch.device) -> nn.Module:
    config = choice_of(kind).config(visual_dim=SEEN, audio_dim=HEARD, n_frames=FRAMES, spaces=("seen", "heard"))
    return build_mapper(config).to(device)


def one_step(mapper: nn.Module, optimizer: torch.optim.Optimizer, visual: Tensor, mask: Tensor, audio: Tensor) -> None:
    loss = (mapper.predict(visual.float(), mask) - audio).square().sum(dim=1).mean()  # type: ignore[operator]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(mapper.parameters(), 1.0)
    optimizer.step()


def plain(
    tensors: tuple[Tensor, ...], kind: str, steps: int, batch: int, device: torch.device, *, loader: bool
) -> float:
    """Clips a second of a loop as a tutorial has it, with a DataLoader or by indexing one tensor."""
    mapper = mapper_of(kind, device)
    optimizer = torch.optim.AdamW(mapper.parameters(), lr=1e-3, weight_decay=0.02)
    dataset = torch.utils.data.TensorDataset(*tensors)

    def batches():
        while True:
            if loader:
                yield from torch.utils.data.DataLoader(dataset, batch, shuffle=True, drop_last=True)
            else:
                for rows in torch.randperm(len(dataset)).split(batch):
                    yield tuple(tensor[rows] for tensor in tensors)

    done, began = 0, 0.0
    for some in batches():
        one_step(mapper, optimizer, *(tensor.to(device) for tensor in some))
        done += 1
        if done == steps // 5:
            began = time.perf_counter()
        if done == steps:
            return (steps - steps // 5) * batch / (time.perf_counter() - began)
    raise AssertionError


def lightning(tensors: tuple[Tensor, ...], kind: str, steps: int, batch: int, device: torch.device) -> float:
    """The same by Lightning's Trainer."""
    import lightning as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.mapper = mapper_of(kind, device)
            self.began = 0.0

        def training_step(self, batch, batch_idx):  # noqa: ANN001, ANN202
            if self.global_step == steps // 5:
                self.began = time.perf_counter()
            visual, mask, audio = batch
            return (self.mapper.predict(visual.float(), mask) - audio).square().sum(dim=1).mean()

        def configure_optimizers(self):  # noqa: ANN202
            return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.02)

    module = Module()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(
        max_steps=steps, accelerator=device.type if device.type != "cuda" else "gpu", gradient_clip_val=1.0, **quiet
    )
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), batch, shuffle=True, drop_last=True)
    trainer.fit(module, loader)
    return (steps - steps // 5) * batch / (time.perf_counter() - module.began)


def compare_loops(folder: Path, device: str, rounds: int) -> None:
    data = write_set(folder / "small", 4000)
    sets = EmbeddingSets([data])
    clips = sets.load(sets.rows("train"))
    tensors, on = (clips.visual, clips.mask, clips.audio), resolve_device(device)
    heads = ("mapper", "echoframe train, clips/s", "plain loop, indexing", "plain loop, DataLoader", "Lightning")
    print(f"\n| {' | '.join(heads)} |\n|---|---|---|---|---|")
    for kind, (steps, batch) in LOOPS.items():
        loops: dict[str, Callable[[int], float]] = {
            "ours": lambda n, a=(kind, steps, batch): ours(data, folder / f"{a[0]}-{n}", *a, device),
            "indexing": lambda _, a=(kind, steps, batch): plain(tensors, *a, on, loader=False),
            "loader": lambda _, a=(kind, steps, batch): plain(tensors, *a, on, loader=True),
            "lightning": lambda _, a=(kind, steps, batch): lightning(tensors, *a, on),
        }
        best: dict[str, float] = {}
        for n in range(rounds):
            for name, loop in loops.items():
                try:
                    best[name] = max(best.get(name, 0.0), loop(n))
                except ImportError:
                    print(f"{name}: not installed, left out")
        cells = [f"{rate:.0f} ({best['ours'] / rate:.2f})" for name, rate in best.items() if name != "ours"]
        print(f"| {kind} | {best['ours']:.0f} | {' | '.join(cells)} |", flush=True)
    print("\nIn brackets: echoframe train's rate as a share of it; 1 or more is at least as fast.")


def measure_scale(data: Path, out: Path, device: str) -> None:
    """Prints JSON: seconds of the streamed epoch and the most memory of this process."""
    sets = EmbeddingSets([data])
    steps = -(-len(sets.rows("train")) // BATCH)
    config = run_config(data, out, steps=steps, device=device, memory_gb=1e-6, mapper=choice_of("residual_mlp"))
    train(config)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    seconds = [line for line in lines if "train_loss" in line][-1]["seconds"]
    print(
        json.dumps(
            {"seconds": seconds, "steps": steps, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        )
    )


def compare_scale(folder: Path, n: int, device: str) -> None:
    began = time.perf_counter()
    data = folder / f"set-{n}"
    if not data.exists():
        write_set(data, n)
    size = sum(path.stat().st_size for path in data.glob("*.parquet"))
    print(f"\n{n} clips, {size / 1e9:.1f} GB, written in {time.perf_counter() - began:.0f} s")
    command = [sys.executable, __file__, "--measure", str(data), str(folder / "run"), "--device", device]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    sets, began = EmbeddingSets([data]), time.perf_counter()
    for first in range(0, n, SHARD):
        sets.load(np.arange(first, min(first + SHARD, n)))
    reading = time.perf_counter() - began
    on = resolve_device(device)
    clips = sets.load(np.arange(SHARD))
    mapper = mapper_of("residual_mlp", on)
    optimizer = torch.optim.AdamW(mapper.parameters(), lr=1e-3)
    batches = [clips[slice(n, n + BATCH)].to(on) for n in range(0, SHARD - BATCH, BATCH)]  # more than a cache holds
    began = 0.0
    for n in range(60):
        if n == 10:
            began = time.perf_counter()
        some = batches[n % len(batches)]
        one_step(mapper, optimizer, some.visual, some.mask, some.audio)
    arithmetic = (time.perf_counter() - began) / 50 * found["steps"]
    print("\n| one epoch, streamed, s | only reading, s | only arithmetic, s | most memory, GB |\n|---|---|---|---|")
    print(f"| {found['seconds']:.0f} | {reading:.0f} | {arithmetic:.0f} | {found['bytes'] / 1e9:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("loops", "scale"), help="one table [both]")
    parser.add_argument("--clips", type=int, default=20_000, help="of the large set [20000]")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, help="for the sets [a temporary one]")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure_scale(*args.measure, args.device)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        if args.only in (None, "loops"):
            compare_loops(Path(name), args.device, args.rounds)
        if args.only in (None, "scale"):
            compare_scale(Path(name), args.clips, args.device)


if __name__ == "__main__":
    main()
