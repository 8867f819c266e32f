"""What a server frees goes back to the system."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
MEASURE = """
import resource
from pathlib import Path
from medtune.serve.memory import give_back_holes, give_back_large_blocks

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20

"""
LARGE = """
give_back_large_blocks()
before = held()
for _ in range(3):  # glibc would have raised its threshold by the second round
    blocks = [bytearray(b"x") * (4 << 20) for _ in range(40)]
    pins = [bytearray(1000) for _ in range(40)]
    del blocks
print(held() - before)
"""
HOLES = """
before = held()
blocks = []
pins = []
for _ in range(1000):
    blocks.append(bytearray(b"x") * 100_000)
    pins.append(bytearray(1000))
del blocks
between = held()
give_back_holes()
print(between - before, held() - before)
"""


def run(program: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE + program], capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_large_blocks_do_not_stay() -> None:
    (grown,) = run(LARGE)
    assert grown < 16


def test_holes_between_blocks_are_given_back() -> None:
    between, after = run(HOLES)
    assert between > 80 and after < 20
