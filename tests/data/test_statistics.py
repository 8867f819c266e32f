"""Statistics: counts that add up, whatever the order of records."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from medtune.artifact import write_json
from medtune.data.facts import facts_of, tell_language
from medtune.data.statistics import (
    EDGES,
    Clusters,
    DataStatistics,
    Origin,
    Tally,
    measure_lengths,
    read_statistics,
    write_statistics,
)
from medtune.errors import UserError
from medtune.records import Dialogue, Document, Message, Meta, Preference, Question


def talk(*texts: str, meta: Meta | None = None) -> Dialogue:
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[place % 2], content=text) for place, text in enumerate(texts))
    return Dialogue(id="1", messages=messages, meta=meta or Meta())


RECORDS = [
    (talk("头痛怎么办", "先量血压", "还要查什么", "看神经内科"), "train"),
    (talk("咳嗽三天", "多喝水", meta=Meta(specialty="呼吸内科", risk="low", license="MIT")), "train"),
    (talk("What is MRI?", "A scan.", meta=Meta(specialty="呼吸内科", complexity=2)), "valid"),
    (Document(id="2", text="糖尿病" * 100), "train"),
    (
        Preference(
            id="3", prompt=(Message(role="user", content="发热"),), chosen="物理降温", rejected="不管"
        ),
        "test",
    ),
    (
        Question(
            id="4",
            stem="选一个",
            case="患者",
            options={"A": "甲", "B": "乙"},
            answer="A",
            subject="内科",
            split="test",
        ),
        "test",
    ),
]


def tally_of(records: list[tuple[Dialogue | Document | Preference | Question, str]]) -> Tally:
    tally = Tally()
    for record, part in records:
        tally.add(record, part)
    tally.rows = len(records)
    return tally


def told(tally: Tally) -> DataStatistics:
    return tally.statistics(seed=7, deidentified=True)


def test_records_are_counted_by_split_kind_and_trait() -> None:
    seen = told(tally_of(RECORDS))
    assert seen.kept == 6 and seen.splits == {"test": 2, "train": 3, "valid": 1}
    assert {kind: own.records for kind, own in seen.kinds.items()} == {
        "dialogue": 3, "document": 1, "preference": 1, "question": 1,
    }  # fmt: skip
    assert seen.kinds["dialogue"].turns == {1: 2, 2: 1}
    assert seen.tallies["specialty"]["呼吸内科"] == {"train": 1, "valid": 1}
    assert seen.tallies["specialty"]["内科"] == {"test": 1}
    assert seen.tallies["license"] == {"MIT": {"train": 1}, "unknown": {"test": 2, "train": 2, "valid": 1}}
    assert seen.tallies["complexity"]["2"] == {"valid": 1}
    assert seen.tallies["language"]["other"] == {"valid": 1}


def test_lengths_are_of_each_turn_or_answer() -> None:
    lengths = {kind: own.lengths for kind, own in told(tally_of(RECORDS)).kinds.items()}
    assert lengths["dialogue"]["question"].n == 4 and lengths["dialogue"]["answer"].n == 4
    assert lengths["document"].keys() == {"text"} and lengths["document"]["text"].bins == {300: 1}
    assert (lengths["preference"]["answer"].n, lengths["preference"]["answer"].longest) == (2, 4)
    assert (lengths["question"]["stem"].longest, lengths["question"]["options"].longest) == (5, 2)


def test_every_trait_counts_every_record() -> None:
    for trait, values in told(tally_of(RECORDS)).tallies.items():
        assert sum(sum(parts.values()) for parts in values.values()) == 6, trait


def test_order_of_records_and_reasons_does_not_matter() -> None:
    one, other = tally_of(RECORDS), tally_of(RECORDS[::-1])
    one.dropped = {("clean", "empty"): 1, ("clean", "too short"): 2, ("repeats", "duplicate"): 3}
    other.dropped = {("clean", "too short"): 2, ("clean", "empty"): 1, ("repeats", "duplicate"): 3}
    one.rows = other.rows = 12
    assert told(one).model_dump_json() == told(other).model_dump_json()
    assert [step.reason for step in told(one).funnel] == ["too short", "empty", "duplicate"]


def test_facts_stand_for_the_record() -> None:
    tally = Tally()
    for record, part in RECORDS:
        tally.count([facts_of(record)], part)
    tally.rows = len(RECORDS)
    assert told(tally) == told(tally_of(RECORDS))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("高血压患者应低盐饮食。", "zh"),
        ("take amlodipine 5 mg 每日一次 with water", "mixed"),
        ("plain ascii", "other"),
        ("", "other"),
        ("a lone \udc80 surrogate in a long English text", "other"),
    ],
)
def test_language_is_told_by_the_share_of_chinese(text: str, language: str) -> None:
    assert tell_language(text) == language


def test_median_and_percentile_are_lengths_that_occur() -> None:
    seen = measure_lengths({1: 1, 2: 1, 3: 1, 4: 1, 100: 1})
    assert (seen.n, seen.median, seen.p95, seen.longest) == (5, 3, 4, 100)
    assert measure_lengths({5: 1}).median == 5
    assert seen.bins == {0: 4, 100: 1} and set(seen.bins) <= set(EDGES)
    assert measure_lengths({0: 1, 10**6: 1}).bins == {0: 1, EDGES[-1]: 1}


def test_sizes_of_clusters_tell_what_was_dropped() -> None:
    assert Clusters(sizes={2: 3, 5: 1}).dropped == 7 and Clusters().dropped == 0


@pytest.mark.parametrize("update", [{"rows": 7}, {"not_wanted": 1}, {"splits": {"train": 5}}])
def test_statistics_that_do_not_add_up_are_refused(update: dict[str, object]) -> None:
    whole = told(tally_of(RECORDS)).model_dump()
    with pytest.raises(ValidationError, match="kept"):
        DataStatistics.model_validate({**whole, **update})


def test_statistics_are_written_and_come_back(tmp_path: Path) -> None:
    tally = tally_of(RECORDS)
    tally.sources = [Origin(name="a.csv", license="MIT", rows=6, kept=6)]
    write_statistics(told(tally), tmp_path)
    assert read_statistics(tmp_path) == told(tally)
    assert read_statistics(tmp_path / "nowhere") is None
    write_json(tmp_path / "statistics.json", {"rows": 1})
    with pytest.raises(UserError, match="run prepare again"):
        read_statistics(tmp_path)
