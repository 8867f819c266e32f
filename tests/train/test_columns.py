"""Records become columns: nothing is lost unseen, and only answers are labelled."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import Input
from medtune.engines.rendering.render import Rendered, encode, render_dialogue, stop_ids
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Document, Message
from medtune.train.columns import Fitted, Place, dialogue_columns, document_columns, label_rows
from medtune.train.config import Replay, Truncation
from medtune.train.ledger import IGNORED, Columns


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
    assert len(columns.too_long) == len(columns.misfits) == len(lengths) - len(kept) > 0
    assert len(columns.dataset) == len(kept)
    assert columns.num_tokens == sum(kept)
    assert columns.num_trained_tokens == sum(
        label != IGNORED for row in columns.dataset for label in row["labels"]
    )
    ledger = columns.ledger
    assert (ledger.records, ledger.trained, ledger.dropped) == (6, len(kept), {"too long": 6 - len(kept)})
    assert (ledger.tokens, ledger.cut_tokens) == (sum(lengths), sum(lengths) - sum(kept))
    assert ledger.trained_tokens + ledger.prompt_tokens == sum(kept)


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


@pytest.fixture
def long_talk(tmp_path: Path) -> Dialogue:
    """A dialogue of four turns under a system prompt, alone in long.jsonl."""
    texts = ("第一问", "一", "第二问", "二二", "第三问", "三三三", "第四问", "四四四四")
    said = [
        Message(role="assistant" if place % 2 else "user", content=text) for place, text in enumerate(texts)
    ]
    talk = Dialogue(id="long", messages=(Message(role="system", content="你是医生。"), *said))
    write_jsonl(tmp_path / "long.jsonl", [talk])
    return talk


@pytest.mark.parametrize(
    ("truncation", "kept", "reason"),
    [
        ("left", [[1, 2, 3]], "cut on the left"),
        ("right", [[0, 1, 2]], "cut on the right"),
        ("split", [[0, 1, 2], [3]], "split"),
    ],
)
def test_a_long_dialogue_is_shortened_by_whole_turns(
    tokenizer: PreTrainedTokenizerBase,
    long_talk: Dialogue,
    tmp_path: Path,
    truncation: Truncation,
    kept: list[list[int]],
    reason: str,
) -> None:
    def ids(turns: list[int]) -> list[int]:
        said = [message for turn in turns for message in long_talk.messages[1 + 2 * turn : 3 + 2 * turn]]
        return render_dialogue(tokenizer, [long_talk.messages[0], *said])[0].ids

    whole = ids([0, 1, 2, 3])
    columns = dialogue_columns(
        [Input(tmp_path / "long.jsonl")], tokenizer, max_length=len(whole) - 1, truncation=truncation
    )
    assert [row["input_ids"] for row in columns.dataset] == [ids(turns) for turns in kept]
    for row, turns in zip(columns.dataset, kept, strict=True):
        learnt = tokenizer.decode([label for label in row["labels"] if label != IGNORED])
        answers = [long_talk.messages[2 + 2 * turn].content for turn in turns]
        assert learnt == "".join(f"{answer}<|im_end|>" for answer in answers)
    (misfit,) = columns.misfits
    assert misfit == ("long.jsonl", 1, "long", len(whole), columns.num_tokens, reason)
    ledger = columns.ledger
    assert (ledger.records, ledger.trained, ledger.dropped, ledger.shortened) == (1, 1, {}, {reason: 1})
    assert ledger.tokens + ledger.repeated_tokens == columns.num_tokens + ledger.cut_tokens
    assert bool(ledger.repeated_tokens) == (truncation == "split") != bool(ledger.cut_tokens)


@pytest.mark.parametrize("truncation", ["drop", "left", "right", "split"])
def test_a_single_turn_that_is_too_long_is_left_out(
    tokenizer: PreTrainedTokenizerBase, write_talks: Callable[..., Path], truncation: Truncation
) -> None:
    file = write_talks("two.jsonl", ("头痛", "多喝水"), ("头痛", "多喝水，" * 50))
    columns = dialogue_columns([Input(file)], tokenizer, max_length=60, truncation=truncation)
    (misfit,) = columns.too_long
    assert (misfit.line, misfit.num_kept, misfit.reason) == (2, 0, "too long")
    assert (len(columns.dataset), columns.ledger.dropped) == (1, {"too long": 1})


def test_replay_is_drawn_by_ratio_and_the_same_each_time(
    tokenizer: PreTrainedTokenizerBase, talks: Path, write_talks: Callable[..., Path]
) -> None:
    general = write_talks("general.jsonl", *((f"通用{n}", "好") for n in range(20)))

    def draw(ratio: float, seed: int) -> Columns:
        replay = Replay(path=Input(general), ratio=ratio)
        return dialogue_columns([Input(talks)], tokenizer, max_length=500, replay=replay, seed=seed)

    def general_rows(columns: Columns) -> list[str]:
        return [text for row in columns.dataset if "通用" in (text := tokenizer.decode(row["input_ids"]))]

    once = draw(0.5, 1)
    assert (once.num_records, len(once.dataset), len(general_rows(once))) == (9, 9, 3)
    assert (once.ledger.records, once.ledger.trained) == (26, 9)
    assert once.ledger.dropped == {"not drawn for replay": 17}
    assert general_rows(draw(0.5, 1)) == general_rows(once) != general_rows(draw(0.5, 2))
    assert len(set(general_rows(draw(3, 1)))) == 18
    with pytest.raises(UserError, match=r"general.jsonl: replay.ratio 4.0 wants 4 dialogues more than fit"):
        draw(4, 1)


def test_rows_without_a_label_or_an_end_stop_the_run_with_their_ids(
    tokenizer: PreTrainedTokenizerBase, talks: Path
) -> None:
    talk = next(read_jsonl(talks, Dialogue))
    ((ids, is_answer),) = (sequence[:2] for sequence in render_dialogue(tokenizer, talk.messages))
    last = max(place for place, learnt in enumerate(is_answer) if learnt)
    mute, endless = [False] * len(ids), [*is_answer[:last], False, *is_answer[last + 1 :]]
    for faulty, what in ((mute, "nothing to learn"), (endless, "an answer without its end")):
        item = Fitted(Place("x.jsonl", 7, talk), len(ids), [Rendered(ids, faulty)], None)
        with pytest.raises(UserError, match=rf"x.jsonl:7 \(id {talk.id}\): {what}"):
            label_rows([item], stops=set(stop_ids(tokenizer)))


def test_learnt_prompts_have_no_label_before_their_first_token(
    tokenizer: PreTrainedTokenizerBase, talks: Path
) -> None:
    columns = dialogue_columns([Input(talks)], tokenizer, max_length=500, train_on_prompt=True)
    assert all(row["labels"][0] == IGNORED != row["labels"][1] for row in columns.dataset)


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
    assert columns.num_tokens == len(stream) == columns.num_trained_tokens + len(columns.dataset)
    assert all(row["labels"] == [IGNORED, *row["input_ids"][1:]] for row in columns.dataset)
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


def test_documents_apart_have_rows_of_their_own(tokenizer: PreTrainedTokenizerBase, documents: Path) -> None:
    columns = document_columns([Input(documents)], tokenizer, max_length=64, is_joined=False)
    stream = stream_of(tokenizer, documents)
    assert [token for row in columns.dataset for token in row["input_ids"]] == stream
    ends = [row["input_ids"].count(tokenizer.eos_token_id) for row in columns.dataset]
    assert sum(ends) == 6 and set(ends) == {0, 1}, "only the last row of a document ends it"
    assert all(2 <= len(row["input_ids"]) <= 64 for row in columns.dataset)
    assert columns.ledger.trained_tokens + len(columns.dataset) == columns.ledger.tokens == len(stream)


def test_padding_of_documents_is_never_learnt(tokenizer: PreTrainedTokenizerBase, documents: Path) -> None:
    rows = list(document_columns([Input(documents)], tokenizer, max_length=500, is_joined=False).dataset)
    batch = DataCollatorForLanguageModeling(pad_token_id=tokenizer.eos_token_id)(rows)
    for place, row in enumerate(rows):
        length = len(row["input_ids"])
        assert batch["labels"][place, length - 1] == tokenizer.eos_token_id, "the end itself is learnt"
        assert set(batch["labels"][place, length:].tolist()) <= {IGNORED}


def test_a_raw_text_is_one_document(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_text("高血压患者应少吃盐。\n\n多运动。", encoding="utf-8-sig")
    columns = document_columns([Input(tmp_path / "raw.txt")], tokenizer, max_length=500)
    (row,) = columns.dataset
    assert tokenizer.decode(row["input_ids"][:-1]) == "高血压患者应少吃盐。\n\n多运动。"
    assert row["labels"][-1] == tokenizer.eos_token_id
    (tmp_path / "raw.txt").write_text("高血压患者", encoding="gb18030")
    with pytest.raises(UserError, match=r"raw.txt: is not UTF-8; `medtune prepare` reads"):
        document_columns([Input(tmp_path / "raw.txt")], tokenizer, max_length=500)


def test_a_document_without_a_text_is_left_out_and_listed(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "d.jsonl", [Document(id="1", text=""), Document(id="2", text="多喝水")])
    columns = document_columns([Input(tmp_path / "d.jsonl")], tokenizer, max_length=64)
    assert [(misfit.line, misfit.id, misfit.reason) for misfit in columns.misfits] == [(1, "1", "empty")]
    assert (columns.ledger.records, columns.ledger.dropped) == (2, {"empty": 1})
