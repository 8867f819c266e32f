"""One training run on TRL: arguments, checkpoints that are whole or not there, guards, what it leaves."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from tqdm import tqdm
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices
from trl.trainer.sft_config import SFTConfig as TrlConfig
from trl.trainer.sft_trainer import SFTTrainer

from medtune.artifact import CHECKPOINTS, Counts, digest_of_file, write_json, write_text
from medtune.errors import UserError
from medtune.train.columns import Columns
from medtune.train.config import PretrainedModel, TrainingConfig
from medtune.train.losses import PLAIN_HEADS, answer_loss, write_losses

COMPLETE = "COMPLETE.json"
"""Written last into a checkpoint. One without it, or with other bytes than it says, is never resumed from."""


INERT = frozenset(
    {
        "assistant_only_loss", "chat_template_path", "completion_only_loss", "dataset_num_proc",
        "dataset_text_field", "eos_token", "eval_packing", "model_init_kwargs", "packing", "packing_strategy",
        "pad_token", "padding_free", "shuffle_dataset", "truncation_mode", "trust_remote_code",
    }
)  # fmt: skip
"""Keys of TRL's SFTConfig about loading and preparing, which medtune has done before TRL begins.

Packing would let sequences see each other where there is no flash attention.
"""


class EpochSampler(LengthGroupedSampler):
    """Rows of similar length together, in an order that seed and epoch alone decide, also when resumed."""

    def __init__(self, sampler: LengthGroupedSampler, seed: int) -> None:
        super().__init__(sampler.batch_size, lengths=sampler.lengths)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next order is that of this epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


class SafeTrainer(SFTTrainer):
    """TRL's trainer whose checkpoints count only when they are whole, and which is fast on a CPU too."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch, with the model's outputs when `return_outputs`."""
        assert isinstance(self.args, TrlConfig)
        if self.args.device.type != "cpu" or self.args.loss_type != "nll":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        # TRL's tiled head saves GPU memory; on a CPU a step takes about 1.4 times as long as the plain loss.
        if return_outputs or self.args.world_size > 1 or model.config.model_type not in PLAIN_HEADS:
            return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)
        return answer_loss(model, inputs, num_items_in_batch)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(train_dataset)
        return EpochSampler(sampler, self.args.seed) if isinstance(sampler, LengthGroupedSampler) else sampler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = Path(self.args.output_dir or "") / f"checkpoint-{self.state.global_step}"
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        write_json(
            folder / COMPLETE, {path.relative_to(folder).as_posix(): digest_of_file(path) for path in files}
        )


class Watch(TrainerCallback):
    """A progress bar with the loss, and a stop as soon as the loss is no number."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The bar appears, at the step that the run resumes from."""
        self.bar = tqdm(
            desc=self.name,
            total=state.max_steps,
            initial=state.global_step,
            unit="step",
            disable=None,
            leave=False,
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The bar moves to the step that was done."""
        assert self.bar is not None
        self.bar.update(state.global_step - self.bar.n)
        # So that no checkpoint of a NaN loss is made, and a resumed run logs what an unbroken one does.
        control.should_log = control.should_log or control.should_save

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The bar shows the loss; a loss that is no number ends the run."""
        last = state.log_history[-1]
        loss = float(last.get("loss", last.get("eval_loss", 0.0)))
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at step {state.global_step}; lower learning_rate, or use bf16 in place "
                "of fp16. The last checkpoint is kept"
            )
        if self.bar is not None and "loss" in last:
            self.bar.set_postfix(loss=f"{loss:.3f}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The bar goes away."""
        assert self.bar is not None
        self.bar.close()


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
    """The trained model, saved in `config.out` with its tokenizer, loss table and plot.

    Training resumes from the newest whole checkpoint.
    """
    set_seed(config.seed)
    trainer = SafeTrainer(
        model=model,
        args=trl_arguments(config, has_valid=valid is not None),
        train_dataset=train.dataset,
        eval_dataset=valid.dataset if valid else None,
        processing_class=tokenizer,
        callbacks=[Watch(config.out.name)],
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    checkpoint = latest_checkpoint(config.out / CHECKPOINTS)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    save_trained(config, model, tokenizer)
    steps = trainer.state.global_step
    epochs = float(trainer.state.epoch or 0)
    logs = [row for row in trainer.state.log_history if "loss" in row or "eval_loss" in row]
    losses = [float(row["loss"]) for row in logs if "loss" in row]
    evals = [float(row["eval_loss"]) for row in logs if "eval_loss" in row]
    results: Counts = {
        "loss": losses[-1] if losses else float("nan"),
        **({"eval_loss": min(evals)} if evals else {}),
        "steps": steps,
        "tokens_seen": round(train.num_tokens * epochs),
        "trained_tokens_seen": round(train.num_trained_tokens * epochs),
        "epochs": epochs,
        "records": train.num_records,
        "too_long": len(train.too_long),
        **({"valid_records": valid.num_records, "valid_too_long": len(valid.too_long)} if valid else {}),
        "rows": len(train.dataset),
        "trainable_weights": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "all_weights": sum(weight.numel() for weight in model.parameters()),
    }
    write_json(config.out / "train_results.json", results)
    write_losses(config.out, logs)
    return Trained(model, results)


def trl_arguments(config: TrainingConfig, *, has_valid: bool) -> TrlConfig:
    """TRL's arguments. What the config does not name stays at TRL's default, save what would hide or hurt."""
    if config.runtime.num_threads:
        torch.set_num_threads(config.runtime.num_threads)
    own: dict[str, Any] = {
        "output_dir": str(config.out / CHECKPOINTS),
        "learning_rate": config.learning_rate,
        "num_train_epochs": config.num_train_epochs,
        "max_steps": config.max_steps,
        "per_device_train_batch_size": config.per_device_train_batch_size,
        "per_device_eval_batch_size": config.per_device_train_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "lr_scheduler_type": config.lr_scheduler_type,
        "warmup_steps": config.warmup_ratio,  # below 1 transformers reads it as a share
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "max_length": config.max_length,
        "train_sampling_strategy": "group_by_length" if config.group_by_length else "random",
        "logging_steps": config.logging_steps,
        "logging_nan_inf_filter": False,  # True shows a NaN loss as 0.0
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "save_total_limit": config.save_total_limit,
        "eval_strategy": "steps" if has_valid else "no",
        "eval_steps": config.save_steps if has_valid else None,
        "load_best_model_at_end": has_valid,
        "bf16": config.bf16,
        "activation_checkpointing": config.gradient_checkpointing,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "report_to": list(config.report_to) or "none",
        "seed": config.seed,
        "data_seed": config.seed,
        "use_cpu": config.runtime.device == "cpu",
        "disable_tqdm": True,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }
    inert = sorted(INERT & set(config.trainer))
    if inert:
        raise UserError(
            f"trainer.{inert[0]}: would not act, since medtune loads the model and makes the token columns; "
            "leave it out"
        )
    clash = sorted(set(own) & set(config.trainer))
    if clash:
        raise UserError(f"trainer.{clash[0]}: has a key of its own outside `trainer`; set it there")
    try:
        return TrlConfig(**own, **config.trainer)
    except (TypeError, ValueError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from None


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose every file is as it was written; broken ones are renamed, never deleted."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    for path in sorted(found, key=lambda path: -int(path.name.removeprefix("checkpoint-"))):
        if _is_whole(path):
            return path
        number = sum(1 for _ in folder.glob(f"broken-{path.name}*"))
        path.rename(path.with_name(f"broken-{path.name}{f'-{number}' if number else ''}"))
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        digests = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
        return all(digest_of_file(checkpoint / name) == digest for name, digest in digests.items())
    except (FileNotFoundError, ValueError):
        return False


def save_trained(
    config: TrainingConfig, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Nothing; model or adapter and its tokenizer stand in `config.out`, the same bytes for the same run."""
    model.save_pretrained(str(config.out))
    tokenizer.save_pretrained(str(config.out))
    (config.out / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    adapter = config.out / "adapter_config.json"
    if adapter.exists():
        settings = json.loads(adapter.read_text(encoding="utf-8"))
        # PEFT keeps a set, whose order would change with PYTHONHASHSEED, and the base's path on this machine.
        if isinstance(settings["target_modules"], list):
            settings["target_modules"] = sorted(settings["target_modules"])
        settings["base_model_name_or_path"] = base_name(config)
        write_text(adapter, json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def base_name(config: TrainingConfig) -> str:
    """What an adapter calls its base: the hub id, or the directory's name.

    The manifest knows the path and the digest.
    """
    model = config.model_dump(include={"model"})["model"]
    source = PretrainedModel.model_validate(model).path
    return str(source) if source.is_hub_id else source.path.name
