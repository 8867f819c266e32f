"""Records become columns: nothing is lost unseen, and only answers are labelled."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import Input
from medtune.engines.hf import load_tokenizer
from medtune.engines.render import encode, render_dialogue
from medtune.errors import UserError
from medtune.records import Dialogue, Document, Message
from medtune.train.columns import IGNORED, dialogue_columns, document_columns


@pytest.fixture
def tokenizer(tiny_tokenizer_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(Input(tiny_tokenizer_dir))


# ---- dialogues ----


def test_labels_are_the_answer_and_its_end(tokenizer: PreTrainedTokenizerBase, talks: Path) -> None:
    columns = dialogue_columns([Input(talks)], tokenizer, max_length=500)
    for row, talk in zip(columns.dataset, read_jsonl(talks, Dialogue), strict=True):
        learnt = [label for label in row["labels"] if label != IGNORED]
        assert tokenizer.decode(learnt) == talk.messages[1].content + "<|im_end|>"
        assert len(row["labels"]) == len(row["input_ids"])
        assert all(
            label in (IGNORED, token) for label, token in zip(row["labels"], row["input_ids"], strict=True)
        )


def test_the_ledger_adds_up(tokenizer: PreTrainedTokenizerBase, talks: Path) -> None:
    lengths = [len(render_dialogue(tokenizer, talk.messages)[0].ids) for talk in read_jsonl(talks, Dialogue)]
    limit = sorted(lengths)[3]
    columns = dialogue_columns([Input(talks)], tokenizer, max_length=limit)
    kept = [length for length in lengths if length <= limit]
    assert columns.num_records == len(lengths) == 6
    assert len(columns.too_long) == len(lengths) - len(kept) > 0
    assert len(columns.dataset) == len(kept)
    assert columns.num_tokens == sum(kept)
    assert columns.num_trained_tokens == sum(
        label != IGNORED for row in columns.dataset for label in row["labels"]
    )


def test_a_dialogue_of_exactly_the_longest_length_is_kept(
    tokenizer: PreTrainedTokenizerBase, write_talks: Callable[..., Path]
) -> None:
    talk = write_talks("one.jsonl", ("头痛", "多喝水"))
    (row,) = dialogue_columns([Input(talk)], tokenizer, max_length=500).dataset
    length = len(row["input_ids"])
    assert dialogue_columns([Input(talk)], tokenizer, max_length=length).too_long == []
    with pytest.raises(UserError, match=r"nothing to train on \(1 records, 1 of them over max_length\)"):
        dialogue_columns([Input(talk)], tokenizer, max_length=length - 1)


def test_several_files_are_read_in_order(
    tokenizer: PreTrainedTokenizerBase, write_talks: Callable[..., Path]
) -> None:
    files = [Input(write_talks(f"{name}.jsonl", (name, "好"))) for name in ("乙", "甲")]
    columns = dialogue_columns(files, tokenizer, max_length=500)
    assert ["乙" in tokenizer.decode(row["input_ids"]) for row in columns.dataset] == [True, False]


def test_what_is_no_dialogue_with_an_answer_is_named_by_file_and_line(
    tokenizer: PreTrainedTokenizerBase, talks: Path, documents: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"documents.jsonl:1: sft wants dialogues.* a document"):
        dialogue_columns([Input(talks), Input(documents)], tokenizer, max_length=500)
    asked = Dialogue(id="1", messages=(Message(role="user", content="头痛"),))
    write_jsonl(tmp_path / "asked.jsonl", [*read_jsonl(talks, Dialogue), asked])
    with pytest.raises(UserError, match=r"asked.jsonl:7: sft wants dialogues that end with an answer"):
        dialogue_columns([Input(tmp_path / "asked.jsonl")], tokenizer, max_length=500)


def test_padding_is_never_learnt(tokenizer: PreTrainedTokenizerBase, talks: Path) -> None:
    rows = list(dialogue_columns([Input(talks)], tokenizer, max_length=500).dataset)
    batch = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)(rows)
    for place, row in enumerate(rows):
        length = len(row["input_ids"])
        assert batch["labels"][place, :length].tolist() == row["labels"]
        assert set(batch["labels"][place, length:].tolist()) <= {IGNORED}
        assert batch["attention_mask"][place].sum() == length


# ---- documents ----


def stream_of(tokenizer: PreTrainedTokenizerBase, documents: Path) -> list[int]:
    return [
        token
        for document in read_jsonl(documents, Document)
        for token in [*encode(tokenizer, document.text), tokenizer.eos_token_id]
    ]


@pytest.mark.parametrize("max_length", [8, 9, 31, 64, 10_000])
def test_blocks_hold_every_token_once_in_order(
    tokenizer: PreTrainedTokenizerBase, documents: Path, max_length: int
) -> None:
    columns = document_columns([Input(documents)], tokenizer, max_length=max_length)
    stream = stream_of(tokenizer, documents)
    assert [token for row in columns.dataset for token in row["input_ids"]] == stream
    assert columns.num_tokens == columns.num_trained_tokens == len(stream)
    assert all(row["labels"] == row["input_ids"] for row in columns.dataset)
    assert all(2 <= len(row["input_ids"]) <= max_length for row in columns.dataset)


def test_a_last_token_that_would_stand_alone_is_not_lost(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "one.jsonl", [Document(id="1", text="1" * 16)])
    columns = document_columns([Input(tmp_path / "one.jsonl")], tokenizer, max_length=8)
    assert [len(row["input_ids"]) for row in columns.dataset] == [8, 7, 2]
    assert columns.dataset[-1]["input_ids"][-1] == tokenizer.eos_token_id


def test_each_document_ends_with_the_end_token(tokenizer: PreTrainedTokenizerBase, documents: Path) -> None:
    columns = document_columns([Input(documents)], tokenizer, max_length=10_000)
    (row,) = columns.dataset
    assert row["labels"].count(tokenizer.eos_token_id) == columns.num_records == 6


def test_documents_are_wanted(tokenizer: PreTrainedTokenizerBase, talks: Path) -> None:
    with pytest.raises(UserError, match=r"talks.jsonl:1: pt wants documents; this is a dialogue"):
        document_columns([Input(talks)], tokenizer, max_length=64)


def test_no_documents_are_refused(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "none.jsonl", [])
    with pytest.raises(UserError, match="nothing to train on"):
        document_columns([Input(tmp_path / "none.jsonl")], tokenizer, max_length=64)
