"""What `mini` costs on this machine: loading, ten seconds of sound from a ten-second film, memory, --help.

    python benchmarks/mini.py [FILM]

Each figure is the median of three, with the film already in the disk cache; --help is given as a ratio to
`python -c pass` in the same run.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FILM = Path(__file__).parents[1] / "demo" / "clip.mp4"
LOAD = "from echoframe import load; load('mini')"


def median_s(work: Callable[[], object], n: int = 3) -> float:
    """Median wall time of `work` in seconds."""
    times = []
    for _ in range(n):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def command_s(*arguments: str, n: int = 3) -> float:
    """Median wall time of a new Python process in seconds."""
    return median_s(lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL), n)


def peak_gb() -> float:
    """The most memory that this process had, in GB; NaN on Windows, which does not count it this way."""
    try:
        import resource
    except ImportError:
        return float("nan")
    unit = 1e9 if sys.platform == "darwin" else 1e6  # macOS counts in bytes, Linux in kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    film = Path(sys.argv[1]) if len(sys.argv) > 1 else FILM
    empty = command_s("-c", "pass", n=9)
    shown = command_s("-m", "echoframe", "--help", n=9)
    loading = command_s("-c", LOAD)

    from echoframe import load

    model = load("mini")
    making = median_s(lambda: model.generate(film, duration_s=10.0))
    print("| figure | measured | aim |\n|---|---|---|")
    print(f"| a new process up to the loaded model | {loading:.1f} s | 5 s |")
    print(f"| 10 s of sound, after loading | {making:.1f} s | 10 s |")
    print(f"| peak memory | {peak_gb():.2f} GB | 1.5 GB |")
    print(f"| `echoframe --help` to `python -c pass` | {shown / empty:.1f} | 4 |")


if __name__ == "__main__":
    main()
