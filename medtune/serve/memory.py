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
    _call("mallopt", M_MMAP_THRESHOLD, LARGE_BYTES)
    _call("mallopt", M_ARENA_MAX, 2)


def give_back_holes() -> None:
    """Nothing; pages on which no block lies any more return to the system, with glibc.

    By itself glibc gives back only what lies behind the last block, so that a server under load would grow
    for as long as one looks.
    """
    _call("malloc_trim", 0)


def _call(name: str, *values: int) -> None:
    """Nothing; a function of glibc was called, where that is the C library."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6")[name](*values)
