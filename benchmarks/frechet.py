"""The Frechet distance of two sets of 10,000 x 2,048 embeddings: ours in one pass, and by numpy.cov and scipy.linalg.sqrtm.

    python benchmarks/frechet.py [--rows 10000] [--dim 2048] [--chunk 2500] [--threads 1]

Each way runs in a process of its own, on the same numbers. `s` is the time of the arithmetic, without that of making the
embeddings; `distance s` the part of it after the covariances; `MB` what the process grew by at its peak. The sqrtm route
holds both sets, as av-benchmark, fadtk and frechet_audio_distance do; that of `complex` is frechet_audio_distance's.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np
import scipy
import scipy.linalg

from echoframe.evaluation.frechet import Moments, frechet_of_moments

Result = tuple[float, float, float, float]  # distance, seconds, of which after the covariances, MB


def main() -> None:
    arguments = _arguments()
    shape = (arguments.rows, arguments.dim, arguments.chunk)
    print(
        f"2 x {arguments.rows} x {arguments.dim}, {arguments.threads} threads of {os.cpu_count()} {platform.machine()}"
    )
    print(
        f"numpy {np.__version__}, scipy {scipy.__version__}\n\n| | distance | s | distance s | MB |\n|---|---|---|---|---|"
    )
    ways: dict[str, Callable[[int, int, int], Result]] = {
        "ours, one pass": ours,
        "numpy.cov, sqrtm": by_sqrtm,
        "numpy.cov, sqrtm, complex": by_complex_sqrtm,
    }
    results: dict[str, Result] = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, way in ways.items():
            results[name] = pool.apply(way, shape)
            value, seconds, after, megabytes = results[name]
            print(f"| {name} | {value:.9f} | {seconds:.2f} | {after:.2f} | {megabytes:.0f} |", flush=True)
    mine = results["ours, one pass"]
    for name, other in list(results.items())[1:]:
        print(
            f"\n{name}: {other[1] / mine[1]:.1f} times ours in all, {other[2] / mine[2]:.1f} times after the covariances; "
            f"differs by {abs(other[0] / mine[0] - 1):.1e}"
        )


def chunks(seed: int, rows: int, dim: int, chunk: int) -> Iterator[np.ndarray]:
    """Embeddings whose variances fall a thousandfold, of two sources that differ a little."""
    rng = np.random.default_rng(seed)
    scales = (1 + 0.1 * seed) * np.logspace(0, -1.5, dim)
    for first in range(0, rows, chunk):
        yield rng.standard_normal((min(chunk, rows - first), dim)) * scales + 0.01 * seed


def ours(rows: int, dim: int, chunk: int) -> Result:
    before, seconds, sets = _peak(), 0.0, []
    for seed in (0, 1):
        moments = None
        for part in chunks(seed, rows, dim, chunk):
            started = time.perf_counter()
            moments = Moments.of(part) if moments is None else moments + Moments.of(part)
            seconds += time.perf_counter() - started
        assert moments is not None
        sets.append(moments)
    started = time.perf_counter()
    value = frechet_of_moments(*sets)
    after = time.perf_counter() - started
    return value, seconds + after, after, _peak() - before


def by_sqrtm(rows: int, dim: int, chunk: int, dtype: type = np.float64) -> Result:
    before = _peak()
    first, second = (np.concatenate(list(chunks(seed, rows, dim, chunk))) for seed in (0, 1))
    started = time.perf_counter()
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    apart = first.mean(axis=0) - second.mean(axis=0)
    counted = time.perf_counter()
    root = scipy.linalg.sqrtm((covariances[0] @ covariances[1]).astype(dtype))
    value = apart @ apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root).real
    ended = time.perf_counter()
    return float(value), ended - started, ended - counted, _peak() - before


def by_complex_sqrtm(rows: int, dim: int, chunk: int) -> Result:
    return by_sqrtm(rows, dim, chunk, np.complex128)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes, on Linux


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--chunk", type=int, default=2500)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[library] = str(arguments.threads)  # read by the processes that do the work
    return arguments


if __name__ == "__main__":
    main()
