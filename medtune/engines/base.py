"""What every engine can do, and how one is opened."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from medtune.engines.config import (
    EngineRuntime,
    FakeEngine,
    HfEngine,
    HttpEngine,
    LaunchEngine,
    Sampling,
)
from medtune.errors import require
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
    thinking: bool | None = None
    """Whether the model is to think, over what the engine was told; None leaves it at that."""


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


class Request(NamedTuple):
    """One prompt with all that decides its answer, to be answered as it is written."""

    prompt: Prompt
    sampling: Sampling
    adapter: str = ""
    """One of the engine's names; empty for the engine as it was opened."""
    num_logprobs: int | None = None
    """How many likeliest tokens are told at each place of the answer; None: no likelihoods at all."""


class Token(NamedTuple):
    """A token of an answer."""

    text: str
    bytes: bytes
    logprob: float
    """Natural logarithm, before temperature and penalties."""
    likeliest: "tuple[Token, ...]" = ()


class Delta(NamedTuple):
    """A stretch of an answer, as it comes. The stretches of a whole answer make up its completion."""

    text: str = ""
    reasoning: str = ""
    tokens: tuple[Token, ...] = ()
    """The tokens of the text, where the request asks for likelihoods."""
    completion: Completion | None = None
    """With the last stretch: the whole."""


class Refused(Exception):
    """A request that cannot be answered as it is: too long for the model, an unknown adapter."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """As OpenAI's API has it, such as `context_length_exceeded`."""


class EngineInfo(NamedTuple):
    """What answers."""

    model: str
    """The model as it was named."""
    names: tuple[str, ...]
    """What requests may ask for as `adapter`."""
    context: int | None
    """Tokens of prompt and answer together; None where only the server knows."""
    details: dict[str, str]
    """Number format, device, versions and the like, for a person to read."""


class Engine(Protocol):
    """Prompts in, text or likelihoods out; results come in the order of what was asked, batch by batch."""

    def info(self) -> EngineInfo:
        """What answers."""
        ...

    def submit(self, request: Request, sink: Callable[[Delta], None]) -> Callable[[], None]:
        """What ends the answer early; until then `sink` gets its stretches, from a thread of the engine's.

        The last stretch, and it alone, has a completion: also where the answer was ended early or failed
        (finish `error`). May be called from several threads, and requests share the model's work. A Refused
        comes at once.
        """
        ...

    def close(self) -> None:
        """Nothing; memory, connections and programs that were started are given back."""
        ...

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


def stream(engine: Engine, request: Request) -> Generator[Delta]:
    """The stretches of an answer as they come. Closing the generator ends the answer."""
    arrived: SimpleQueue[Delta] = SimpleQueue()
    cancel = engine.submit(request, arrived.put)
    try:
        while True:
            delta = arrived.get()
            yield delta
            if delta.completion:
                return
    finally:
        cancel()


def open_engine(config: HfEngine | HttpEngine | LaunchEngine | FakeEngine, runtime: EngineRuntime) -> Engine:
    """An engine with its model loaded, or its server reached."""
    match config:
        case HfEngine():
            from medtune.engines.hf import HfInProcess  # torch and transformers

            return HfInProcess(config, runtime)
        case HttpEngine():
            require("http", "httpx")
            from medtune.engines.served import Served

            return Served(config)
        case LaunchEngine():
            require("http", "httpx")
            from medtune.engines.launching import launch

            return launch(config)
        case FakeEngine():
            from medtune.engines.fake import Fake

            return Fake(config)


def check_choices(config: HfEngine, choices: Choices) -> None:
    """Nothing, or a UserError where a candidate has no likelihood of its own. No weights are loaded."""
    from medtune.engines.rendering.asking import encode_candidates  # transformers
    from medtune.engines.tokenizing import open_tokenizer  # torch

    list(encode_candidates(open_tokenizer(config), [(choices.prompt, list(choices.candidates.values()))]))
