"""One contender of benchmarks/recall.py in a process of its own: `recall_peers.py NAME SETTINGS FIGURES`."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

Figures = dict[str, Any]
POOL, QUESTIONS, RECORDS, FOUND = "pool", "questions", "records.jsonl", "found.npz"
PAIRS = 20_000


class Watch:
    """Time since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> Figures:
        """Seconds by the clock, and of all cores."""
        clock, cpu = self._start
        return {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}


def run_medtune(settings: dict[str, Any]) -> Figures:
    """Seconds of the search as `recall` does it, from vectors on disk to the nearest rows."""
    from functools import reduce

    from medtune.config import Input
    from medtune.curate.search import (
        VECTOR_ROWS,
        Nearest,
        blocks_of_vectors,
        find_nearest,
        merge,
        read_rows,
    )
    from medtune.curate.shards import SHARD_ROWS, Shard, work_through
    from medtune.curate.survey import fingerprints
    from medtune.curate.vectors import open_vectors
    from medtune.engines.config import LocalWorkers

    assert settings["block_rows"] == VECTOR_ROWS, "all multiply blocks of one size"
    folder = Path(settings["folder"])
    before = Watch()
    pool, asked = (open_vectors(Input(folder / name)) for name in (POOL, QUESTIONS))
    prints = fingerprints(pool.read_ids())
    ids_seconds = before.read()["seconds"]
    watch = Watch()
    questions = read_rows(asked.array, 0, len(asked.array))
    num_rows, top_k = len(pool.array), settings["top_k"]
    is_free = np.ones(len(prints), dtype=bool)
    shards = [
        Shard(0, first, first + 1, 0, min(SHARD_ROWS, num_rows - first))
        for first in range(0, num_rows, SHARD_ROWS)
    ]

    def find(_: None, shard: Shard) -> Nearest:
        blocks = blocks_of_vectors(pool.array, questions, shard, name=str(pool.folder))
        return find_nearest(blocks, is_free, num_questions=len(questions), top_k=top_k, too_near=0.95)

    parts = work_through(
        shards,
        out=Path.cwd(),
        stage="search",
        kind=Nearest,
        workers=LocalWorkers(),
        hold=lambda: None,
        work=find,
    )
    nearest = reduce(lambda one, other: merge(one, other, top_k=top_k), parts)
    figures = watch.read()
    np.savez(FOUND, rows=nearest.rows, similarities=nearest.similarities)
    return {**figures, "ids_seconds": ids_seconds, "versions": versions("numpy", "torch")}


def run_blas(settings: dict[str, Any]) -> Figures:
    """Seconds of the matrix products alone, from float32 blocks in memory into one result."""
    array, questions = load(settings)
    size = settings["block_rows"]
    blocks = [array[first : first + size].astype(np.float32) for first in range(0, len(array), size)]
    product = np.empty((len(questions), size), dtype=np.float32)
    watch = Watch()
    for block in blocks:
        np.matmul(questions, block.T, out=product[:, : len(block)])
    return {**watch.read(), "versions": versions("numpy")}


def run_faiss(settings: dict[str, Any]) -> Figures:
    """Seconds of the exact search of faiss, the index being there."""
    import faiss

    faiss.omp_set_num_threads(settings["threads"])
    array, questions = load(settings)
    before = Watch()
    index = faiss.IndexFlatIP(array.shape[1])
    for first in range(0, len(array), settings["block_rows"]):
        index.add(array[first : first + settings["block_rows"]].astype(np.float32))
    build_seconds = before.read()["seconds"]
    watch = Watch()
    similarities, rows = index.search(questions, settings["top_k"])
    figures = watch.read()
    np.savez(FOUND, rows=rows, similarities=similarities)
    return {**figures, "build_seconds": build_seconds, "versions": versions("numpy", "faiss")}


def run_pairs(settings: dict[str, Any]) -> Figures:
    """Seconds of one `np.dot` for each pair of lists, from a part of the pairs."""
    array, questions = load(settings)
    number = min(PAIRS // len(questions) + 1, len(array))
    rows, asked = array[:number].astype(np.float32).tolist(), questions.tolist()
    watch = Watch()
    best = [max(float(np.dot(np.array(one), np.array(other))) for other in rows) for one in asked]
    figures = {name: value * len(array) / number for name, value in watch.read().items()}
    assert len(best) == len(asked)
    return {**figures, "versions": versions("numpy")}


def run_survey(settings: dict[str, Any]) -> Figures:
    """Seconds and bytes of the one look that `recall` takes at every record of its pool."""
    from medtune.config import Input
    from medtune.curate.config import SelectionConfig
    from medtune.curate.pool import read_pool

    path = Path(settings["folder"]) / RECORDS
    watch = Watch()
    pool, _ = read_pool(SelectionConfig(pool=(Input(path),), out=Path.cwd()))
    figures = watch.read()
    arrays = (value for value in vars(pool).values() if isinstance(value, np.ndarray))
    held = sum(array.nbytes for array in arrays) / len(pool)
    return {**figures, "rows": len(pool), "held": held, "file": path.stat().st_size / len(pool)}


def load(settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The pool's vectors, still on disk, and those of the questions as float32."""
    folder = Path(settings["folder"])
    questions = np.load(folder / QUESTIONS / "vectors.npy").astype(np.float32)
    return np.load(folder / POOL / "vectors.npy", mmap_mode="r"), questions


def versions(*names: str) -> str:
    """The modules with their versions."""
    return ", ".join(f"{name} {sys.modules[name].__version__}" for name in names)


CONTENDERS = {
    "medtune": run_medtune,
    "blas": run_blas,
    "faiss": run_faiss,
    "pairs": run_pairs,
    "survey": run_survey,
}

if __name__ == "__main__":
    name, told, figures = sys.argv[1:]
    done = CONTENDERS[name](json.loads(Path(told).read_text(encoding="utf-8")))
    Path(figures).write_text(json.dumps(done), encoding="utf-8")
