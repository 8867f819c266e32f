"""TRL's arguments from a config; those for several processes with their plugins."""

from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

import torch
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)
from trl.trainer.sft_config import SFTConfig as TrlConfig

from medtune.artifact import CHECKPOINTS
from medtune.errors import UserError
from medtune.train.config import Parallel, TrainingConfig
from medtune.train.precision import precision_arguments
from medtune.train.processes import world_size

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
        "save_total_limit": None,  # transformers would remove the old before the new one is sealed
        "eval_strategy": "steps" if has_valid else "no",
        "eval_steps": config.save_steps if has_valid else None,
        "load_best_model_at_end": has_valid,
        **precision_arguments(config),
        "activation_checkpointing": config.gradient_checkpointing,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "report_to": list(config.report_to) or "none",
        "seed": config.seed,
        "data_seed": config.seed,
        "use_cpu": config.runtime.device == "cpu",
        "disable_tqdm": True,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        **parallel_arguments(config),
    }
    check_trackers(config.report_to)
    known = sorted(field.name for field in fields(TrlConfig))
    if strange := sorted(set(config.trainer) - set(known)):
        near = get_close_matches(strange[0], known, n=1)
        way_out = f"did you mean {near[0]}?" if near else "leave it out"
        raise UserError(f"trainer.{strange[0]}: TRL's SFTConfig has no such key; {way_out}")
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


def check_trackers(names: Sequence[str]) -> None:
    """Nothing, or a UserError when a tracker is unknown or not installed."""
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise UserError(
                f"report_to: transformers knows no tracker {name}; known: "
                f"{', '.join(INTEGRATION_TO_CALLBACK)}"
            )
        if name not in get_available_reporting_integrations():
            raise UserError(f"report_to: {name} is not installed: run  pip install {name}  or leave it out")


def parallel_arguments(config: TrainingConfig) -> dict[str, Any]:
    """The arguments for several processes; none for one. What is missing for them is refused."""
    started, parallel = world_size(), config.parallel or Parallel(num_processes=1)
    if started != parallel.num_processes:
        raise UserError(
            f"parallel.num_processes is {parallel.num_processes}{'' if config.parallel else ' (no section)'}"
            f", but {started} {'was' if started == 1 else 'were'} started; use  torchrun "
            f"--nproc_per_node={parallel.num_processes} -m medtune …  or set parallel.num_processes={started}"
        )
    match parallel.type:
        case "ddp":
            # Every weight that is trained is used in every step: DDP need not look for others.
            name = "ddp_find_unused_parameters"
            return {} if name in config.trainer else {name: False}
        case "fsdp2":
            _want_gpus(config, parallel)
            return {"fsdp": True, "fsdp_config": fsdp_settings(parallel)}
        case "zero2" | "zero3":
            _want_gpus(config, parallel)
            if not find_spec("deepspeed"):
                raise UserError(
                    f"parallel.type {parallel.type}: deepspeed is not installed: run  "
                    "pip install deepspeed  or use fsdp2"
                )
            return {"deepspeed": deepspeed_settings(parallel)}


def _want_gpus(config: TrainingConfig, parallel: Parallel) -> None:
    if config.runtime.device == "cpu" or not torch.cuda.is_available():
        raise UserError(
            f"parallel.type {parallel.type}: wants GPUs, and there are none to use; ddp runs on a CPU"
        )


def fsdp_settings(parallel: Parallel) -> dict[str, Any]:
    """The settings of accelerate's FSDP2 plugin: a unit for each layer, whole weights when saved."""
    return {
        "version": 2,
        "reshard_after_forward": True,
        "cpu_offload": parallel.offload,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "state_dict_type": "FULL_STATE_DICT",
    }


def deepspeed_settings(parallel: Parallel) -> dict[str, Any]:
    """DeepSpeed's JSON; transformers fills in `auto` from its own arguments, so that one place rules."""
    stage = 3 if parallel.type == "zero3" else 2
    place = {"device": "cpu", "pin_memory": True}
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_bucket_size": "auto",
        **({"offload_optimizer": place} if parallel.offload else {}),
    }
    if stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,
            **({"offload_param": place} if parallel.offload else {}),
        }
    else:
        zero |= {"allgather_partitions": True, "reduce_scatter": True}
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "zero_allow_untested_optimizer": True,
    }
