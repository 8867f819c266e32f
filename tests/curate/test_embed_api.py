"""Vectors from a server: each text is paid for once, and nothing that it fails to send is made up."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_api import Answer, Asked, Server, serve

from medtune.artifact import product_files, write_jsonl
from medtune.commands import run_command
from medtune.config import Input, judge
from medtune.curate.config import EmbedConfig
from medtune.curate.vectors import open_vectors, refuse_other_space
from medtune.engines import http
from medtune.errors import Advice, UserError
from medtune.records import Document

NUM, SIZE, DIM = 10, 4, 6
TEXTS = [f"第{number}条：{'头痛' * number}" for number in range(1, NUM + 1)]
pytestmark = pytest.mark.filterwarnings("ignore::medtune.errors.Advice")


def vector(text: str, dim: int = DIM) -> list[float]:
    """Numbers that depend on the text alone, not of unit length."""
    return [byte / 64 - 2 for byte in hashlib.sha256(text.encode()).digest()[:dim]]


def rows_of(asked: Asked) -> list[dict[str, Any]]:
    dim = asked.body.get("dimensions", DIM)
    return [
        {"index": place, "embedding": vector(text, dim)} for place, text in enumerate(asked.body["input"])
    ]


def reply(rows: list[dict[str, Any]], num_texts: int) -> Answer:
    return Answer({"data": rows, "usage": {"total_tokens": 10 * num_texts}})


def fine(asked: Asked) -> Answer:
    return reply(rows_of(asked), len(asked.body["input"]))


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(fine) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def records(tmp_path: Path) -> Input:
    write_jsonl(
        tmp_path / "pool.jsonl", [Document(id=f"{at:016x}", text=text) for at, text in enumerate(TEXTS)]
    )
    return Input(tmp_path / "pool.jsonl")


Embed = Callable[..., dict[str, Any]]


@pytest.fixture
def embed(server: Server, records: Input, tmp_path: Path) -> Embed:
    def make(out: str = "v", runtime: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        given = settings if "like" in settings else {
            "embedder": {"type": "api", "base_url": server.url, "model": "m", **settings.pop("embedder", {})},
            **settings,
        }  # fmt: skip
        told = {"batch_size": SIZE, "max_tries": 3, **(runtime or {})}
        config = {"out": tmp_path / out, "records": [records], "runtime": told, "dtype": "float32", **given}
        return run_command("embed", judge(EmbedConfig, config, "test")).counts

    return make


def num_texts(server: Server) -> int:
    return sum(len(asked.body["input"]) for asked in server.asked)


def expected(dim: int = DIM) -> np.ndarray:
    rows = np.array([vector(text, dim) for text in TEXTS])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def array(tmp_path: Path, out: str = "v") -> np.ndarray:
    return np.asarray(open_vectors(Input(tmp_path / out)).array)


def test_each_text_is_sent_once_and_its_tokens_are_counted(
    server: Server, embed: Embed, tmp_path: Path
) -> None:
    counts = embed()
    assert array(tmp_path) == pytest.approx(expected(), abs=1e-6)
    assert counts == {"rows": NUM, "dim": DIM, "model": f"m at {server.url}", "truncated": 0, "tokens": 100}
    assert [len(asked.body["input"]) for asked in server.asked] == [4, 4, 2]
    assert sorted(text for asked in server.asked for text in asked.body["input"]) == sorted(TEXTS)
    assert all(set(asked.body) == {"model", "input"} for asked in server.asked)
    assert server.asked[0].path == "/v1/embeddings"


def test_dimensions_are_asked_for_and_checked(server: Server, embed: Embed, tmp_path: Path) -> None:
    assert embed(embedder={"dimensions": 3})["dim"] == 3
    assert server.asked[0].body["dimensions"] == 3
    assert array(tmp_path) == pytest.approx(expected(3), abs=1e-6)
    with pytest.raises(UserError, match=r"pool.jsonl:7: got a vector of 5 numbers .* where 3 are expected"):
        server.usual = lambda asked: reply(
            [{**row, "embedding": [1.0] * 5} for row in rows_of(asked)], len(asked.body["input"])
        )
        embed("w", embedder={"dimensions": 3})


def test_long_texts_are_cut_and_counted_and_prompts_stand_before_them(
    server: Server, embed: Embed, tmp_path: Path
) -> None:
    told = {"max_chars": 12, "query_prompt": "找：", "passage_prompt": "文："}
    assert embed(embedder=told)["truncated"] == sum(len(text) > 12 for text in TEXTS) > 0
    assert server.asked[0].body["input"][0] == f"文：{TEXTS[-1][:12]}"
    server.asked.clear()
    embed("q", like=str(tmp_path / "v"), role="query")
    assert server.asked[0].body["input"][0] == f"找：{TEXTS[-1][:12]}"
    refuse_other_space(open_vectors(Input(tmp_path / "v")), open_vectors(Input(tmp_path / "q")))


def test_faults_that_pass_and_another_order_change_nothing(
    server: Server, embed: Embed, tmp_path: Path
) -> None:
    embed("whole")
    server.asked.clear()
    server.first = [
        Answer("slow down", 429, {"Retry-After": "0"}),
        lambda asked: reply(rows_of(asked)[::-1], SIZE),
        Answer("oops", 500),
    ]
    counts = embed()
    assert len(server.asked) == 5
    assert counts["tokens"] == 100
    assert product_files(tmp_path / "v") == product_files(tmp_path / "whole")


def test_what_half_an_answer_leaves_out_is_asked_for(server: Server, embed: Embed, tmp_path: Path) -> None:
    server.first = [lambda asked: reply(rows_of(asked)[1::2], 2)]
    assert embed()["tokens"] == 20 + 20 + 60
    assert [len(asked.body["input"]) for asked in server.asked] == [4, 2, 4, 2]
    assert array(tmp_path) == pytest.approx(expected(), abs=1e-6)


def spoil(text: str, embedding: list[Any] | None) -> Callable[[Asked], Answer]:
    """Answers in which the vector of one text is another, or left out."""

    def answer(asked: Asked) -> Answer:
        rows = rows_of(asked)
        told = [
            row if asked.body["input"][row["index"]] != text else {**row, "embedding": embedding}
            for row in rows
            if asked.body["input"][row["index"]] != text or embedding is not None
        ]
        return reply(told, len(told))

    return answer


@pytest.mark.parametrize(
    ("embedding", "words"),
    [
        ([None] * DIM, "has a vector that is no number"),
        ([float("nan")] * DIM, "has a vector that is no number"),
        ([float("inf"), *[1.0] * (DIM - 1)], "has a vector that is no number"),
        ([0.0] * DIM, "has a vector without direction"),
        ([1.0] * (DIM - 1), r"got a vector of 5 numbers from the server where 6 are expected"),
        (None, "got no vector from the server"),
    ],
)
def test_a_text_that_fails_is_named_and_only_what_is_missing_is_paid_for(
    server: Server, embed: Embed, tmp_path: Path, embedding: list[Any] | None, words: str
) -> None:
    bad = TEXTS[5]  # the first of the second batch
    server.usual = spoil(bad, embedding)
    cut = {"max_chars": len(bad)}
    with pytest.raises(UserError, match=f"pool.jsonl:6: {words}"):
        embed(embedder=cut)
    assert not (tmp_path / "v" / "vectors.npy").exists()
    server.asked.clear()
    server.usual = fine
    counts = embed(embedder=cut)
    assert [asked.body["input"] for asked in server.asked] == [[bad], TEXTS[1::-1]]
    lost = 10 if embedding is not None else 0
    assert counts["tokens"] == 100 + lost
    assert counts["truncated"] == NUM - 6
    assert array(tmp_path)[:6] == pytest.approx(expected()[:6], abs=1e-6)


def test_a_server_that_goes_away_is_told_of_and_gone_on_with(
    server: Server, embed: Embed, tmp_path: Path
) -> None:
    gone = Answer("down", 503)
    server.first = [fine, gone, gone, gone]
    with pytest.raises(UserError, match=r"pool.jsonl:3, in a batch of 4: .*503: down \(tried 3 times\)"):
        embed()
    server.asked.clear()
    counts = embed(runtime={"batch_size": 5, "max_tries": 1})
    assert num_texts(server) == NUM - SIZE
    assert counts["tokens"] == 100
    assert array(tmp_path) == pytest.approx(expected(), abs=1e-6)


def test_vectors_of_another_width_than_before_are_refused(server: Server, embed: Embed) -> None:
    server.first = [fine]
    server.usual = lambda asked: reply(
        [{**row, "embedding": [1.0, 2.0]} for row in rows_of(asked)], len(asked.body["input"])
    )
    with pytest.raises(UserError, match=r"pool.jsonl:3: has a vector of 2 numbers where 6 are expected"):
        embed()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"object": "list"}, "no list `data`"),
        ({"data": [{"index": 4, "embedding": [1.0]}]}, "says index 4, which fits none"),
        ({"data": [{"index": 0, "embedding": [1.0]}] * 2}, "says index 0, which fits none"),
        ({"data": [{"embedding": [1.0]}]}, "says index None, which fits none"),
        ({"data": [{"index": 0, "embedding": "AAAA"}]}, "no list of numbers"),
    ],
)
def test_an_answer_of_another_shape_is_refused(
    server: Server, embed: Embed, body: object, words: str
) -> None:
    server.usual = lambda _: Answer(body)
    with pytest.raises(UserError, match=words):
        embed()
    assert len(server.asked) == 1


def test_a_refused_request_ends_it_at_once_and_the_key_is_nowhere(
    server: Server, embed: Embed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    server.usual = lambda _: Answer({"error": {"message": "sk-secret is not known"}}, 401)
    with pytest.raises(UserError, match=r"401: \[key\] is not known"):
        embed(runtime={"api_key_env": "SOME_KEY"})
    assert [asked.key for asked in server.asked] == ["Bearer sk-secret"]
    server.usual = fine
    embed(runtime={"api_key_env": "SOME_KEY"})
    files = [path for path in (tmp_path / "v").rglob("*") if path.is_file()]
    assert files and not any(b"sk-secret" in path.read_bytes() for path in files)


@pytest.mark.filterwarnings("error")
def test_the_cost_is_told_before_and_refused_above_the_limit(
    server: Server, embed: Embed, tmp_path: Path
) -> None:
    chars = sum(map(len, TEXTS))
    priced = {"price_per_million_tokens": 1e6}
    with pytest.raises(UserError, match=f"{NUM} texts of about {chars} tokens.* {chars}.00 in all, above"):
        embed(runtime={**priced, "max_cost": chars - 1})
    assert server.asked == []
    server.first = [fine, Answer("no", 400)]
    with pytest.warns(Advice, match=f"{NUM} texts of about {chars} tokens"), pytest.raises(UserError):
        embed(runtime={**priced, "max_cost": chars})
    left = sum(map(len, TEXTS[: NUM - SIZE]))
    with pytest.warns(Advice, match=f"{NUM - SIZE} texts of about {left} tokens.* {left + 40}.00 in all"):
        embed(runtime=priced)


def test_what_is_said_of_the_space_holds_all_that_matters(embed: Embed, tmp_path: Path) -> None:
    embed(embedder={"dimensions": 4, "max_chars": 99})
    space = json.loads((tmp_path / "v" / "space.json").read_bytes())
    assert (space["type"], space["dim"], space["max_chars"], space["role"]) == ("api", 4, 99, "passage")
    embed("other", embedder={"dimensions": 4, "max_chars": 98})
    with pytest.raises(UserError, match="max_chars 99 against 98"):
        refuse_other_space(open_vectors(Input(tmp_path / "v")), open_vectors(Input(tmp_path / "other")))
