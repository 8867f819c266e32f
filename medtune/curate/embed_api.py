"""Vectors from a model behind an OpenAI-compatible `/embeddings`."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from medtune.curate.embed_config import ApiEmbedder, EmbedRuntime, Role
from medtune.curate.embedders import Basis, Embedded
from medtune.curate.vectors import Prompts
from medtune.engines.http import Api, Pace, key_from
from medtune.errors import UserError

MAX_ASKED = 3
"""How often what an answer leaves out is asked for."""
Answer = dict[str, Any]


class ApiModel:
    """A model behind a server. See `embedders.Embedder`."""

    def __init__(self, config: ApiEmbedder, role: Role, runtime: EmbedRuntime) -> None:
        self._config = config
        prompts = Prompts(passage=config.passage_prompt, query=config.query_prompt)
        self._prompt = prompts.query if role == "query" else prompts.passage
        pace = Pace(
            requests_per_minute=runtime.requests_per_minute,
            tokens_per_minute=runtime.tokens_per_minute,
            timeout_seconds=runtime.timeout_seconds,
            max_tries=runtime.max_tries,
        )
        self._api = Api(config.base_url, key=key_from(runtime.api_key_env), pace=pace)
        self.basis = Basis(
            model=f"{config.model} at {config.base_url}",
            prompts=prompts,
            max_chars=config.max_chars,
            settings={"dimensions": config.dimensions},
        )

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of some texts, by one request. What it leaves out is asked for again."""
        cut = [text[: self._config.max_chars] for text in texts]
        found: dict[int, list[float]] = {}
        missing, num_tokens, fault = list(range(len(texts))), 0, "got no vector from the server"
        for _ in range(MAX_ASKED):
            try:
                answer = self._ask([cut[place] for place in missing])
                told = read_vectors(answer, len(missing))
            except UserError as error:
                if not found:
                    raise
                fault = str(error)  # what came before is kept
                break
            found |= {missing[place]: vector for place, vector in told.items()}
            num_tokens += tokens_of(answer)
            missing = [place for place in missing if place not in found]
            if not missing or not told:
                break
        widths = Counter(len(vector) for vector in found.values())
        dim = self._config.dimensions or (widths.most_common(1)[0][0] if widths else 0)
        faults = dict.fromkeys(missing, fault) | {
            place: f"got a vector of {len(vector)} numbers from the server where {dim} are expected"
            for place, vector in found.items()
            if len(vector) != dim
        }
        vectors = np.full((len(texts), dim), np.nan, dtype=np.float32)
        for place in found.keys() - faults.keys():
            vectors[place] = found[place]
        truncated = frozenset(place for place, text in enumerate(texts) if len(cut[place]) < len(text))
        return Embedded(vectors, faults, truncated, num_tokens)

    def _ask(self, texts: Sequence[str]) -> Answer:
        inputs, dimensions = [f"{self._prompt}{text}" for text in texts], self._config.dimensions
        payload = {"model": self._config.model, "input": inputs}
        asked = payload if dimensions is None else {**payload, "dimensions": dimensions}
        return self._api.post("embeddings", asked, num_tokens=sum(map(len, inputs)))


def read_vectors(answer: Answer, num_texts: int) -> dict[int, list[float]]:
    """The vectors in an answer by the place of their text, in whatever order they came."""
    rows = answer.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError("the server's answer has no list `data`; is this an address of embeddings?")
    found: dict[int, list[float]] = {}
    for position, row in enumerate(rows):
        place = row.get("index", position if len(rows) == num_texts else None)
        if not isinstance(place, int) or not 0 <= place < num_texts or place in found:
            raise UserError(
                f"the server's answer to {num_texts} texts says index {place}, which fits none of them"
            )
        try:
            # Gateways write null for a number that is none.
            found[place] = [math.nan if number is None else float(number) for number in row["embedding"]]
        except (KeyError, TypeError, ValueError):
            raise UserError("the server's answer holds an `embedding` that is no list of numbers") from None
    return found


def tokens_of(answer: Answer) -> int:
    """The tokens that an answer says were paid for, 0 where it says nothing."""
    usage = answer.get("usage")
    told = usage.get("total_tokens") if isinstance(usage, dict) else None
    return told if isinstance(told, int) else 0
