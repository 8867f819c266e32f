"""Work on pieces of a stream in several processes, results in the order of the pieces."""

import gc
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import get_context
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")

HEAD = 8
"""Up to so many pieces are done in this process: a small set needs no others."""
AHEAD = 4
"""Pieces that may wait for each worker, so that memory does not grow with the stream."""


def collect_seldom() -> None:
    """Nothing; in this process cycles are looked for once in a hundred thousand new objects.

    Rows make many objects and hardly a cycle: looking for them took a quarter of the time.
    """
    gc.set_threshold(100_000, 50, 1000)


def map_in_order(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], *, workers: int
) -> Iterator[Result]:
    """The result for each piece, in order. `workers` 0 takes one process a core."""
    stream = iter(pieces)
    head = list(islice(stream, HEAD + 1))
    stream = chain(head, stream)
    num_workers = workers or os.cpu_count() or 1
    if num_workers == 1 or len(head) <= HEAD:
        yield from map(work, stream)
        return
    with ProcessPoolExecutor(num_workers, get_context("spawn"), initializer=collect_seldom) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for piece in stream:
                waiting.append(pool.submit(work, piece))
                if len(waiting) >= AHEAD * num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
