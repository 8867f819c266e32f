"""Memory that goes back to the system while a server runs."""

import ctypes
import sys
from contextlib import suppress

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Names of glibc's mallopt(3)."""
LARGE_BYTES = 1 << 20
GIVE_BACK_SECONDS = 10
"""How often a server gives back. It takes some milliseconds."""


def give_back_large_blocks() -> None:
    """Nothing; freed blocks of a MiB and more return to the system at once from now on, with glibc.

    glibc raises its own threshold to 32 MiB otherwise, and batches of ever other sizes leave holes.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
            libc.mallopt(M_ARENA_MAX, 2)


def give_back_holes() -> None:
    """Nothing; pages on which no block lies any more return to the system, with glibc.

    By itself glibc gives back only what lies behind the last block, so that a server under load would grow
    for as long as one looks.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
