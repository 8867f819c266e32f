"""Packed sequences do not see each other, and a packed batch has the loss of its sequences."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    DataCollatorForSeq2Seq,
    MambaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from medtune.config import Input
from medtune.engines.loading import load_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.train.columns import dialogue_columns, document_columns
from medtune.train.config import Lora, PtConfig, SftConfig
from medtune.train.ledger import IGNORED, Columns
from medtune.train.losses import answer_loss
from medtune.train.methods import prepare_model
from medtune.train.packing import (
    LENGTHS,
    best_fit,
    check_isolation,
    collate_packed,
    collator_for,
    has_flash_attention,
    measure_sight,
    pack,
)


@pytest.fixture
def tokenizer(tiny_tokenizer_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(Input(tiny_tokenizer_dir))


@pytest.fixture
def columns(tokenizer: PreTrainedTokenizerBase, talks: Path) -> Columns:
    return dialogue_columns([Input(talks)], tokenizer, max_length=160)


def sequences(packed: Columns) -> list[tuple[list[int], list[int]]]:
    """(ids, labels) of each sequence in packed rows."""
    found: list[tuple[list[int], list[int]]] = []
    for row in packed.dataset:
        start = 0
        for length in row[LENGTHS]:
            end = start + length
            found.append((row["input_ids"][start:end], row["labels"][start:end]))
            start = end
        assert start == len(row["input_ids"]) == len(row["labels"])
    return found


# ---- what goes into a row ----


def test_best_fit_fills_the_fullest_row_that_takes_a_sequence() -> None:
    assert best_fit([5, 7, 3, 2, 6], 10) == [[1, 2], [4, 3], [0]]
    assert best_fit([10, 10], 10) == [[0], [1]]
    assert best_fit([], 10) == []


def test_every_sequence_is_in_one_row_and_no_row_is_too_long() -> None:
    generator = random.Random(1)
    for capacity in (16, 100, 1024):
        lengths = [min(capacity, int(generator.expovariate(6 / capacity)) + 2) for _ in range(500)]
        groups = best_fit(lengths, capacity)
        assert sorted(place for group in groups for place in group) == list(range(500))
        sums = [sum(lengths[place] for place in group) for group in groups]
        assert max(sums) <= capacity
        assert (
            len(groups) <= 11 / 9 * -(-sum(lengths) // capacity) + 1
        )  # what is known of best-fit decreasing


def test_packing_keeps_every_sequence_with_its_labels(columns: Columns) -> None:
    packed = pack(columns, max_length=160)
    rows = [(row["input_ids"], row["labels"]) for row in columns.dataset]
    assert sorted(sequences(packed)) == sorted(rows)
    assert len(packed.dataset) < len(columns.dataset)
    assert all(len(row["input_ids"]) <= 160 for row in packed.dataset)
    assert (packed.num_tokens, packed.ledger) == (columns.num_tokens, columns.ledger)


def test_documents_are_packed_whole_with_their_ends(
    tokenizer: PreTrainedTokenizerBase, documents: Path
) -> None:
    whole = document_columns([Input(documents)], tokenizer, max_length=500, is_joined=False)
    packed = pack(whole, max_length=500)
    for ids, labels in sequences(packed):
        assert ids[-1] == tokenizer.eos_token_id
        assert labels == [IGNORED, *ids[1:]], "nothing of the document before predicts the first token"
    assert len(packed.dataset) < len(whole.dataset) == 6


# ---- what the model sees ----


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_logits_of_packed_are_logits_of_single(family_dir: Path, attention: str, columns: Columns) -> None:
    model = load_model(Input(family_dir), "float32")
    model.set_attn_implementation(attention)
    packed = pack(columns, max_length=160)
    batch = collate_packed(packed.dataset.to_list(), 0)
    assert batch["input_ids"].shape[0] > 1, "rows of different lengths, one of them padded"
    assert not isinstance(batch["use_cache"], torch.Tensor)
    with torch.inference_mode():
        together = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
        for place, row in enumerate(packed.dataset):
            start = 0
            for length in row[LENGTHS]:
                ids = torch.tensor([row["input_ids"][start : start + length]])
                alone = model(input_ids=ids).logits[0]
                torch.testing.assert_close(
                    together[place, start : start + length], alone, rtol=1e-5, atol=1e-5
                )
                start += length


def test_positions_begin_anew_with_each_sequence_and_with_the_padding() -> None:
    rows = [
        {"input_ids": [1, 2, 3, 4, 5], "labels": [1] * 5, LENGTHS: [2, 3]},
        {"input_ids": [6, 7], "labels": [2] * 2, LENGTHS: [2]},
        {"input_ids": [8, 9, 8], "labels": [3] * 3},
    ]
    batch = collate_packed(rows, 0)
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2], [0, 1, 0, 1, 2], [0, 1, 2, 0, 1]]
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5], [6, 7, 0, 0, 0], [8, 9, 8, 0, 0]]
    assert batch["labels"].tolist() == [[1] * 5, [2, 2] + [IGNORED] * 3, [3, 3, 3] + [IGNORED] * 2]
    assert "attention_mask" not in batch


def as_batch(rows: list[dict[str, list[int]]], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return dict(DataCollatorForSeq2Seq(tokenizer)([{**row} for row in rows]))


@pytest.mark.parametrize("stage", ["pt", "sft"])
def test_the_loss_of_a_packed_batch_is_that_of_its_rows(
    family_dir: Path, tokenizer: PreTrainedTokenizerBase, columns: Columns, documents: Path, stage: str
) -> None:
    model = load_model(Input(family_dir), "float32")
    if stage == "pt":
        columns = document_columns([Input(documents)], tokenizer, max_length=160, is_joined=False)
    packed = pack(columns, max_length=160)
    apart = as_batch(columns.dataset.to_list(), tokenizer)
    together = collate_packed(packed.dataset.to_list(), 0)
    assert (apart["labels"] != IGNORED).sum() == (together["labels"] != IGNORED).sum() > 0
    losses = [answer_loss(model, batch, None) for batch in (apart, together)]
    losses += [model(**batch).loss for batch in (apart, together)]
    reference = losses[0]
    for loss in losses:
        torch.testing.assert_close(loss, reference, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(losses[0], model.get_input_embeddings().weight)[0]
    others = torch.autograd.grad(losses[1], model.get_input_embeddings().weight)[0]
    torch.testing.assert_close(others, gradients, rtol=1e-4, atol=1e-6)


# ---- what would leak ----


def test_attention_keeps_sequences_apart_and_joined_ones_see_each_other(family_dir: Path) -> None:
    model = load_model(Input(family_dir), "float32")
    sight = measure_sight(model)
    assert sight.apart == 0 < sight.joined
    check_isolation(model)
    assert not model.training
    adapted = prepare_model(model, Lora(), seed=1).train()
    check_isolation(adapted)
    assert adapted.training


RECURRENT = MambaConfig(vocab_size=64, hidden_size=16, state_size=4, num_hidden_layers=2, time_step_rank=2)
WITHOUT_POSITIONS = BloomConfig(
    vocab_size=64, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2
)


@pytest.mark.parametrize("config", [RECURRENT, WITHOUT_POSITIONS], ids=lambda config: config.model_type)
def test_a_model_in_which_they_would_see_each_other_is_refused(config: PreTrainedConfig) -> None:
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5 if weight.ndim > 1 else 1)
    with pytest.raises(UserError, match=rf"packing: in this {config.model_type} model .* set packing=false"):
        check_isolation(model)


def test_a_cache_would_hide_the_borders(tiny_model_dir: Path) -> None:
    model = load_model(Input(tiny_model_dir), "float32")
    row = {"input_ids": list(range(5, 25)), "labels": [IGNORED] * 20, LENGTHS: [10, 10]}
    batch = collate_packed([row], 0)
    with torch.inference_mode():
        apart, leaking = (
            model(**{**batch, "labels": None, "use_cache": use_cache}).logits[0, 10:]
            for use_cache in (batch["use_cache"], True)
        )
    assert (apart - leaking).abs().max() > 0.1, "should this fail, transformers needs no use_cache any more"


def test_rows_of_one_sequence_are_padded_and_packed_ones_keep_apart(
    tiny_model_dir: Path, tokenizer: PreTrainedTokenizerBase, columns: Columns
) -> None:
    model = load_model(Input(tiny_model_dir), "float32")
    packed = pack(columns, max_length=160)
    assert "attention_mask" in collator_for(model, tokenizer, columns.dataset)(columns.dataset.to_list())
    batch = collator_for(model, tokenizer, packed.dataset)(packed.dataset.to_list())
    assert "attention_mask" not in batch and batch["position_ids"].shape == batch["input_ids"].shape


def test_flash_attention_takes_a_batch_without_padding(
    tiny_model_dir: Path, tokenizer: PreTrainedTokenizerBase, columns: Columns
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    model.config._attn_implementation_internal = "flash_attention_2"  # no such kernel on a CPU
    assert has_flash_attention(model)
    check_isolation(model)
    for rows in (columns, pack(columns, max_length=160)):
        batch = collator_for(model, tokenizer, rows.dataset)(rows.dataset.to_list())
        assert batch["input_ids"].shape == (1, columns.num_tokens)
        assert (batch["position_ids"] == 0).sum() == 6 == len(batch["cu_seq_lens_q"]) - 1
        assert (batch["labels"] != IGNORED).sum() == columns.num_trained_tokens


@pytest.mark.parametrize("method", ["prefix", "prompt"])
@pytest.mark.parametrize("stage", ["pt", "sft"])
def test_methods_with_virtual_tokens_do_not_pack(stage: str, method: str) -> None:
    values = {"out": "o", "model": "runs/base", "method": {"type": method}, "packing": True}
    with pytest.raises(ValueError, match="pack"):
        if stage == "pt":
            PtConfig.model_validate({**values, "documents": ["d.jsonl"]})
        else:
            SftConfig.model_validate({**values, "train": ["t.jsonl"]})
