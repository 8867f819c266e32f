"""What a run leaves: model or adapter with its tokenizer, counts, loss table and plot, and a card."""

import json
import math
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerState

from medtune.artifact import Counts, write_text
from medtune.train.adapters import complete_adapter
from medtune.train.config import PretrainedModel, TrainingConfig
from medtune.train.ledger import Columns


def results_of(
    state: TrainerState,
    model: PreTrainedModel | PeftModel,
    *,
    train: Columns,
    valid: Columns | None,
) -> Counts:
    """The counts of a run; no timings, which would differ from run to run."""
    epochs, logs = float(state.epoch or 0), logs_of(state)
    losses = [float(row["loss"]) for row in logs if "loss" in row]
    evals = [float(row["eval_loss"]) for row in logs if "eval_loss" in row]
    weights = list(model.parameters())
    return {
        "loss": losses[-1] if losses else float("nan"),
        **({"eval_loss": min(evals), "perplexity": math.exp(min(min(evals), 700))} if evals else {}),
        "steps": state.global_step,
        **({"best_step": state.best_global_step} if evals else {}),
        "tokens_seen": round(train.num_tokens * epochs),
        "trained_tokens_seen": round(train.num_trained_tokens * epochs),
        "epochs": epochs,
        "records": train.num_records,
        "too_long": len(train.too_long),
        **({"valid_records": valid.num_records, "valid_too_long": len(valid.too_long)} if valid else {}),
        "rows": len(train.dataset),
        "ledger": train.ledger._asdict(),
        "trainable_weights": sum(weight.numel() for weight in weights if weight.requires_grad),
        "all_weights": sum(weight.numel() for weight in weights),
    }


def logs_of(state: TrainerState) -> list[dict[str, Any]]:
    """The logged losses, in training and on `valid`."""
    return [row for row in state.log_history if "loss" in row or "eval_loss" in row]


def save_trained(
    config: TrainingConfig,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Nothing; model or adapter and its tokenizer stand in `config.out`, the same bytes for the same run.

    `weights` stand for the model's own where each process holds only a share of them.
    """
    if weights is None:
        model.save_pretrained(str(config.out))
    else:
        model.save_pretrained(str(config.out), state_dict=weights)
    tokenizer.save_pretrained(str(config.out))
    (config.out / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    adapter = config.out / "adapter_config.json"
    if isinstance(model, PeftModel):
        complete_adapter(model, config.out)
        base = model.get_base_model()
        assert isinstance(base, PreTrainedModel)
        base.generation_config.save_pretrained(str(config.out))  # PEFT leaves out what ends an answer
        settings = json.loads(adapter.read_text(encoding="utf-8"))
        # PEFT keeps a set, whose order would change with PYTHONHASHSEED, and the base's path on this machine.
        if isinstance(settings.get("target_modules"), list):
            settings["target_modules"] = sorted(settings["target_modules"])
        settings["base_model_name_or_path"] = base_name(config)
        write_text(adapter, json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def base_name(config: TrainingConfig) -> str:
    """What a result calls its base: the hub id, or the directory's name; empty for a model from scratch.

    The manifest knows the path and the digest.
    """
    model = config.model_dump(include={"model"})["model"]
    if model["type"] == "new":
        return ""
    source = PretrainedModel.model_validate(model).path
    return str(source) if source.is_hub_id else source.path.name
