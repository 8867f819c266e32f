"""The loss on a CPU, and what a run's losses look like: a table and a plot, equal bytes for equal losses."""

import csv
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from peft import PeftModel
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from medtune.artifact import write_bytes, write_text
from medtune.train.ledger import IGNORED

PLAIN_HEADS = ("glm4", "llama", "qwen2", "qwen3")
"""Families whose logits are the output layer's, neither scaled nor capped."""


def answer_loss(
    model: PreTrainedModel | PeftModel, inputs: dict[str, torch.Tensor], num_items: torch.Tensor | int | None
) -> torch.Tensor:
    """The mean cross-entropy of a batch over its labelled tokens, or its share of `num_items` labelled ones.

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
    logits = causal.get_output_embeddings()(hidden.last_hidden_state[:, :-1][is_wanted])
    total = cross_entropy(logits.float(), targets[is_wanted], reduction="sum")
    return total / (is_wanted.sum() if num_items is None else num_items)


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
