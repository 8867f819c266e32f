"""What every embedder can do, and how one is opened."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from medtune.curate.embed_config import (
    ApiEmbedder,
    EmbedderConfig,
    EmbedRuntime,
    Role,
    SentenceEmbedder,
    StatesEmbedder,
    TfidfEmbedder,
)
from medtune.curate.vectors import Prompts, Settings
from medtune.errors import require

LEAST_NORM = 1e-6
"""Shorter vectors are rounding errors and point nowhere."""
MODEL_ROWS = 256
"""Texts that a model in this process gets at once, whatever its passes are."""


class Basis(NamedTuple):
    """What an embedder's vectors rest on; the fields are those of a space."""

    model: str
    prompts: Prompts = Prompts()
    max_tokens: int | None = None
    max_chars: int | None = None
    settings: Settings = {}  # noqa: RUF012  # never written to


class Embedded(NamedTuple):
    """Texts as vectors."""

    vectors: np.ndarray
    """(texts, dim) float32; a row of a text that failed is NaN."""
    faults: dict[int, str] = {}  # noqa: RUF012  # never written to
    """What is wrong with texts that failed, by their place."""
    truncated: frozenset[int] = frozenset()
    """Places of texts that were longer than the embedder takes."""
    num_tokens: int = 0
    """Tokens that a server says it was paid for."""


class Embedder(Protocol):
    """Texts in, vectors out."""

    basis: Basis
    """What the vectors rest on."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of some texts, of any length; each depends on its own text alone."""
        ...


class Setup(NamedTuple):
    """All that it takes to open an embedder, also in another process."""

    config: EmbedderConfig
    role: Role
    fit: Path
    """Where what was fitted lies."""
    runtime: EmbedRuntime


def open_embedder(setup: Setup) -> Embedder:
    """An embedder with its model loaded."""
    config, role, fit, runtime = setup
    match config:
        case TfidfEmbedder():
            from medtune.curate.embed_tfidf import TfidfFolding  # scikit-learn

            return TfidfFolding(config, fit)
        case SentenceEmbedder():
            require("embed", "sentence_transformers")
            from medtune.curate.embed_sentences import SentenceModel  # torch and transformers

            return SentenceModel(config, role, runtime)
        case StatesEmbedder():
            from medtune.curate.embed_states import StatesModel  # torch and transformers

            return StatesModel(config, runtime)
        case ApiEmbedder():
            require("http", "httpx")
            from medtune.curate.embed_api import ApiModel

            return ApiModel(config, role, runtime)


def rows_at_once(config: EmbedderConfig, runtime: EmbedRuntime) -> int:
    """How many texts an embedder is given at once: one request of a server, some passes of a model."""
    return runtime.batch_size if isinstance(config, ApiEmbedder) else MODEL_ROWS


def embed_batch(embedder: Embedder, texts: Sequence[str]) -> Embedded:
    """The vectors of some texts, of unit length. A vector that points nowhere is a fault of its text."""
    found = embedder.embed(texts)
    norms = np.linalg.norm(found.vectors.astype(np.float64), axis=1, keepdims=True)
    is_good = np.isfinite(norms) & (norms > LEAST_NORM)
    faults = {
        int(row): f"has a vector {'without direction' if np.isfinite(norms[row, 0]) else 'that is no number'}"
        for row in np.flatnonzero(~is_good)
    }
    vectors = (found.vectors / np.where(is_good, norms, np.nan)).astype(np.float32)
    return found._replace(vectors=vectors, faults={**faults, **found.faults})
