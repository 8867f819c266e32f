"""The choice that an exam asks for: nearest first, in turns, in bounds, never by what will be reported."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtune.artifact import claim, make, read_jsonl
from medtune.config import Input
from medtune.curate import recall as command
from medtune.curate import shards
from medtune.curate.config import EmbedConfig, RecallConfig
from medtune.curate.embed import run as embed
from medtune.curate.leaks import read_questions
from medtune.curate.pool import count_tokens
from medtune.curate.recall import run
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Question

Recall = Callable[..., dict[str, Any]]

TOPICS = ("高血压患者应当减少食盐摄入", "糖尿病患者应当定期检查眼底", "哮喘患者应当避免接触花粉")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def recall(tmp_path: Path) -> Recall:
    def choose(pool: Input, questions: Input, out: str = "out", **settings: Any) -> dict[str, Any]:
        return run(
            RecallConfig.model_validate(
                {"out": tmp_path / out, "pool": [pool], "questions": questions, **settings}
            )
        )

    return choose


@pytest.fixture(scope="module")
def sampled(
    sample_dir: Path, small_pool: Input, tiny_tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> RecallConfig:
    """A recall over the samples, run once."""
    config = RecallConfig(
        out=tmp_path_factory.mktemp("recall"), pool=(small_pool,),
        questions=Input(sample_dir / "val.jsonl"), decontaminate=(Input(sample_dir / "test.jsonl"),),
        tokenizer=Input(tiny_tokenizer_dir), budget_tokens=8_000, top_k=20,
    )  # fmt: skip
    run(config)
    return config


@pytest.fixture(scope="module")
def embedded(sample_dir: Path, small_pool: Input, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Vectors of the sampled pool and of its val questions."""
    out = tmp_path_factory.mktemp("vectors")
    for name, settings in (
        ("pool", {"records": [str(small_pool)], "embedder": {"type": "tfidf", "dim": 32}}),
        ("questions", {"records": [str(sample_dir / "val.jsonl")], "like": str(out / "pool")}),
    ):
        config = EmbedConfig.model_validate({"out": out / name, **settings})
        make(claim("embed", 1, config), embed)
    return {"type": "vectors", "pool": str(out / "pool"), "questions": str(out / "questions")}


# ---- what is chosen ----


def test_each_question_brings_its_nearest_before_any_brings_a_second(
    talk: Callable[[str, str], Dialogue], question: Callable[..., Question], put: Callable[..., Input],
    recall: Recall, tmp_path: Path,
) -> None:  # fmt: skip
    records = [talk(topic + extra, "请听医生的话") for topic in TOPICS for extra in ("，为什么？", "吗")]
    questions = [question(topic, "一", "二") for topic in TOPICS]
    recall(put("pool.jsonl", records), put("val.jsonl", questions), max_similarity=2)
    near = lines(tmp_path / "out" / "near.jsonl")
    assert [row["brought_by"][0]["question"] for row in near[:3]] == [item.id for item in questions]
    assert [row["brought_by"][0]["rank"] for row in near] == [1, 1, 1, 2, 2, 2]


def test_bounds_are_kept_and_near_copies_take_no_place(
    talk: Callable[[str, str], Dialogue], question: Callable[..., Question], put: Callable[..., Input],
    recall: Recall, tmp_path: Path,
) -> None:  # fmt: skip
    item = put("val.jsonl", [question(TOPICS[0], "一", "二")])
    copy, near, far = talk(TOPICS[0], "一二"), talk("高血压患者吃饭", "应当清淡"), talk("骨折之后", "打石膏")
    pool = put("pool.jsonl", [copy, near, far])
    assert recall(pool, item, "all", min_similarity=-1, max_similarity=2)["chosen"] == 3
    measured = {row["record"]: row["similarity"] for row in lines(tmp_path / "all" / "near.jsonl")}
    assert measured[copy.id] > 0.8 > measured[near.id] > 0.1 > measured[far.id]
    counts = recall(pool, item, "bound", top_k=1)
    assert (counts["chosen"], counts["too_near"]) == (1, 1)
    assert [row["record"] for row in lines(tmp_path / "bound" / "near.jsonl")] == [near.id]


@pytest.mark.parametrize(
    "settings",
    [
        {"rule": {"type": "threshold"}},
        {"rule": {"type": "mean_of_best", "num_best": 3}},
        {"near": {"type": "dsir"}},
        {"near": {"type": "dsir", "draw": "sampled", "seed": 7}},
        {"variety": {"relevance": 0.5}},
        {"variety": {"max_alike": 0.4}},
        {"min_quantile": 0.95},
        {"near": "vectors"},
        {"near": "vectors", "rule": {"type": "mean_of_best"}},
        {"near": "vectors", "variety": {"relevance": 0.5, "max_alike": 0.9}},
    ],
    ids=str,
)
def test_every_rule_chooses_what_it_should_and_says_why(
    settings: dict[str, Any], sampled: RecallConfig, embedded: dict[str, str], tmp_path: Path
) -> None:
    told = {**settings, **({"near": embedded} if settings.get("near") == "vectors" else {})}
    given = {"pool": sampled.pool, "questions": sampled.questions, "budget_rows": 40}
    counts = run(RecallConfig.model_validate({"out": tmp_path, **given, **told}))
    near, chosen = lines(tmp_path / "near.jsonl"), lines(tmp_path / "train.jsonl")
    assert [row["record"] for row in near] == [record["id"] for record in chosen]
    assert len({row["record"] for row in near}) == counts["chosen"] == 40
    assert bool(near[0]["brought_by"]) == ("dsir" not in str(settings))
    if "mean_of_best" in str(settings):
        means = [np.mean([hit["similarity"] for hit in row["brought_by"]]) for row in near]
        assert means == pytest.approx([row["similarity"] for row in near], abs=1e-4)
        assert means == sorted(means, reverse=True)
    if settings == {"rule": {"type": "threshold"}}:
        similarities = [row["similarity"] for row in near]
        assert similarities == sorted(similarities, reverse=True)
    other = {row["id"] for row in lines(sampled.out / "train.jsonl")[:40]}
    assert {row["record"] for row in near} != other


def test_vectors_of_another_pool_or_exam_are_refused(
    sampled: RecallConfig, embedded: dict[str, str], sample_dir: Path, talk: Callable[[str, str], Dialogue],
    put: Callable[..., Input], recall: Recall,
) -> None:  # fmt: skip
    talks = list(read_jsonl(sampled.pool[0].path, Dialogue))
    swapped = put("swapped.jsonl", [talks[1], talks[0], *talks[2:]])
    with pytest.raises(UserError, match=r"vector 1 is not that of swapped\.jsonl:1"):
        recall(swapped, sampled.questions, near=embedded)
    with pytest.raises(UserError, match=f"{len(talks)} vectors for {len(talks) - 1} records"):
        recall(put("short.jsonl", talks[:-1]), sampled.questions, "short", near=embedded)
    with pytest.raises(UserError, match=r"vectors for .* questions; embed the same file"):
        tested = Input(sample_dir / "test.jsonl")
        recall(sampled.pool[0], tested, "other", near=embedded, i_know="recalled_on_test")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_similarity": 0.5, "min_quantile": 0.9}, "two floors; give one"),
        ({"min_similarity": 0.9, "max_similarity": 0.5}, "nothing lies between"),
        ({"near": {"type": "dsir"}}, "give budget_tokens or budget_rows"),
        ({"near": {"type": "dsir"}, "budget_rows": 5, "top_k": 3}, "top_k has no effect"),
        ({"near": {"type": "dsir"}, "budget_rows": 5, "rule": "threshold"}, "rule has no effect"),
        ({"rule": {"type": "mean_of_best"}, "top_k": 3}, "top_k has no effect"),
        ({"rule": {"type": "threshold"}, "variety": {"relevance": 0.5}}, "goes with rule in_turns"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RecallConfig.model_validate({"out": "x", "pool": ["a.jsonl"], "questions": "b.jsonl", **settings})


# ---- the whole command ----


def test_the_budget_is_reached_and_passed_by_the_last_record_at_most(
    sampled: RecallConfig, tiny_tokenizer_dir: Path
) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    tokens = [count_tokens(tokenizer, record) for record in read_jsonl(sampled.out / "train.jsonl", Dialogue)]
    assert sampled.budget_tokens
    assert sum(tokens) >= sampled.budget_tokens > sum(tokens[:-1])


def test_near_tells_of_each_chosen_record_which_questions_brought_it(sampled: RecallConfig) -> None:
    near, chosen = lines(sampled.out / "near.jsonl"), lines(sampled.out / "train.jsonl")
    assert [row["record"] for row in near] == [record["id"] for record in chosen]
    talks = lines(sampled.pool[0].path)
    assert all(talks[int(row["place"].partition(":")[2]) - 1]["id"] == row["record"] for row in near)
    known = {item.id for item in read_questions(sampled.questions)}
    hits = [hit for row in near for hit in row["brought_by"]]
    assert {hit["question"] for hit in hits} <= known
    assert all(0.1 <= hit["similarity"] <= 0.8 and 1 <= hit["rank"] <= 20 for hit in hits)
    assert all(row["similarity"] == row["brought_by"][0]["similarity"] for row in near)


def test_the_report_counts_what_was_chosen(sampled: RecallConfig) -> None:
    report = json.loads((sampled.out / "report.json").read_text(encoding="utf-8"))
    near, tables = lines(sampled.out / "near.jsonl"), {table["name"]: table for table in report["tables"]}
    assert report["n"] == len(near)
    assert sum(row[1] for row in tables["similarities"]["rows"]) == len(near)
    assert sum(row[1] for row in tables["sources"]["rows"]) == len(near)
    assert sum(row[1] for row in tables["subjects"]["rows"]) == len(read_questions(sampled.questions))
    assert report["warnings"] == []
    assert "<svg" in (sampled.out / "report.html").read_text(encoding="utf-8")


def test_the_exam_items_that_guided_the_choice_are_written_down(sampled: RecallConfig) -> None:
    written = json.loads((sampled.out / "exam_items.json").read_text(encoding="utf-8"))
    assert written == sorted(item.id for item in read_questions(sampled.questions))


def test_an_interrupted_recall_resumes_to_the_same_bytes(
    sampled: RecallConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 30)
    config = sampled.model_copy(update={"out": tmp_path / "again"})
    found = command.find_nearest
    left = [3]

    def stop(*args: Any, **settings: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return found(*args, **settings)

    monkeypatch.setattr(command, "find_nearest", stop)
    job = claim("recall", 3, config)
    with pytest.raises(KeyboardInterrupt):
        make(job, run)
    kept = sorted(path.name for path in (config.out / "checkpoints").iterdir())
    assert kept[:3] == [f"search-{number:06d}.npz" for number in range(3)]
    left[0] = len(shards.list_shards(config.pool)) - 3  # no shard is searched again
    make(job, run)
    assert left[0] == 0
    for path in sampled.out.iterdir():
        if path.name != "manifest.json":
            assert (config.out / path.name).read_bytes() == path.read_bytes(), path.name
    assert not (config.out / "checkpoints").exists()
    shutil.rmtree(config.out)


def test_test_questions_are_refused_unless_the_user_knows(
    talk: Callable[[str, str], Dialogue], question: Callable[..., Question], put: Callable[..., Input],
    recall: Recall, tmp_path: Path,
) -> None:  # fmt: skip
    pool = put("pool.jsonl", [talk(topic + "吗", "是的") for topic in TOPICS])
    questions = put(
        "q.jsonl", [question(TOPICS[0], "一", "二"), question(TOPICS[1], "一", "二", split="test")]
    )
    with pytest.raises(
        UserError, match=r"q\.jsonl: 1 questions are of the test split.*i_know=recalled_on_test"
    ):
        recall(pool, questions)
    assert not (tmp_path / "out").exists()
    assert recall(pool, questions, i_know="recalled_on_test", max_similarity=2)["questions"] == 2
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert [warning["key"] for warning in report["warnings"]] == ["warn_chosen_on_test"]
    with pytest.raises(ValueError, match="recalled_on_test"):
        recall(pool, questions, i_know="yes")


@pytest.mark.parametrize("near", ["bm25", "dsir"])
def test_a_planted_leak_is_removed_before_the_choice(
    talk: Callable[[str, str], Dialogue], question: Callable[..., Question], put: Callable[..., Input],
    recall: Recall, tmp_path: Path, near: str,
) -> None:  # fmt: skip
    guide = question("高血压患者饮食上最应限制的是什么", "食盐", "膳食纤维")
    tested = question("高血压患者的膳食干预中最应限制摄入的是", "钠盐", "钾盐", split="test")
    leak = talk("高血压患者的膳食干预中最应限制摄入的是？", "是钠盐。")
    others = [talk(topic + "吗", "是的") for topic in TOPICS]
    pool, questions = put("pool.jsonl", [leak, *others]), put("val.jsonl", [guide])
    settings = {"near": {"type": near}, "budget_rows": 1}
    recall(pool, questions, out="open", **settings)
    assert lines(tmp_path / "open" / "train.jsonl")[0]["id"] == leak.id, "the leak is what would be chosen"
    counts = recall(pool, questions, out="clean", decontaminate=[put("test.jsonl", [tested])], **settings)
    assert (counts["pool"], counts["leaks_removed"]) == (4, 1)
    assert leak.id not in {row["id"] for row in lines(tmp_path / "clean" / "train.jsonl")}
    assert lines(tmp_path / "clean" / "leaks.jsonl") == [
        {"place": "pool.jsonl:1", "record": leak.id, "question": tested.id, "kind": "same question",
         "share": 1.0}
    ]  # fmt: skip


def test_bounds_that_leave_too_little_are_refused_with_the_way_out(
    talk: Callable[[str, str], Dialogue],
    question: Callable[..., Question],
    put: Callable[..., Input],
    recall: Recall,
) -> None:
    pool = put("pool.jsonl", [talk("骨折之后", "打石膏"), talk("牙痛多日", "看牙科")])
    item = put("val.jsonl", [question(TOPICS[0], "一", "二")])
    with pytest.raises(UserError, match=r"only 0 of budget_rows 5 .* 2 records; lower the budget or widen"):
        recall(pool, item, budget_rows=5)
    with pytest.raises(UserError, match="nothing was chosen; widen the choice"):
        recall(pool, item)
    with pytest.raises(UserError, match=r"none\.jsonl: no questions in it"):
        recall(pool, put("none.jsonl", []))
