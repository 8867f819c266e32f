"""What the commands of this room may be told."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from medtune.config import CommandConfig, Config, Input
from medtune.engines.config import EngineRuntime, HfEngine
from medtune.evals.evaluate_config import EvaluateConfig as EvaluateConfig
from medtune.evals.judge_config import JudgeConfig as JudgeConfig
from medtune.evals.predict_config import PredictConfig as PredictConfig
from medtune.evals.predict_config import Preset as Preset
from medtune.evals.predict_config import Shots as Shots
from medtune.records import Way


class AuditConfig(CommandConfig):
    """Find exam questions in training data, and say which items are clean."""

    train: tuple[Input, ...] = Field(min_length=1)
    """Files of records that are, or will be, trained on."""
    exams: tuple[Input, ...] = Field(min_length=1)
    """Files of questions that will be reported on."""
    candidates: int = Field(default=0, ge=0, le=100)
    """How many training records are listed for each item that come near it in other words, for a person to
    read; they never count as contaminated."""


class SignalsConfig(CommandConfig):
    """Ask a model itself whether it reads an exam as if it had seen it: signals, and never proof."""

    engine: HfEngine
    """The model to be asked. With an adapter it is also asked without it, for what tuning changed."""
    exam: Input
    """File of questions that the model may have seen, such as `runs/exam/test.jsonl`."""
    reference: Input
    """File of questions of the same kind that it cannot have seen: newer, unpublished or your own."""
    min_k_share: float = Field(default=0.2, gt=0, le=1)
    """Share of an item's tokens, the least likely ones, that Min-K% averages over."""
    completion_tokens: int = Field(default=5, ge=1)
    """Tokens that a model must complete word for word from what stands before them."""
    num_orders: int = Field(default=8, ge=1, le=100)
    """Other orders of an item's options that the published one is held against, where there are as many."""
    num_permutations: int = Field(default=10_000, ge=1000)
    """Draws of the permutation tests."""
    seed: int = Field(default=42, ge=0)
    """Seed of these draws and of the orders."""
    runtime: EngineRuntime = EngineRuntime()
    """What changes speed and not the readings."""

    @model_validator(mode="after")
    def _has_no_settings_of_talks(self) -> "SignalsConfig":
        for name, value in (("template", self.engine.template), ("thinking", self.engine.thinking)):
            if value is not None:
                raise ValueError(f"items are read as plain text; leave engine.{name} out")
        return self


class FurtherExam(Config):
    """Another exam that the same models answered."""

    purpose: Literal["transfer", "forgetting"]
    """What it is to show: `transfer`, whether a gain on the main exam is seen here as well; `forgetting`,
    whether any arm lost what the first arm knows."""
    arms: dict[str, tuple[Input, ...]]
    """Evaluations of this exam by arm, for the same arms and runs as those of the main exam."""
    way: Way | None = None
    """The way of answering that counts here; that of the main exam's verdict unless told."""


class CompareConfig(CommandConfig):
    """Compare arms of an experiment on the same exam, paired question by question."""

    arms: dict[str, tuple[Input, ...]]
    """Evaluations by arm, one per seed, such as
    `{base: [runs/eval-base], random: [runs/eval-random-1, runs/eval-random-2]}`."""
    further_exams: dict[str, FurtherExam] = Field(default_factory=dict)
    """Other exams by name, for the same report: does a gain transfer, did tuning forget? Their tests and the
    main exam's are adjusted as one family."""
    contrasts: tuple[tuple[str, str], ...] = ()
    """Pairs of arms to test, the hoped-for better one first; every arm against the first one when empty."""
    way: Way | None = None
    """The way of answering that the verdict speaks of; unless told, the first that all runs have, of
    `generate`, `letter` and `cloze`."""
    num_resamples: int = Field(default=10_000, ge=1000)
    """Bootstrap and permutation draws."""
    seed: int = Field(default=42, ge=0)
    """Seed of these draws."""

    @model_validator(mode="after")
    def _contrasts_name_arms(self) -> "CompareConfig":
        if len(self.arms) < 2:
            raise ValueError(
                "arms: there is nothing to compare with; name two different evaluations at least"
            )
        empty = [arm for arm, folders in self.arms.items() if not folders]
        if empty:
            raise ValueError(f"arm {empty[0]} names no evaluation")
        for better, worse in self.contrasts:
            unknown = [arm for arm in (better, worse) if arm not in self.arms]
            if unknown:
                raise ValueError(f"contrasts: {unknown[0]} is no arm; known: {', '.join(self.arms)}")
            if better == worse:
                raise ValueError(f"contrasts: {better} cannot be compared with itself")
        if len(set(self.contrasts)) < len(self.contrasts):
            raise ValueError("contrasts must name each pair once")
        return self

    @model_validator(mode="after")
    def _further_exams_have_the_same_runs(self) -> "CompareConfig":
        for name, exam in self.further_exams.items():
            if not re.fullmatch(r"\w[\w-]*", name):
                raise ValueError(f"further_exams: {name!r} names files too; use letters, digits, _ and -")
            where = f"further_exams.{name}"
            if unknown := [arm for arm in exam.arms if arm not in self.arms]:
                raise ValueError(f"{where}: {unknown[0]} is no arm; known: {', '.join(self.arms)}")
            for arm, folders in self.arms.items():
                num_here = len(exam.arms.get(arm, ()))
                if num_here != len(folders):
                    raise ValueError(
                        f"{where}: arm {arm} has {num_here} evaluations here and {len(folders)} of the main "
                        "exam; every run answers every exam"
                    )
        return self


def words_of_comparison(folders: Sequence[str]) -> list[str]:
    """What `medtune compare DIR DIR …` stands for, as `key=value`: an arm each, all against the first.

    The comparison is made beside the first directory unless `out` is given too.
    """
    names = [Path(folder).name for folder in folders]
    arms = names if len(set(names)) == len(names) else list(folders)
    out = Path(folders[0]).parent / f"compare-{'-'.join(names)}"
    told = {arm: [folder] for arm, folder in zip(arms, folders, strict=True)}
    return [f"arms={json.dumps(told, ensure_ascii=False)}", f"out={out}"]


class ReportConfig(Config):
    """Write the report of an evaluation again from its saved files, or check it against them.

    `medtune report DIR` and `medtune report DIR --verify` are enough.
    """

    evaluation: Path
    """Directory that `evaluate` or `import-scores` made."""
    verify: bool = False
    """Change nothing: tell whether every score follows from its answer, every figure from the scores, and
    every file is as it was made. The flag `--verify` says the same."""


class ExportExamConfig(CommandConfig):
    """Write an exam as a task folder of lm-eval, and answers to it as its samples."""

    questions: Input
    """File of questions, such as `runs/exam/test.jsonl`."""
    name: str = Field(default="medtune_exam", pattern=r"^[A-Za-z]\w*$")
    """What `lm_eval --tasks` calls the exam; each subject is a task of its own below it."""
    subjects: dict[str, str] = Field(default_factory=dict)
    """What the first sentence calls a subject, such as `{physician: 医师资格}`; else by its own name."""
    multiple: Literal["refuse", "leave_out"] = "refuse"
    """What happens to questions with several right letters, which lm-eval's `multiple_choice` cannot ask."""
    fewshot: Input | None = None
    """File of questions to show as examples, the first ones of the same subject."""
    num_fewshot: int = Field(default=0, ge=0)
    """How many examples a question has unless `lm_eval --num_fewshot` says otherwise."""
    predictions: Input | None = None
    """Directory that `predict` made with the way `letter`; its answers are written as `samples_*.jsonl`."""

    @model_validator(mode="after")
    def _examples_have_a_file(self) -> "ExportExamConfig":
        if self.num_fewshot and not self.fewshot:
            raise ValueError("num_fewshot needs fewshot, the file with the examples")
        return self


class ImportScoresConfig(CommandConfig):
    """Make an evaluation of what another tool measured, to report on and compare like our own."""

    source: Input
    """File, pattern or directory of one model's answers to one exam."""
    format: Literal["auto", "lm-eval", "evalscope", "inspect", "detailed", "matrix"] = "auto"
    """Whose files these are: `samples_*.jsonl` of lm-eval, `reviews/` of EvalScope, logs of Inspect, rows
    with `predicted_answer` and `ground_truth`, or confusion matrices. `auto`: told from what is in them."""
    questions: Input | None = None
    """File of our questions. Each answer must belong to one of them, and each must be answered; only then can
    the evaluation be compared with those of other tools."""
    read: Literal["theirs", "ours"] = "theirs"
    """Whose reading of generated text counts: letters that the tool found, or those that `evaluate` finds."""
    published: float | None = Field(default=None, ge=0, le=1)
    """An accuracy printed for these answers, such as 0.7996; a warning tells when the rows give another."""
    name: str = ""
    """What the report calls the model; its name in the source when empty."""


class ImportRubricsConfig(CommandConfig):
    """Turn a published benchmark of free answers into records for `predict` and a rubric for `judge`."""

    source: Input
    """File, pattern or directory of the benchmark as it is published."""
    format: Literal["auto", "healthbench", "cmb-clin", "llmeval-med", "medsafetybench"] = "auto"
    """Which benchmark it is. `auto`: told from the first row of each file; say it where a directory holds
    several."""


class PowerConfig(Config):
    """What an exam can show: give `n`, or the `difference` that is to be shown."""

    n: int | None = Field(default=None, ge=1)
    """Number of items."""
    d: float | None = Field(default=None, gt=0, le=1)
    """Share of the items that the two models answer differently, one right and the other wrong."""
    difference: float | None = Field(default=None, gt=0, lt=1)
    """Difference of the two accuracies, such as 0.02; prints how many items it takes."""
    accuracy: float = Field(default=0.8, gt=0, lt=1)
    """What both get right, about; the paired figures do not depend on it."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "PowerConfig":
        if (self.n is None) == (self.difference is None):
            raise ValueError("give n, the number of items, or difference, and not both: power n=818 d=0.1")
        return self
