"""One training run: from a prepared model and its rows to what the run leaves."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    set_seed,
)

from medtune.artifact import CHECKPOINTS, LOGS, Counts, write_json
from medtune.train import checkpoints, guards
from medtune.train.adapters import keep_width
from medtune.train.arguments import trl_arguments
from medtune.train.card import write_card
from medtune.train.config import TrainingConfig
from medtune.train.ledger import Columns
from medtune.train.losses import write_losses
from medtune.train.method_config import WEIGHTS_SHARED
from medtune.train.packing import collator_for
from medtune.train.processes import is_first
from medtune.train.product import base_name, logs_of, results_of, save_trained
from medtune.train.trainer import SafeTrainer


class Trained(NamedTuple):
    """What a run gives."""

    model: PreTrainedModel | PeftModel
    counts: Counts


def fit(
    config: TrainingConfig,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Columns,
    valid: Columns | None,
) -> Trained:
    """The trained model, saved in `config.out` with its tokenizer, loss table, plot and card.

    Training resumes from the newest whole checkpoint. Of several processes the first alone saves.
    """
    set_seed(config.seed)
    watch = guards.Watch(config.out.name, is_shown=is_first())
    with guards.StopRequest() as stop:
        with keep_width(model):
            trainer = SafeTrainer(
                model=model,
                args=trl_arguments(config, has_valid=valid is not None),
                train_dataset=train.dataset,
                eval_dataset=valid.dataset if valid else None,
                data_collator=collator_for(model, tokenizer, train.dataset),
                processing_class=tokenizer,
                callbacks=[watch],
            )
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.prepare(config, watch=watch, stop=stop)
        trainer.resume(_find_checkpoint(trainer, config.out / CHECKPOINTS))
    weights: Any = trainer.accelerator.get_state_dict(trainer.model_wrapped) if _is_sharded(config) else None
    results = results_of(trainer.state, model, train=train, valid=valid)
    if is_first():
        save_trained(config, model, tokenizer, weights=weights)
        write_json(config.out / "train_results.json", results)
        write_losses(config.out, logs_of(trainer.state))
        write_card(config, results, base=base_name(config))
        write_json(config.out / LOGS / "speed.json", {"tokens_per_second": round(watch.tokens_per_second)})
    return Trained(model, results)


def _is_sharded(config: TrainingConfig) -> bool:
    return config.parallel is not None and config.parallel.type in WEIGHTS_SHARED


def _find_checkpoint(trainer: SafeTrainer, folder: Path) -> Path | None:
    """The checkpoint to resume from, found and told to the others by the first process."""
    found = checkpoints.latest_checkpoint(folder) if is_first() else None
    if trainer.args.world_size == 1:
        return found
    told: list[Path | None] = [found]
    torch.distributed.broadcast_object_list(told)
    return told[0]
