"""The page of single items holds all that is known of each, as text, and a real browser filters it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest

from medtune.evals.exam import STATUSES, item_of, score_prediction
from medtune.evals.item_page import EDGE_CHARS, WORDS, render_items, shorten
from medtune.evals.shown import show
from medtune.records import Completion, Likelihood, Meta, Prediction, Question
from medtune.reports.browser import escape_json
from medtune.reports.phrases import LANGUAGES

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)><!-- & \u2028"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def ask(number: int, answer: str = "B", stem: str = "", subject: str = "内科") -> Question:
    return Question(
        id=f"q{number}",
        stem=stem or f"第{number}题，正确的是",
        options={"A": f"甲{number}", "B": f"乙{number}", "C": f"丙{number}"},
        answer=answer,
        subject=subject,
        split="test",
        meta=Meta(specialty="内科"),
    )


def reply(question: Question, text: str, reasoning: str | None = None) -> Prediction:
    completion = Completion(
        text=text, reasoning=reasoning, finish="stop", prompt_tokens=1, completion_tokens=1
    )
    return Prediction(id=question.id, way="generate", prompt="", completion=completion)


def weigh(question: Question, **logprobs: float) -> Prediction:
    candidates = {
        key: Likelihood(logprob=value, num_tokens=1, num_chars=1) for key, value in logprobs.items()
    }
    return Prediction(id=question.id, way="letter", prompt="", candidates=candidates)


def page_of(questions: list[Question], predictions: list[Prediction], *, texts: bool = True) -> str:
    by_id = {question.id: question for question in questions}
    scores = [score_prediction(one, by_id[one.id], "chars") for one in predictions]
    shown = list(show(questions, predictions)) if texts else None
    return render_items(scores, [item_of(one) for one in questions], shown, name="模型")


class Scripts(HTMLParser):
    """Collects tags, and what stands in script tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data


def sample() -> str:
    questions = [ask(1, stem=HOSTILE), ask(2, "AC", subject="外科"), ask(3), ask(4)]
    free = ["𠮷想来想去，答案：B。", "答案：A、C", "今天天气不错", f"答案：A。{HOSTILE}"]
    predictions = [reply(one, text, HOSTILE) for one, text in zip(questions, free, strict=True)]
    predictions += [weigh(questions[0], A=-0.1, B=-3.0, C=-4.0), weigh(questions[1], AB=-1, AC=-0.5, BC=-3)]
    predictions += [weigh(questions[2], A=-2, B=-1.9, C=-2), weigh(questions[3], A=-0.7, B=-0.9, C=-3)]
    return page_of(questions, predictions)


def data_of(page: str) -> dict[str, list]:
    return orjson.loads(Scripts(page).scripts[0])


def test_every_item_stands_there_with_its_answers_and_the_words_that_decided():
    data = data_of(sample())
    assert [item[0] for item in data["items"]] == ["q1", "q2", "q3", "q4"]
    assert data["texts"][0][0] == HOSTILE and data["texts"][1][2] == ["甲2", "乙2", "丙2"]
    generate, letter = data["marks"]
    is_right, answer, status, rule, values, before, decided, after, reasoning = generate[0]
    assert (is_right, answer, STATUSES[status], data["rules"][rule]) == (1, "B", "ok", "colon")
    assert (before, decided, after, reasoning, values) == (
        ["𠮷想来想去，答案："],
        "B",
        ["。"],
        [HOSTILE],
        None,
    )
    assert generate[2][:4] == [0, None, STATUSES.index("none"), -1]
    assert letter[0][:5] == [0, "A", -1, -1, {"A": -0.1, "B": -3.0, "C": -4.0}]
    assert letter[0][5] is None and letter[1][1] == "AC"


def test_hostile_texts_end_no_script_and_open_no_tag():
    page = Scripts(sample())
    assert [tag for tag, _ in page.tags].count("script") == 2 and "img" not in dict(page.tags)
    assert escape_json({"text": "<&>\u2029"}) == '{"text":"\\u003c\\u0026\\u003e\\u2029"}'


def test_the_page_lets_only_its_own_program_run_and_fetches_nothing():
    text = sample()
    page = Scripts(text)
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "content" in attrs)
    assert policy and policy.startswith("default-src 'none';") and "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    links = [attrs[name] for _, attrs in page.tags for name in ("href", "src") if name in attrs]
    assert links == ["report.html"]
    program = re.sub(r"/\*.*?\*/", "", page.scripts[1])
    assert not re.search("innerHTML|outerHTML|insertAdjacent|document.write|eval|fetch|import|http", program)


def test_the_program_asks_only_for_words_that_are_there():
    text = sample()
    asked = set(re.findall(r"word\(\"(\w+)\"", text)) | set(re.findall(r'data-(?:word|label)="(\w+)"', text))
    asked |= {f"sort_{name}" for name in ("worst", "doubt", "exam", "subject")} | {"any"}
    asked |= {"wrong", "mistaken", "unread", "right"}
    assert asked == set(WORDS)
    assert all(set(data_of(text)["words"][language]) == set(WORDS) for language in LANGUAGES)


def test_without_texts_there_are_none():
    page = page_of([ask(1)], [reply(ask(1), "答案：B，因为")], texts=False)
    assert data_of(page)["texts"] is None and "因为" not in page and "正确的是" not in page


def test_a_long_reply_says_how_much_is_left_out():
    head, count, tail = shorten("一" * EDGE_CHARS + "二" * 70 + "三" * EDGE_CHARS)
    assert (head, count, tail) == ("一" * EDGE_CHARS, 70, "三" * EDGE_CHARS)
    assert shorten("一" * 2 * EDGE_CHARS) == ["一" * 2 * EDGE_CHARS] and shorten("") == []


# ---- in a browser ----


def browse(path: Path, address: str) -> str:
    """What a real browser makes of the page, as HTML without its scripts."""
    assert CHROMIUM
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path.parent / 'user'}",
         "--virtual-time-budget=2000", "--dump-dom", f"{path.as_uri()}#{address}"],
        capture_output=True, text=True, encoding="utf-8", check=True, timeout=60,
    )  # fmt: skip
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.S)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="chromium is absent")
@pytest.mark.parametrize(
    ("address", "ids", "count"),
    [
        ("lang=en&way=1", ["q1", "q4", "q3", "q2"], "accuracy 50.00% (2/4)"),
        ("lang=en&way=1&sort=doubt", ["q3", "q4", "q2", "q1"], "4 of 4"),
        ("result=unread&subject=0", ["q3"], "1 / 4 题"),
        ("text=想来 答案", ["q1"], "1 / 4 题"),
        ("text=没有这样的字", [], "没有符合条件的题"),
    ],
)
def test_a_browser_filters_and_sorts(tmp_path: Path, address: str, ids: list[str], count: str):
    (tmp_path / "items.html").write_text(sample(), encoding="utf-8")
    page = browse(tmp_path / "items.html", address)
    stems = {"q1": "&lt;/script&gt;", "q2": "第2题", "q3": "第3题", "q4": "第4题"}
    rows = re.findall(r'<span class="stem">(.{6,15})', page)
    assert [name for row in rows for name, stem in stems.items() if row.startswith(stem)] == ids
    assert count in re.sub("</?b[^>]*>", "", page)
    assert "<img" not in page and "<title>owned" not in page
    if ids:
        assert page.count("<mark") == (ids[0] != "q3") and 'class="options"' in page
