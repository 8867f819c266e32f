"""What every engine can do, and how one is opened."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.records import Completion, Likelihood, Message


class Prompt(NamedTuple):
    """What is put to a model."""

    messages: Sequence[Message]
    tools: str | None = None
    """The tools that it may call: a JSON list."""


class Choices(NamedTuple):
    """Candidate answers to one prompt, to be compared by their likelihood."""

    prompt: Prompt
    candidates: dict[str, str]
    """Text of each candidate by its key."""
    is_closed: bool = False
    """Whether the end of the answer counts too: needed where one candidate may begin another (A, AC)."""
    prior: Prompt | None = None
    """The same prompt without the question, for the prior likelihood."""


class Reading(NamedTuple):
    """How a model reads a text, token by token from the second one on."""

    logprobs: tuple[float, ...]
    """Of each token after those before it, natural logarithms."""
    is_greedy: tuple[bool, ...]
    """Whether it is the likeliest one there, which greedy writing would have chosen."""


class Engine(Protocol):
    """Prompts in, text or likelihoods out; results come in the order of what was asked, batch by batch."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """(index, completion) of each prompt, as soon as its batch is done."""
        ...

    def rank(self, questions: Sequence[Choices]) -> Iterator[tuple[int, dict[str, Likelihood]]]:
        """(index, likelihoods by candidate key) of each question, as soon as its batch is done."""
        ...

    def read(self, texts: Sequence[str], *, is_bare: bool = False) -> Iterator[tuple[int, Reading]]:
        """(index, reading) of each plain text, batch by batch; `is_bare` switches an adapter off."""
        ...


def open_engine(config: HfEngine, runtime: EngineRuntime) -> Engine:
    """An engine with its model loaded."""
    from medtune.engines.hf import HfInProcess  # torch and transformers

    return HfInProcess(config, runtime)
