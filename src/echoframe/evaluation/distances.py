"""Distances between the rows of two sets of embeddings, and the kernel distance of the sets, as pure functions in float64.

*Conventions*: rows are embeddings, (reference, generated) in this order; the two may differ in number but not in size, and
the order of rows does not count. A row that is not finite is refused by its number, from 0. Nothing that is given changes.

*Metrics*: kernel distance, what each row adds to it, and the median distance that is its bandwidth. `evaluation.metrics`
gives them under its own name too.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from echoframe.errors import InputError

BLOCK = 1024  # rows compared at once: memory grows with the number of embeddings, not its square
KERNEL_SCALE = 100.0  # SCALE_FACTOR of kadtk 1.1.0, kad.py
KERNEL_EPSILON = 1e-8  # its eps, beside 2 bandwidth^2
BINS = 65536
HELD = 4096  # points whose distances are all held at once to find their median


def kernel_distance(
    reference: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m e"], *, bandwidth: float | None = None
) -> float:
    """100 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)) over pairs of different rows, k = exp(-|x - y|^2 / 2 b^2): the
    unbiased squared MMD (Gretton et al. 2012, equation 3) as KAD (Chung et al. 2025). 0 for one distribution, and then, as
    an estimate, often below 0; lower is best. Two rows or more of each.

    bandwidth: b; None takes `median_distance(reference)`, as the paper says. kadtk 1.1.0 (kad.py), whose factor of 100 and
    1e-8 beside 2 b^2 are used here, takes that of the evaluated set: `bandwidth=median_distance(generated)`.
    """
    x, y = checked_pair(reference, generated, least=2)
    width = median_distance(x) if bandwidth is None else bandwidth
    of_x, of_y, crossed, _ = _kernel_means(x, y, width)
    return KERNEL_SCALE * float(of_x.mean() + of_y.mean() - 2 * crossed.mean())


def kernel_influences(
    reference: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m e"], *, bandwidth: float | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """As `frechet_influences`, of `kernel_distance` at a fixed bandwidth: for x of the reference 200 (mean over other x' of
    k(x, x') - mean over y of k(x, y)), less its mean (Hoeffding's projection; Gretton et al. 2012, appendix B). Of two sets
    that are the same thing there is no first order: an interval by it is then too wide.
    """
    x, y = checked_pair(reference, generated, least=2)
    width = median_distance(x) if bandwidth is None else bandwidth
    of_x, of_y, x_to_y, y_to_x = _kernel_means(x, y, width)
    raw = 2 * KERNEL_SCALE * (of_x - x_to_y), 2 * KERNEL_SCALE * (of_y - y_to_x)
    return raw[0] - raw[0].mean(), raw[1] - raw[1].mean()


def _kernel_means(x: np.ndarray, y: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each row of x and of y, the mean kernel with the other rows of its set; then with all rows of the other set."""
    x, y = x - x.mean(axis=0), y - x.mean(axis=0)
    scale = -1 / (2 * width**2 + KERNEL_EPSILON)

    def within(points: np.ndarray) -> np.ndarray:
        sums = [np.exp(squares * scale).sum(axis=1) for _, squares in distance_blocks(points, points)]
        return (np.concatenate(sums) - 1) / (len(points) - 1)  # less each row with itself, where the kernel is 1

    x_to_y, y_to_x = [], np.zeros(len(y))
    for _, squares in distance_blocks(x, y):
        kernel = np.exp(squares * scale)
        x_to_y.append(kernel.mean(axis=1))
        y_to_x += kernel.sum(axis=0) / len(x)
    return within(x), within(y), np.concatenate(x_to_y), y_to_x


def median_distance(points: Float[np.ndarray, "n d"]) -> float:
    """The median of the distances of all pairs of rows, the lower of two middle ones (as torch.median, which kadtk uses);
    0 or more, two rows or more. Of over 4,096 rows it is found by counting, to 1e-9 of the largest.
    """
    rows = checked(points, "embeddings", least=2)
    rows = rows - rows.mean(axis=0)
    n = len(rows)
    rank = 2 * ((n * (n - 1) // 2 - 1) // 2)  # each pair is there twice
    if n <= HELD:
        squares = squared_distances(rows, rows)
        np.fill_diagonal(squares, -1.0)
        return float(np.sqrt(np.partition(squares, n + rank, axis=None)[n + rank]))
    low, high = 0.0, 4 * float(np.square(rows).sum(axis=1).max())
    for _ in range(2):  # each narrows it by BINS
        counts = np.zeros(BINS, dtype=np.int64)
        for first, squares in distance_blocks(rows, rows):
            squares[np.arange(len(squares)), first + np.arange(len(squares))] = -1.0  # outside the range: not counted
            counts += np.histogram(squares, bins=BINS, range=(low, high))[0]
        upto = np.cumsum(counts)
        place = int(np.searchsorted(upto, rank, side="right"))
        rank -= int(upto[place] - counts[place])
        edges = np.linspace(low, high, BINS + 1)
        low, high = float(edges[place]), float(edges[place + 1])
    return float(np.sqrt((low + high) / 2))


def squared_distances(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """|x_i - y_j|^2, (n, m), 0 or more; exactly 0 for a row and itself where `x` is `y`."""
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    if x is y:
        np.fill_diagonal(squares, 0.0)  # not what rounding left
    return np.maximum(squares, 0.0, out=squares)


def distance_blocks(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> Iterator[tuple[int, np.ndarray]]:
    """The squared distances of BLOCK rows of `x` to all of `y`, and the first row's number."""
    for first in range(0, len(x), BLOCK):
        squares = squared_distances(x[first : first + BLOCK], y)
        if x is y:
            own = np.arange(len(squares))
            squares[own, first + own] = 0.0
        yield first, squares


def checked(rows: Float[np.ndarray, "n d"], name: str, *, least: int) -> Float[np.ndarray, "n d"]:
    """`rows` as float64. Raises InputError if there are fewer than `least` or one is not finite."""
    if len(rows) < least:
        few = "at least two" if least == 2 else f"{least} or more"
        raise InputError(f"{name}: {len(rows)} of them; give {few}")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise InputError(f"{name}: row {int(finite.argmin())} is not finite; leave that clip out of both sets")
    return np.asarray(rows, dtype=np.float64)


def checked_pair(
    reference: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m e"], *, least: int
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]:
    """Both as float64. Raises InputError as `checked` does, or for rows of two sizes."""
    check_sizes(reference.shape[1], generated.shape[1])
    x = checked(reference, "reference embeddings", least=least)
    return x, checked(generated, "generated embeddings", least=least)


def check_sizes(reference: int, generated: int) -> None:
    """Raises InputError if rows of the two sets differ in size."""
    if reference != generated:
        raise InputError(
            f"embeddings of {reference} and {generated} numbers; expected sets from one judge, of one size"
        )
