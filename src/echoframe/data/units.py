"""Sizes and lengths in the unit that leaves them readable: a small set is not "0.0 GB"."""


def size_words(n_bytes: float) -> str:
    """A number of bytes, in decimal units.

    >>> size_words(820_000), size_words(2_540_000), size_words(131e9)
    ('820 kB', '2.5 MB', '131.0 GB')
    """
    for unit, of in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= 0.9995 * of:
            return f"{n_bytes / of:,.1f} {unit}"
    return f"{n_bytes / 1e3:.0f} kB"


def time_words(seconds: float) -> str:
    """A length of time.

    >>> time_words(42.4), time_words(1230), time_words(7560)
    ('42 s', '20.5 min', '2.1 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"
