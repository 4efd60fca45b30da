"""How torch's threads wait for each other while a command runs."""

import os

SPINS = "10000"  # about a tenth of a millisecond, as long as the gaps between two operations of a network


def wait_briefly() -> None:
    """Has threads without work sleep after a tenth of a millisecond, where GNU's OpenMP spins for several.

    A spinning thread uses a core for nothing, and on a busy machine it takes it from the thread that it waits for. What a
    user has set is left as it is. It has to be called before torch is loaded, which reads this once.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
