"""`echoframe generate --ray-address local` beside the plain loop, which makes one clip after the other: the same clips, mini.

    python benchmarks/cluster.py [FILM ...] [--clips 32] [--batch-size 1] [--duration 10]

The films (the demo's, if none are given) are copied under other names until there are enough. Both ways are the whole
command, in a new process: its start and that of Ray count. CPU seconds are those of all its processes, looked at twice a
second: others' work on the machine lengthens the wall clock, and hardly these. The plain loop with one thread, whose threads
never wait for each other, says how long the cores have to work at least, whoever shares the work out.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

FILM = Path(__file__).parents[1] / "demo" / "clip.mp4"


def cost_s(clips: Path, out: Path, *arguments: object, threads: int | None = None) -> tuple[float, float]:
    """Wall seconds of the command, and CPU seconds of its processes. threads: of the model, else as ever."""
    own = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    words = [clips, "-o", out, "--no-mux", "--quiet", *arguments]
    spent: dict[tuple[int, float], float] = {}  # of each process, which is known by its number and its beginning
    began = time.perf_counter()
    start = [sys.executable, "-m", "echoframe", "generate", *map(str, words)]
    with subprocess.Popen(start, env={**os.environ, **own}) as command:
        root = psutil.Process(command.pid)
        while command.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for each in (root, *root.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        times = each.cpu_times()
                        spent[each.pid, each.create_time()] = times.user + times.system
            time.sleep(0.5)
    if command.returncode:
        raise SystemExit(f"echoframe generate ended with {command.returncode}")
    return time.perf_counter() - began, sum(spent.values())


def largest_difference(one: Path, other: Path) -> float:
    """Of two folders' samples."""
    names = sorted(path.name for path in one.glob("*.wav"))
    pairs = [(soundfile.read(one / name)[0], soundfile.read(other / name)[0]) for name in names]
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="*", default=[FILM])
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--duration", type=float, default=10.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips, plain, single, ray = (folder / each for each in ("clips", "plain", "single", "ray"))
        clips.mkdir()
        for n in range(args.clips):
            film = args.films[n % len(args.films)]
            shutil.copyfile(film, clips / f"{n:03d}{film.suffix}")
        length = ("--duration", args.duration)
        plain_s, plain_cpu_s = cost_s(clips, plain, *length)
        single_s, single_cpu_s = cost_s(clips, single, *length, threads=1)
        ray_s, ray_cpu_s = cost_s(clips, ray, *length, "--ray-address", "local", "--batch-size", args.batch_size)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert all(len([*each.glob("*.wav")]) == args.clips for each in (plain, ray))
        print(f"| {args.clips} clips of {args.duration:g} s, {cores} cores | seconds | CPU seconds |\n|---|---|---|")
        print(f"| one by one | {plain_s:.1f} | {plain_cpu_s:.1f} |")
        print(f"| one by one, one thread | {single_s:.1f} | {single_cpu_s:.1f} |")
        together = f", {args.batch_size} together" if args.batch_size > 1 else ""
        print(f"| on Ray{together} | {ray_s:.1f} | {ray_cpu_s:.1f} |")
        print(f"| ratio (aim: 0.67) | {ray_s / plain_s:.2f} | {ray_cpu_s / plain_cpu_s:.2f} |")
        least_s = single_cpu_s / (cores or 1)
        print(f"| ratio at least, without any Ray | {least_s / plain_s:.2f} | |")
        print(f"| largest difference of samples | {largest_difference(plain, ray):.0e} | |")


if __name__ == "__main__":
    main()
