"""What benchmarks/sft.py runs in a process of its own, each contender in the interpreter that has it.

    python sft_peers.py CONTENDER SETTINGS.json FIGURES.json

Every contender is started by its own entry point: medtune's and LLaMA-Factory's command line, TRL's trainer.
A callback that transformers gives to each of their trainers takes the time, counts the tokens of the rows
and says what memory was used.
"""

import hashlib
import json
import sys
import time
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import transformers.trainer
from transformers import TrainerCallback

IGNORED = -100


class Clock(TrainerCallback):
    """Writes FIGURES.json: seconds of each step, losses, tokens, memory."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.ends: list[float] = []
        self.figures: dict[str, Any] = {}

    def on_train_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any
    ) -> None:
        rows = train_dataloader.dataset
        pairs = [(list(map(int, row["input_ids"])), list(map(int, row["labels"]))) for row in rows]
        # The first token of a row is never predicted; some say so in its label and some do not.
        pairs = [(ids, [IGNORED, *labels[1:]]) for ids, labels in pairs]
        marks = sorted(hashlib.sha256(json.dumps(pair).encode()).hexdigest() for pair in pairs)
        self.figures = {
            "rows": len(pairs),
            "tokens": sum(len(ids) for ids, _ in pairs),
            "trained_tokens": sum(label != IGNORED for _, labels in pairs for label in labels),
            "digest": hashlib.sha256("".join(marks).encode()).hexdigest(),
        }
        self.begin, self.cpu_begin = time.perf_counter(), time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ends.append(time.perf_counter())
        self.cpu_end = time.process_time()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.cuda.is_available():
            self.figures["gpu_peak"] = torch.cuda.max_memory_allocated()
        self.figures["losses"] = [row["loss"] for row in state.log_history if "loss" in row]
        self.figures["steps"] = [end - self.begin for end in self.ends]
        self.figures["cpu_seconds"] = self.cpu_end - self.cpu_begin
        self.out.write_text(json.dumps(self.figures), encoding="utf-8")


def run_medtune(given: dict[str, Any]) -> None:
    """`medtune sft sft.yaml`."""
    from medtune.cli import main

    config: dict[str, Any] = {
        "out": f"{given['out']}/medtune",
        "train": [f"{given['rows']}/medtune.jsonl"],
        "model": {"path": given["model"], "dtype": given["dtype"]},
        "method": given["method"],
        "learning_rate": given["learning_rate"],
        "lr_scheduler_type": "constant",
        "warmup_ratio": 0.0,
        "num_train_epochs": 1,
        "per_device_train_batch_size": given["batch"],
        "max_length": given["max_length"],
        "bf16": given["bf16"],
        "logging_steps": 1,
        "seed": given["seed"],
        "gradient_checkpointing": given["is_gpu"],
        "runtime": {"device": "auto" if given["is_gpu"] else "cpu"},
    }
    path = Path(given["out"], "sft.yaml")
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    sys.exit(main(["sft", str(path)]))


def run_trl(given: dict[str, Any], **flags: Any) -> None:
    """TRL's trainer on prompts and completions; what is not named here is its default."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    lora, quantized = None, None
    if given["method"]["type"] in ("lora", "qlora"):
        from peft import LoraConfig

        rank = given["method"]["rank"]
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    if given["method"]["type"] == "qlora":
        from transformers import BitsAndBytesConfig

        quantized = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    arguments = SFTConfig(
        output_dir=f"{given['out']}/trl",
        learning_rate=given["learning_rate"],
        lr_scheduler_type="constant",
        num_train_epochs=1,
        per_device_train_batch_size=given["batch"],
        max_length=given["max_length"],
        bf16=given["bf16"],
        logging_steps=1,
        train_sampling_strategy="sequential",
        dataloader_pin_memory=given["is_gpu"],
        save_strategy="no",
        report_to="none",
        seed=given["seed"],
        use_cpu=not given["is_gpu"],
        model_init_kwargs={"dtype": given["dtype"]},
        **flags,
    )
    with Path(given["rows"], "trl.jsonl").open(encoding="utf-8") as file:
        rows = Dataset.from_list([json.loads(line) for line in file])
    trainer = SFTTrainer(
        given["model"], arguments, train_dataset=rows, peft_config=lora, quantization_config=quantized
    )
    trainer.train()


def run_llamafactory(given: dict[str, Any], **flags: Any) -> None:
    """`llamafactory-cli train train.yaml`; what is not named here is its default."""
    if find_spec("torchaudio") is None:  # imported by name, used for sound only; it wants a GPU's libraries
        empty = ModuleType("torchaudio")
        empty.__spec__ = ModuleSpec("torchaudio", None)
        sys.modules["torchaudio"] = empty
    from llamafactory.cli import main

    settings = {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": given["model"],
        "finetuning_type": "full",
        "dataset": "rows",
        "dataset_dir": given["rows"],
        "template": "empty",  # the rows bring their turns with them, so that all train on the same tokens
        "cutoff_len": given["max_length"],
        "disable_shuffling": True,
        "overwrite_cache": True,
        "output_dir": f"{given['out']}/llamafactory",
        "learning_rate": given["learning_rate"],
        "lr_scheduler_type": "constant",
        "num_train_epochs": 1,
        "per_device_train_batch_size": given["batch"],
        "bf16": given["bf16"],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "seed": given["seed"],
        "use_cpu": True,
        **flags,
    }
    path = Path(given["out"], "train.yaml")
    path.write_text(json.dumps(settings), encoding="utf-8")
    sys.argv = ["llamafactory-cli", "train", str(path)]
    main()


CONTENDERS = {
    "medtune": run_medtune,
    "trl": run_trl,
    "trl-best": lambda given: run_trl(given, gradient_checkpointing=given["is_gpu"]),
    "llamafactory": run_llamafactory,
    "llamafactory-best": lambda given: run_llamafactory(given, disable_gradient_checkpointing=True),
}
"""`best` is what helps on a CPU: no activation is computed twice. Packing wants flash attention, a GPU."""


if __name__ == "__main__":
    name, settings, figures = sys.argv[1:]
    given = json.loads(Path(settings).read_text(encoding="utf-8"))
    if given["threads"]:
        torch.set_num_threads(given["threads"])
    transformers.trainer.DEFAULT_CALLBACKS.append(Clock(Path(figures)))
    CONTENDERS[name](given)
