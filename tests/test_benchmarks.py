"""The parts of benchmarks/sft.py: a model, rows for each contender, and medtune as one of them."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sft_benchmark", ROOT / "benchmarks" / "sft.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_rows_and_model_are_made_and_medtune_trains_on_them(benchmark: ModuleType, tmp_path: Path) -> None:
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
