"""The first rows that a run trains on, token by token, with only its tokenizer loaded."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import Input
from medtune.engines.rendering.control import control_of
from medtune.engines.rendering.dress import dress
from medtune.engines.rendering.parity import check_parity
from medtune.engines.rendering.render import Rendered, render_dialogue, stop_ids, weights_of
from medtune.engines.rendering.wording import rules_of
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import RECORD, Dialogue, Document, Preference, Question
from medtune.train.columns import document_columns
from medtune.train.config import NewModel, PtConfig, SftConfig
from medtune.train.ledger import IGNORED, count_weights

LONGEST_PIECE = 12
"""Tokens that may share one character; more than any encoding needs."""


class Piece(NamedTuple):
    """The shortest run of tokens that is a text of its own: one Chinese character may take three."""

    text: str
    ids: tuple[int, ...]
    is_learnt: bool
    is_control: bool
    weight: float
    """Of its loss, 0 where it is not learnt."""


class PreviewRow(NamedTuple):
    """One row as it is trained on."""

    title: str
    pieces: list[Piece]
    num_tokens: int
    num_learnt: int
    warnings: list[str]
    learnt_by_weight: dict[str, int]
    """The learnt tokens by the weight of their loss; empty where all weigh 1."""


class Preview(NamedTuple):
    """What is known of a run's first rows."""

    title: str
    facts: list[tuple[str, str]]
    rows: list[PreviewRow]


def make_preview(config: SftConfig | PtConfig, *, number: int) -> Preview:
    """The first rows of a config, with only the tokenizer loaded."""
    model = config.model
    tokenizer = load_tokenizer(model.tokenizer if isinstance(model, NewModel) else model.path)
    if isinstance(config, PtConfig):
        facts = [("ends with", str(tokenizer.eos_token)), ("max_length", str(config.max_length))]
        return _checked(Preview("pt: documents, all learnt", facts, document_rows(config, tokenizer, number)))
    own_end = tokenizer.eos_token
    had_template = bool(tokenizer.chat_template)
    dress(tokenizer, template=config.template, thinking=config.thinking)
    rules = rules_of(tokenizer).model_dump()
    stops = tokenizer.convert_ids_to_tokens(stop_ids(tokenizer))
    mended = f" (the tokenizer's own was {own_end})" if own_end != tokenizer.eos_token else ""
    facts = [
        ("template", f"{config.template} (shipped)" if config.template else "the tokenizer's own"),
        ("ends with", f"{tokenizer.eos_token}{mended}; stops: {' '.join(stops)}"),
        ("thinking", ", ".join(f"{key} {value}" for key, value in rules.items())),
        ("max_length", str(config.max_length)),
    ]
    assert had_template or config.template, "dress refuses otherwise"
    return _checked(Preview("sft: dialogues", facts, dialogue_rows(config, tokenizer, number)))


def _checked(preview: Preview) -> Preview:
    if not preview.rows:
        raise UserError("nothing to show: the files hold no rows")
    return preview


def dialogue_rows(config: SftConfig, tokenizer: PreTrainedTokenizerBase, number: int) -> list[PreviewRow]:
    """The first rows of the dialogues, before any packing, and what is wrong with them."""
    rows: list[PreviewRow] = []
    render = partial(
        render_dialogue,
        tokenizer,
        train_on_prompt=config.train_on_prompt,
        mask_history=config.mask_history,
    )
    places = ((source, line, record) for source in config.train for line, record in _numbered(source))
    for source, line, record in places:
        if len(rows) >= number:
            break
        if not isinstance(record, Dialogue):
            raise UserError(f"{source}:{line}: sft wants dialogues; this is a {record.kind}")
        try:
            check_parity(tokenizer, record.messages, tools=record.tools)
            sequences = render(record.messages, tools=record.tools, weights=record.weights)
            if not sequences:  # left out of training; shown as what it is
                whole = render(record.messages, tools=record.tools)
                sequences = [Rendered(sequence.ids, [False] * len(sequence.ids)) for sequence in whole]
        except UserError as error:
            raise UserError(f"{source}:{line} (id {record.id}): {error}") from None
        typed = [found for message in record.messages for found in spelt_in(tokenizer, message.content)]
        for at, sequence in enumerate(sequences, 1):
            part = f", sequence {at} of {len(sequences)}" if len(sequences) > 1 else ""
            warnings = row_warnings(tokenizer, sequence, config)
            if typed:
                warnings.append(f"typed by somebody and kept as text: {' '.join(dict.fromkeys(typed))}")
            rows.append(make_row(tokenizer, sequence, f"{source}:{line}  {record.id}{part}", warnings))
    return rows[:number]


def _numbered(source: Input) -> Iterator[tuple[int, Document | Dialogue | Preference | Question]]:
    return enumerate(read_jsonl(source.path, RECORD), 1)


def document_rows(config: PtConfig, tokenizer: PreTrainedTokenizerBase, number: int) -> list[PreviewRow]:
    """The first blocks of the documents, joined and cut as in training."""
    wanted = number * config.max_length
    with tempfile.TemporaryDirectory() as folder:
        few: list[Document] = []
        records = (record for source in config.documents for _, record in _numbered(source))
        for record in records:
            if not isinstance(record, Document):
                raise UserError(f"{config.documents[0]}: pt wants documents; this is another kind of record")
            few.append(record)
            wanted -= len(record.text) // 8  # no tokenizer makes less than a token of eight characters
            if wanted < 0:
                break
        file = Path(folder) / "few.jsonl"
        write_jsonl(file, few)
        dataset = document_columns([Input(file)], tokenizer, max_length=config.max_length).dataset
        blocks = dataset[:number]
    sequences = [
        Rendered(ids, [label != IGNORED for label in labels])
        for ids, labels in zip(blocks["input_ids"], blocks["labels"], strict=True)
    ]
    return [make_row(tokenizer, sequence, f"block {at}", []) for at, sequence in enumerate(sequences, 1)]


def row_warnings(tokenizer: PreTrainedTokenizerBase, sequence: Rendered, config: SftConfig) -> list[str]:
    """What would go wrong with a row."""
    learnt = {token for token, is_learnt in zip(sequence.ids, sequence.is_answer, strict=True) if is_learnt}
    warnings: list[str] = []
    if not learnt:
        warnings.append("nothing is learnt: every label is masked")
    elif learnt.isdisjoint(stop_ids(tokenizer)):
        warnings.append("no end token is learnt: the model would not stop")
    if len(sequence.ids) > config.max_length:
        warnings.append(f"longer than max_length {config.max_length}: truncation {config.truncation}")
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in sequence.ids:
        warnings.append(f"has unknown characters ({tokenizer.unk_token})")
    return warnings


def spelt_in(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    """The control tokens that a text spells."""
    return control_of(tokenizer).spelt.findall(text)


def make_row(
    tokenizer: PreTrainedTokenizerBase, sequence: Rendered, title: str, warnings: list[str]
) -> PreviewRow:
    """A sequence in pieces."""
    pieces = list(cut_pieces(tokenizer, sequence))
    by_weight = count_weights(weight for weight in sequence.weights or () if weight)
    return PreviewRow(title, pieces, len(sequence.ids), sum(sequence.is_answer), warnings, by_weight)


def cut_pieces(tokenizer: PreTrainedTokenizerBase, sequence: Rendered) -> Iterator[Piece]:
    """The tokens of a sequence in runs that can be read; joined, their texts are the row."""
    control = control_of(tokenizer).ids
    ids, start = sequence.ids, 0
    weights = weights_of(sequence)
    while start < len(ids):
        end = start + 1
        before = decode_raw(tokenizer, ids[start - 1 : start] if start else [])
        while True:
            text = decode_raw(tokenizer, ids[max(start - 1, 0) : end])[len(before) :]
            is_whole = not text.endswith("\ufffd")
            is_same = end < len(ids) and weights[end] == weights[start]
            if is_whole or not is_same or ids[end] in control or end - start >= LONGEST_PIECE:
                break
            end += 1
        own = tuple(ids[start:end])
        yield Piece(text, own, sequence.is_answer[start], own[0] in control, weights[start])
        start = end


def decode_raw(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """The text of ids, control tokens spelt out."""
    text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text
