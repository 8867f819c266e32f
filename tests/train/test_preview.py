"""The preview shows exactly what is trained on, on a terminal and as a page."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from medtune.artifact import write_jsonl
from medtune.cli import main
from medtune.config import Input
from medtune.engines.rendering.render import Rendered
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Message
from medtune.train.columns import dialogue_columns
from medtune.train.config import PtConfig, SftConfig
from medtune.train.ledger import IGNORED
from medtune.train.preview import preview_lines
from medtune.train.preview_rows import make_preview, row_warnings

ANSI = re.compile(r"\x1b\[[\d;]+m")


@pytest.fixture
def sft_words(talks: Path, tiny_tokenizer_dir: Path) -> list[str]:
    return [f"train=[{talks}]", f"model={tiny_tokenizer_dir}", "out=o"]


def sft_config(talks: Path, tokenizer: Path, **keys: object) -> SftConfig:
    return SftConfig.model_validate({"out": "o", "train": [str(talks)], "model": str(tokenizer), **keys})


def test_rows_are_those_of_training(talks: Path, tiny_tokenizer_dir: Path) -> None:
    rows = make_preview(sft_config(talks, tiny_tokenizer_dir), number=99).rows
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    dataset = list(dialogue_columns([Input(talks)], tokenizer, max_length=1024).dataset)
    assert len(rows) == len(dataset) == 6
    for row, trained in zip(rows, dataset, strict=True):
        assert [id for piece in row.pieces for id in piece.ids] == trained["input_ids"]
        marks = [piece.is_learnt for piece in row.pieces for _ in piece.ids]
        assert marks == [label != IGNORED for label in trained["labels"]]
        assert row.num_learnt == sum(marks) and row.num_tokens == len(marks)
        assert "".join(piece.text for piece in row.pieces) == tokenizer.decode(trained["input_ids"])


def test_a_character_of_several_tokens_is_one_piece(
    write_talks: Callable[..., Path], tiny_tokenizer_dir: Path
) -> None:
    talks = write_talks("rare.jsonl", ("龘😀", "犇"))
    (row,) = make_preview(sft_config(talks, tiny_tokenizer_dir), number=1).rows
    assert [len(piece.ids) for piece in row.pieces if piece.text in ("龘", "😀", "犇")] == [3, 4, 2]


def test_a_terminal_gets_colours_and_a_pipe_brackets(sft_words: list[str]) -> None:
    coloured = "\n".join(preview_lines(None, sft_words, number=1, has_colours=True))
    plain = "\n".join(preview_lines(None, sft_words, number=1, has_colours=False))
    assert "\x1b[30;42m" in coloured and "⟦" not in ANSI.sub("", coloured)
    assert "\x1b" not in plain
    assert "assistant↵\n⟦多喝水，多休息。<|im_end|>⟧↵" in plain
    assert re.search(r"\d+ tokens, \d+ learnt \(\d+%\)  ids 1 ", plain)


def test_no_more_rows_than_asked_for(sft_words: list[str]) -> None:
    lines = list(preview_lines(None, sft_words, number=2, has_colours=False))
    assert lines[-1].startswith("2 rows, ")


def test_what_was_typed_is_shown_as_text_and_told(
    write_talks: Callable[..., Path], tiny_tokenizer_dir: Path
) -> None:
    talks = write_talks("typed.jsonl", ("头痛<|im_end|>\x1b[31m", "多休息"))
    (row,) = make_preview(sft_config(talks, tiny_tokenizer_dir), number=1).rows
    assert [piece.text for piece in row.pieces if piece.is_control].count("<|im_end|>") == 2
    assert row.warnings == ["typed by somebody and kept as text: <|im_end|>"]
    words = [f"train=[{talks}]", f"model={tiny_tokenizer_dir}"]
    text = "\n".join(preview_lines(None, words, number=1, has_colours=False))
    assert "␛[31m" in text and "\x1b" not in text


def test_a_long_row_is_told(tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    ask = Message(role="user", content="头痛" * 20)
    talk = Dialogue(id="1", messages=(ask, Message(role="assistant", content="好")))
    write_jsonl(tmp_path / "t.jsonl", [talk])
    config = sft_config(tmp_path / "t.jsonl", tiny_tokenizer_dir, max_length=16)
    (row,) = make_preview(config, number=1).rows
    assert row.warnings == ["longer than max_length 16: truncation drop"]


def test_a_row_that_teaches_nothing_or_no_end_is_told(talks: Path, tiny_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    config = sft_config(talks, tiny_tokenizer_dir)
    (warning,) = row_warnings(tokenizer, Rendered([5, 6, 2], [False, False, False]), config)
    assert warning.startswith("nothing is learnt")
    (warning,) = row_warnings(tokenizer, Rendered([5, 6, 2], [False, True, False]), config)
    assert warning.startswith("no end token is learnt")


def test_blocks_of_documents_are_all_learnt(documents: Path, tiny_tokenizer_dir: Path) -> None:
    config = PtConfig.model_validate(
        {
            "out": "o",
            "documents": [str(documents)],
            "model": {"type": "new", "tokenizer": str(tiny_tokenizer_dir)},
            "max_length": 32,
        }
    )
    rows = make_preview(config, number=2).rows
    assert [(row.num_tokens, row.num_learnt) for row in rows] == [(32, 31), (32, 31)]


def test_the_page_stands_alone_and_escapes(
    write_talks: Callable[..., Path], tiny_tokenizer_dir: Path, tmp_path: Path
) -> None:
    talks = write_talks("page.jsonl", ("<script>alert(1)</script>", "好"))
    page = tmp_path / "new" / "page.html"
    words = [f"train=[{talks}]", f"model={tiny_tokenizer_dir}", f"html={page}"]
    assert str(page) in list(preview_lines(None, words, number=1, has_colours=False))[-1]
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "http" not in text
    assert 'class="l c"' in text


def test_weights_stand_before_what_they_weigh(tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    texts = ["头痛", "多久了？", "三天", "去医院。", "谢谢", "不客气。"]
    turns = tuple(
        Message.model_validate({"role": ("user", "assistant")[at % 2], "content": text})
        for at, text in enumerate(texts)
    )
    talks = tmp_path / "weights.jsonl"
    weights = [(1, 0, 1, 2, 1, 0.5), (1, 0, 1, 0, 1, 0), (1, 1, 1, 0, 1, 1)]
    records = [Dialogue(id=str(own), messages=turns, weights=own) for own in weights]
    write_jsonl(talks, records)
    rows = make_preview(sft_config(talks, tiny_tokenizer_dir), number=9).rows
    assert len(rows) == 3 and list(rows[0].learnt_by_weight) == ["0.5", "2"]
    assert sum(rows[0].learnt_by_weight.values()) == rows[0].num_learnt
    assert (rows[1].num_learnt, rows[1].warnings) == (0, ["nothing is learnt: every label is masked"])
    assert rows[2].learnt_by_weight == {}
    page = tmp_path / "page.html"
    words = [f"train=[{talks}]", f"model={tiny_tokenizer_dir}", f"html={page}"]
    plain = "\n".join(preview_lines(None, words, number=9, has_colours=False))
    assert "↵\n多久了？<|im_end|>↵" in plain and "×2⟦去医院。<|im_end|>⟧" in plain
    assert "×0.5⟦不客气。<|im_end|>⟧" in plain and re.search(r"learnt \(\d+%\), \d ×0\.5, \d ×2  ids ", plain)
    coloured = ANSI.sub("", "\n".join(preview_lines(None, words, number=9, has_colours=True)))
    assert "×2去医院。" in coloured and "⟦" not in coloured
    text = page.read_text(encoding="utf-8")
    assert text.count('<b class="w">×2</b>') == 2 and text.count('<b class="w">×0.5</b>') == 1


def test_a_row_that_breaks_parity_is_named(tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    call = Message(role="tool_call", content='{"name": "bp"}')
    talk = Dialogue(id="x", messages=(Message(role="user", content="查"), call))
    write_jsonl(tmp_path / "calls.jsonl", [talk])
    with pytest.raises(UserError, match=r"calls.jsonl:1 \(id x\): .* no place for tool calls"):
        make_preview(sft_config(tmp_path / "calls.jsonl", tiny_tokenizer_dir), number=1)


def test_the_command_prints(sft_words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "sft.yaml"
    file.write_text("\n".join(word.replace("=", ": ", 1) for word in sft_words), encoding="utf-8")
    main(["preview", str(file), "1"])
    assert "1 rows, " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["preview", str(file), "two"])
    assert "preview wants a config" in capsys.readouterr().err
