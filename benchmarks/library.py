"""How long a search of a large library takes, and how much memory: made-up rows, real tables.

    python benchmarks/library.py [--pieces 100000] [--dim 512]

Every file has one piece, a name of four words, and a random vector; every fourth is an ambience. Searches are timed in a
new process, the first one apart from the others; CPU is the mean of the others, which a busy machine does not change.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from echoframe.library.database import Database
from echoframe.library.entries import Entry, Found, Piece
from echoframe.library.search import Searcher
from echoframe.library.store import Cut, Store

WORDS = (
    "rain wind door dog car bird wood metal glass water step crowd engine bell fire train close far loud soft".split()
)
SEARCHES, K = 20, 10
TARGETS = 20  # of a film, one for each window


def fill(path: Path, n: int, dim: int) -> float:
    """Seconds that it takes to write `n` files."""
    random, began = np.random.default_rng(0), time.perf_counter()
    database = Database(path)
    about = {"space": "made up", "dim": str(dim), "model": "none", "source": "none", "probe": "[]"}
    database.begin(about, dim=dim)
    database.connection.execute("PRAGMA synchronous = OFF")  # the rows are not to outlive the program
    store = Store(database)
    for number in range(n):
        vector = random.standard_normal((1, dim)).astype(np.float32)
        name = " ".join(random.choice(WORDS, 4).tolist())
        piece = Piece(
            start_s=0.0, stop_s=1.0, kind="event" if number % 4 else "ambience", loudness_lufs=-23.0, peak_db=-6.0
        )
        entry = Entry(
            path=Path(f"/sounds/{number % 100}/{name} {number}.wav"),
            size=1,
            mtime_ns=1,
            sha256=f"{number:064x}",
            sample_rate=48_000,
            channels=2,
            duration_s=1.0,
            state="done",
            words={"name": name},
        )
        store.put(entry, Cut(pieces=[piece], vectors=vector / np.linalg.norm(vector)))
    database.close()
    return time.perf_counter() - began


def measure(path: Path, dim: int) -> None:
    """Prints what searches of the library at `path` take, and the most memory that this process had."""
    database = Database(path)
    searcher, random = Searcher(Store(database)), np.random.default_rng(1)
    searches: dict[str, Callable[[str, np.ndarray], list[Found]]] = {
        "by a target": lambda text, vectors: searcher.near(vectors[:1], K)[0],
        "by a target, for an ambience": lambda text, vectors: searcher.near(vectors[:1], K, "ambience")[0],
        f"by {TARGETS} targets at once": lambda text, vectors: searcher.near(vectors, K)[-1],
        "by words": lambda text, vectors: searcher.say(text, vectors[0], K),
    }
    print("| search | first, ms | median, ms | slowest of the others, ms | CPU, ms |\n|---|---|---|---|---|")
    for name, search in searches.items():
        times, computed = [], 0.0
        for number in range(SEARCHES):
            vectors = random.standard_normal((TARGETS, dim)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            text = f"{WORDS[number % len(WORDS)]} {WORDS[-1 - number % 5]}"
            began = time.perf_counter()
            found = search(text, vectors)
            times.append(1000 * (time.perf_counter() - began))
            assert len(found) == K
            if not number:
                computed = time.process_time()
        computed = 1000 * (time.process_time() - computed) / (SEARCHES - 1)
        print(
            f"| {name} | {times[0]:.0f} | {statistics.median(times[1:]):.0f} | {max(times[1:]):.0f} | {computed:.0f} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    print(f"\nmost memory: {peak:.0f} MiB, the pages of the library's file included")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.dim)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.library"
        seconds = fill(path, args.pieces, args.dim)
        print(
            f"{args.pieces} pieces of {args.dim} numbers: written in {seconds:.0f} s, {path.stat().st_size / 1e6:.0f} MB\n"
        )
        sys.stdout.flush()
        words = [sys.executable, __file__, "--measure", str(path), "--dim", str(args.dim)]
        subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
