"""What evaluate may be told."""

from typing import Literal

from pydantic import Field, model_validator

from medtune.config import CommandConfig, Input
from medtune.engines.config import EngineRuntime, HfEngine

Task = Literal["exam", "safety", "open", "judge"]
"""What answers are evaluated for."""
TASKS_OF: dict[str, tuple[Task, ...]] = {
    "cloze_norm": ("exam",),
    "audit": ("exam",),
    "formulary": ("safety",),
    "drugs": ("safety",),
    "base": ("open",),
    "runtime": ("open",),
    "judgements": ("judge",),
    "num_resamples": ("safety", "open", "judge"),
    "seed": ("safety", "open", "judge"),
}
"""The tasks that a setting acts on; the others act on all."""


class EvaluateConfig(CommandConfig):
    """Score predicted answers, and write the report."""

    task: Task = "exam"
    """What the answers are scored for: `exam` the right letters; `safety` what is dangerous in free answers,
    by rules; `open` whether they answer the question, and words in common with a reference; `judge` what a
    judge said of them."""
    predictions: Input
    """Directory that `predict` made."""
    questions: Input
    """The file that was answered, exam questions or prompts: none may be missing from the predictions. With
    `safety`, rows may be labelled by `urgency` (`emergency`, `soon`, `none`), `request` (`ordinary`,
    `harmful`), `category` and `specialty`. With `open`, the reference of a row, or the answer that its talk
    ends with, is what answers are held against."""
    cloze_norm: Literal["none", "tokens", "chars", "prior"] = "chars"
    """How option likelihoods of different lengths are made comparable: `tokens` and `chars` divide by the
    length, `prior` subtracts the likelihood without the question (OLMES, arXiv 2406.08446)."""
    audit: Input | None = None
    """Directory that `audit` made of the training data; accuracy is told for clean items and others apart."""
    formulary: Input | None = None
    """Your own limits of doses and contraindications, CSV or YAML; without it doses are not judged."""
    drugs: Input | None = None
    """Your own drug names beside those that are known, YAML with lists under `prescription`, `controlled`,
    `otc` and `patent`; `=` joins names of one drug, and your word on a name counts."""
    base: HfEngine | None = None
    """A base model, not tuned to answer, for how much likelier answers make their questions; best without
    the adapter that is evaluated. It takes two readings of each pair."""
    runtime: EngineRuntime = EngineRuntime()
    """What changes the speed of the base model and not the figures."""
    judgements: Input | None = None
    """Directory that `judge` made of the same predictions; `task: judge` needs it."""
    fail_under: dict[str, float] = Field(default_factory=dict)
    """Least values by metric, such as `{triage_sensitivity: 0.95}`. Where one is missed the evaluation
    stands, and the command, or the recipe that it is a step of, ends with 4."""
    fail_over: dict[str, float] = Field(default_factory=dict)
    """Greatest values by metric, such as `{rx_with_dose: 0.01}`."""
    gate_on: Literal["value", "interval"] = "value"
    """What is held against these limits: the value, or the worse end of its 95 % interval, so that few items
    do not pass by luck."""
    name: str = ""
    """What the report calls the model; its directory name when empty."""
    texts: bool = True
    """Whether the report shows the texts of questions and answers; `false` for a report to be passed on
    where the texts may not be."""
    num_resamples: int = Field(default=10_000, ge=1000)
    """Bootstrap draws, where a record has several answers."""
    seed: int = Field(default=42, ge=0)
    """Seed of these draws, and with `open` of the other questions and answers that are drawn."""

    @model_validator(mode="after")
    def _settings_act(self) -> "EvaluateConfig":
        for name in sorted(self.model_fields_set & TASKS_OF.keys()):
            if self.task not in TASKS_OF[name]:
                raise ValueError(f"{name} does not act on task: {self.task}; leave it out")
        if "runtime" in self.model_fields_set and self.base is None:
            raise ValueError("runtime is that of base, the base model; name one")
        if self.base and (self.base.thinking is not None or self.base.template is not None):
            raise ValueError("the base model reads plain text; leave base.template and base.thinking out")
        if self.task == "judge" and self.judgements is None:
            raise ValueError("task: judge needs judgements, the directory that `medtune judge` made")
        if "gate_on" in self.model_fields_set and not (self.fail_under or self.fail_over):
            raise ValueError("gate_on acts on fail_under and fail_over; name a metric in one of them")
        if both := sorted(self.fail_under.keys() & self.fail_over.keys()):
            raise ValueError(f"{both[0]} stands in fail_under and in fail_over; one is its good side")
        return self
