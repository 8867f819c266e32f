"""The table of commands. The command line, recipes, docs and tests all read it."""

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from medtune.artifact import Manifest
    from medtune.config import CommandConfig


class Command(NamedTuple):
    """Where a command's config and its `run(config) -> counts` live. Named, not imported: help must not wait for torch."""

    config: str
    module: str
    version: int
    """Raised whenever the same config and inputs would make another result: old directories are then made anew."""
    summary: str


COMMANDS = {
    "prepare": Command("medtune.data.config:PrepareConfig", "medtune.data.prepare", 1, "raw data -> clean, split records"),
    "recall": Command("medtune.curate.config:RecallConfig", "medtune.curate.recall", 1, "records that an exam asks for"),
    "mix": Command("medtune.curate.config:MixConfig", "medtune.curate.mix", 1, "records at random, of equal tokens: the control"),
    "tokenizer": Command("medtune.train.config:TokenizerConfig", "medtune.train.tokenizer", 1, "a byte-level BPE tokenizer"),
    "pt": Command("medtune.train.config:PtConfig", "medtune.train.pt", 1, "pre-train on documents, from scratch or continued"),
    "sft": Command("medtune.train.config:SftConfig", "medtune.train.sft", 1, "fine-tune on dialogues, by LoRA or in full"),
    "merge": Command("medtune.train.config:MergeConfig", "medtune.train.merge", 1, "adapter + base -> one model, proven equal"),
    "predict": Command("medtune.evals.config:PredictConfig", "medtune.evals.predict", 1, "let a model answer an exam or dialogues"),
    "evaluate": Command("medtune.evals.config:EvaluateConfig", "medtune.evals.evaluate", 1, "score the answers, write a report"),
    "compare": Command("medtune.evals.config:CompareConfig", "medtune.evals.compare", 1, "paired comparison of runs, in words"),
}  # fmt: skip


def config_of(name: str) -> "type[CommandConfig]":
    """The config class of a command."""
    module, _, attribute = COMMANDS[name].config.partition(":")
    return vars(import_module(module))[attribute]


def run_command(name: str, config: "CommandConfig", *, replace: bool = False) -> "Manifest":
    """The manifest of the directory that the command made, or had made before."""
    from medtune.artifact import claim, make

    run = vars(import_module(COMMANDS[name].module))["run"]
    return make(claim(name, COMMANDS[name].version, config), run, replace=replace)
