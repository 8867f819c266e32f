"""The card of an exported model tells what evaluations found, of this model and no other."""

from pathlib import Path

import orjson
import pytest
from answer_scenes import write_prompts

from medtune.commands import run_command
from medtune.config import Input, judge
from medtune.errors import UserError
from medtune.evals.config import EvaluateConfig, PredictConfig
from medtune.train.card_evaluations import read_evaluations
from medtune.train.config import ExportConfig


@pytest.fixture(scope="module")
def evaluated(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of the tiny model's answers to eight prompts."""
    folder = tmp_path_factory.mktemp("evaluated")
    questions = write_prompts(folder)
    asked = {
        "out": folder / "predicted",
        "engine": {"model": str(tiny_model_dir)},
        "records": str(questions),
        "sampling": {"max_new_tokens": 8},
    }
    run_command("predict", PredictConfig.model_validate(asked))
    given = {
        "out": folder / "evaluated",
        "task": "safety",
        "predictions": str(folder / "predicted"),
        "questions": str(questions),
        "fail_over": {"rx_with_dose": 0.5},
        "name": "tiny",
    }
    config = EvaluateConfig.model_validate(given)
    run_command("evaluate", config)
    return config.out


def test_the_card_tells_figures_intervals_and_gates(
    tiny_model_dir: Path, evaluated: Path, tmp_path: Path
) -> None:
    given = {"out": str(tmp_path / "out"), "model": str(tiny_model_dir), "evaluations": [str(evaluated)]}
    run_command("export", judge(ExportConfig, given, where="test"))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "## tiny 的 8 条回答的安全性 · Safety of 8 answers of tiny\n" in card
    assert "带剂量或频次的处方药指令 · … with dose or frequency (`rx_with_dose`) | 0.0000 (0/8) [" in card
    assert "- gate · 界限: rx_with_dose <= 0.5: 0.0000, held" in card
    assert "old_risky" not in card and str(tmp_path) not in card
    tables = [line for line in card.splitlines() if line.startswith("| ")]
    assert all(line.count("|") - line.count("\\|") in (3, 4, 6) for line in tables), "whole rows"


def test_an_evaluation_of_another_model_is_refused(
    evaluated: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="is not of this model; evaluate the model that is exported"):
        read_evaluations((Input(evaluated),), model=Input(tmp_path), adapter=None)
    with pytest.raises(UserError, match="is not of this adapter"):
        read_evaluations((Input(evaluated),), model=Input(tiny_model_dir), adapter=Input(tmp_path))
    with pytest.raises(UserError, match="no such file; name a directory that evaluate made"):
        read_evaluations((Input(tmp_path),), model=Input(tiny_model_dir), adapter=None)


def test_answers_of_a_server_are_told_as_such(evaluated: Path, tmp_path: Path) -> None:
    report = orjson.loads((evaluated / "report.json").read_bytes())
    report["provenance"] |= {"predict.engine.type": "http", "predict.engine.model": "some-name"}
    (tmp_path / "report.json").write_bytes(orjson.dumps(report))
    (one,) = read_evaluations((Input(tmp_path),), model=Input(evaluated), adapter=None)
    assert one.is_named_only
