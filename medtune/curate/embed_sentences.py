"""Vectors from a model made for comparing texts, through sentence-transformers."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from medtune.artifact import digest_of
from medtune.curate.embed_config import EmbedRuntime, Role, SentenceEmbedder
from medtune.curate.embedders import Basis, Embedded
from medtune.curate.vectors import Prompts
from medtune.engines.batching import batch_by_length
from medtune.engines.loading import pick_device, torch_dtype
from medtune.engines.tokenizing import UNLOADABLE, locate
from medtune.errors import UserError

PASSAGE_PROMPTS = ("document", "passage", "corpus")
"""Names under which models are saved with what stands before a passage; the library looks for these too."""


class SentenceModel:
    """A loaded model. See `embedders.Embedder`."""

    def __init__(self, config: SentenceEmbedder, role: Role, runtime: EmbedRuntime) -> None:
        if runtime.num_threads:
            torch.set_num_threads(runtime.num_threads)
        self._runtime = runtime
        name, revision = locate(config.model, "modules.json")  # how its states become one vector
        disable_progress_bar()
        logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
        try:
            self._model = SentenceTransformer(
                name,
                revision=revision,
                device=str(pick_device(runtime.device)),
                trust_remote_code=False,
                truncate_dim=config.dimensions,
                model_kwargs={"dtype": torch_dtype(config.dtype), "use_safetensors": True},
            ).eval()
        except UNLOADABLE as error:
            raise UserError(f"{config.model}: cannot be loaded: {' '.join(str(error).split())}") from None
        tokenizer = self._model.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise UserError(f"{config.model}: its tokenizer is not one of transformers; take another model")
        self._tokenizer = tokenizer
        own = self._model.max_seq_length or tokenizer.model_max_length
        if config.max_length is not None and config.max_length > own:
            raise UserError(
                f"embedder.max_length {config.max_length}: {config.model} takes {own} tokens at most"
            )
        self._max_length = config.max_length or own
        self._model.max_seq_length = self._max_length
        prompts = prompts_of(config, self._model.prompts)
        self._prompt = prompts.query if role == "query" else prompts.passage
        self.basis = Basis(
            model=digest_of(config.model),
            prompts=prompts,
            max_tokens=self._max_length,
            settings={"dimensions": config.dimensions, "dtype": config.dtype},
        )

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of some texts, each with its prompt before it."""
        whole = self._tokenizer([f"{self._prompt}{text}" for text in texts], verbose=False)["input_ids"]
        lengths = [len(ids) for ids in whole]  # type: ignore[arg-type, union-attr]
        limits, width = self._runtime, self._max_length
        vectors: dict[int, np.ndarray] = {}
        for batch in batch_by_length(
            [min(length, width) for length in lengths],
            max_rows=limits.batch_size,
            max_tokens=limits.max_batch_tokens,
        ):
            found = self._model.encode(
                [texts[index] for index in batch],
                prompt=self._prompt,  # an empty one too, else the model's default would come in its place
                batch_size=len(batch),
                show_progress_bar=False,
                convert_to_numpy=True,
            )
            vectors |= zip(batch, np.asarray(found, dtype=np.float32), strict=True)
        return Embedded(
            np.stack([vectors[index] for index in range(len(texts))]),
            truncated=frozenset(place for place, length in enumerate(lengths) if length > width),
        )


def prompts_of(config: SentenceEmbedder, saved: Mapping[str, str | None]) -> Prompts:
    """What stands before texts of either role: as told, else as the model was saved."""
    passage = next((words for name in PASSAGE_PROMPTS if (words := saved.get(name))), "")
    return Prompts(
        query=(saved.get("query") or "") if config.query_prompt is None else config.query_prompt,
        passage=passage if config.passage_prompt is None else config.passage_prompt,
    )
