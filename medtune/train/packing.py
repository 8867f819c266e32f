"""Several sequences in one row that do not see each other, and batches of such rows."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from medtune.errors import UserError
from medtune.train.ledger import IGNORED, WEIGHTS, Columns, Row

LENGTHS: Final = "seq_lengths"
"""The column with the lengths of the sequences in a row; TRL's name, which its trainer lets through."""

Batch = dict[str, Any]
Collator = Callable[[Sequence[Row]], Batch]


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Places of `lengths` in groups that sum to `capacity` at most.

    The longest first, each into the group that it fills best (best-fit decreasing; arXiv 2404.10830).
    """
    groups: list[list[int]] = []
    by_room: dict[int, list[int]] = {}
    rooms: list[int] = []  # the keys of by_room, sorted
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        index = bisect_left(rooms, lengths[place])
        if index == len(rooms):
            room, group = capacity, len(groups)
            groups.append([])
        else:
            room = rooms[index]
            group = by_room[room].pop()
            if not by_room[room]:
                del by_room[room], rooms[index]
        groups[group].append(place)
        room -= lengths[place]
        assert room >= 0, "a sequence longer than a row was to be left out or cut before"
        if room not in by_room:
            insort(rooms, room)
        by_room.setdefault(room, []).append(group)
    return groups


def pack(columns: Columns, *, max_length: int) -> Columns:
    """The same sequences in fewer rows, max_length tokens at most each; `seq_lengths` tells them apart."""
    rows: list[dict[str, Any]] = columns.dataset.to_list()
    lengths = [len(row["input_ids"]) for row in rows]
    assert all(row["labels"][0] == IGNORED for row in rows), "no sequence's first token is to be predicted"
    names = [name for name in columns.dataset.column_names if name != LENGTHS]
    packed = [
        {
            **{name: [value for place in group for value in rows[place][name]] for name in names},
            LENGTHS: [lengths[place] for place in group],
        }
        for group in best_fit(lengths, max_length)
    ]
    return columns._replace(dataset=Dataset.from_list(packed))


def collate_packed(rows: Sequence[Row], pad_token_id: int) -> Batch:
    """A batch of packed rows, each `(rows, longest)` int64, padded on the right.

    `position_ids` begins anew with each sequence and with the padding. Without an attention mask or a cache,
    that is what transformers' masks go by.
    """
    longest = max(len(row["input_ids"]) for row in rows)
    shape = (len(rows), longest)
    ids, labels = torch.full(shape, pad_token_id), torch.full(shape, IGNORED)
    positions = torch.zeros(shape, dtype=torch.int64)
    for place, row in enumerate(rows):
        length = len(row["input_ids"])
        ids[place, :length] = torch.tensor(row["input_ids"])
        labels[place, :length] = torch.tensor(row["labels"])
        positions[place] = _positions([*row.get(LENGTHS, [length]), longest - length])
    return {"input_ids": ids, "labels": labels, "position_ids": positions, "use_cache": False}


def _positions(lengths: Iterable[int]) -> torch.Tensor:
    return torch.cat([torch.arange(length) for length in lengths])


def has_flash_attention(model: PreTrainedModel | PeftModel) -> bool:
    """Whether the model computes with flash attention, which takes sequences end to end without padding."""
    return "flash" in str(model.config._attn_implementation)


def collator_for(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, dataset: Dataset
) -> Collator:
    """What makes batches of a data set's rows.

    Flash attention takes all sequences of a batch in one row without padding. Elsewhere packed rows keep
    apart by their positions, and rows of one sequence are padded.
    """
    pad = tokenizer.pad_token_id
    assert isinstance(pad, int), "load_tokenizer gives every tokenizer a padding token"
    if has_flash_attention(model):
        return partial(collate_weighted, collate=DataCollatorForLanguageModeling(pad, padding_free=True))
    if LENGTHS in dataset.column_names:
        return partial(collate_weighted, collate=partial(collate_packed, pad_token_id=pad))
    return partial(collate_weighted, collate=DataCollatorForLanguageModeling(pad))


def collate_weighted(rows: Sequence[Row], collate: Collator) -> Batch:
    """The batch with the weights of the losses, float32 of the labels' shape, where the rows have them."""
    batch = collate(rows)
    weights = [torch.tensor(row[WEIGHTS]) for row in rows if WEIGHTS in row]
    if weights:
        if len(batch["labels"]) < len(rows):  # put end to end without padding
            weights = [torch.cat(weights)]
        batch[WEIGHTS] = torch.zeros(batch["labels"].shape)
        for place, weight in enumerate(weights):
            batch[WEIGHTS][place, : len(weight)] = weight
    return batch


class Sight(NamedTuple):
    """How far logits move when the sequence before is another: largest absolute difference."""

    apart: float
    """With the two sequences packed."""
    joined: float
    """With both as one sequence."""


def measure_sight(model: PreTrainedModel | PeftModel) -> Sight:
    """What a sequence sees of the one before it in a packed row, measured on the model itself."""
    size = int(model.get_input_embeddings().weight.shape[0])  # type: ignore[union-attr]
    first, other, second = ([(start + step) % size for step in range(6)] for start in (5, 17, 29))
    was_training = model.training
    model.eval()
    moved: list[float] = []
    for lengths in ([len(first), len(second)], [len(first) + len(second)]):
        logits: list[torch.Tensor] = []
        for before in (first, other):
            row = Row(input_ids=before + second, labels=before + second, seq_lengths=lengths)
            batch = collate_packed([row], pad_token_id=0)
            del batch["labels"]
            batch = {
                name: value.to(model.device) if isinstance(value, torch.Tensor) else value
                for name, value in batch.items()
            }
            with torch.no_grad():
                logits.append(model(**batch).logits[0, len(before) :].float())
        moved.append(float((logits[0] - logits[1]).abs().max()))
    model.train(was_training)
    return Sight(*moved)


def check_isolation(model: PreTrainedModel | PeftModel) -> None:
    """Nothing; a model in which packed sequences would see each other is refused.

    Attention keeps them apart by their positions. A recurrent layer runs on over the border, and some models
    take no positions.
    """
    if has_flash_attention(model) and model.device.type == "cpu":
        return  # no such kernel here; on its GPU it is given the borders themselves
    if not any(weight.numel() for weight in model.parameters()):
        return  # the weights lie on other processes
    sight = measure_sight(model)
    # Masked attention adds nothing at all. The rest is the noise of experts that compute in other groups.
    if sight.apart > 0.05 * sight.joined:
        raise UserError(
            f"packing: in this {model.config.model_type} model ({model.config._attn_implementation} "
            "attention) packed sequences would see each other; set packing=false, and group_by_length keeps "
            "the padding low"
        )
