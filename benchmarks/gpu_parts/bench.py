"""Where the parts of `benchmarks/gpu.py` run and how they are timed.

A part is given a `Bench` and says every result as it has it. A case runs briefly first, which warms up and tells how long
the whole will take; it is left out where the part's time would not do.
"""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

LONGEST_S = 3.0  # of the repeats of one case
REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a case took. first_s: its very first run, which compiles and warms up; seconds: the median of the whole ones."""

    first_s: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where parts run and how long. ends: of the part's time, on the monotonic clock. small: tiny sizes."""

    device: torch.device
    small: bool
    ends: float

    @property
    def backend(self) -> str:
        """Of torch.compile; at small size the one that makes no code."""
        return "eager" if self.small else "inductor"

    def say(self, what: str, found: str) -> None:
        print(f"{what}: {found}", flush=True)

    def wait(self) -> None:
        """Until the device has done what it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def seconds(self, work: Callable[[], object]) -> float:
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def peak(self) -> str:
        """The most memory since the case began, as a part of a sentence; nothing where the device does not count it."""
        if self.device.type != "cuda":
            return ""
        return f", {torch.cuda.max_memory_allocated(self.device) / 1e9:.2f} GB at most"

    def forget(self) -> None:
        """Gives back what no name holds any more."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def case(
        self,
        what: str,
        short: Callable[[], object],
        whole: Callable[[], object],
        tell: Callable[[Taken], str],
        times: float,
    ) -> None:
        """Says what `tell` makes of a case, and its memory. times: how much longer `whole` is than `short`, about."""
        try:
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self.device)
            first_s = self.seconds(short)
            expected_s = self.seconds(short) * times
            left_s = self.ends - time.monotonic()
            if expected_s > left_s:
                self.say(what, f"left out, as it would take {expected_s:.0f} s, and {max(left_s, 0):.0f} s are left")
                return
            found = [self.seconds(whole)]
            repeats = 1 if self.small else REPEATS
            while len(found) < repeats and sum(found) + found[0] < min(LONGEST_S, self.ends - time.monotonic()):
                found.append(self.seconds(whole))
        except Exception as error:  # whatever it is, the other cases can still be measured
            self.say(what, _one_line(error))
            self.forget()
            return
        self.say(what, tell(Taken(first_s=first_s, seconds=statistics.median(found))) + self.peak())


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"failed ({type(error).__name__}{': ' + lines[0][:200] if lines else ''})"
