"""How long work says how far it is."""

from collections.abc import Callable

# (how many parts are done, how many there are in all, what was done last: "" where parts have no names)
ProgressCallback = Callable[[int, int, str], None]


def nth_of(progress: ProgressCallback | None, index: int, n_runs: int) -> ProgressCallback | None:
    """The callback for run `index` of several equally long runs, so that `progress` counts the parts of all of them.

    >>> nth_of(lambda done, total, what: print(done, "of", total), 1, 3)(2, 10, "")
    12 of 30
    """
    if progress is None:
        return None
    return lambda done, total, what: progress(index * total + done, n_runs * total, what)
