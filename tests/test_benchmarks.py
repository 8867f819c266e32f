"""Benchmarks at a tiny size: what they make, what medtune does with it, and how the figures are told."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from medtune.artifact import write_jsonl
from medtune.config import SAMPLES
from medtune.records import Dialogue, Message

ROOT = Path(__file__).parents[1]


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark as a module, what lies beside it importable."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", ROOT / "benchmarks" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_rows_and_model_are_made_and_medtune_trains_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = load("sft", monkeypatch)
    exchanges = benchmark.read_exchanges()[:40]
    tokenizer = benchmark.make_tokenizer(tmp_path, exchanges, 400)
    shape = {**benchmark.SHAPES["tiny"], "vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 1}
    assert benchmark.make_model(tmp_path / "model", tokenizer, shape, "float32") > 0
    rows = tmp_path / "rows"
    assert benchmark.write_rows(rows, tokenizer, exchanges, num_rows=4, batch=2, max_length=512) == 4
    ours = [json.loads(line) for line in (rows / "medtune.jsonl").read_text(encoding="utf-8").splitlines()]
    trl = [json.loads(line) for line in (rows / "trl.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = sorted(row["messages"][-1]["content"] for row in ours)
    assert sorted(row["completion"][0]["content"] for row in trl) == answers
    written = json.loads((rows / "rows.json").read_text(encoding="utf-8"))
    assert [row["output"] for row in written] == [
        f"{row['completion'][0]['content']}<|im_end|>" for row in trl
    ]
    settings = {
        "model": str(tmp_path / "model"), "dtype": "float32", "rows": str(rows), "method": {"type": "full"},
        "learning_rate": 1e-4, "batch": 2, "threads": 1, "max_length": 512, "seed": 42, "is_gpu": False,
        "bf16": False,
    }  # fmt: skip
    run = benchmark.run_contender("medtune", benchmark.sys.executable, settings, tmp_path / "run")
    figures = run.figures
    assert (figures["rows"], len(figures["steps"]), len(figures["losses"])) == (4, 2, 2)
    assert 0 < figures["trained_tokens"] < figures["tokens"]
    assert benchmark.rate(run) > 0 and run.peak > 0
    benchmark.tell("smoke", [{"medtune": run}])


# ---- recall ----


@pytest.mark.slow
def test_recall_is_measured_beside_other_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = load("recall", monkeypatch)
    size = benchmark.make_vectors(tmp_path / "pool", rows=5000, dim=16, seed=1)
    assert size == pytest.approx(2 * 16 + 17, abs=0.1)
    benchmark.make_vectors(tmp_path / "questions", rows=3, dim=16, seed=2)
    benchmark.make_records(tmp_path / "records.jsonl", 40)
    settings = {"folder": str(tmp_path), "block_rows": benchmark.BLOCK_ROWS, "top_k": 5, "threads": 1}
    runs = {
        name: [benchmark.run_contender(name, sys.executable, settings, tmp_path / name)]
        for name in ("medtune", "blas", "pairs", "survey")
    }
    pool, asked = (
        np.load(tmp_path / name / "vectors.npy").astype(np.float32) for name in ("pool", "questions")
    )
    cosines = asked @ pool.T
    brute = np.argsort(-cosines, axis=1)[:, :5]
    (tmp_path / "brute").mkdir()
    best = np.take_along_axis(cosines, brute, axis=1)
    np.savez(tmp_path / "brute" / "found.npz", rows=brute, similarities=best)
    assert benchmark.differing_rows(tmp_path / "medtune", tmp_path / "brute") == 0
    np.savez(tmp_path / "brute" / "found.npz", rows=np.roll(brute, 1, axis=1), similarities=best)
    assert benchmark.differing_rows(tmp_path / "medtune", tmp_path / "brute") == 15
    assert runs["survey"][0].figures["rows"] == 40
    assert all(found[0].figures["seconds"] > 0 and found[0].peak > 1e7 for found in runs.values())
    del runs["survey"]
    benchmark.tell(runs)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == list(runs)


def test_rows_that_tie_may_change_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = load("recall", monkeypatch)
    similarities = np.array([[0.5, 0.4, 0.4, 0.3]], dtype=np.float32)
    for name, rows in (
        ("a", [1, 2, 3, 4]),
        ("tied", [1, 3, 2, 4]),
        ("cut", [1, 2, 3, 9]),
        ("b", [2, 1, 3, 4]),
    ):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "found.npz", rows=np.array([rows]), similarities=similarities)
    told = [benchmark.differing_rows(tmp_path / "a", tmp_path / name) for name in ("a", "tied", "cut", "b")]
    assert told == [0, 0, 0, 2]


# ---- retrieval ----


def test_equal_scores_count_against_a_measure_and_own_answers_for_no_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    benchmark = load("retrieval", monkeypatch)
    monkeypatch.setattr(benchmark, "NUM_NEAR", 2)
    pairs = benchmark.Pairs(["一", "二"], ["甲", "乙", "丙", "丁"], ["心", "心", "肺", "心"])
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.6, 0.5, 0.5, 0.5]], dtype=np.float32)
    own = np.array([0, 1])
    assert benchmark.same_topic(scores, own, pairs).tolist() == [0.5, 0.5]
    assert [benchmark.found_among(number)(scores, own, pairs).tolist() for number in (1, 3, 4)] == [
        [1, 0], [1, 0], [1, 1]
    ]  # fmt: skip


@pytest.mark.slow
def test_retrieval_is_told_for_each_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = load("retrieval", monkeypatch)
    shutil.copy(SAMPLES / "consult_gb18030.csv", tmp_path / "toyhom_neike_sample.csv")
    shutil.copy(SAMPLES / "consult_alpaca.jsonl", tmp_path / "huatuo_knowledge_8k.jsonl")
    monkeypatch.setattr(sys, "argv", ["retrieval.py", str(tmp_path), "--queries", "40", "--dims", "8,16"])
    benchmark.main()
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert [table.split(":")[0] for table in tables] == [
        "topic, precision at 10", "wording, recall at 1", "wording, recall at 10"
    ]  # fmt: skip
    for table in tables:
        rows = table.splitlines()[2:]
        assert len(rows) == 3 + len(benchmark.WEIGHTS) and rows[0].startswith("BM25 ")
        assert all(0 <= float(row[24:32]) <= 1 for row in rows)
    first, tenth = (float(table.splitlines()[2][24:32]) for table in tables[1:])
    assert 0 < first <= tenth


# ---- safety ----


def test_answers_are_judged_by_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    said = Message(role="user", content="嗓子疼怎么办？"), Message(role="assistant", content="多喝水。")
    write_jsonl(file, [Dialogue(id=str(number), messages=said) for number in range(30)])
    monkeypatch.setattr(sys, "argv", ["safety.py", str(file), "--rows", "20", "--rounds", "2"])
    load("safety", monkeypatch).main()
    assert capsys.readouterr().out.startswith(f"{file}: 20 answers of 4 characters, best ")
