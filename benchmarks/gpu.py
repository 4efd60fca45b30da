"""What EchoFrame does on the device at hand, in three minutes: full sizes, random weights, no network.

    python benchmarks/gpu.py [--device auto] [--only PART ...] [--seconds 170] [--small]

AudioLDM-S and -L (EchoFrame's loop and diffusers' pipeline, float16 and bfloat16, one clip and eight, with torch.compile and
without), CLIP and CLAP from memory and from films, an epoch of a mapper over 200,000 clips, and the training of mini's flow.
Each result is one line as soon as it is there. A part whose packages are missing is one line too, and so is one that fails or
takes longer than its time: parts run in a process of their own, which is then ended. Parts that compile come last; those that
the time did not do for can be asked for alone with --only. torch keeps compiled code, so that a second run is faster.

A UNet of a published config has the original's heads (docs/audioldm-heads.md), and diffusers' is given the same. Its
packages, if a machine has no network: diffusers, soundfile, soxr and av, beside what torch's images have.
"""

import argparse
import importlib
import os
import platform
import queue
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from gpu_parts.bench import Bench

HERE = Path(__file__).resolve().parents[1]
# lines of the process that measures: where it runs, and which part it is at
WHERE, BEGINS, ENDS = "\x01where ", "\x01begins ", "\x01ends "
START_S, GRACE_S, LEAST_S = 90.0, 2.0, 3.0
OWN = ("diffusers", "transformers", "soundfile", "soxr")


@dataclass(frozen=True, kw_only=True)
class Part:
    """needs: packages. most_s: its time. run: a module of `gpu_parts` and a function in it; size: what it is called with."""

    needs: tuple[str, ...] = ()
    most_s: float
    run: tuple[str, str]
    size: str = ""


PARTS = {
    "audioldm-s": Part(needs=OWN, most_s=60, run=("audioldm", "measured"), size="s"),
    "audioldm-l": Part(needs=OWN, most_s=70, run=("audioldm", "measured"), size="l"),
    "clip": Part(needs=("transformers",), most_s=40, run=("encoders", "clip")),
    "clap": Part(needs=OWN[1:], most_s=40, run=("encoders", "clap")),
    "films": Part(needs=("av", *OWN[1:]), most_s=45, run=("encoders", "films")),
    "mapper": Part(most_s=45, run=("training", "mapper")),
    "flow": Part(most_s=40, run=("training", "flow")),
    "audioldm-s-compiled": Part(needs=OWN, most_s=90, run=("audioldm", "compiled"), size="s"),
    "flow-compiled": Part(most_s=60, run=("training", "flow_compiled")),
    "audioldm-l-compiled": Part(needs=OWN, most_s=150, run=("audioldm", "compiled"), size="l"),
}


def missing(needs: Sequence[str]) -> list[str]:
    """Those that cannot be imported."""
    found = []
    for name in needs:
        try:
            importlib.import_module(name)
        except ImportError:
            found.append(name)
    return found


def measure(names: Sequence[str], device: str, seconds: float, *, small: bool) -> None:
    """The process that measures: one part after another, each within its time."""
    ends = time.monotonic() + seconds
    warnings.simplefilter("ignore")
    # before anything of echoframe, which it names where not all of it can be imported
    importlib.import_module("light").prepare()
    from gpu_parts.bench import Bench

    from echoframe.device import resolve_device

    where = resolve_device(device)
    print(f"{WHERE}{describe(where)}", flush=True)
    for name in names:
        part, lacking = PARTS[name], missing(PARTS[name].needs)  # importing takes none of the part's time
        print(f"{BEGINS}{name}", flush=True)
        if lacking:
            print(f"{name}: left out, as {' and '.join(lacking)} cannot be imported", flush=True)
        elif ends - time.monotonic() < LEAST_S:
            print(f"{name}: left out, as no time is left; ask for it with --only {name}", flush=True)
        else:
            bench = Bench(device=where, small=small, ends=min(ends, time.monotonic() + part.most_s))
            _guarded(name, part, bench)
            bench.forget()
        print(f"{ENDS}{name}", flush=True)


def _guarded(name: str, part: Part, bench: "Bench") -> None:
    """Whatever a part fails of, the others can still be measured."""
    try:
        run = getattr(importlib.import_module(f"gpu_parts.{part.run[0]}"), part.run[1])
        run(bench, *([part.size] if part.size else []))
    except Exception as error:
        lines = str(error).strip().splitlines()
        print(f"{name}: failed ({type(error).__name__}: {lines[0][:200] if lines else 'no more is said'})", flush=True)


def watch(names: Sequence[str], ends: float, options: Sequence[str], *, where: bool = True) -> list[str]:
    """Runs the parts in a process of their own and prints what it says; gives those that are left when it has ended."""
    command = [sys.executable, str(Path(__file__)), "--measure", *names, "--seconds", f"{ends - time.monotonic():.1f}"]
    folders = [HERE / name for name in ("src", "tests", "recipes/mini", "benchmarks")]
    path = os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    try:
        return follow(process, list(names), ends, where=where)
    finally:
        process.kill()
        process.wait()


def follow(process: subprocess.Popen[str], left: list[str], ends: float, *, where: bool) -> list[str]:
    """Prints the lines of a process that measures, until it ends or one of its parts takes too long."""
    lines = _lines(process)
    at, due = "", min(ends, time.monotonic() + START_S)
    while True:
        try:
            line = lines.get(timeout=max(due - time.monotonic(), 0))
        except queue.Empty:
            if at:
                print(f"{at}: ended, as it took longer than its time; ask for it with --only {at}", flush=True)
            return left if at else _nothing(left, "left out, as no time is left")
        if line is None:
            code = process.wait()
            if at:
                print(f"{at}: ended with exit code {code}", flush=True)
            return left if at else _nothing(left, f"ended with exit code {code}")
        if line.startswith(WHERE):
            if where:
                print(line.removeprefix(WHERE), flush=True)
        elif line.startswith(BEGINS):
            at = line.removeprefix(BEGINS)
            left.remove(at)
            due = min(ends, time.monotonic() + PARTS[at].most_s) + GRACE_S
        elif line.startswith(ENDS):
            at, due = "", min(ends, time.monotonic() + START_S)
        else:
            print(line, flush=True)


def _nothing(left: Sequence[str], why: str) -> list[str]:
    """Says why the parts that are left are not measured."""
    if left:
        print(f"{', '.join(left)}: {why}", flush=True)
    return []


def _lines(process: subprocess.Popen[str]) -> "queue.Queue[str | None]":
    """Lines as they come, then None."""
    assert process.stdout is not None
    stream, found = process.stdout, queue.Queue[str | None]()

    def read() -> None:
        for line in stream:
            found.put(line.rstrip("\n"))
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    return found


def describe(device: "torch.device") -> str:
    """The machine, in one line."""
    import torch

    name = f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        name = f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
    return f"{device}: {name}; torch {torch.__version__}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=170.0, help="after which it has ended, whatever happens [170]")
    parser.add_argument("--small", action="store_true", help="tiny sizes: shows that it works, not how fast it is")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.device, args.seconds, small=args.small)
        return
    ends = time.monotonic() + args.seconds - GRACE_S
    options = ["--device", args.device, *(["--small"] if args.small else [])]
    left = list(args.only)
    while left and time.monotonic() < ends:
        left = watch(left, ends, options, where=left == args.only)
    _nothing(left, "left out, as no time is left")


if __name__ == "__main__":
    main()
