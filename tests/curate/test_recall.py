"""The choice that an exam asks for: nearest first, in turns, in bounds, never by what will be reported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtune.config import Input
from medtune.curate.config import RecallConfig
from medtune.curate.pool import Pool, count_tokens, read_dialogues, read_questions, text_of
from medtune.curate.recall import Hit, find_nearest, in_turns, run
from medtune.engines.hf import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Question

Recall = Callable[..., dict[str, Any]]

TOPICS = ("高血压患者应当减少食盐摄入", "糖尿病患者应当定期检查眼底", "哮喘患者应当避免接触花粉")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def recall(tmp_path: Path, tiny_tokenizer_dir: Path) -> Recall:
    def choose(pool: Input, questions: Input, out: str = "out", **settings: Any) -> dict[str, Any]:
        given = {"budget_tokens": 1, "tokenizer": str(tiny_tokenizer_dir), **settings}
        return run(
            RecallConfig.model_validate(
                {"out": tmp_path / out, "pool": [pool], "questions": questions, **given}
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


def pool_of(records: list[Dialogue]) -> Pool:
    return Pool(records, [text_of(record) for record in records], [1] * len(records), [], len(records))


# ---- the nearest ----


def brute_force(texts: list[str], asked: list[str], sizes: tuple[int, int]) -> np.ndarray:
    """(asked, texts) cosine of (1 + ln tf) * (1 + ln((1 + n) / (1 + df))) over n-grams, dense float64."""

    def grams(text: str) -> list[str]:
        text = " ".join(text.lower().split()) if "  " in text else text.lower()
        return [text[at : at + n] for n in range(sizes[0], sizes[1] + 1) for at in range(len(text) - n + 1)]

    names = {
        gram: place for place, gram in enumerate(sorted({gram for text in texts for gram in grams(text)}))
    }

    def count(rows: list[str]) -> np.ndarray:
        table = np.zeros((len(rows), len(names)))
        for row, text in enumerate(rows):
            for gram in grams(text):
                if gram in names:
                    table[row, names[gram]] += 1
        return table

    pool, questions = count(texts), count(asked)
    weight = np.log((1 + len(texts)) / (1 + (pool > 0).sum(axis=0))) + 1
    vectors = []
    for table in (pool, questions):
        scaled = np.where(table > 0, 1 + np.log(np.maximum(table, 1)), 0) * weight
        norms = np.linalg.norm(scaled, axis=1, keepdims=True)
        vectors.append(scaled / np.maximum(norms, 1e-12))
    return vectors[1] @ vectors[0].T


def test_nearest_records_are_those_of_a_brute_force_computation(sample_dir: Path, tmp_path: Path) -> None:
    records = list(read_dialogues([Input(sample_dir / "train.jsonl")]))[:120]
    questions = read_questions(Input(sample_dir / "val.jsonl"))[:25]
    config = RecallConfig(
        out=tmp_path, pool=(Input("x"),), questions=Input("y"), tokenizer=Input("z"), budget_tokens=1,
        top_k=7, min_similarity=0.0, max_similarity=1.0,
    )  # fmt: skip
    hits = list(find_nearest(config, questions, pool_of(records)))
    asked = [" ".join([item.case or "", item.stem, *item.options.values()]) for item in questions]
    truth = brute_force([text_of(record) for record in records], asked, config.ngram_range)
    assert [(hit.question, hit.rank) for hit in hits] == [(q, rank) for q in range(25) for rank in range(7)]
    for number in range(25):
        found = [hit for hit in hits if hit.question == number]
        assert [hit.similarity for hit in found] == pytest.approx(np.sort(truth[number])[::-1][:7], abs=1e-5)
        assert [truth[number, hit.record] for hit in found] == pytest.approx(
            [hit.similarity for hit in found], abs=1e-5
        )


def test_similarity_bounds_are_kept_and_ranks_close_up(
    talk: Callable[[str, str], Dialogue], question: Callable[..., Question], tmp_path: Path
) -> None:
    item = question(TOPICS[0], "一", "二")
    copy, near, far = talk(TOPICS[0], "一二"), talk("高血压患者吃饭", "应当清淡"), talk("骨折之后", "打石膏")
    config = RecallConfig(
        out=tmp_path, pool=(Input("x"),), questions=Input("y"), tokenizer=Input("z"), budget_tokens=1,
        min_similarity=0.05, max_similarity=0.6,
    )  # fmt: skip
    pool = pool_of([copy, near, far])
    everything = list(
        find_nearest(config.model_copy(update={"min_similarity": 0.0, "max_similarity": 1.0}), [item], pool)
    )
    assert [hit.record for hit in everything] == [0, 1, 2]
    assert everything[0].similarity > 0.6 > everything[1].similarity > 0.05 > everything[2].similarity
    assert list(find_nearest(config, [item], pool)) == [Hit(0, 0, 1, everything[1].similarity)]


def test_questions_take_turns() -> None:
    hits = [Hit(0, 0, 5, 0.9), Hit(0, 1, 6, 0.8), Hit(0, 2, 7, 0.7), Hit(1, 0, 8, 0.2), Hit(1, 1, 5, 0.1)]
    assert [(hit.rank, hit.question) for hit in in_turns(iter(hits))] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 0),
    ]


def test_each_question_brings_its_nearest_before_any_brings_a_second(
    talk: Callable[[str, str], Dialogue], question: Callable[..., Question], put: Callable[..., Input],
    recall: Recall, tmp_path: Path,
) -> None:  # fmt: skip
    records = [talk(topic + extra, "请听医生的话") for topic in TOPICS for extra in ("，为什么？", "吗")]
    questions = [question(topic, "一", "二") for topic in TOPICS]
    recall(put("pool.jsonl", records), put("val.jsonl", questions), budget_tokens=260, max_similarity=1.0)
    why = lines(tmp_path / "out" / "why.jsonl")
    asked = [item.id for item in questions]
    assert [row["question"] for row in why[:3]] == asked
    assert [row["rank"] for row in why[:3]] == [0, 0, 0]
    assert len(why) > 3
    assert all(row["rank"] >= 1 for row in why[3:])


# ---- the whole command ----


def test_the_budget_is_reached_and_passed_by_the_last_record_at_most(
    sampled: RecallConfig, tiny_tokenizer_dir: Path
) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    tokens = [
        count_tokens(tokenizer, record) for record in read_dialogues([Input(sampled.out / "train.jsonl")])
    ]
    assert sum(tokens) >= sampled.budget_tokens > sum(tokens[:-1])


def test_why_tells_of_each_chosen_record_which_question_brought_it(sampled: RecallConfig) -> None:
    why, chosen = lines(sampled.out / "why.jsonl"), lines(sampled.out / "train.jsonl")
    assert [row["record"] for row in why] == [record["id"] for record in chosen]
    assert len({row["record"] for row in why}) == len(why)
    known = {item.id for item in read_questions(sampled.questions)}
    assert {row["question"] for row in why} <= known
    assert all(sampled.min_similarity <= row["similarity"] <= sampled.max_similarity for row in why)
    ranks = [row["rank"] for row in why]
    assert ranks == sorted(ranks)
    assert max(ranks) < sampled.top_k


def test_the_exam_items_that_guided_the_choice_are_written_down(sampled: RecallConfig) -> None:
    written = json.loads((sampled.out / "exam_items.json").read_text(encoding="utf-8"))
    assert written == sorted(item.id for item in read_questions(sampled.questions))


def test_the_same_recall_writes_the_same_bytes(sampled: RecallConfig, tmp_path: Path) -> None:
    counts = run(sampled.model_copy(update={"out": tmp_path / "again"}))
    for path in sampled.out.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    why = lines(sampled.out / "why.jsonl")
    assert counts["chosen"] == len(why)
    assert counts["mean_similarity"] == pytest.approx(np.mean([row["similarity"] for row in why]), abs=1e-4)


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
    assert recall(pool, questions, i_know="recalled_on_test", max_similarity=1.0)["questions"] == 2
    with pytest.raises(ValueError, match="recalled_on_test"):
        recall(pool, questions, i_know="yes")


def test_a_planted_leak_is_removed_before_the_choice(
    talk: Callable[[str, str], Dialogue], question: Callable[..., Question], put: Callable[..., Input],
    recall: Recall, tmp_path: Path,
) -> None:  # fmt: skip
    guide = question("高血压患者饮食上最应限制的是什么", "食盐", "膳食纤维")
    tested = question("高血压患者的膳食干预中最应限制摄入的是", "钠盐", "钾盐", split="test")
    leak = talk("高血压患者的膳食干预中最应限制摄入的是？", "是钠盐。")
    others = [talk(topic + "吗", "是的") for topic in TOPICS]
    pool, questions = put("pool.jsonl", [leak, *others]), put("val.jsonl", [guide])
    recall(pool, questions, out="open", max_similarity=1.0)
    assert lines(tmp_path / "open" / "train.jsonl")[0]["id"] == leak.id, "the leak is what would be chosen"
    counts = recall(
        pool, questions, out="clean", max_similarity=1.0, decontaminate=[put("test.jsonl", [tested])]
    )
    assert (counts["pool"], counts["leaks_removed"]) == (4, 1)
    assert leak.id not in {row["id"] for row in lines(tmp_path / "clean" / "train.jsonl")}
    assert lines(tmp_path / "clean" / "leaks.jsonl") == [
        {"record": leak.id, "question": tested.id, "covered": 1.0}
    ]


def test_bounds_that_leave_too_little_are_refused_with_the_way_out(
    talk: Callable[[str, str], Dialogue],
    question: Callable[..., Question],
    put: Callable[..., Input],
    recall: Recall,
) -> None:
    pool = put("pool.jsonl", [talk("骨折之后", "打石膏"), talk("牙痛多日", "看牙科")])
    with pytest.raises(
        UserError, match=r"only 0 of budget_tokens 50 .* 2 records; lower the budget or widen"
    ):
        recall(pool, put("val.jsonl", [question(TOPICS[0], "一", "二")]), budget_tokens=50)
