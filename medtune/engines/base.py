"""What every engine can do, and how one is opened."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.records import Completion, Likelihood, Message


class Prompt(NamedTuple):
    """What is put to a model."""

    messages: Sequence[Message]
    tools: str | None = None
    """The tools that it may call: a JSON list."""
    lead: str = ""
    """What the answer begins with already, such as finished thinking."""
    is_text: bool = False
    """Whether the one message is put as it stands, for the model to go on with, without a chat template."""


class Choices(NamedTuple):
    """Candidate answers to one prompt, to be compared by their likelihood."""

    prompt: Prompt
    candidates: dict[str, str]
    """Text of each candidate by its key."""
    is_closed: bool = False
    """Whether the end of the answer counts too: needed where one candidate may begin another (A, AC)."""
    prior: Prompt | None = None
    """The same prompt without the question, for the prior likelihood."""


class Asked(NamedTuple):
    """A prompt as the model got it."""

    text: str
    ids: list[int]


class Reading(NamedTuple):
    """How a model reads a text, token by token from the second one on."""

    logprobs: tuple[float, ...]
    """Of each token after those before it, natural logarithms."""
    is_greedy: tuple[bool, ...]
    """Whether it is the likeliest one there, which greedy writing would have chosen."""


class Engine(Protocol):
    """Prompts in, text or likelihoods out; results come in the order of what was asked, batch by batch."""

    def show(self, prompt: Prompt) -> Asked:
        """The text and token ids that a prompt becomes."""
        ...

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, until: str = ""
    ) -> Iterator[tuple[int, Completion]]:
        """(index, completion) of each prompt, as soon as its batch is done.

        `until` ends an answer too, such as the tag that closes thinking.
        """
        ...

    def rank(self, questions: Sequence[Choices]) -> Iterator[tuple[int, dict[str, Likelihood]]]:
        """(index, likelihoods by candidate key) of each question, as soon as its batch is done."""
        ...

    def without_adapter(self) -> AbstractContextManager[None]:
        """While it lasts the base answers alone; an engine without an adapter refuses."""
        ...

    def read(self, texts: Sequence[str]) -> Iterator[tuple[int, Reading]]:
        """(index, reading) of each plain text, batch by batch."""
        ...


def open_engine(config: HfEngine, runtime: EngineRuntime) -> Engine:
    """An engine with its model loaded."""
    from medtune.engines.hf import HfInProcess  # torch and transformers

    return HfInProcess(config, runtime)


def check_choices(config: HfEngine, choices: Choices) -> None:
    """Nothing, or a UserError where a candidate has no likelihood of its own. No weights are loaded."""
    from medtune.engines.asking import encode_candidates  # transformers
    from medtune.engines.hf import open_tokenizer  # torch

    list(encode_candidates(open_tokenizer(config), [(choices.prompt, list(choices.candidates.values()))]))
