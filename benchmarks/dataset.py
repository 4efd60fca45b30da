"""What each step of `echoframe data` and `echoframe extract` costs for real clips, multiplied out to 200,000.

    python benchmarks/dataset.py [--clips FOLDER] [--workers 2]

FOLDER holds clips under their usual names (ID_000030.mp4, ID_30000_40000.mp4); without it, twelve films of 360 lines
are made. Every step runs as the command that a user types, in a new process; what a process needs to begin is measured on
one clip and taken off. Decoding and encoding are done by `--workers` processes; core-hours are what 200,000 such clips
take of one core of this machine.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from extract import write_clip

from echoframe.data.clip_list import parse_clip_name

N_ALL = 200_000


def run(*command: object) -> float:
    """Seconds of one `echoframe` command. Exit code 1 is for clips that are not as they should be."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "echoframe", *map(str, command), "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr}")
    return time.perf_counter() - began


def steps(source: Path, folder: Path, workers: int) -> Iterator[tuple[str, float, int, int]]:
    """Each step: its name, seconds, the cores it works on, the bytes of its result."""
    clips, tars, again, vectors, out = (folder / name for name in ("clips", "tars", "again", "vectors", "dataset"))
    cores = os.cpu_count() or 1
    for name, used, result, command in (
        ("adopt", 1, clips, ("data", "adopt", source, "-o", clips)),
        ("verify", workers, clips, ("data", "verify", clips, "--workers", workers)),
        ("repair", workers, clips, ("data", "repair", clips, "--workers", workers)),
        ("pack", 1, tars, ("data", "pack", clips, "-o", tars)),
        ("unpack", 1, again, ("data", "unpack", tars, "-o", again)),
        ("extract, mini", cores, vectors, ("extract", clips, "-o", vectors, "--max-failed", 1)),
        (
            "publish --dry-run",
            1,
            out,
            ("data", "publish", clips, "me/set", "-o", out, "--embeddings", vectors, "--tars", tars, "--dry-run"),
        ),
    ):
        yield name, run(*command), used, size_of(result)


def made(folder: Path) -> Path:
    """A folder of twelve films of ten seconds."""
    clip = write_clip(folder / "clip.mp4")
    (folder / "made").mkdir()
    for i in range(12):
        shutil.copy(clip, folder / "made" / f"aaaaaaaaa{i:02d}_000000.mp4")
    return folder / "made"


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = sorted(path for path in (args.clips or made(folder)).iterdir() if parse_clip_name(path.name))
        if len(films) < 2:
            parser.error(f"{args.clips}: {len(films)} clips with their usual names; expected 2 or more")
        sources = {}
        for part, some in (("one", films[:1]), ("all", films)):
            sources[part] = folder / f"films-{part}"
            sources[part].mkdir()
            for film in some:
                (sources[part] / film.name).write_bytes(film.read_bytes())
        first = {step: seconds for step, seconds, _, _ in steps(sources["one"], folder / "of-one", args.workers)}
        n = len(films)
        print(f"{n} clips of {size_of(sources['all']) / n / 1e6:.2f} MB, {os.cpu_count()} cores\n")
        print("| step | s a clip | cores | core-hours for 200,000 | GB for 200,000 |\n|---|---|---|---|---|")
        for step, seconds, cores, size in steps(sources["all"], folder / "of-all", args.workers):
            each = max(seconds - first[step], 0.0) / (n - 1)
            hours, gigabytes = each * cores * N_ALL / 3600, size / n * N_ALL / 1e9
            print(f"| {step} | {each:.2f} | {cores} | {hours:.0f} | {gigabytes:.0f} |", flush=True)


if __name__ == "__main__":
    main()
