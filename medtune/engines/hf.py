"""A model in this process through transformers: answers and likelihoods in batches of similar length."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import transformers
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedModel

from medtune.engines.base import (
    Asked,
    Choices,
    Delta,
    EngineInfo,
    Prompt,
    Reading,
    Refused,
    Request,
)
from medtune.engines.batching import Room, batch_by_length
from medtune.engines.config import BASE, EngineRuntime, HfEngine, Sampling
from medtune.engines.decoding.decode import Decoder, Step
from medtune.engines.decoding.drawing import Row
from medtune.engines.decoding.laying import OWN, Weights
from medtune.engines.decoding.likelihood import score_trees
from medtune.engines.decoding.reading import encode_texts, read_rows
from medtune.engines.decoding.scribing import Scribe
from medtune.engines.decoding.sharing import Job, Sharing
from medtune.engines.loading import check_base, load_model, pick_device, quantization_of
from medtune.engines.rendering.asking import check_thinking, encode_candidates, show_prompt
from medtune.engines.rendering.ending import list_ids
from medtune.engines.rendering.render import stop_ids
from medtune.engines.rendering.trees import Tree, grow_tree
from medtune.engines.tokenizing import open_tokenizer
from medtune.errors import UserError
from medtune.records import Completion, Likelihood


class HfInProcess:
    """A loaded model with its tokenizer. See `engines.base.Engine` for what the methods return."""

    def __init__(self, config: HfEngine, runtime: EngineRuntime) -> None:
        if runtime.num_threads:
            torch.set_num_threads(runtime.num_threads)
        self._config, self._runtime = config, runtime
        self.device = pick_device(runtime.device)
        self.tokenizer = open_tokenizer(config)
        for adapter in (config.adapter, *config.adapters.values()):
            if adapter:
                check_base(adapter, config.model)
        quantize = quantization_of(config.quantize, config.adapter)
        model = load_model(config.model, config.dtype, quantize=quantize, device=self.device)
        # The model's own end tokens stop it too (GLM-4 ends with <|user|>). Its other settings, such as a
        # repetition penalty, would act on answers unasked: only `sampling` speaks.
        ends = list_ids(model.generation_config.eos_token_id)
        model.generation_config = GenerationConfig()
        if quantize == "none":  # a quantised one is there already
            model.to(self.device)  # pyright: ignore[reportArgumentType]  # a wrapped method to pyright
        self._weights = Weights(model, config.adapter, config.adapters)
        self.stops = list(dict.fromkeys([*stop_ids(self.tokenizer), *ends]))
        self._max_positions = int(model.config.max_position_embeddings)
        self._answers_as = OWN
        self._words, self._turn = threading.Lock(), threading.RLock()
        """Held while the tokenizer, and while the model is used: both are one for all threads."""
        self._sharing = Sharing(self._new_decoder(), self._room, self._turn)

    @property
    def _room(self) -> Room:
        return Room(self._runtime.max_batch_rows, self._runtime.max_batch_tokens)

    @property
    def model(self) -> PreTrainedModel | PeftModel:
        """The model with its own adapter."""
        return self._weights.whole

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together, under the engine's own adapter."""
        return self.context_of(OWN)

    def context_of(self, adapter: str) -> int:
        """Tokens of prompt and answer together: what a learnt prefix takes is gone."""
        return self._max_positions - self._weights.num_virtual(adapter)

    def info(self) -> EngineInfo:
        """What answers."""
        config = self._config
        details = {
            "engine": "hf",
            "device": str(self.device),
            "dtype": config.dtype,
            "quantize": quantization_of(config.quantize, config.adapter),
            "adapter": str(config.adapter or ""),
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        }
        return EngineInfo(str(config.model), self._weights.names, self.context, details)

    def show(self, prompt: Prompt) -> Asked:
        """The text and token ids that a prompt becomes."""
        with self._words:
            return show_prompt(self.tokenizer, prompt)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, until: str = ""
    ) -> Iterator[tuple[int, Completion]]:
        """(index, completion) of each prompt as it is done; the longest prompts begin.

        The draw of each depends on the seed and its index, not on what else is in the batch.
        """
        asked = [self.show(prompt) for prompt in prompts]
        for index, (_, ids) in enumerate(asked):
            if len(ids) + sampling.max_new_tokens > self.context:
                raise UserError(
                    f"record {index + 1}: {len(ids)} prompt tokens and {sampling.max_new_tokens} new ones "
                    f"exceed the model's {self.context}; lower sampling.max_new_tokens or shorten the record"
                )
        rows = [
            Row(one.ids, sampling, seed=sampling.seed + index, adapter=self._answers_as)
            for index, one in enumerate(asked)
        ]
        scribes = {
            id(row): Scribe(self.tokenizer, one, prompt, stop=sampling.stop, until=until)
            for row, one, prompt in zip(rows, asked, prompts, strict=True)
        }
        places = {id(row): index for index, row in enumerate(rows)}
        is_watched = bool(sampling.stop or until)
        for row, finish in self._write(rows, scribes if is_watched else {}):
            scribe = scribes[id(row)]
            if not is_watched:
                scribe.feed_all(row.said, is_ended=finish == "stop")
            completion = scribe.finish(finish).completion
            assert completion
            yield places[id(row)], completion

    def _write(self, rows: Sequence[Row], scribes: Mapping[int, Scribe]) -> Iterator[tuple[Row, str]]:
        """Each row with how it finished, in turn: at an end token, at its length, or as its scribe says."""
        decoder, room = self._new_decoder(), self._room
        waiting = deque(sorted(rows, key=lambda row: -_reserve(row)))
        while waiting or decoder.rows:
            steps: list[Step] = []
            # A pass over new prompts is dear: rows wait until some can be read at once.
            if len(decoder.rows) <= (room.max_rows * 3 // 4 if decoder.can_join else 0):
                num = room.count_fitting([_reserve(row) for row in decoder.rows], map(_reserve, waiting))
                with self._turn:
                    steps += decoder.admit([waiting.popleft() for _ in range(num)])
            with self._turn:
                steps += decoder.step() if not steps else []
            for row, drawn, finish in steps:
                scribe = scribes.get(id(row))
                if scribe:
                    scribe.feed(drawn, is_end=finish == "stop")
                if scribe and scribe.is_ended and not finish:
                    decoder.drop(row)
                    finish = "stop"
                if finish:
                    yield row, finish

    def submit(self, request: Request, sink: Callable[[Delta], None]) -> Callable[[], None]:
        """What ends the answer early; requests share batches, whatever their adapters are."""
        prompt, sampling, adapter = request.prompt, request.sampling, request.adapter
        if adapter not in (OWN, *self._weights.names):
            raise Refused("model_not_found", f"there is no adapter {adapter!r}")
        try:
            asked = self.show(prompt)
            with self._words:
                check_thinking(self.tokenizer, prompt.thinking)
        except UserError as error:
            raise Refused("invalid_request", str(error)) from None
        if not asked.ids:
            raise Refused("invalid_request", "the prompt is empty")
        row = Row(asked.ids, sampling, sampling.seed, adapter, request.num_logprobs)
        num_tokens, context = _reserve(row), self.context_of(adapter)
        if num_tokens > context:
            raise Refused(
                "context_length_exceeded",
                f"{len(asked.ids)} prompt tokens and {sampling.max_new_tokens} new ones exceed the model's "
                f"{context} tokens",
            )
        scribe = Scribe(
            self.tokenizer, asked, prompt, stop=sampling.stop, with_tokens=request.num_logprobs is not None
        )
        job = Job(row, num_tokens, scribe, sink, threading.Event())
        self._sharing.submit(job)
        return job.is_cancelled.set

    def _new_decoder(self) -> Decoder:
        pad = self.tokenizer.pad_token_id
        assert isinstance(pad, int), "load_tokenizer sets it"
        return Decoder(self._weights, stops=self.stops, pad=pad)

    def rank(self, questions: Sequence[Choices]) -> Iterator[tuple[int, dict[str, Likelihood]]]:
        """(index, likelihoods by candidate key) of each question, in the order asked."""
        put = [(question, p) for question in questions for p in (question.prompt, question.prior) if p]
        encoded = encode_candidates(
            self.tokenizer, [(prompt, list(question.candidates.values())) for question, prompt in put]
        )
        trees: list[Tree] = []
        for (question, _), (begin, answers) in zip(put, encoded, strict=True):
            end = self.stops[:1] if question.is_closed else []
            trees.append(grow_tree(begin, [[*answer, *end] for answer in answers]))
        longest = max((tree.length for tree in trees), default=0)
        if longest > self.context:
            raise UserError(
                f"a question and answer have {longest} tokens and the model takes {self.context}; "
                "leave it out"
            )
        unique = list(dict.fromkeys(trees))
        pad = self.tokenizer.pad_token_id
        assert isinstance(pad, int), "load_tokenizer sets it"
        with self._turn, self._weights.as_opened() as model:
            found = score_trees(model, unique, batches=self._batches, pad=pad)
            scores = dict(zip(unique, found, strict=True))
        asked = iter(trees)
        for index, question in enumerate(questions):
            tree = next(asked)
            prior = scores[next(asked)] if question.prior is not None else [None] * len(tree.candidates)
            yield (
                index,
                {
                    key: Likelihood(
                        logprob=logprob, num_tokens=len(tokens), num_chars=len(text), prior_logprob=alone
                    )
                    for (key, text), tokens, logprob, alone in zip(
                        question.candidates.items(), tree.candidates, scores[tree], prior, strict=True
                    )
                },
            )

    def read(self, texts: Sequence[str]) -> Iterator[tuple[int, Reading]]:
        """(index, reading) of each plain text, the longest first."""
        rows = encode_texts(self.tokenizer, texts, context=self.context)
        with self._weights.as_opened() as model:
            yield from read_rows(model, rows, self._batches([len(row) for row in rows]))

    @contextmanager
    def without_adapter(self) -> Generator[None]:
        """While it lasts the base answers alone, from the same weights."""
        with self._weights.without_own():
            self._answers_as = BASE
            try:
                yield
            finally:
                self._answers_as = OWN

    def close(self) -> None:
        """Nothing; no answer is under way any more."""
        self._sharing.close()

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices in batches of similar length, as the runtime allows."""
        room = self._room
        return batch_by_length(lengths, max_rows=room.max_rows, max_tokens=room.max_tokens)


def _reserve(row: Row) -> int:
    """The tokens that a row may come to."""
    return len(row.ids) + row.sampling.max_new_tokens
