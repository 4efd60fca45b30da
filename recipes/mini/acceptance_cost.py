"""Acceptance of what a bundle costs: time, memory, bytes."""

import subprocess
import sys
from pathlib import Path

import torch

from acceptance_bench import Bench, head, line
from acceptance_films import DEMO
from echoframe.bundles.bundle import EMBEDDED

PROGRAM = """
import resource, sys, time
from echoframe import load
model = load(sys.argv[1])
times = []
for seed in range(3):
    began = time.perf_counter()
    model.generate(sys.argv[2], duration_s=10.0, seed=seed)
    times.append(time.perf_counter() - began)
print(sorted(times)[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def cost(bench: Bench) -> None:
    """Measured in a process of its own: no judge is loaded there."""
    command = [sys.executable, "-c", PROGRAM, str(bench.source), str(DEMO)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, gigabytes = map(float, done.stdout.split())
    head(f"Cost, {torch.get_num_threads()} threads, median of 3", ("measured", "must"))
    line("10 s of sound, after loading", f"{seconds:.1f} s", "4 s on two cores")
    line("peak memory", f"{gigabytes:.2f} GB", "1.2 GB")
    line("weights", f"{megabytes(bench.source):.1f} MB", "75 MB")
    line("sample rate", f"{bench.model.generator.sample_rate} Hz", "16,000 Hz at least")


def megabytes(source: str) -> float:
    """All weights of a bundle by name or directory."""
    folder = EMBEDDED.get(source, Path(source))
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
