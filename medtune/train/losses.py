"""What a run's losses look like: a table and a plot, the same bytes for the same losses."""

import csv
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from medtune.artifact import write_bytes, write_text


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
