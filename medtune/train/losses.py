"""The loss on a CPU, and what a run's losses look like: a table and a plot, equal bytes for equal losses."""

import csv
from collections.abc import Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from matplotlib.figure import Figure
from peft import PeftModel
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from medtune.artifact import write_bytes, write_text
from medtune.train.ledger import IGNORED, WEIGHTS
from medtune.train.tiles import can_tile, summed_loss

PLAIN_HEADS = ("glm4", "llama", "qwen2", "qwen3")
"""Families whose logits are the output layer's, neither scaled nor capped."""


def answer_loss(
    model: PreTrainedModel | PeftModel, inputs: dict[str, torch.Tensor], num_items: torch.Tensor | int | None
) -> torch.Tensor:
    """The mean cross-entropy of a batch over its labelled tokens, or its share of `num_items` labelled ones.

    Where tokens have weights w it is Σ w·loss / Σ w, and `num_items` is the Σ w of all batches of the step.
    Vocabulary scores are computed where a label stands and nowhere else: about half of a dialogue's tokens
    are the user's, and on a CPU scoring them takes as long as the layers of a small model.
    """
    causal: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    # Packed rows come with positions in place of a mask; a cache would hide their borders from attention.
    hidden = causal.get_decoder()(
        input_ids=inputs["input_ids"],
        attention_mask=inputs.get("attention_mask"),
        position_ids=inputs.get("position_ids"),
        use_cache=False,
    )
    targets = inputs["labels"][:, 1:]
    is_wanted = targets != IGNORED
    rows, head = hidden.last_hidden_state[:, :-1][is_wanted], causal.get_output_embeddings()
    weights = inputs[WEIGHTS][:, 1:][is_wanted] if WEIGHTS in inputs else None
    if can_tile(head):
        total = summed_loss(rows, head, targets=targets[is_wanted], weights=weights)
        if num_items is None:
            num_items = is_wanted.sum() if weights is None else weights.sum()
        return total / num_items
    losses = cross_entropy(head(rows).float(), targets[is_wanted], reduction="none")
    if weights is not None:
        return _weigh(losses, weights, num_items)
    return losses.sum() / (is_wanted.sum() if num_items is None else num_items)


def _weigh(losses: torch.Tensor, weights: torch.Tensor, num_items: torch.Tensor | int | None) -> torch.Tensor:
    return (losses * weights).sum() / (weights.sum() if num_items is None else num_items)


class Weighted(NamedTuple):
    """A loss by weights, and what the model put out."""

    loss: torch.Tensor
    outputs: Any


def weighted_loss(
    model: torch.nn.Module,
    inputs: dict[str, torch.Tensor],
    num_items: torch.Tensor | int | None,
    *,
    is_tiled: bool,
) -> Weighted:
    """The same as `answer_loss` for any model and any wrapper of one.

    Tiled, TRL's output layer computes the losses in parts; else all vocabulary scores are held at once.
    """
    labels, weights = inputs["labels"], inputs[WEIGHTS][:, 1:]
    others = {name: value for name, value in inputs.items() if name not in ("labels", WEIGHTS)}
    length = labels.shape[1]
    if is_tiled:
        outputs = model(**others, labels=labels, fused_lm_head=True)
        losses = -outputs.log_probs
    else:
        outputs = model(**others)
        logits = outputs.logits[:, -length:][:, :-1]  # what PEFT puts before the text has no label
        losses = cross_entropy(
            logits.float().transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
        )
    return Weighted(_weigh(losses, weights, num_items), outputs)


def step_weight(batches: Sequence[dict[str, torch.Tensor]]) -> torch.Tensor:
    """The sum of the weights that the losses of a step are divided by; a token without a label has none."""
    return torch.stack([batch[WEIGHTS][:, 1:].sum() for batch in batches]).sum()


def write_losses(out: Path, logs: list[dict[str, Any]]) -> None:
    """Nothing; `loss.csv` and `loss.png` from the trainer's log."""
    columns = ("step", "epoch", "loss", "eval_loss", "learning_rate", "grad_norm")
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[row.get(column, "") for column in columns] for row in logs])
    write_text(out / "loss.csv", buffer.getvalue())
    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    for column, style in (("loss", "-"), ("eval_loss", "o-")):
        points = [(row["step"], row[column]) for row in logs if column in row]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=column, markersize=4)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    image = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "medtune"}):
        figure.savefig(image, format="png", metadata={"Software": None})
    write_bytes(out / "loss.png", image.getvalue())
