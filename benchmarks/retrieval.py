"""How well each measure of nearness that needs no model finds what belongs together, on real text.

    python benchmarks/retrieval.py DATA [--queries 2000] [--dims 256,768] [--seed 42]

DATA holds toyhom_neike_sample.csv (GB18030) and huatuo_knowledge_8k.jsonl. Two questions are asked:

- topic: of the ten answers nearest to the title of a consultation, other than its own, how many are of the
  same department? Rows with the same title and answer count once.
- wording: does a question find its own answer first, or among the first ten? What is as near as that counts
  as nearer.

Measures are BM25 as `recall` has it unless told, the vectors of `embed` in several sizes, and sums of the
two, BM25 + w * cosine, at the first size. DSIR is left out: it knows no single question. Intervals are of
95 %, by bootstrap over queries; differences are paired.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from medtune.artifact import write_jsonl
from medtune.commands import run_command
from medtune.config import Input
from medtune.curate.bm25 import Bm25Nearness
from medtune.curate.config import EmbedConfig
from medtune.curate.recall_config import Bm25
from medtune.curate.search import TEXT_ROWS, read_rows
from medtune.curate.vectors import open_vectors
from medtune.records import Document
from medtune.scorers.overlap import bare
from medtune.scorers.stats import bootstrap_difference, bootstrap_mean

Scores = NDArray[np.float32]
"""(queries, answers)"""
NUM_NEAR = 10
WEIGHTS = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Of the cosine in a sum."""
NUM_RESAMPLES = 10_000
SAME = 1e-6
"""Similarities that lie no further apart are the same: products of equal rows may differ in the last bit."""


class Pairs(NamedTuple):
    """What is asked with what was answered, by row."""

    asked: list[str]
    answers: list[str]
    labels: list[str]
    """What the row is about; empty where nothing says it."""


Measure = Callable[[Scores, NDArray[np.int64], Pairs], NDArray[np.float64]]
"""(queries,) from scores and the row of each query."""


def read_toyhom(path: Path) -> Pairs:
    """Titles, answers and departments; what says the same once."""
    with path.open(encoding="gb18030", newline="") as file:
        rows = {bare(row["title"] + row["answer"]): row for row in csv.DictReader(file)}
    kept = [row for row in rows.values() if bare(row["title"]) and bare(row["answer"])]
    return Pairs(*([row[key] for row in kept] for key in ("title", "answer", "department")))


def read_huatuo(path: Path) -> Pairs:
    """Questions and answers."""
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    kept = [row for row in rows if bare(row["instruction"] + row["input"]) and bare(row["output"])]
    asked = [f"{row['instruction']}\n{row['input']}".strip() for row in kept]
    return Pairs(asked, [row["output"] for row in kept], [""] * len(kept))


# ---- what is measured ----


def same_topic(scores: Scores, own: NDArray[np.int64], pairs: Pairs) -> NDArray[np.float64]:
    """(queries,): the share of the nearest other rows that are about the same."""
    others = scores.copy()
    others[np.arange(len(own)), own] = -np.inf
    nearest = np.argsort(-others, axis=1, kind="stable")[:, :NUM_NEAR]
    labels = np.array(pairs.labels)
    return (labels[nearest] == labels[own][:, None]).mean(axis=1)


def found_among(number: int) -> Measure:
    """What tells whether a query's own row is among the `number` nearest; others as near come before it."""

    def measure(scores: Scores, own: NDArray[np.int64], pairs: Pairs) -> NDArray[np.float64]:
        reached = scores[np.arange(len(own)), own][:, None]
        return ((scores >= reached - SAME).sum(axis=1) <= number).astype(np.float64)

    return measure


# ---- how near ----


def score_by_words(asked: list[Document], answers: list[Document]) -> Scores:
    """BM25 as `recall` computes it unless told otherwise."""
    nearness = Bm25Nearness(Bm25(), asked)
    blocks = [answers[first : first + TEXT_ROWS] for first in range(0, len(answers), TEXT_ROWS)]
    nearness.learn(np.sum([nearness.count(block) for block in blocks], axis=0))
    return np.concatenate([nearness.score(block) for block in blocks], axis=1)


def score_by_vectors(asked: list[Document], answers: list[Document], dim: int, folder: Path) -> Scores:
    """The cosines of what `embed` makes, fitted on the answers."""
    write_jsonl(folder / "answers.jsonl", answers)
    write_jsonl(folder / "asked.jsonl", asked)
    pool, queries = folder / f"pool-{dim}", folder / f"queries-{dim}"
    for told in (
        {"out": pool, "records": [str(folder / "answers.jsonl")], "embedder": {"dim": dim}},
        {"out": queries, "records": [str(folder / "asked.jsonl")], "like": str(pool), "role": "query"},
    ):
        run_command("embed", EmbedConfig.model_validate(told))
    found = (open_vectors(Input(path)).array for path in (queries, pool))
    asked_rows, answer_rows = (read_rows(array, 0, len(array)) for array in found)
    return asked_rows @ answer_rows.T


def score(pairs: Pairs, own: NDArray[np.int64], dims: list[int], folder: Path) -> dict[str, Scores]:
    """The scores of all measures by name, BM25 first."""
    answers = [Document(id=f"answer-{row}", text=text) for row, text in enumerate(pairs.answers)]
    asked = [Document(id=f"asked-{row}", text=pairs.asked[row]) for row in own]
    scores = {"BM25": score_by_words(asked, answers)}
    for dim in dims:
        scores[f"TF-IDF and SVD, {dim}"] = score_by_vectors(asked, answers, dim, folder)
    words, vectors = list(scores.values())[:2]
    return scores | {f"BM25 + {weight:g} cosine {dims[0]}": words + weight * vectors for weight in WEIGHTS}


def compare(
    pairs: Pairs, measures: dict[str, Measure], *, num_queries: int, dims: list[int], seed: int
) -> None:
    """Nothing; prints a table for each measure."""
    own = np.random.default_rng(seed).permutation(len(pairs.asked))[:num_queries]
    with tempfile.TemporaryDirectory() as folder:
        scores = score(pairs, own, dims, Path(folder))
    clusters = [str(row) for row in own]
    for name, measure in measures.items():
        print(f"\n{name}: {len(own)} queries, {len(pairs.answers)} answers")
        print(f"{'':<24}{'value':>8}{'95 %':>16}{'less BM25':>12}{'95 %':>18}")
        base = measure(scores["BM25"], own, pairs)
        for title, found in scores.items():
            values, rng = measure(found, own, pairs), np.random.default_rng(seed)
            mean = bootstrap_mean(values, clusters, rng=rng, num_resamples=NUM_RESAMPLES)
            told = f"{title:<24}{mean.value:>8.3f}{mean.low:>9.3f} – {mean.high:.3f}"
            if title != "BM25":
                gap = bootstrap_difference(
                    values[None], base[None], clusters, rng=rng, num_resamples=NUM_RESAMPLES
                )
                told += f"{gap.value:>+11.3f}{gap.low:>+9.3f} to {gap.high:+.3f}"
            print(told, flush=True)


def main() -> None:
    """Nothing; prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of the two files")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--dims", default="256,768", help="sizes of vectors")
    parser.add_argument("--seed", type=int, default=42, help="seed of the draws")
    arguments = parser.parse_args()
    told = {
        "num_queries": arguments.queries,
        "dims": list(map(int, arguments.dims.split(","))),
        "seed": arguments.seed,
    }
    toyhom = read_toyhom(arguments.data / "toyhom_neike_sample.csv")
    compare(toyhom, {f"topic, precision at {NUM_NEAR}": same_topic}, **told)
    huatuo = read_huatuo(arguments.data / "huatuo_knowledge_8k.jsonl")
    compare(huatuo, {f"wording, recall at {number}": found_among(number) for number in (1, NUM_NEAR)}, **told)


if __name__ == "__main__":
    main()
