"""How a model is run for answers."""

from typing import Literal

from medtune.config import Config, Input


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


class HfEngine(Config):
    """A model in this process, through transformers, on CPU or GPU."""

    type: Literal["hf"] = "hf"
    """This engine."""
    model: Input
    """Model directory, or hub id with its revision."""
    adapter: Input | None = None
    """Adapter directory to lay over the model."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights. float32 repeats across batch sizes; the others are smaller and faster."""


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
