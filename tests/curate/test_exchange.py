"""Files for other programs: `prepare` reads each back as it was, and what a format cannot hold is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import Input, judge
from medtune.curate.config import MixConfig
from medtune.curate.mix import run as mix
from medtune.data.config import PrepareConfig
from medtune.data.prepare import run as prepare
from medtune.data.registry import name_sources
from medtune.errors import UserError
from medtune.records import RECORD, Dialogue, Document, Message, Preference, dialogue_id

TOOLS = '[{"name":"find_drug","description":"查药品","parameters":{"type":"object","properties":{}}}]'
CALL = '{"name":"find_drug","arguments":{"name":"阿司匹林"}}'


def talk(*turns: tuple[str, str], **fields: Any) -> Dialogue:
    messages = tuple(Message.model_validate({"role": role, "content": text}) for role, text in turns)
    return Dialogue(id=dialogue_id(messages), messages=messages, **fields)


PLAIN = talk(("user", "感冒发热了应该怎么办？"), ("assistant", "多休息，多喝水，必要时就医。"))
LONG = talk(
    ("system", "你是一名医学助手，回答要谨慎。"),
    ("user", "我头痛了三天，是怎么回事？"),
    ("assistant", "还有别的不舒服吗？"),
    ("user", "没有，只是最近睡得很少。"),
    ("assistant", "先保证睡眠，若加重请尽快就医。"),
)
TOOL = talk(
    ("user", "阿司匹林平时怎么吃比较好？"),
    ("tool_call", CALL),
    ("tool", "餐后服用"),
    ("assistant", "一般在餐后服用，请遵医嘱。"),
    tools=TOOLS,
)
UNLEARNT = LONG.model_copy(update={"weights": (1.0, 1.0, 0.0, 1.0, 1.0)})
PAIR = Preference(
    id="p1",
    prompt=(
        Message(role="system", content="你是一名医学助手。"),
        Message(role="user", content="咳嗽两周了要紧吗？"),
    ),
    chosen="咳嗽两周应当就医，查明原因。",
    rejected="没事，不用管它，过几天就会好。",
)
TWO_CALLS = talk(
    ("user", "查两种药的用法"),
    ("tool_call", f"[{CALL},{CALL}]"),
    ("tool", "餐后"),
    ("assistant", "都在餐后。"),
)


def write(folder: Path, records: list[Any], *formats: str) -> Path:
    write_jsonl(folder / "pool.jsonl", records)
    given = {"out": folder / "mix", "pool": [str(folder / "pool.jsonl")], "formats": formats}
    mix(judge(MixConfig, given, "test"))
    return folder / "mix"


def read_back(folder: Path, **source: Any) -> list[Any]:
    """What `prepare` makes of a file, with nothing cleaned away."""
    given = {"out": folder, "valid": 0, "test": 0, "max_dropped": 0, "deidentify": False, **source}
    prepare(judge(PrepareConfig, name_sources(given), "test"))
    return list(read_jsonl(folder / "train.jsonl", RECORD))


def said(record: Dialogue | Preference) -> tuple[object, ...]:
    """All of a record but its id and where it is from; the JSON of tools without blanks."""
    if isinstance(record, Preference):
        return tuple((turn.role, turn.content) for turn in record.prompt), record.chosen, record.rejected
    return tuple((turn.role, turn.content) for turn in record.messages), record.tools, record.weights


def same(one: list[Any], other: list[Any]) -> bool:
    return sorted(map(repr, map(said, one))) == sorted(map(repr, map(said, other)))


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("sharegpt", [PLAIN, LONG, TOOL]),
        ("sharegpt", [PAIR]),
        ("alpaca", [PLAIN, LONG]),
        ("alpaca", [PAIR]),
        ("messages", [PLAIN, UNLEARNT, TOOL]),
        ("messages", [PAIR]),
    ],
)
def test_prepare_reads_each_file_back_as_it_was(tmp_path: Path, name: str, records: list[Any]) -> None:
    out = write(tmp_path, records, name)
    assert same(read_back(tmp_path / "back", source=str(out / f"train.{name}.jsonl")), records)


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("sharegpt", [PLAIN, LONG, TOOL]),
        ("sharegpt", [PAIR]),
        ("alpaca", [PLAIN, LONG]),
        ("alpaca", [PAIR]),
        ("messages", [PLAIN, TOOL]),
    ],
)
def test_dataset_info_leads_to_the_same(tmp_path: Path, name: str, records: list[Any]) -> None:
    out = write(tmp_path, records, name)
    back = read_back(tmp_path / "back", dataset=f"train_{name}", dataset_dir=str(out))
    assert same(back, records)


def test_dataset_info_says_what_llama_factory_asks(tmp_path: Path) -> None:
    out = write(tmp_path, [PLAIN, LONG], "sharegpt", "alpaca", "messages")
    info = json.loads((out / "dataset_info.json").read_text("utf-8"))
    assert list(info) == ["train_sharegpt", "train_alpaca", "train_messages"]
    for entry in info.values():
        rows = [json.loads(line) for line in (out / entry["file_name"]).read_text("utf-8").splitlines()]
        assert len(rows) == 2
        assert all(set(entry["columns"].values()) <= row.keys() for row in rows)  # it reads all that it names
    assert "ranking" not in info["train_sharegpt"]
    assert set(info["train_sharegpt"]["tags"]) == set(info["train_messages"]["tags"])


def test_entries_of_preferences_are_ranked_and_messages_have_none(tmp_path: Path) -> None:
    out = write(tmp_path, [PAIR], "sharegpt", "alpaca", "messages")
    info = json.loads((out / "dataset_info.json").read_text("utf-8"))
    assert {name: entry["ranking"] for name, entry in info.items()} == {
        "train_sharegpt": True, "train_alpaca": True
    }  # fmt: skip
    (row,) = [json.loads(line) for line in (out / "train.messages.jsonl").read_text("utf-8").splitlines()]
    assert (row["messages"][-1]["content"], row["rejected_response"]) == (PAIR.chosen, PAIR.rejected)


def test_what_llama_factory_would_learn_is_not_offered_to_it(tmp_path: Path) -> None:
    out = write(tmp_path, [UNLEARNT, PLAIN], "messages")
    rows = [json.loads(line) for line in (out / "train.messages.jsonl").read_text("utf-8").splitlines()]
    by_length = sorted(rows, key=lambda row: len(row["messages"]))
    told = [[turn["loss"] for turn in row["messages"]] for row in by_length]
    assert told == [[None, True], [None, None, False, None, True]]
    assert not (out / "dataset_info.json").exists()


def test_the_first_rows_show_every_column(tmp_path: Path) -> None:
    plain = [talk(("user", f"第{n}问：怎么办？"), ("assistant", "就医。")) for n in range(50)]
    out = write(tmp_path, [*plain, TOOL, LONG], "messages", "sharegpt")
    for name in ("messages", "sharegpt"):
        first = [json.loads(line) for line in (out / f"train.{name}.jsonl").read_text("utf-8").splitlines()][
            :2
        ]
        assert any(row["tools"] == TOOLS for row in first)


@pytest.mark.parametrize(
    ("record", "name", "fault"),
    [
        (TOOL, "alpaca", "uses tools"),
        (UNLEARNT, "alpaca", "answers that are not learnt"),
        (UNLEARNT, "sharegpt", "answers that are not learnt"),
        (
            UNLEARNT.model_copy(update={"weights": (1.0, 1.0, 0.5, 1.0, 1.0)}),
            "messages",
            "other than 0 and 1",
        ),
        (TWO_CALLS, "messages", "several calls"),
        (Document(id="d", text="书"), "messages", "is a document"),
        (talk(("user", "一"), ("user", "二"), ("assistant", "三")), "sharegpt", "turn 2 is of the user"),
        (talk(("user", "一"), ("assistant", "二"), ("user", "三")), "sharegpt", "ends without an answer"),
        (talk(("user", "一"), ("assistant", " ")), "messages", "has an empty turn"),
        (PAIR.model_copy(update={"rejected": PAIR.chosen}), "sharegpt", "the same as the better one"),
    ],
)
def test_a_record_that_a_format_cannot_hold_is_refused_with_its_place(
    tmp_path: Path, record: Any, name: str, fault: str
) -> None:
    with pytest.raises(UserError, match=rf"pool.jsonl:1: .*{fault}"):
        write(tmp_path, [record], name)


def test_talks_and_preferences_are_not_mixed_in_one_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="talks and preferences do not go into one file"):
        write(tmp_path, [PLAIN, PAIR], "sharegpt")


def test_two_calls_at_once_go_into_sharegpt(tmp_path: Path) -> None:
    out = write(tmp_path, [TWO_CALLS], "sharegpt")
    (row,) = [json.loads(line) for line in (out / "train.sharegpt.jsonl").read_text("utf-8").splitlines()]
    assert [turn["from"] for turn in row["conversations"]] == ["human", "function_call", "observation", "gpt"]


def test_a_rejected_response_needs_a_better_one(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "咳嗽怎么办？"}], "rejected_response": "没事。"}
    (tmp_path / "bad.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(UserError):
        read_back(tmp_path / "back", source=str(tmp_path / "bad.jsonl"))


def test_an_input_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        mix(MixConfig(out=tmp_path, pool=(Input(tmp_path / "none.jsonl"),)))
