"""The command keeps the memory it frees: the pages of a large array are taken from the system once."""

import ctypes
import subprocess
import sys

import pytest

from echoframe.apps.allocator import keep_freed_memory

PROGRAM = """
import resource, sys
from echoframe.apps.allocator import keep_freed_memory
assert sys.argv[1] == "0" or keep_freed_memory()
faults = []
for n in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    array = bytearray(b"x") * (64 << 20)
    del array
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sum(faults[1:]))
"""


def faults(keep: bool) -> int:
    """Pages that were asked for while an array of 64 MB was made and freed seven times, after the first."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(int(keep))], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="a C library without mallopt"
)
def test_pages_of_a_freed_array_are_kept() -> None:
    assert faults(keep=True) < 100 < faults(keep=False)


@pytest.mark.parametrize("why", ["platform", "library"])
def test_without_such_a_switch_nothing_is_done(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "platform":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
