"""A language model's own last hidden states as vectors (RDS+, arXiv 2503.01807)."""

from collections.abc import Sequence

import numpy as np
import torch

from medtune.artifact import digest_of
from medtune.curate.embed_config import EmbedRuntime, StatesEmbedder
from medtune.curate.embedders import Basis, Embedded
from medtune.engines.batching import batch_by_length
from medtune.engines.loading import load_model, pick_device
from medtune.engines.rendering.control import begin_of_text, encode_plain
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError


class StatesModel:
    """A loaded causal language model without its head. See `embedders.Embedder`."""

    def __init__(self, config: StatesEmbedder, runtime: EmbedRuntime) -> None:
        if runtime.num_threads:
            torch.set_num_threads(runtime.num_threads)
        self._runtime, self._max_tokens = runtime, config.max_tokens
        self._device = pick_device(runtime.device)
        self._tokenizer = load_tokenizer(config.model)
        self._begin = begin_of_text(self._tokenizer)
        model = load_model(config.model, config.dtype)
        context = int(model.config.get_text_config().max_position_embeddings) - len(self._begin)
        if config.max_tokens > context:
            raise UserError(
                f"embedder.max_tokens {config.max_tokens}: {config.model} takes {context} tokens at most"
            )
        self._model = model.base_model.to(self._device)  # the layers without the head
        self._width = int(model.config.get_text_config().hidden_size)
        self.basis = Basis(
            model=digest_of(config.model),
            max_tokens=config.max_tokens,
            settings={"layer": "last", "mean": "weighted by position", "dtype": config.dtype},
        )

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of some texts, read as documents are: no template, no control tokens."""
        whole = [encode_plain(self._tokenizer, text) for text in texts]
        rows = [ids[: self._max_tokens] for ids in whole]
        vectors = np.full((len(texts), self._width), np.nan, dtype=np.float32)
        lengths = [len(self._begin) + len(ids) for ids in rows]
        limits = self._runtime
        for batch in batch_by_length(lengths, max_rows=limits.batch_size, max_tokens=limits.max_batch_tokens):
            vectors[batch] = self._read([rows[index] for index in batch])
        return Embedded(
            vectors,
            truncated=frozenset(place for place, ids in enumerate(whole) if len(ids) > self._max_tokens),
        )

    @torch.inference_mode()
    def _read(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """(rows, width) means of the last hidden states, token i of a text weighing i."""
        begin, longest = len(self._begin), max(map(len, rows))
        lengths = torch.tensor([len(ids) for ids in rows])
        ids = torch.zeros((len(rows), begin + longest), dtype=torch.long)
        ids[:, :begin] = torch.tensor(self._begin, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, begin : begin + len(row)] = torch.tensor(row)
        positions = torch.arange(1, longest + 1)
        is_text = positions <= lengths[:, None]
        attention = torch.cat([torch.ones(len(rows), begin, dtype=torch.bool), is_text], dim=1).long()
        states = self._model(
            input_ids=ids.to(self._device), attention_mask=attention.to(self._device), use_cache=False
        ).last_hidden_state
        # What a tokenizer writes before texts is the same for all of them, and its state drowns the others.
        weights = (positions * is_text).float().to(self._device)
        shares = weights / weights.sum(dim=1, keepdim=True)
        means = torch.einsum("rt,rtw->rw", shares, states[:, begin:].float())
        return means.cpu().numpy()
