"""A report comes back byte for byte from its saved files, and what does not fit them is named."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from medtune.artifact import MANIFEST, claim, make, read_manifest, write_jsonl
from medtune.cli import main
from medtune.config import CommandConfig, Input
from medtune.errors import UserError
from medtune.evals.config import EvaluateConfig
from medtune.evals.evaluate import run
from medtune.evals.rebuild import report_lines
from medtune.records import Completion, Prediction, Question

PAGES = ("report.json", "report.md", "report.en.md", "report.html", "items.html")


class StepConfig(CommandConfig):
    """A step that reads one thing."""

    source: Input


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an evaluation of 6 items, 4 of them right."""
    folder = tmp_path_factory.mktemp("made")
    options = {"A": "甲", "B": "乙", "C": "丙"}
    questions = [
        Question(
            id=f"q{place}", stem=f"第{place}题", options=options, answer="B", subject="内科", split="test"
        )
        for place in range(6)
    ]
    texts = ["答案：B", "答案：B", "答案：B", "选B", "答案：A", "天气不错"]
    predictions = [
        Prediction(
            id=question.id,
            way="generate",
            prompt="",
            completion=Completion(text=text, finish="stop", prompt_tokens=1, completion_tokens=1),
        )
        for question, text in zip(questions, texts, strict=True)
    ]
    write_jsonl(folder / "exam.jsonl", questions)

    def predict(config: StepConfig) -> dict[str, int]:
        write_jsonl(config.out / "predictions.jsonl", predictions)
        return {}

    asked = Input(folder / "exam.jsonl")
    make(claim("step", 1, StepConfig(out=folder / "answers", source=asked)), predict)
    config = EvaluateConfig(out=folder / "eval", predictions=Input(folder / "answers"), questions=asked)
    make(claim("evaluate", 3, config), run)
    return {path.name: path.read_bytes() for path in (folder / "eval").iterdir()}


@pytest.fixture
def evaluation(made: dict[str, bytes], tmp_path: Path) -> Path:
    """A copy to be spoilt, away from everything that it was made from."""
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def verify(folder: Path) -> str:
    return "\n".join(report_lines([f"evaluation={folder}", "verify=true"]))


def rebuild(folder: Path) -> str:
    return "\n".join(report_lines([f"evaluation={folder}"]))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8", newline="\n")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_as_made_is_verified_and_left_alone(evaluation: Path):
    before = contents(evaluation)
    told = verify(evaluation)
    assert "6 scores of 6 items, every value follows" in told and "report.json: byte for byte" in told
    assert f"{MANIFEST}: 9 files" in told
    assert contents(evaluation) == before


def test_deleted_pages_come_back_byte_for_byte(evaluation: Path, made: dict[str, bytes]):
    for name in PAGES:
        (evaluation / name).unlink()
    told = verify(evaluation)
    assert "report.json: is missing; the saved files give it byte for byte" in told
    assert not (evaluation / "report.json").exists()
    assert "report.json: written" in rebuild(evaluation)
    assert contents(evaluation) == made
    assert "report.json: as it was" in rebuild(evaluation)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("scores.jsonl", '"value":1.0', '"value":0.0',
         "scores.jsonl:1: q0: value is 0, but answer B and gold B make 1"),
        ("scores.jsonl", '"value":0.0', '"value":1.0',
         "scores.jsonl:5: q4: value is 1, but answer A and gold B make 0"),
        ("scores.jsonl", '"gold":"B"', '"gold":"A"', "scores.jsonl:1: q0: gold is A, items.jsonl has B"),
        ("scores.jsonl", '"id":"q1"', '"id":"q9"', "scores.jsonl:2: q9 is no item of items.jsonl"),
        ("scores.jsonl", '"id":"q1"', '"id":"q0"', "scores.jsonl:2: a second `generate` score of q0"),
        ("scores.jsonl", '"note":"none"', '"note":"empty"', "report.json:.*saved files give"),
        ("scores.jsonl", '"rule":"line"', '"rule":"colon"', "items.html:.*saved files give"),
        ("items.jsonl", '"subject":"内科"', '"subject":"外科"', "report.json:.*generate.macro.value is"),
        ("shown.jsonl", '"id":"q0"', '"id":"q1"', "shown.jsonl:1: is not of the item in line 1"),
        ("shown.jsonl", "天气不错", "天气很好", "items.html:.*saved files give"),
        ("stamp.json", '"exam_items_seen": "0 of 6"', '"exam_items_seen": "1 of 6"', "report.json:"),
        ("stamp.json", '"name"', '"nme"', "stamp.json: damaged"),
        ("report.json", '"count": 4,\n      "unit"', '"count": 5,\n      "unit"',
         r"generate.accuracy.count is 5, the scores give 4"),
        ("report.json", '"n": 6', '"n": 7', r"report.json:3: is not what the saved files give"),
        ("report.md", "准确率", "得分", "report.md:.*is not what"),
        ("items.html", "<body>", "<body >", "items.html:.*is not what"),
    ],
)  # fmt: skip
def test_an_edit_anywhere_is_named(evaluation: Path, name: str, old: str, new: str, message: str):
    edit(evaluation / name, old, new)
    with pytest.raises(UserError, match=message):
        verify(evaluation)


def drop_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: drop_line(folder / "scores.jsonl"),
            "1 of 6 items have no `generate` score, first q0",
        ),
        (lambda folder: drop_line(folder / "shown.jsonl"), "shown.jsonl:1: is not of the item"),
        (lambda folder: (folder / "shown.jsonl").unlink(), "items.html:.*is not what the saved files give"),
        (lambda folder: (folder / "stamp.json").unlink(), "stamp.json: no such file"),
        (lambda folder: (folder / "scores.jsonl").write_bytes(b""), "scores.jsonl: no scores in it"),
        (lambda folder: (folder / MANIFEST).unlink(), f"has no {MANIFEST}"),
    ],
)
def test_what_is_missing_is_named(evaluation: Path, spoil: Callable[[Path], None], message: str):
    spoil(evaluation)
    with pytest.raises(UserError, match=message):
        verify(evaluation)


def test_a_report_is_not_made_of_edited_scores(evaluation: Path):
    edit(evaluation / "scores.jsonl", '"value":0.0,"answer":"A"', '"value":1.0,"answer":"B"')
    before = contents(evaluation)
    with pytest.raises(UserError, match=r"scores.jsonl: its sha256 is not the one in manifest.json"):
        rebuild(evaluation)
    assert contents(evaluation) == before


def test_edited_scores_under_an_edited_report_fail_by_their_sha256(evaluation: Path):
    edit(evaluation / "scores.jsonl", '"value":0.0,"answer":"A"', '"value":1.0,"answer":"B"')
    for name in PAGES:
        (evaluation / name).unlink()
    with pytest.raises(UserError, match=r"report.json: is missing, and the saved files give another"):
        verify(evaluation)


def test_pages_of_another_version_are_told_of_and_signed_anew(evaluation: Path):
    (evaluation / "report.md").write_text("as it once was worded\n", encoding="utf-8")
    manifest = orjson.loads((evaluation / MANIFEST).read_bytes())
    manifest["code"] = "0.0.1"
    from medtune.artifact import digest_of_file  # the digest that the other version signed

    manifest["files"]["report.md"] = digest_of_file(evaluation / "report.md")
    (evaluation / MANIFEST).write_bytes(orjson.dumps(manifest))
    assert "report.md: by medtune 0.0.1" in verify(evaluation)
    key = read_manifest(evaluation)
    assert "manifest.json: has the new sha256" in rebuild(evaluation)
    again = read_manifest(evaluation)
    assert key and again and again.key == key.key and again.counts == key.counts
    assert "report.md: byte for byte" in verify(evaluation)


def test_the_command_line_knows_it_by_directory_and_flag(
    evaluation: Path, capsys: pytest.CaptureFixture[str]
):
    main(["report", str(evaluation), "--verify"])
    assert "every value follows" in capsys.readouterr().out
    edit(evaluation / "scores.jsonl", '"value":1.0', '"value":0.0')
    with pytest.raises(SystemExit) as end:
        main(["report", str(evaluation), "--verify"])
    assert end.value.code == 2 and "scores.jsonl:1" in capsys.readouterr().err


def test_other_directories_are_refused(evaluation: Path):
    manifest = orjson.loads((evaluation / MANIFEST).read_bytes())
    (evaluation / MANIFEST).write_bytes(orjson.dumps({**manifest, "command": "audit"}))
    with pytest.raises(UserError, match="was made by audit; report reads a directory that evaluate made"):
        verify(evaluation)
