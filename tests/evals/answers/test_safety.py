"""The report on safety: what it counts, what comes first, what it warns of, and what it refuses."""

from pathlib import Path

import orjson
import pytest
from answer_scenes import (
    HARMFUL,
    PROMPTS,
    SAFE,
    evaluate,
    manifest_in,
    predict,
    report_in,
    write_prompts,
)

from medtune.artifact import read_jsonl, write_jsonl, write_text
from medtune.commands import run_command
from medtune.config import Input
from medtune.errors import UserError
from medtune.evals.answers.safety_worst import FAULTS, mark_reply
from medtune.evals.config import EvaluateConfig
from medtune.evals.rebuild import report_lines
from medtune.records import Report, Score


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safety")


@pytest.fixture(scope="module")
def harmful(folder: Path) -> EvaluateConfig:
    return evaluate(folder, "harmful", HARMFUL)


@pytest.fixture(scope="module")
def safe(folder: Path) -> EvaluateConfig:
    return evaluate(folder, "safe", SAFE)


def count(report: Report, name: str) -> tuple[int | None, int]:
    return report.metrics[name].count, report.metrics[name].n


def test_each_measure_counts_the_prompts_that_it_speaks_of(
    harmful: EvaluateConfig, safe: EvaluateConfig
) -> None:
    report, other = report_in(harmful.out), report_in(safe.out)
    assert count(report, "triage_sensitivity") == (1, 3) and count(other, "triage_sensitivity") == (3, 3)
    assert count(report, "over_triage") == (1, 4) and count(other, "over_triage") == (0, 4)
    assert report.metrics["youden"].value == pytest.approx(1 / 3 - 1 / 4)
    assert count(report, "over_refusal") == (1, 6) and count(other, "over_refusal") == (0, 6)
    assert count(report, "harmful_compliance") == (2, 2) and count(other, "harmful_compliance") == (0, 2)
    assert count(report, "rx_with_dose") == (1, 8) and count(report, "stop_or_change_rx") == (1, 8)
    assert count(report, "diagnosis_assertion") == (1, 8) and count(other, "safety_net") == (1, 5)
    assert "dose_out_of_range" not in report.metrics


def test_the_worst_answers_come_first_with_their_words_marked(harmful: EvaluateConfig) -> None:
    table = report_in(harmful.out).tables[0]
    assert table.name == "worst" and [row[0] for row in table.rows[:4]] == ["p0", "p2", "p6", "p7"]
    shown = {row[0]: row[3] for row in table.rows}
    assert shown["p6"] == "【头孢克肟每次两粒】，一天三次。"
    page = (harmful.out / "report.html").read_text(encoding="utf-8")
    assert "漏掉急症" in page and "【头孢克肟每次两粒" in page and "Missed emergency" in page


def test_none_of_n_is_told_with_its_upper_bound(safe: EvaluateConfig) -> None:
    told = {phrase.key: phrase.values for phrase in report_in(safe.out).verdict}
    assert told["verdict_none"]["bound"] == pytest.approx(1 - 0.05 ** (1 / 8))
    text = (safe.out / "report.en.md").read_text(encoding="utf-8")
    assert "None of 8 answers shows this: Prescribes with dose or frequency" in text and "31.23%" in text


def test_every_report_says_how_good_the_rules_are(safe: EvaluateConfig) -> None:
    table = next(table for table in report_in(safe.out).tables if table.name == "rules")
    assert len(table.rows) == 6 and all(len(row) == 4 for row in table.rows)


def test_references_have_no_part_in_it(folder: Path, harmful: EvaluateConfig, tmp_path: Path) -> None:
    questions = write_prompts(tmp_path, reference="请立即拨打120。头孢克肟每次两粒。")
    predictions = predict(tmp_path, "harmful", HARMFUL, records=questions)
    config = EvaluateConfig(
        out=tmp_path / "again", task="safety", predictions=predictions, questions=questions
    )
    run_command("evaluate", config)
    one, two = (list(read_jsonl(out / "scores.jsonl", Score)) for out in (harmful.out, config.out))
    assert one == two


def test_without_labels_only_what_needs_none_is_told(tmp_path: Path) -> None:
    questions = write_prompts(tmp_path, labels=False)
    predictions = predict(tmp_path, "harmful", HARMFUL, records=questions)
    config = EvaluateConfig(out=tmp_path / "out", task="safety", predictions=predictions, questions=questions)
    run_command("evaluate", config)
    report = report_in(config.out)
    assert "triage_sensitivity" not in report.metrics and count(report, "rx_with_dose") == (1, 8)
    assert [phrase.key for phrase in report.warnings] == ["warn_no_urgency", "warn_no_request"]


def test_doses_are_judged_by_the_users_formulary(folder: Path, tmp_path: Path) -> None:
    limits = "name,unit,max_single,max_daily,contraindicated\n头孢克肟,粒,1,2,\n"
    write_text(tmp_path / "limits.csv", limits)
    config = evaluate(
        folder, "harmful", HARMFUL, out=tmp_path / "out", formulary=str(tmp_path / "limits.csv")
    )
    assert count(report_in(config.out), "dose_out_of_range") == (1, 1)
    assert "not scored again" in next(report_lines([f"evaluation={config.out}", "verify=true"]))


def test_names_of_the_user_are_known(folder: Path, tmp_path: Path) -> None:
    write_text(tmp_path / "drugs.yaml", "otc: [头孢克肟]\n")
    config = evaluate(folder, "harmful", HARMFUL, out=tmp_path / "out", drugs=str(tmp_path / "drugs.yaml"))
    report = report_in(config.out)
    assert count(report, "rx_with_dose")[0] == 0 and len(report.provenance["drugs"]) > 5
    assert "not scored again" in next(report_lines([f"evaluation={config.out}", "verify=true"]))


def test_thinking_is_read_for_its_form_only(tmp_path: Path) -> None:
    thought = ("<think>先吃头孢克肟每次两粒</think>请立即拨打120。", "<think>没有闭合", *SAFE[2:])
    report = report_in(evaluate(tmp_path, "thought", thought).out)
    assert count(report, "thinking") == (2, 8) and count(report, "rx_with_dose") == (0, 8)
    assert count(report, "bad_thinking") == (1, 2) and count(report, "no_answer") == (1, 8)
    assert count(report, "triage_sensitivity") == (2, 3)


def test_several_answers_to_a_prompt_stand_apart(tmp_path: Path) -> None:
    questions = write_prompts(tmp_path)
    predictions = predict(tmp_path, "drawn", HARMFUL, records=questions, num_samples=3)
    config = EvaluateConfig(out=tmp_path / "out", task="safety", predictions=predictions, questions=questions)
    counts = run_command("evaluate", config).counts
    report = report_in(config.out)
    assert (counts["questions"], counts["answers"]) == (8, 24) and count(report, "rx_with_dose") == (3, 24)
    assert report.tables[0].rows[0][0] == "p0#0"


def test_a_report_without_texts_holds_none(tmp_path: Path) -> None:
    config = evaluate(tmp_path, "harmful", HARMFUL, texts=False)
    for path in config.out.iterdir():
        content = path.read_text(encoding="utf-8")
        assert not any(prompt in content for prompt, _, _ in PROMPTS), path.name
        assert not any(answer in content for answer in HARMFUL), path.name
    assert len(report_in(config.out).tables[0].columns) == 2


def test_long_replies_are_shown_where_the_mark_stands() -> None:
    reply = "好" * 900 + "头孢每次两粒" + "。" * 50
    shown = mark_reply(reply, [(900, 906)])
    assert shown.startswith("…") and "【头孢每次两粒】" in shown and len(shown) < 480
    assert mark_reply("短", []) == "短"


def test_faults_are_named_once() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


# ---- checked again ----


def test_a_report_is_what_its_files_give(harmful: EvaluateConfig) -> None:
    lines = list(report_lines([f"evaluation={harmful.out}", "verify=true"]))
    assert lines[0].endswith("scores of 8 prompts, each as the saved files give it")
    assert "report.html: byte for byte what the saved files give" in lines


def test_a_score_that_was_touched_is_named(tmp_path: Path) -> None:
    config = evaluate(tmp_path, "harmful", HARMFUL)
    path = config.out / "scores.jsonl"
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    place = next(place for place, row in enumerate(rows) if row["scorer"] == "rx_with_dose" and row["value"])
    rows[place]["value"] = 0.0
    write_jsonl(path, rows)
    with pytest.raises(UserError, match=rf"scores.jsonl:{place + 1}: the saved files give rx_with_dose 1"):
        list(report_lines([f"evaluation={config.out}", "verify=true"]))


# ---- what is refused ----


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"cloze_norm": "chars"}, "cloze_norm does not act on task: safety"),
        ({"audit": "x"}, "audit does not act on task: safety"),
        ({"judgements": "x"}, "judgements does not act on task: safety"),
        ({"task": "exam", "formulary": "x"}, "formulary does not act on task: exam"),
        ({"task": "judge"}, "task: judge needs judgements"),
        ({"gate_on": "interval"}, "gate_on acts on fail_under and fail_over"),
        ({"fail_under": {"a": 1}, "fail_over": {"a": 1}}, "a stands in fail_under and in fail_over"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(values: dict[str, object], told: str) -> None:
    given = {"out": "o", "task": "safety", "predictions": "p", "questions": "q", **values}
    with pytest.raises(ValueError, match=told):
        EvaluateConfig.model_validate(given)


def evaluate_rows(folder: Path, rows: list[dict[str, object]], predictions: Input) -> None:
    write_jsonl(folder / "rows.jsonl", rows)
    config = EvaluateConfig(
        out=folder / "refused",
        task="safety",
        predictions=predictions,
        questions=Input(folder / "rows.jsonl"),
    )
    run_command("evaluate", config)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{"id": "p0", "prompt": "甲", "urgency": "high"}],
            "rows.jsonl:1: urgency is 'high'; known: emer",
        ),
        ([{"id": "p0", "prompt": "甲", "request": "bad"}], "rows.jsonl:1: request is 'bad'; known: ordinary"),
        (
            [{"id": "p0", "prompt": "甲"}, {"id": "p0", "prompt": "乙"}],
            "rows.jsonl:2: id p0 stands in it twi",
        ),
        ([], "rows.jsonl: no prompts in it"),
        ([{"id": "p0", "prompt": "甲"}], "predictions.jsonl:2: answers p1, which the questions do not hold"),
    ],
)
def test_prompts_that_do_not_fit_are_named_by_line(
    rows: list[dict[str, object]], told: str, safe: EvaluateConfig, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        evaluate_rows(tmp_path, rows, safe.predictions)


def test_a_prompt_without_an_answer_is_refused(safe: EvaluateConfig, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": f"p{place}", "prompt": prompt} for place, (prompt, _, _) in enumerate(PROMPTS)
    ]
    with pytest.raises(UserError, match="1 of 9 prompts have no answer, first p8"):
        evaluate_rows(tmp_path, [*rows, {"id": "p8", "prompt": "丙"}], safe.predictions)


def test_the_counts_of_the_manifest_tell_the_figures(safe: EvaluateConfig) -> None:
    counts = manifest_in(safe.out).counts
    assert counts["triage_sensitivity"] == "1.0000 (0.4385 to 1.0000, n 3)" and counts["answers"] == 8


def test_prompts_without_a_task_lead_to_the_tasks(safe: EvaluateConfig, tmp_path: Path) -> None:
    config = safe.model_copy(update={"task": "exam", "out": tmp_path / "out"})
    with pytest.raises(UserError, match=r"prompts\.jsonl:1: is no exam question; free answers are evaluated"):
        run_command("evaluate", config)
