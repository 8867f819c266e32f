"""How fast `recall` finds the nearest rows by vectors, beside faiss, bare products and a loop over pairs.

    python benchmarks/recall.py [--peers PYTHON] [--rows 100000] [--dim 1024] [--questions 908] [--rounds 5]
                                [--records 200000] [--only medtune,blas] [--threads 2]

Vectors are random, of unit length, float16 on disk. Each contender is a process of its own, all in turn in
each round. Medians count, and those of what ours takes of another's time within a round; where other programs
run, CPU time says more than the clock. The contenders:

- medtune: what `recall` does with vectors, from the files to the 50 nearest rows, its checkpoints written;
- blas: the products of the same blocks alone, float32 in memory, nothing looked for in them;
- faiss: `IndexFlatIP`, the index built before; that it finds the same rows is checked. `--peers` is an
  interpreter that has it: python3 -m venv peers; peers/bin/pip install faiss-cpu numpy
- pairs: `np.dot` of two lists at a time, from some 20,000 pairs; once.

`--records` is for the look at every record that comes before: so many small dialogues. 0 leaves it out.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from recall_peers import FOUND, POOL, QUESTIONS, RECORDS

from medtune.records import Dialogue, Message, dialogue_id

ROOT = Path(__file__).parents[1]
BLOCK_ROWS = 4096
"""Rows of a product; medtune's own number, as its process checks."""
TOP_K = 50
TIE = 2e-6
"""Similarities in float32 that lie no further apart may come in either order."""
WANTED = {"blas": "at most 1.5", "faiss": "at most 1.5", "pairs": "at most 0.0033"}
WORDS = "头痛发热咳嗽胸闷乏力失眠腹泻皮疹高烧心慌应当就医检查血压饮食休息清淡按时服药"


class Run(NamedTuple):
    """What one process did."""

    figures: dict[str, Any]
    peak: int
    """Bytes."""
    folder: Path


def make_vectors(folder: Path, *, rows: int, dim: int, seed: int) -> float:
    """Bytes a row of random vectors, written as `embed` writes them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    header = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
    with (folder / "vectors.npy").open("wb") as file, (folder / "ids.txt").open("wb") as ids:
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, rows, BLOCK_ROWS):
            size = min(BLOCK_ROWS, rows - first)
            drawn = rng.standard_normal((size, dim), dtype=np.float32)
            drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
            file.write(drawn.astype(np.float16).tobytes())
            ids.writelines(b"%016x\n" % number for number in range(first, first + size))
    space = {"type": "states", "model": "random", "dim": dim, "text": "whole", "role": "passage"}
    (folder / "space.json").write_text(json.dumps(space), encoding="utf-8")
    return sum((folder / name).stat().st_size for name in ("vectors.npy", "ids.txt")) / rows


def make_records(path: Path, num_rows: int) -> None:
    """Small dialogues, no two alike."""
    rng = np.random.default_rng(3)
    with path.open("wb") as file:
        for number in range(num_rows):
            asked, told = ("".join(rng.choice(list(WORDS), size=size)) for size in (20, 60))
            turns = (
                Message(role="user", content=f"{asked}{number}"),
                Message(role="assistant", content=told),
            )
            file.write(Dialogue(id=dialogue_id(turns), messages=turns).model_dump_json().encode() + b"\n")


def run_contender(name: str, python: str, settings: dict[str, Any], folder: Path) -> Run:
    """What the contender did in a process of its own; where it fails, what it said ends this one."""
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [
        python,
        str(Path(__file__).with_name("recall_peers.py")),
        name,
        "settings.json",
        "figures.json",
    ]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(settings["threads"]))
    path = {} if name == "faiss" else {"PYTHONPATH": str(ROOT)}
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**kept, **threads, **path}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name}: {(folder / 'log.txt').read_text(encoding='utf-8')[-3000:]}")
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    return Run(figures, usage.ru_maxrss * 1024, folder)


def differing_rows(one: Path, other: Path) -> int:
    """How many of the rows found differ, up to ties; similarities that differ end the comparison."""
    ours, theirs = np.load(one / FOUND), np.load(other / FOUND)
    gap = np.abs(ours["similarities"] - theirs["similarities"]).max()
    if gap > TIE:
        sys.exit(f"similarities differ by up to {gap:.1e}")
    differing = 0
    for mine, own, found in zip(ours["rows"], ours["similarities"], theirs["rows"], strict=True):
        # Where the orders differ, a row found by both has moved among equals; one at the end may be cut off.
        value = dict(zip(mine.tolist(), own.tolist(), strict=True))
        for place in np.flatnonzero(mine != found):
            differing += abs(value.get(int(found[place]), own[-1]) - own[place]) > TIE
    return differing


def tell(runs: dict[str, list[Run]]) -> None:
    """Nothing; prints medians, and how much of each contender's time ours takes within a round."""
    print(f"\n{'':<9}{'clock':>10}{'fastest':>10}{'ours':>10}{'CPU':>10}{'ours':>10}{'peak MB':>9}  wanted")
    for name, found in runs.items():
        clock, cpu = ([run.figures[key] for run in found] for key in ("seconds", "cpu_seconds"))
        by_clock, by_cpu = (ratio(runs, name, key) for key in ("seconds", "cpu_seconds"))
        peak = max(run.peak for run in found) / 1e6
        told = f"{statistics.median(clock):>10.2f}{min(clock):>10.2f}{by_clock:>10.4f}"
        told += f"{statistics.median(cpu):>10.2f}{by_cpu:>10.4f}{peak:>9.0f}"
        print(f"{name:<9}{told}  {WANTED.get(name, '')} ({found[0].figures['versions']})")


def ratio(runs: dict[str, list[Run]], name: str, key: str) -> float:
    """What ours takes of a contender's time, the median over rounds; NaN where ours did not run."""
    rounds = zip(runs.get("medtune", []), runs[name], strict=False)
    return statistics.median([ours.figures[key] / other.figures[key] for ours, other in rounds] or [math.nan])


def tell_details(runs: dict[str, list[Run]], num_rows: int) -> None:
    """Nothing; prints what is apart from the search."""
    for run in runs.get("medtune", [])[:1]:
        print(f"{num_rows} ids read and compared in {run.figures['ids_seconds']:.2f} s")
    for run in runs.get("faiss", [])[:1]:
        print(f"index of faiss built in {run.figures['build_seconds']:.2f} s")
        if "medtune" in runs:
            differing = differing_rows(runs["medtune"][0].folder, run.folder)
            print(f"rows found by medtune and not by faiss, ties apart: {differing}")


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Nothing; prints the tables."""
    size = make_vectors(folder / POOL, rows=arguments.rows, dim=arguments.dim, seed=1)
    make_vectors(folder / QUESTIONS, rows=arguments.questions, dim=arguments.dim, seed=2)
    print(f"{arguments.questions} questions x {arguments.rows} rows x {arguments.dim} numbers, "
          f"{arguments.threads} threads; {size:.0f} bytes a row on disk")  # fmt: skip
    names = arguments.only.split(",") if arguments.only else ["medtune", "blas", "faiss", "pairs"]
    names = [name for name in names if name != "faiss" or arguments.peers]
    settings = {"folder": str(folder), "block_rows": BLOCK_ROWS, "top_k": TOP_K, "threads": arguments.threads}
    runs: dict[str, list[Run]] = defaultdict(list)
    for number in range(arguments.rounds):
        for name in names:
            if name == "pairs" and number:
                continue
            python = arguments.peers if name == "faiss" else sys.executable
            run = run_contender(name, python, settings, folder / f"{name}-{number}")
            runs[name].append(run)
            print(f"  round {number + 1}, {name}: {run.figures['seconds']:.2f} s", flush=True)
    tell(runs)
    tell_details(runs, arguments.rows)
    if arguments.records:
        make_records(folder / RECORDS, arguments.records)
        run = run_contender("survey", sys.executable, settings, folder / "survey")
        seconds, cpu, held, size = (run.figures[key] for key in ("seconds", "cpu_seconds", "held", "file"))
        print(f"{run.figures['rows']} records of {size:.0f} bytes looked at in {seconds:.1f} s, "
              f"{cpu:.1f} s CPU; {held:.0f} bytes of each stay; peak {run.peak / 1e6:.0f} MB")  # fmt: skip


def main() -> None:
    """Nothing; prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default="", help="interpreter that has faiss; without one it is left out")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--questions", type=int, default=908)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--only", default="", help="contenders, such as medtune,blas")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


if __name__ == "__main__":
    main()
