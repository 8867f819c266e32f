"""What is wrong with a key that is not known: the names of other tools, and near misses."""

from collections.abc import Sequence
from difflib import get_close_matches

OTHER_SPELLINGS = {
    "output_dir": "out", "export_dir": "out", "model_name_or_path": "model engine.model",
    "base_model": "model engine.model", "model_path": "model engine.model", "model": "engine.model",
    "adapter": "engine.adapter", "questions": "records", "torch_dtype": "dtype model.dtype",
    "finetuning_type": "method", "tuner_type": "method", "train_type": "method", "use_peft": "method",
    "peft_type": "method",
    "lora_rank": "method.rank", "lora_r": "method.rank", "r": "method.rank", "lora_alpha": "method.alpha",
    "lora_dropout": "method.dropout", "lora_target": "method.target_modules",
    "target_modules": "method.target_modules", "lora_target_modules": "method.target_modules",
    "additional_target": "method.modules_to_save", "modules_to_save": "method.modules_to_save",
    "use_rslora": "method.use_rslora", "use_dora": "method.use_dora", "pissa_init": "method.init",
    "init_lora_weights": "method.init", "init_weights": "method.init", "quantization_bit": "method.bits",
    "quant_bits": "method.bits", "load_in_4bit": "method.bits", "load_in_8bit": "method.bits",
    "freeze_trainable_layers": "method.num_trainable_layers",
    "num_layer_trainable": "method.num_trainable_layers",
    "freeze_trainable_modules": "method.name_module_trainable",
    "name_module_trainable": "method.name_module_trainable", "freeze_extra_modules": "method.extra_modules",
    "pre_seq_len": "method.num_virtual_tokens", "num_virtual_tokens": "method.num_virtual_tokens",
    "adapter_name_or_path": "adapter engine.adapter", "peft_path": "adapter engine.adapter",
    "adapters": "adapter engine.adapter", "lora_model": "adapter engine.adapter",
    "cutoff_len": "max_length", "model_max_length": "max_length", "sequence_len": "max_length",
    "max_seq_length": "max_length", "block_size": "max_length", "max_source_length": "max_length",
    "truncation_strategy": "truncation", "excess_length_strategy": "truncation",
    "neat_packing": "packing", "sample_packing": "packing", "train_on_inputs": "train_on_prompt",
    "chat_template": "template", "template_name": "template", "enable_thinking": "thinking",
    "mix_strategy": "replay", "num_epochs": "num_train_epochs", "lr": "learning_rate",
    "lr_scheduler": "lr_scheduler_type", "warmup_steps": "warmup_ratio", "fp16": "trainer.fp16",
    "optim": "trainer.optim", "optimizer": "trainer.optim",
    "neftune_noise_alpha": "trainer.neftune_noise_alpha", "torch_compile": "trainer.torch_compile",
    "use_liger_kernel": "trainer.use_liger_kernel", "deepspeed": "parallel", "fsdp": "parallel",
    "micro_batch_size": "per_device_train_batch_size",
    "per_device_eval_batch_size": "per_device_train_batch_size", "batch_size": "per_device_train_batch_size",
    "train_file_dir": "train documents", "dataset": "train documents source",
    "dataset_dir": "train documents source", "datasets": "train documents source",
    "dataset_name": "train documents source", "train_file": "train documents",
    "validation_file_dir": "valid", "eval_dataset": "valid", "val_size": "valid", "val_set_size": "valid",
    "split_dataset_ratio": "valid", "data_path": "questions train documents",
    "max_new_tokens": "sampling.max_new_tokens", "temperature": "sampling.temperature",
    "evaluation_strategy": "save_steps", "eval_strategy": "save_steps", "save_strategy": "save_steps",
    "eval_steps": "save_steps", "min_chars": "clean.min_chars", "max_chars": "clean.max_chars",
    "sources": "source", "min_char": "clean.min_chars", "max_char": "clean.max_chars",
}  # fmt: skip
"""Names that users of other tools type, and what they are called here; a dot leads into a section. Of several
the first that the command knows is told."""


def unknown_key(key: str, known: Sequence[str]) -> str:
    """What is wrong with a key that is not known: the nearest right spelling, or every key that is."""
    ours = OTHER_SPELLINGS.get(key, "").split()
    inside = [name.rpartition(".")[2] for name in ours]  # the section itself, in which the key was typed
    fitting = [name for name in ours if name.partition(".")[0] in known] or [
        name for name in inside if name in known
    ]
    near = next(iter(fitting or get_close_matches(key, known, n=1, cutoff=0.6)), "")
    return f"unknown key; did you mean {near}?" if near else f"unknown key; known here: {', '.join(known)}"
