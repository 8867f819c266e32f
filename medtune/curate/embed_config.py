"""What `embed` may be told."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from medtune.config import CommandConfig, Config, Input
from medtune.engines.config import LocalWorkers, Workers, check_workers

TextRecipe = Literal["whole", "asked"]
"""`whole`: all that is said, a question with its options. `asked`: what is asked only, without answers or
options. Instructions to the system are part of neither."""
Role = Literal["passage", "query"]
"""What a text is to be compared as: what is searched, or what is searched for."""


class TfidfEmbedder(Config):
    """Character n-grams weighted by TF-IDF and folded by a truncated SVD, fitted on the records: offline."""

    type: Literal["tfidf"] = "tfidf"
    """This embedder."""
    ngram_range: tuple[int, int] = (1, 2)
    """Shortest and longest character n-gram."""
    max_features: int = Field(default=20_000, ge=2)
    """Most frequent n-grams that count."""
    dim: int = Field(default=256, ge=2)
    """Numbers in a vector; fewer than records, and fewer than n-grams."""
    fit_rows: int = Field(default=20_000, ge=2)
    """Records that the weights and the folding are fitted on, drawn where there are more."""
    seed: int = 42
    """Seed of that draw and of the SVD."""

    @field_validator("ngram_range")
    @classmethod
    def _shortest_comes_first(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1]:
            raise ValueError(f"{list(value)} is no range; give the shortest n-gram and then the longest")
        return value


class SentenceEmbedder(Config):
    """A model made for comparing texts, through sentence-transformers."""

    type: Literal["sentence-transformers"] = "sentence-transformers"
    """This embedder."""
    model: Input
    """Model directory, or hub id with its revision."""
    max_length: int | None = Field(default=None, ge=1)
    """Longer texts are cut to this many tokens, and counted; none takes the model's own limit."""
    query_prompt: str | None = None
    """What stands before each text of the role `query`. Unless told, what the model was saved with."""
    passage_prompt: str | None = None
    """What stands before each text of the role `passage`. Unless told, what the model was saved with."""
    dimensions: int | None = Field(default=None, ge=1)
    """Keep only so many leading numbers of a vector, for models that were trained for it."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights. float32 repeats across batch sizes; the others are smaller and faster."""


class ApiEmbedder(Config):
    """A model behind an OpenAI-compatible `/embeddings`. What it asks for per text is paid once."""

    type: Literal["api"] = "api"
    """This embedder."""
    base_url: str
    """Address before `/embeddings`, such as `http://localhost:8000/v1`."""
    model: str = Field(min_length=1)
    """The model's name there."""
    dimensions: int | None = Field(default=None, ge=1)
    """Numbers in a vector that the server is asked for; unless told, it is not asked."""
    max_chars: int | None = Field(default=8000, ge=1)
    """Longer texts are cut to this many characters before they are sent, and counted; none sends all."""
    query_prompt: str = ""
    """What stands before each text of the role `query`."""
    passage_prompt: str = ""
    """What stands before each text of the role `passage`."""

    @field_validator("base_url")
    @classmethod
    def _holds_no_secret(cls, value: str) -> str:
        address = urlsplit(value)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("is no address; give one such as http://localhost:8000/v1")
        if "@" in address.netloc or address.query:
            raise ValueError("must hold no password or key; name the key's variable in runtime.api_key_env")
        return value.rstrip("/")


class StatesEmbedder(Config):
    """A language model's own last hidden states, later tokens weighing more (RDS+, arXiv 2503.01807)."""

    type: Literal["states"] = "states"
    """This embedder."""
    model: Input
    """Directory of a causal language model, or hub id with its revision."""
    max_tokens: int = Field(default=512, ge=1)
    """Longer texts are cut to this many tokens, and counted."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights. float32 repeats across batch sizes; the others are smaller and faster."""


EmbedderConfig = Annotated[
    TfidfEmbedder | SentenceEmbedder | ApiEmbedder | StatesEmbedder, Field(discriminator="type")
]

ON_A_DEVICE = frozenset({"device", "num_threads", "batch_size", "max_batch_tokens", "workers"})
HAS_EFFECT = {
    "tfidf": frozenset({"workers"}),
    "sentence-transformers": ON_A_DEVICE,
    "states": ON_A_DEVICE,
    "api": frozenset(
        {"batch_size", "api_key_env", "requests_per_minute", "tokens_per_minute", "timeout_seconds",
         "max_tries", "price_per_million_tokens", "max_cost"}
    ),
}  # fmt: skip
"""Which keys of `runtime` act, by embedder."""


class EmbedRuntime(Config):
    """How fast and at what cost. The vectors do not depend on it: all of it may change on resuming."""

    workers: Workers = LocalWorkers()
    """All but `api`: who does the work."""
    device: str = "auto"
    """Models here: `auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1`."""
    num_threads: int = Field(default=0, ge=0)
    """Models here: CPU threads; 0 leaves the choice to torch."""
    batch_size: int = Field(default=64, ge=1)
    """Models here and `api`: texts in one pass, or in one request."""
    max_batch_tokens: int = Field(default=16_384, ge=1)
    """Models here: upper bound of padded tokens in one pass."""
    api_key_env: str = ""
    """`api`: environment variable that holds the key; the key is written nowhere. Empty: none is sent."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """`api`: no more requests than this."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """`api`: no more tokens than this, a character counted as one."""
    timeout_seconds: float = Field(default=60, gt=0)
    """`api`: how long an answer may take."""
    max_tries: int = Field(default=6, ge=1)
    """`api`: how often a request is made that fails for reasons that pass (429, 5xx, no connection)."""
    price_per_million_tokens: float | None = Field(default=None, ge=0)
    """`api`: what a million tokens cost, in any currency."""
    max_cost: float | None = Field(default=None, gt=0)
    """`api`: refuse before the first request when all of it would cost more, in the currency of the price."""

    @model_validator(mode="after")
    def _workers_fit_the_device(self) -> "EmbedRuntime":
        check_workers(self.workers, self.device)
        return self

    @model_validator(mode="after")
    def _cost_has_a_price(self) -> "EmbedRuntime":
        if self.max_cost is not None and self.price_per_million_tokens is None:
            raise ValueError("max_cost says nothing without price_per_million_tokens; give both")
        return self

    def without_effect(self, embedder: str) -> str:
        """The fault where a key was given that means nothing to an embedder, else empty."""
        idle = sorted(self.model_fields_set - HAS_EFFECT[embedder])
        return f"runtime.{idle[0]} has no effect with embedder {embedder}; leave it out" if idle else ""


class EmbedConfig(CommandConfig):
    """Give each record or question a vector, so that `recall` can tell which are alike."""

    records: tuple[Input, ...] = Field(min_length=1)
    """Files of records or questions."""
    text: TextRecipe = "whole"
    """What of each is embedded: `whole`, or `asked` (no answers, no options)."""
    role: Role = "passage"
    """`passage` for what is searched, `query` for what is searched for; some models word them differently."""
    embedder: EmbedderConfig = TfidfEmbedder()
    """What makes the vectors."""
    like: Input | None = None
    """A directory that `embed` made: embedder, fit and `text` are taken from it, so that the two can be
    compared. So are the questions embedded beside their pool."""
    dtype: Literal["float16", "float32"] = "float16"
    """Number format of the vectors."""
    runtime: EmbedRuntime = EmbedRuntime()
    """Device, batches, pace and cost."""

    @model_validator(mode="after")
    def _settings_go_together(self) -> "EmbedConfig":
        if self.like is not None:
            if told := sorted({"embedder", "text"} & self.model_fields_set):
                raise ValueError(f"{told[0]} is taken from like; leave it out")
        elif told := self.runtime.without_effect(self.embedder.type):
            raise ValueError(told)
        return self
