"""An exam leaves the house in the words and files of another tool, whole or counted."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import CommandConfig, Input
from medtune.errors import UserError
from medtune.evals.config import ExportExamConfig
from medtune.evals.export_exam import run
from medtune.records import Likelihood, Prediction, Question, question_id


def ask(
    stem: str, answer: str = "B", subject: str = "内科", case: str | None = None, size: int = 4
) -> Question:
    options = {letter: f"{stem}之{letter}" for letter in "ABCDEFGH"[:size]}
    return Question(
        id=question_id(stem, case, options), stem=stem, case=case, options=options, answer=answer,
        subject=subject, split="test",
    )  # fmt: skip


def export(folder: Path, questions: list[Question], **settings: object) -> ExportExamConfig:
    write_jsonl(folder / "exam.jsonl", questions)
    values = {"out": folder / "task", "questions": str(folder / "exam.jsonl"), "name": "exam"} | settings
    return ExportExamConfig.model_validate(values)


def read_task(config: ExportExamConfig, name: str) -> dict[str, object]:
    text = (config.out / f"{name}.yaml").read_text(encoding="utf-8")
    assert "custom_dataset: !function rows.load\n" in text
    return yaml.safe_load(text.replace("!function ", ""))


def word_row(config: ExportExamConfig, name: str, number: int = 0) -> str:
    """What lm-eval asks: it fills description and doc_to_text with the row by Jinja."""
    settings, row = read_task(config, name), read_rows(config, f"{name}.test")[number]
    fill = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string
    return "".join(fill(str(settings[part])).render(**row) for part in ("description", "doc_to_text"))


def read_rows(config: ExportExamConfig, name: str) -> list[dict[str, object]]:
    return [
        json.loads(line) for line in (config.out / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]


@pytest.mark.parametrize("size", range(2, 9))
def test_an_item_is_asked_in_the_words_of_ceval(tmp_path: Path, size: int) -> None:
    config = export(tmp_path, [ask("首选检查是", case="男，40岁。", size=size)], subjects={"内科": "内科学"})
    run(config)
    options = "".join(f"{letter}. 首选检查是之{letter}\n" for letter in "ABCDEFGH"[:size])
    assert word_row(config, "exam_内科") == (
        f"以下是中国关于内科学的单项选择题，请选出其中的正确答案。\n\n男，40岁。\n首选检查是\n{options}答案："
    )


def test_each_subject_is_a_task_of_the_group(tmp_path: Path) -> None:
    questions = [ask("甲"), ask("乙", subject="妇产科/产科"), ask("丙")]
    counts = run(config := export(tmp_path, questions))
    assert counts == {"questions": 3, "tasks": 2, "multiple_left_out": 0}
    group = yaml.safe_load((config.out / "exam.yaml").read_text(encoding="utf-8"))
    assert group["task"] == ["exam_内科", "exam_妇产科_产科"]
    assert group["aggregate_metric_list"] == [
        {"metric": "acc", "aggregation": "mean", "weight_by_size": True}
    ]
    task = read_task(config, "exam_内科")
    assert (task["output_type"], task["doc_to_choice"]) == ("multiple_choice", "letters")
    assert [row["id"] for row in read_rows(config, "exam_内科.test")] == [questions[0].id, questions[2].id]
    assert list(read_jsonl(config.out / "questions.jsonl", Question)) == questions


def test_the_folder_can_lie_anywhere(tmp_path: Path) -> None:
    """Its one file of code looks beside itself, and nothing in it names a place."""
    config = export(tmp_path, [ask("甲")])
    run(config)
    assert "Path(__file__).parent" in (config.out / "rows.py").read_text(encoding="utf-8")
    assert not [path for path in config.out.iterdir() if str(tmp_path) in path.read_text(encoding="utf-8")]


def test_signs_of_templates_in_texts_stay_texts(tmp_path: Path) -> None:
    config = export(tmp_path, [ask("{{x}} {% if", subject="{{y}}")])
    run(config)
    assert "关于{{y}}的" in word_row(config, "exam_y") and "\n{{x}} {% if\nA. " in word_row(config, "exam_y")


def test_examples_are_the_first_ones_of_the_subject(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "dev.jsonl", [ask(f"例{number}") for number in range(3)])
    config = export(tmp_path, [ask("甲")], fewshot=str(tmp_path / "dev.jsonl"), num_fewshot=2)
    assert run(config)["examples"] == 3
    task = read_task(config, "exam_内科")
    assert (task["fewshot_split"], task["num_fewshot"]) == ("dev", 2)
    assert task["fewshot_config"] == {"sampler": "first_n"}
    assert [row["question"] for row in read_rows(config, "exam_内科.dev")] == ["例0", "例1", "例2"]


def test_a_task_without_a_number_of_examples_leaves_it_to_lm_eval(tmp_path: Path) -> None:
    """Where a task says 0, its command line cannot say otherwise."""
    write_jsonl(tmp_path / "dev.jsonl", [ask("例")])
    run(config := export(tmp_path, [ask("甲")], fewshot=str(tmp_path / "dev.jsonl")))
    task = read_task(config, "exam_内科")
    assert "num_fewshot" not in task and task["fewshot_split"] == "dev"


def test_several_right_letters_are_refused_or_counted(tmp_path: Path) -> None:
    questions = [ask("甲"), ask("乙", answer="AC")]
    with pytest.raises(UserError, match="1 of 2 questions have several right letters"):
        run(export(tmp_path, questions))
    assert run(export(tmp_path, questions, multiple="leave_out"))["multiple_left_out"] == 1
    with pytest.raises(UserError, match="no question with one right letter"):
        run(export(tmp_path, questions[1:], multiple="leave_out"))


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="would be one task"):
        run(export(tmp_path, [ask("甲", subject="内/科"), ask("乙", subject="内 科")]))
    with pytest.raises(UserError, match="has no subject"):
        run(export(tmp_path, [ask("甲", subject="")]))
    dev = tmp_path / "dev.jsonl"
    write_jsonl(dev, [ask("例", subject="外科")])
    with pytest.raises(UserError, match="0 examples of subject 内科, num_fewshot=1"):
        run(export(tmp_path, [ask("甲")], fewshot=str(dev), num_fewshot=1))
    write_jsonl(dev, [ask("甲")])
    with pytest.raises(UserError, match="is asked too"):
        run(export(tmp_path, [ask("甲")], fewshot=str(dev)))
    with pytest.raises(ValueError, match="num_fewshot needs fewshot"):
        export(tmp_path, [ask("甲")], num_fewshot=1)


# ---- answers ----


class PredictedConfig(CommandConfig):
    """Stands for predict's."""

    records: Input


def weigh(question: Question, **logprobs: float) -> Prediction:
    candidates = {
        key: Likelihood(logprob=value, num_tokens=1, num_chars=1) for key, value in logprobs.items()
    }
    return Prediction(id=question.id, way="letter", prompt="问", candidates=candidates)


def predict(folder: Path, predictions: list[Prediction], command: str = "predict") -> str:
    from medtune.artifact import claim, make

    def write(config: PredictedConfig) -> dict[str, int]:
        return {"rows": write_jsonl(config.out / "predictions.jsonl", predictions)}

    records = Input(folder / "exam.jsonl")
    make(claim(command, 1, PredictedConfig(out=folder / "answers", records=records)), write, replace=True)
    return str(folder / "answers")


def test_answers_are_written_as_samples(tmp_path: Path) -> None:
    sure, unsure = ask("甲", answer="D"), ask("乙", answer="A")
    write_jsonl(tmp_path / "exam.jsonl", [sure, unsure])
    answers = [weigh(unsure, A=-2.5, B=-3.0, C=-4.0, D=-9.0), weigh(sure, A=-3.25, B=-4.0, C=-0.125, D=-7.0)]
    config = export(tmp_path, [sure, unsure], predictions=predict(tmp_path, answers))
    assert run(config)["samples"] == 2
    (file,) = config.out.glob("samples_exam_内科_20??-*.jsonl")
    first, second = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert list(first) == [
        "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash",
        "prompt_hash", "target_hash", "acc",
    ]  # fmt: skip
    assert first["doc"] == read_rows(config, "exam_内科.test")[0] and first["target"] == "3"
    assert first["resps"][2] == [["-0.125", "True"]] and first["filtered_resps"][3] == ["-7.0", "False"]
    assert second["resps"][0] == [["-2.5", "None"]], "another text than a letter may be likelier"
    assert (first["acc"], second["acc"]) == (0.0, 1.0)
    assert first["arguments"]["gen_args_1"] == {"arg_0": "问", "arg_1": "B"}
    text = json.dumps(first["doc"], indent=2, ensure_ascii=False)
    assert first["doc_hash"] == sha256(text.encode()).hexdigest()
    assert first["prompt_hash"] == sha256("问".encode()).hexdigest()


def test_answers_must_be_by_letter_and_to_every_question(tmp_path: Path) -> None:
    question = ask("甲")
    write_jsonl(tmp_path / "exam.jsonl", [question])
    for answers in ([], [weigh(question, A=-1.0).model_copy(update={"way": "cloze"})]):
        with pytest.raises(UserError, match="1 of 1 questions have no `letter` prediction"):
            run(export(tmp_path, [question], predictions=predict(tmp_path, answers)))
    with pytest.raises(UserError, match="was not made by predict"):
        run(export(tmp_path, [question], predictions=predict(tmp_path, [], command="other")))
