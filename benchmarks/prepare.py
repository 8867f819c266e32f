"""How fast prepare is, on as many rows as the six department files of a public consultation set have.

    python benchmarks/prepare.py [--rows 792099] [--peers PYTHON] [--keep DIR]

Makes six GB18030 CSV files by resampling and perturbing a sample (../shared/data when it is there, else
the shipped samples), prepares them, and prints seconds and rows a second for each step and the peak memory
of all processes together. With `--peers`, an interpreter that has datasketch and pandas, the same rows also
go through datasketch's MinHash LSH and a pandas iterrows cleaner, and the ratios are printed.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT.parent / "shared" / "data" / "toyhom_neike_sample.csv"
OURS = ROOT / "medtune" / "samples" / "consult_gb18030.csv"
SHARES = {
    "internal": 220606, "surgery": 115991, "paediatrics": 101602, "oncology": 75553, "gynaecology": 183751,
    "andrology": 94596,
}  # fmt: skip
HEADER = ["department", "title", "ask", "answer"]


def perturb(text: str, letters: list[str], *, rate: float, chance: random.Random) -> str:
    """The text with some characters replaced, so that most copies are no near duplicates."""
    signs = list(text)
    for place in chance.sample(range(len(signs)), k=int(rate * len(signs))):
        signs[place] = chance.choice(letters)
    return "".join(signs)


def make_corpus(folder: Path, num_rows: int) -> None:
    """Six CSV files in GB18030: 5 % of the rows exact copies, 10 % near ones, the others further off."""
    chance = random.Random(42)
    source = SAMPLE if SAMPLE.exists() else OURS
    with source.open(encoding="gb18030", newline="") as file:
        rows = [[row[key] for key in HEADER] for row in csv.DictReader(file)]
    letters = sorted({sign for row in rows for sign in row[3] if "\u4e00" <= sign <= "\u9fff"})
    whole = sum(SHARES.values())
    for name, share in SHARES.items():
        with (folder / f"{name}.csv").open("w", encoding="gb18030", newline="", errors="ignore") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for _ in range(round(share * num_rows / whole)):
                department, title, ask, answer = chance.choice(rows)
                kind = chance.random()
                rate = 0.0 if kind < 0.05 else 0.02 if kind < 0.15 else 0.25
                if rate:
                    ask = perturb(ask, letters, rate=rate, chance=chance)
                    answer = perturb(answer, letters, rate=rate, chance=chance)
                writer.writerow([department, title, ask, answer])


def memory_of(pid: int) -> int:
    """Bytes that a process and its children hold, shared pages counted once (Linux)."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1]) * 1024
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = " ".join((task / "children").read_text(encoding="utf-8") for task in tasks)
    except OSError:  # it ended meanwhile
        return total
    return total + sum(memory_of(int(child)) for child in children.split())


def run_watched(command: list[str]) -> tuple[float, int]:
    """Seconds and peak bytes of a command with its children."""
    start, peak, done = time.perf_counter(), 0, threading.Event()
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.5):
            peak = max(peak, memory_of(process.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    code = process.wait()
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    if code:
        sys.exit(code)
    return seconds, peak


def near_rate(folder: Path, num_rows: int) -> tuple[float, int]:
    """Rows a second of our near-duplicate step on the first rows in this process, and how many it found."""
    import numpy as np

    from medtune.data.dedup import find_repeats, hash_grams, sketch
    from medtune.data.prepare import CHUNK_ROWS
    from medtune.scorers.overlap import bare

    texts = [row[2] + row[3] for row in read_rows(folder, num_rows)]
    start = time.perf_counter()
    sketches = [
        sketch(hash_grams([bare(text) for text in texts[first : first + CHUNK_ROWS]])).astype(np.uint16)
        for first in range(0, len(texts), CHUNK_ROWS)
    ]
    repeats = find_repeats(np.concatenate(sketches), 0.9)
    return len(texts) / (time.perf_counter() - start), int((repeats != np.arange(len(texts))).sum())


def read_rows(folder: Path, num_rows: int) -> list[list[str]]:
    """The first rows of the corpus."""
    with (folder / "internal.csv").open(encoding="gb18030", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        return [row for row, _ in zip(reader, range(num_rows), strict=False)]


def main() -> None:
    """Nothing; prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=792099)
    parser.add_argument("--peers", default="", help="a Python that has datasketch and pandas")
    parser.add_argument("--keep", type=Path, help="directory for corpus and result")
    parser.add_argument("--peer-rows", type=int, default=20000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        corpus = folder / "corpus"
        if not corpus.exists():
            corpus.mkdir(parents=True)
            make_corpus(corpus, arguments.rows)
        out = folder / "out"
        command = [sys.executable, "-m", "medtune", "prepare", f"source={corpus}", f"out={out}", "--replace",
                   "max_dropped=0.5"]  # fmt: skip
        seconds, peak = run_watched(command)
        print(f"\n{'step':<20}{'rows':>10}{'seconds':>10}{'rows/s':>12}")
        for step in json.loads((out / "logs" / "steps.json").read_text(encoding="utf-8")):
            rate = step["rows"] / max(step["seconds"], 1e-9)
            print(f"{step['step']:<20}{step['rows']:>10}{step['seconds']:>10.1f}{rate:>12,.0f}")
        print(f"{'whole':<20}{arguments.rows:>10}{seconds:>10.1f}{arguments.rows / seconds:>12,.0f}")
        print(f"peak memory of all processes: {peak / 2**30:.2f} GiB")
        rate, found = near_rate(corpus, arguments.peer_rows)
        print(f"near duplicates, {arguments.peer_rows} rows, one process: {rate:,.0f} rows/s, {found} found")
        if arguments.peers:
            compare(arguments.peers, corpus, out, arguments.peer_rows, rate)


def compare(python: str, corpus: Path, out: Path, num_rows: int, near: float) -> None:
    """Nothing; prints how the peers do on the same rows."""
    script = Path(__file__).with_name("prepare_peers.py")
    answer = subprocess.run(
        [python, str(script), str(corpus / "internal.csv"), str(num_rows)], capture_output=True, text=True
    )
    if answer.returncode:
        sys.exit(answer.stderr)
    peers = json.loads(answer.stdout)
    steps = json.loads((out / "logs" / "steps.json").read_text(encoding="utf-8"))
    clean = steps[0]["rows"] / steps[0]["seconds"]
    print(f"datasketch {peers['datasketch_version']} MinHash LSH: {peers['datasketch']:,.0f} rows/s, "
          f"{peers['found']} found; ours is {near / peers['datasketch']:.1f} times as fast")  # fmt: skip
    print(f"pandas {peers['pandas_version']} iterrows cleaner: {peers['pandas']:,.0f} rows/s for two length "
          f"checks; our whole reading, cleaning and annotation: {clean:,.0f} rows/s "
          f"({clean / peers['pandas']:.2f} times)")  # fmt: skip


if __name__ == "__main__":
    main()
