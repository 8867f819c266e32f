"""How fast exam questions are scored beside lm-eval: the same model, prompts and letters.

    python benchmarks/mcq.py --peers PYTHON [--shots 0,5] [--rows 818] [--repeats 1] [--model big]
                             [--batches 1,8,32] [--ours 16] [--only medtune]

Questions are the test part of C-Eval's three medical subjects from ../shared/data when they are there, else
the shipped samples; shots are the first five of each subject's other part. The model has random weights and
the vocabulary of every Qwen, 151,936 (`big` of benchmarks/sft.py); `tiny` has 16,000. Both put the wording of
lm-eval's ceval-valid and read the likelihood of " A", " B" … after it.

Each contender is a process of its own, alternating, at each batch size; the fastest of each counts. Seconds
are from questions in memory to likelihoods, tokenising included, loading and imports apart; peak memory is
the process's. That both answer alike is checked item by item.

`--peers` is an interpreter that has lm-eval:

    python3 -m venv peers; peers/bin/pip install torch==2.13.0
    peers/bin/pip install transformers==5.23.0 lm_eval==0.4.13 accelerate==1.15.0 datasets==5.2.0
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from sft import SHAPES, Exchange, make_model, make_tokenizer, read_exchanges

from medtune.artifact import read_jsonl, write_jsonl
from medtune.commands import run_command
from medtune.config import SAMPLES
from medtune.data.config import PrepareConfig
from medtune.evals.config import ExportExamConfig
from medtune.records import Question

ROOT = Path(__file__).parents[1]
CEVAL = ROOT.parent / "shared" / "data" / "ceval_medical"
MAX_GAP = 1e-4
"""How far two log-probabilities in float32 may lie apart."""


class Run(NamedTuple):
    """What one process did."""

    seconds: float
    load_seconds: float
    peak: int
    logprobs: dict[str, dict[str, float]]
    """By stem and options, then letter."""


def read_questions(folder: Path, num_rows: int) -> tuple[list[Question], list[Question]]:
    """The questions to ask and those to show, in `asked.jsonl` and `shots.jsonl` of the folder too."""
    known = {"path": str(CEVAL), "benchmark": "ceval"}
    source = known if CEVAL.exists() else {"path": str(SAMPLES / "exam.jsonl")}
    config = PrepareConfig.model_validate({"source": [source], "out": folder / "exam", "answers": "single"})
    run_command("prepare", config)
    parts = {path.stem: list(read_jsonl(path, Question)) for path in (folder / "exam").glob("*.jsonl")
             if path.stem in ("test", "valid", "val", "train", "dev")}  # fmt: skip
    asked = parts.pop("test")[:num_rows]
    shots = [question for part in parts.values() for question in part]
    write_jsonl(folder / "asked.jsonl", asked)
    write_jsonl(folder / "shots.jsonl", shots)
    return asked, shots


def run_contender(name: str, python: str, settings: dict[str, Any], folder: Path) -> Run:
    """What the contender did in a process of its own; where it fails, what it said ends this one."""
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    figures = folder / "figures.json"
    command = [python, str(Path(__file__).with_name("mcq_peers.py")), name]
    command += [str(folder / "settings.json"), str(figures)]
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    lone = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    path = {"PYTHONPATH": str(ROOT)} if name == "medtune" else {}
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**kept, **lone, **path})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not figures.exists():
        sys.exit(f"{name}: {(folder / 'log.txt').read_text(encoding='utf-8')[-3000:]}")
    told = json.loads(figures.read_text(encoding="utf-8"))
    return Run(told["seconds"], told["load_seconds"], usage.ru_maxrss * 1024, told["logprobs"])


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Nothing; prints a table for each number of shots."""
    asked, shots = read_questions(folder, arguments.rows)
    texts = [
        Exchange(question.stem, "\n".join(question.options.values())) for question in shots
    ] + read_exchanges()[:1000]
    tokenizer = make_tokenizer(folder, texts, 16000)
    num_weights = make_model(folder / "model", tokenizer, SHAPES[arguments.model], "float32")
    run_command(
        "export-exam",
        ExportExamConfig.model_validate(
            {"questions": str(folder / "asked.jsonl"), "fewshot": str(folder / "shots.jsonl"),
             "out": folder / "task", "name": "medtune_exam"}
        ),
    )  # fmt: skip
    pythons = {"medtune": sys.executable, "lm-eval": arguments.peers or ""}
    names = [name for name in pythons if not arguments.only or name in arguments.only.split(",")]
    print(f"{len(asked)} questions, {num_weights:,} weights, {arguments.threads} threads, float32")
    for num_shots in map(int, arguments.shots.split(",")):
        runs: dict[str, dict[int, list[Run]]] = {name: {} for name in names}
        for number in range(arguments.repeats):
            for sizes in zip_longest(*(sizes_of(name, arguments) for name in names)):
                for name, batch in zip(names, sizes, strict=True):
                    if batch is None:
                        continue
                    settings = {
                        "model": str(folder / "model"), "questions": str(folder / "asked.jsonl"),
                        "shots": str(folder / "shots.jsonl"), "task": str(folder / "task"),
                        "num_shots": num_shots, "batch": batch, "threads": arguments.threads,
                    }  # fmt: skip
                    where = folder / f"{name}-{num_shots}-{batch}-{number}"
                    run = run_contender(name, pythons[name], settings, where)
                    runs[name].setdefault(batch, []).append(run)
                    print(f"  {num_shots} shots, batch {batch}, {name}: {run.seconds:.1f} s", flush=True)
        tell(num_shots, runs)


def sizes_of(name: str, arguments: argparse.Namespace) -> list[int]:
    """The batch sizes to try."""
    return list(map(int, (arguments.ours if name == "medtune" else arguments.batches).split(",")))


def tell(num_shots: int, runs: dict[str, dict[int, list[Run]]]) -> None:
    """Nothing; prints the fastest batch size of each contender, and how far their answers lie apart."""
    print(f"\n{num_shots} shots")
    print(f"{'':<10}{'batch':>7}{'seconds':>10}{'loading':>10}{'peak GiB':>10}{'ours is':>10}")
    best = {
        name: min(tried.items(), key=lambda item: statistics.median(run.seconds for run in item[1]))
        for name, tried in runs.items()
    }
    own = statistics.median(run.seconds for run in best["medtune"][1]) if "medtune" in best else 0.0
    for name, (batch, found) in best.items():
        seconds = statistics.median(run.seconds for run in found)
        load = statistics.median(run.load_seconds for run in found)
        peak = max(run.peak for run in found) / 2**30
        print(f"{name:<10}{batch:>7}{seconds:>10.1f}{load:>10.1f}{peak:>10.2f}{seconds / own:>9.2f}×")
    if len(best) == 2:
        ours, theirs = (best[name][1][0].logprobs for name in ("medtune", "lm-eval"))
        if ours.keys() != theirs.keys():
            sys.exit(f"not the same questions: {len(ours)} and {len(theirs)}")
        gaps = [abs(ours[item][letter] - value) for item in ours for letter, value in theirs[item].items()]
        same = sum(argmax(ours[item]) == argmax(theirs[item]) for item in ours)
        print(f"same answer {same}/{len(ours)}, largest difference of a log-probability {max(gaps):.1e}")
        if same < len(ours) or max(gaps) > MAX_GAP:
            sys.exit("the two do not answer alike")


def argmax(values: dict[str, float]) -> str:
    """The likeliest letter."""
    return max(sorted(values), key=values.__getitem__)


def main() -> None:
    """Nothing; prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default="", help="interpreter that has lm-eval")
    parser.add_argument("--only", default="", help="contenders, such as medtune")
    parser.add_argument("--shots", default="0,5", help="numbers of shots")
    parser.add_argument("--rows", type=int, default=818, help="most questions")
    parser.add_argument("--repeats", type=int, default=1, help="rounds")
    parser.add_argument("--batches", default="1,8,32", help="rows of a batch that lm-eval tries")
    parser.add_argument("--ours", default="16", help="rows of a batch that medtune tries")
    parser.add_argument("--model", default="big", choices=["big", "tiny"], help="shape of the model")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    arguments = parser.parse_args()
    if not arguments.peers and arguments.only != "medtune":
        parser.error("--peers names the interpreter that has lm-eval; without one use --only medtune")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))
    print(f"\nall in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
