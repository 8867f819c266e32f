"""How a model is run for answers."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from medtune.config import Config, Input

TemplateName = Literal["chatml", "qwen", "qwen3", "llama3", "glm4", "internlm2", "baichuan2", "plain"]
"""The chat templates that ship in `templates/`, for models that have none."""


class ThinkingRules(Config):
    """How `<think>` blocks are rendered. The defaults do what the tokenizer's own template does.

    Training writes the rules into the tokenizer that it saves, so that whatever runs the model follows them.
    """

    enable: bool | Literal["template", "by_answer"] = "template"
    """Whether the model thinks: the template's `enable_thinking`. `template` leaves it alone. `by_answer`
    trains answers with a think block as thinking and those without one as not thinking. false also takes
    the think blocks out of the answers. `thinking: false` means the same as `thinking: {enable: false}`."""
    history: Literal["template", "keep", "drop"] = "template"
    """Think blocks of answers before the last question: as the template has it, all kept, or all left out."""
    reasoning: Literal["learn", "mask", "drop"] = "learn"
    """The think block of the answer that is trained: learnt, shown but not learnt, or left out."""
    empty: Literal["learn", "mask", "drop"] = "learn"
    """The empty think block that some templates write into an answer without one: likewise."""


def _enable_means_rules(value: object) -> object:
    return {"enable": value} if isinstance(value, bool | str) else value


Thinking = Annotated[ThinkingRules, BeforeValidator(_enable_means_rules)]


class Sampling(Config):
    """How an answer is drawn. The default is greedy, so that it repeats."""

    max_new_tokens: int = 512
    """Longest answer, thinking included, in tokens."""
    temperature: float = 0.0
    """0 takes the likeliest token each time; 1 draws from the model's own distribution."""
    top_p: float = 1.0
    """Draw only from the likeliest tokens that together have this probability."""
    top_k: int = 0
    """Draw only from this many likeliest tokens; 0 is no limit."""
    seed: int = 42
    """Seed of the draw."""


Quantize = Literal["none", "nf4", "int8"]


class HfEngine(Config):
    """A model in this process, through transformers, on CPU or GPU."""

    type: Literal["hf"] = "hf"
    """This engine."""
    model: Input
    """Model directory, or hub id with its revision."""
    adapter: Input | None = None
    """Adapter directory to lay over the model."""
    template: TemplateName | None = None
    """Chat template by family name, where the tokenizer has none; what `sft` made has one."""
    thinking: Thinking | None = None
    """How `<think>` blocks are rendered; unless told, as the model was trained."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights. float32 repeats across batch sizes; the others are smaller and faster."""
    quantize: Quantize | Literal["as-trained"] = "as-trained"
    """Number format of the layers' weights, by bitsandbytes: `nf4` in 4 bits, `int8`, or `none` of these.
    `as-trained` takes the one that the adapter's base had in training, and none without an adapter."""


class EngineRuntime(Config):
    """What changes speed and not the answers."""

    device: str = "auto"
    """`auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1`."""
    max_batch_tokens: int = 16384
    """Upper bound of padded tokens in one batch."""
    max_batch_rows: int = 64
    """Upper bound of rows in one batch."""
    num_threads: int = 0
    """CPU threads; 0 leaves the choice to torch."""


class LocalWorkers(Config):
    """All work is done in this process."""

    type: Literal["local"] = "local"
    """This process alone."""


class RayWorkers(Config):
    """Work is shared out among processes of a Ray cluster, on this machine or on several."""

    type: Literal["ray"] = "ray"
    """Processes of a Ray cluster; the result is that of one process with the same number of threads."""
    num: int = Field(ge=1)
    """How many; each loads the model."""
    address: str = ""
    """The cluster to join: `auto` for the one of this machine, or `HOST:PORT`. Empty starts one here, which
    nothing outside this machine reaches, and ends it with the run."""
    num_cpus: float | None = Field(default=None, gt=0)
    """Cores that Ray sets aside for each; `num_threads` unless told, or 1 where that is 0."""
    num_gpus: float | None = Field(default=None, ge=0)
    """GPUs that Ray sets aside for each, 0.5 to let two share one; unless told, 1 where `device` is `cuda`,
    or `auto` and the cluster has any."""

    @field_validator("address")
    @classmethod
    def _is_no_client(cls, address: str) -> str:
        if "://" in address:
            raise ValueError(f"{address}: start medtune on a machine of the cluster; say auto or HOST:PORT")
        return address


Workers = Annotated[LocalWorkers | RayWorkers, Field(discriminator="type")]


def check_workers(workers: LocalWorkers | RayWorkers, device: str) -> None:
    """Nothing, or a ValueError where workers and device do not go together."""
    if isinstance(workers, LocalWorkers):
        return
    if device.startswith("cuda:"):
        raise ValueError(f"Ray gives each worker a GPU of its own; say device: cuda, not {device}")
    if device == "cpu" and workers.num_gpus:
        raise ValueError("the work is done on the CPU, where workers.num_gpus would be idle; leave that out")
    if device != "cpu" and workers.num_gpus == 0:
        raise ValueError("workers.num_gpus: 0 wants device: cpu; 0.5 lets two workers share a GPU")


class SpreadRuntime(EngineRuntime):
    """What changes speed and not the answers, for work that can be shared out."""

    workers: Workers = LocalWorkers()
    """Who does the work."""

    @model_validator(mode="after")
    def _workers_fit_the_device(self) -> "SpreadRuntime":
        check_workers(self.workers, self.device)
        return self
