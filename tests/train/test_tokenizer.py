"""The tokenizer that we train: texts come back whole, digits stand alone, the same texts, the same bytes."""

from pathlib import Path

import pytest

from medtune.artifact import product_files, write_jsonl
from medtune.config import Input
from medtune.engines.rendering.render import decode, encode, stop_ids
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Document, Message, Preference, Question
from medtune.train.config import TokenizerConfig
from medtune.train.tokenizer import read_texts, run


def config(out: Path, *texts: Path, size: int = 400) -> TokenizerConfig:
    return TokenizerConfig(out=out, texts=tuple(Input(path) for path in texts), vocab_size=size)


def test_the_size_holds_bytes_special_tokens_and_think_tags(tmp_path: Path, documents: Path) -> None:
    counts = run(config(tmp_path / "out", documents, size=300))
    tokenizer = load_tokenizer(Input(tmp_path / "out"))
    assert counts["vocab"] == len(tokenizer) == 300
    assert counts["texts"] == 6
    assert max(tokenizer.get_vocab().values()) == 299


@pytest.mark.parametrize(
    "text", ["血压 120/80 mmHg。\n\n  请复查！", "😀 ℃ μg α-受体", "<think>想\n想</think>\n答", " 前后 "]
)
def test_any_text_comes_back_as_it_was(tiny_tokenizer_dir: Path, text: str) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    assert decode(tokenizer, encode(tokenizer, text)) == text


def test_each_digit_is_a_token_of_its_own(tiny_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    assert len(encode(tokenizer, "2024")) == 4


def test_turns_end_with_the_end_token_and_padding_is_another(tiny_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    assert tokenizer.eos_token == "<|im_end|>"
    assert stop_ids(tokenizer) == [tokenizer.eos_token_id]
    assert tokenizer.pad_token_id not in stop_ids(tokenizer)


def test_the_same_texts_give_the_same_bytes(tmp_path: Path, documents: Path) -> None:
    run(config(tmp_path / "one", documents))
    run(config(tmp_path / "two", documents))
    assert product_files(tmp_path / "one") == product_files(tmp_path / "two")


def test_no_path_of_this_machine_is_saved(tmp_path: Path, documents: Path) -> None:
    run(config(tmp_path / "out", documents))
    for name in product_files(tmp_path / "out"):
        assert str(tmp_path).encode() not in (tmp_path / "out" / name).read_bytes(), name


def test_every_text_of_every_kind_of_record_is_read(tmp_path: Path) -> None:
    user, answer = Message(role="user", content="问"), Message(role="assistant", content="答")
    options = {"A": "甲", "B": "乙"}
    rows = [
        Document(id="1", text="文"),
        Dialogue(id="2", messages=(user, answer)),
        Preference(id="3", prompt=(user,), chosen="好", rejected="坏"),
        Question(id="4", stem="干", options=options, answer="A", subject="内科", split="test"),
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert list(read_texts(tmp_path / "rows.jsonl")) == ["文", "问", "答", "问", "好", "坏", "干", "甲", "乙"]


def test_a_shared_case_history_is_read_too(tmp_path: Path) -> None:
    item = Question(
        id="1", case="男，六十岁", stem="干", options={"A": "甲"}, answer="A", subject="内科", split="test"
    )
    write_jsonl(tmp_path / "rows.jsonl", [item])
    assert "男，六十岁" in list(read_texts(tmp_path / "rows.jsonl"))


def test_no_texts_are_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "none.jsonl", [])
    with pytest.raises(UserError, match="no texts"):
        run(config(tmp_path / "out", tmp_path / "none.jsonl"))
