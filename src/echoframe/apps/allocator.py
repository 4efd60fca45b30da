"""The C library's memory, kept while a command runs: to give pages back and take them again costs CPU time."""

import ctypes
import sys

# malloc.h of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 1 << 30  # bytes


def keep_freed_memory() -> bool:
    """Has the process keep up to a gigabyte of what it frees for what it needs next; returns whether it could.

    glibc maps every array of more than 32 MB anew, and the system clears its pages each time: of CLIP ViT-L/14's time on
    the CPU that is a seventh. Other C libraries have no such switch. Only a command may call this: it holds for the process.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return all(mallopt(what, KEPT) == 1 for what in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))
