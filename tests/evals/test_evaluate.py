"""From predictions to scores and a report: nothing shrinks, nothing is guessed, old figures come out."""

from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pytest

from medtune.artifact import claim, make, read_jsonl, write_json, write_jsonl
from medtune.config import CommandConfig, Input
from medtune.errors import UserError
from medtune.evals.config import EvaluateConfig
from medtune.evals.evaluate import run
from medtune.evals.exam import Item, chance_of, compare_with_chance
from medtune.evals.exam_report import report_from
from medtune.evals.published import scores_from_matrix
from medtune.evals.shown import Shown
from medtune.records import (
    Completion,
    Estimate,
    Likelihood,
    Prediction,
    Question,
    Report,
    Score,
    Table,
    Way,
    question_id,
)
from medtune.reports.phrases import fill
from medtune.reports.report import render_markdown
from medtune.reports.wording import word_cell


class StepConfig(CommandConfig):
    """A step that reads one thing."""

    source: Input


def make_step(out: Path, source: Path, write: Callable[[Path], object]) -> Path:
    def fill_it(config: StepConfig) -> dict[str, int]:
        write(config.out)
        return {}

    make(claim("step", 1, StepConfig(out=out, source=Input(source))), fill_it)
    return out


def ask(number: int, answer: str = "B", subject: str = "basic", case: str | None = None) -> Question:
    options = {"A": f"甲{number}", "B": f"乙{number}", "C": f"丙{number}", "D": f"丁{number}"}
    stem = f"第{number}题，正确的是"
    return Question(
        id=question_id(stem, case, options),
        stem=stem,
        case=case,
        options=options,
        answer=answer,
        subject=subject,
        split="test",
    )


def reply(question: Question, text: str, finish: str = "stop") -> Prediction:
    completion = Completion.model_validate(
        {"text": text, "finish": finish, "prompt_tokens": 9, "completion_tokens": 3}
    )
    return Prediction(id=question.id, way="generate", prompt="…", completion=completion)


def weigh(question: Question, way: Way, **logprobs: float) -> Prediction:
    """Likelihoods by letter; the texts are 1, 2, 3 … tokens long and all have a prior of -1 per token."""
    candidates = {
        key: Likelihood(logprob=value, num_tokens=place, num_chars=2 * place, prior_logprob=-1.0 * place)
        for place, (key, value) in enumerate(logprobs.items(), 1)
    }
    return Prediction(id=question.id, way=way, prompt="…", candidates=candidates)


def set_up(folder: Path, questions: Sequence[Question], predictions: Sequence[Prediction]) -> EvaluateConfig:
    write_jsonl(folder / "exam" / "test.jsonl", questions)
    made = make_step(
        folder / "predictions",
        folder / "exam" / "test.jsonl",
        lambda out: write_jsonl(out / "predictions.jsonl", predictions),
    )
    return EvaluateConfig(
        out=folder / "evaluation", predictions=Input(made), questions=Input(folder / "exam" / "test.jsonl")
    )


def read_scores(config: EvaluateConfig) -> list[Score]:
    return list(read_jsonl(config.out / "scores.jsonl", Score))


def read_report(config: EvaluateConfig) -> Report:
    return Report.model_validate_json((config.out / "report.json").read_bytes())


def find_table(report: Report, name: str) -> Table:
    return next(table for table in report.tables if table.name == name)


# ---- the command ----


def test_scores_tell_by_which_rule_and_words_a_reply_was_read(tmp_path: Path):
    questions = [ask(number) for number in range(3)]
    texts = ["我想了想。答案：B", "天气不错", "𠮷答案是A或B"]
    config = set_up(
        tmp_path, questions, [reply(one, text) for one, text in zip(questions, texts, strict=True)]
    )
    run(config)
    clear, unread, vague = read_scores(config)
    assert clear.rule == "colon" and clear.span and texts[0][slice(*clear.span)] == "B"
    assert (unread.rule, unread.span) == (None, None)
    assert vague.note == "ambiguous" and vague.rule and vague.span


def test_texts_stand_in_a_file_of_their_own_and_can_be_left_out(tmp_path: Path):
    question = ask(1, case="男，60岁，胸痛")
    config = set_up(tmp_path, [question], [reply(question, "答案：B，因为如此")])
    run(config)
    (shown,) = read_jsonl(config.out / "shown.jsonl", Shown)
    assert (shown.stem, shown.case, shown.options) == (question.stem, question.case, question.options)
    assert shown.replies["generate"].text == "答案：B，因为如此"
    bare = config.model_copy(update={"out": tmp_path / "bare", "texts": False})
    run(bare)
    assert not (bare.out / "shown.jsonl").exists()
    for path in bare.out.iterdir():
        page = path.read_text(encoding="utf-8")
        assert not [text for text in ("正确的是", "胸痛", "乙1", "因为如此") if text in page], path.name


def test_unparsed_answers_are_wrong_and_counted_apart(tmp_path: Path):
    questions = [ask(number) for number in range(8)]
    texts = ["答案：B", "答案：A", "B", "", "抱歉，我无法回答这个问题。", "天气不错", "答案：B", "选B"]
    config = set_up(
        tmp_path, questions, [reply(one, text) for one, text in zip(questions, texts, strict=True)]
    )
    counts = run(config)
    assert counts["n"] == 8 and counts["generate"] == "0.5000 (4/8)"
    assert counts["generate.unparsed"] == "0.3750 (3/8)"
    assert [score.value for score in read_scores(config)] == [1, 0, 1, 0, 0, 0, 1, 1]
    assert all(score.note == "ok" for score in read_scores(config) if score.answer)
    report = read_report(config)
    assert report.n == 8 and report.metrics["generate.accuracy_parsed"].n == 5
    shares = [
        cell
        for row in find_table(report, "generate_statuses").rows
        for cell in row
        if isinstance(cell, Estimate)
    ]
    assert sum(share.count or 0 for share in shares) == 8 and all(share.n == 8 for share in shares)
    confusion = find_table(report, "generate_confusion")
    assert confusion.rows[1] == ("B", 1, 4, 0, 0, 3)
    assert [warning.key for warning in report.warnings] == ["warn_unparsed"]


def test_cut_off_and_failed_replies_have_their_own_status(tmp_path: Path):
    questions = [ask(number) for number in range(2)]
    replies = [reply(questions[0], "这道题需要先看", "length"), reply(questions[1], "答案：B", "error")]
    config = set_up(tmp_path, questions, replies)
    run(config)
    assert [(score.note, score.value) for score in read_scores(config)] == [("truncated", 0), ("error", 0)]


@pytest.mark.parametrize(("norm", "answer"), [("none", "A"), ("tokens", "C"), ("chars", "C"), ("prior", "D")])
def test_each_norm_of_cloze_picks_its_own_likeliest(tmp_path: Path, norm: str, answer: str):
    question = ask(1)
    cloze = weigh(question, "cloze", A=-2.0, B=-6.0, C=-2.4, D=-3.3)
    config = set_up(tmp_path, [question], [cloze]).model_copy(update={"cloze_norm": norm})
    run(config)
    assert [score.answer for score in read_scores(config)] == [answer]


def test_letters_of_multi_answer_questions_are_a_set(tmp_path: Path):
    single, multiple = ask(1, "B"), ask(2, "AC")
    predictions = [
        weigh(single, "letter", A=-3.0, B=-1.0, C=-2.0, D=-9.0),
        weigh(multiple, "letter", AB=-3.0, CA=-1.0, BCD=-2.0),
        reply(single, "答案：B"),
        reply(multiple, "答案：C、A"),
    ]
    config = set_up(tmp_path, [single, multiple], predictions)
    run(config)
    assert [score.value for score in read_scores(config)] == [1, 1, 1, 1]
    report = read_report(config)
    assert report.metrics["agreement"].count == 2
    assert find_table(report, "generate_kinds").rows[1][1] == report.metrics["letter.accuracy"].model_copy(
        update={"n": 1, "count": 1, "low": pytest.approx(0.2065, abs=1e-4)}
    )
    confusion = find_table(report, "letter_confusion")
    assert sum(cell for row in confusion.rows for cell in row if isinstance(cell, int)) == 1
    assert confusion.notes[0].values == {"count": 1}


def test_every_number_comes_from_scores_and_items(tmp_path: Path):
    questions = [ask(number, "ABCD"[number % 4], f"subject-{number % 3}") for number in range(24)]
    replies = [reply(one, f"答案：{'ABBD'[place % 4]}") for place, one in enumerate(questions)]
    config = set_up(tmp_path, questions, replies)
    run(config)
    report = read_report(config)
    again = report_from(
        read_scores(config),
        list(read_jsonl(config.out / "items.jsonl", Item)),
        name="predictions",
        provenance=report.provenance,
    )
    assert again == report
    assert {path.name for path in config.out.iterdir()} == {
        "scores.jsonl", "items.jsonl", "shown.jsonl", "stamp.json", "items.html",
        "report.json", "report.md", "report.en.md", "report.html",
    }  # fmt: skip


def test_same_inputs_same_bytes(tmp_path: Path):
    questions = [ask(number) for number in range(5)]
    config = set_up(tmp_path, questions, [reply(one, "答案：B") for one in questions])
    other = config.model_copy(update={"out": tmp_path / "again"})
    run(config), run(other)
    for path in config.out.iterdir():
        assert path.read_bytes() == (other.out / path.name).read_bytes()


def refuse(
    folder: Path, questions: Sequence[Question], predictions: Sequence[Prediction], message: str
) -> None:
    config = set_up(folder, questions, predictions)
    with pytest.raises(UserError, match=message):
        run(config)


def test_predictions_must_be_those_of_the_exam(tmp_path: Path):
    one, two = ask(1), ask(2)
    letters = weigh(one, "letter", A=-1, B=-2, C=-3, D=-4)
    refuse(tmp_path / "1", [one, two], [reply(one, "B")], "1 of 2 questions have no `generate`")
    refuse(tmp_path / "2", [one, two], [reply(one, "B"), reply(two, "B"), letters], "have no `letter`")
    refuse(tmp_path / "3", [one], [reply(one, "B"), reply(two, "B")], "is no question of this exam")
    refuse(tmp_path / "4", [one], [reply(one, "B"), reply(one, "A")], "two `generate` predictions")
    refuse(tmp_path / "5", [one, one], [reply(one, "B")], "stands in it twice")
    refuse(tmp_path / "6", [one], [], "no predictions")
    refuse(tmp_path / "7", [one], [weigh(one, "letter", A=-1, B=-2, C=-3)], "no candidate D")
    refuse(tmp_path / "8", [one], [weigh(one, "letter", A=-1, B=-2, C=-3, D=-4, E=-5)], "E are no options")


def test_items_that_chose_the_training_data_stamp_the_report(tmp_path: Path):
    questions = [ask(number) for number in range(4)]
    seen = [questions[0].id, questions[2].id, "not-of-this-exam"]
    write_jsonl(tmp_path / "test.jsonl", questions)
    recalled = make_step(
        tmp_path / "recall", tmp_path / "test.jsonl", lambda out: write_json(out / "exam_items.json", seen)
    )
    model = make_step(tmp_path / "sft", recalled, lambda out: write_json(out / "model.json", 1))
    replies = [reply(one, "答案：B") for one in questions]
    predicted = make_step(tmp_path / "p", model, lambda out: write_jsonl(out / "predictions.jsonl", replies))
    config = EvaluateConfig(
        out=tmp_path / "e",
        predictions=Input(predicted),
        questions=Input(tmp_path / "test.jsonl"),
        name="模型",
    )
    assert run(config)["exam_items_seen"] == 2
    report = read_report(config)
    assert [warning.key for warning in report.warnings] == ["warn_seen"]
    assert "used to choose the training data (2 of 4)" in (config.out / "report.en.md").read_text(
        encoding="utf-8"
    )
    assert report.provenance["exam_items_seen"] == "2 of 4"
    assert "模型" in fill(report.title, "zh")


def test_a_broken_lineage_is_told(tmp_path: Path):
    question = ask(1)
    config = set_up(tmp_path, [question], [reply(question, "B")])
    other = ask(1, "A")
    write_jsonl(tmp_path / "exam" / "test.jsonl", [other])  # the key was corrected after the prediction
    run(config)
    assert [warning.key for warning in read_report(config).warnings] == ["warn_broken"]
    assert (
        orjson.loads((config.out / "report.json").read_bytes())["provenance"]["exam_items_seen"] == "0 of 1"
    )


# ---- chance ----


def item(number: int, labels: str = "ABCD", gold: str = "A") -> Item:
    return Item(
        id=f"q{number}",
        subject="s",
        cluster=f"q{number}",
        is_multiple=len(gold) > 1,
        labels=labels,
        gold=gold,
    )


def test_chance_knows_the_number_of_options():
    assert chance_of(item(1)) == 0.25 and chance_of(item(1, "ABCDE")) == 0.2
    assert chance_of(item(1, "ABCD", "AC")) == 1 / 11


@pytest.mark.parametrize(("count", "side"), [(25, "same"), (31, "same"), (40, "above"), (10, "below")])
def test_a_model_near_chance_is_called_so(count: int, side: str):
    items = [item(number) for number in range(100)]
    assert compare_with_chance(count, items).side == side
    scores = [
        Score(
            id=one.id,
            scorer="cloze",
            value=float(place < count),
            answer="A" if place < count else "B",
            gold="A",
        )
        for place, one in enumerate(items)
    ]
    text = render_markdown(report_from(scores, items, name="m"), "en")
    assert ("not distinguishable from chance" in text) == (side == "same")
    assert ("与随机猜测无显著差别" in render_markdown(report_from(scores, items, name="m"), "zh")) == (
        side == "same"
    )


def test_letters_beyond_an_items_own_count_as_unparsed():
    items = [item(1), item(2, "ABCDE", "E")]
    scores = [
        Score(id="q1", scorer="letter", value=0, answer="E", gold="A"),
        Score(id="q2", scorer="letter", value=1, answer="E", gold="E"),
    ]
    rows = find_table(report_from(scores, items, name="m"), "letter_confusion").rows
    assert rows[0] == ("A", 0, 0, 0, 0, 0, 1) and rows[4] == ("E", 0, 0, 0, 0, 1, 0)


# ---- published figures (prior system 000, three C-Eval sets, test split) ----

PUBLISHED = {
    "clinical_medicine": (200, [[37, 4, 3, 4], [2, 36, 6, 4], [2, 3, 42, 3], [6, 3, 10, 35]]),
    "basic_medicine": (175, [[28, 1, 1, 3], [4, 30, 5, 4], [3, 0, 35, 7], [3, 5, 3, 43]]),
    "physician": (443, [[73, 9, 11, 5], [4, 87, 2, 5], [5, 7, 101, 10], [6, 8, 7, 103]]),
}
PER_OPTION = {
    "clinical_medicine": ["0.7708 (37/48)", "0.7500 (36/48)", "0.8400 (42/50)", "0.6481 (35/54)"],
    "basic_medicine": ["0.8485 (28/33)", "0.6977 (30/43)", "0.7778 (35/45)", "0.7963 (43/54)"],
    "physician": ["0.7449 (73/98)", "0.8878 (87/98)", "0.8211 (101/123)", "0.8306 (103/124)"],
}


def rebuild() -> Report:
    parts = [scores_from_matrix(matrix, subject=name, stated_n=n) for name, (n, matrix) in PUBLISHED.items()]
    scores = [score for part in parts for score in part.scores]
    return report_from(scores, [one for part in parts for one in part.items], name="prior system 000")


def test_published_figures_come_out_and_the_wrong_average_does_not():
    report = rebuild()
    accuracy = {
        word_cell(row[0], "en").main: word_cell(row[1], "en")
        for row in find_table(report, "generate_accuracy").rows
    }
    assert {name: words.main for name, words in accuracy.items()} == {
        "clinical_medicine": "0.7500 (150/200)",
        "basic_medicine": "0.7771 (136/175)",
        "physician": "0.8217 (364/443)",
        "All items (micro)": "0.7946 (650/818)",
        "Mean of subjects (macro)": "0.7829",
    }
    assert accuracy["All items (micro)"].interval == "0.7656–0.8209"
    options = find_table(report, "generate_options_by_subject").rows
    assert {str(row[0]): [word_cell(cell, "zh").main for cell in row[1:5]] for row in options} == PER_OPTION
    for language in ("zh", "en"):
        text = render_markdown(report, language)
        assert "0.7946 (650/818) [0.7656–0.8209]" in text and "0.7996" not in text
        assert "0.2836 (232/818)" in text  # always D


def test_published_matrices_come_back():
    report = rebuild()
    for name, (_, matrix) in PUBLISHED.items():
        rows = find_table(report, f"generate_confusion_{name}").rows
        assert [list(row[1:]) for row in rows] == [[*counts, 0] for counts in matrix]


def test_a_matrix_short_of_its_n_is_refused():
    with pytest.raises(UserError, match="holds 200 answers, 203 are stated"):
        scores_from_matrix(PUBLISHED["clinical_medicine"][1], subject="clinical", stated_n=203)
    with pytest.raises(UserError, match="does not hold 2 counts"):
        scores_from_matrix([[1, 2], [3]], subject="odd", stated_n=6)
    scores, _ = scores_from_matrix([[1, 2, 4], [3, 5, 0]], subject="with unparsed", stated_n=15)
    assert sum(score.answer is None for score in scores) == 4
