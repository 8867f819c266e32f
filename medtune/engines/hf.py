"""A model in this process through transformers: answers and likelihoods in batches of similar length."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedTokenizerBase

from medtune.engines.asking import OPEN, encode_candidates, show_prompt
from medtune.engines.base import Asked, Choices, Prompt, Reading
from medtune.engines.batching import batch_by_length
from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.engines.dress import dress
from medtune.engines.ending import list_ids
from medtune.engines.likelihood import score_trees
from medtune.engines.loading import (
    check_base,
    lay_adapter,
    load_model,
    load_tokenizer,
    pick_device,
    quantization_of,
    quiet_peft,
    virtual_tokens,
)
from medtune.engines.reading import encode_texts, read_rows
from medtune.engines.render import decode, stop_ids
from medtune.engines.trees import Tree, grow_tree
from medtune.errors import UserError
from medtune.records import Completion, Likelihood
from medtune.scorers.thinking import split_thinking


def open_tokenizer(config: HfEngine) -> PreTrainedTokenizerBase:
    """The tokenizer that the answers are trained on: an adapter's own, where it was saved with one."""
    adapter = config.adapter
    has_own = adapter is not None and (adapter.path / "tokenizer.json").is_file()
    tokenizer = load_tokenizer(adapter if adapter is not None and has_own else config.model)
    if config.template or config.thinking:
        dress(tokenizer, template=config.template, thinking=config.thinking)
    return tokenizer


class HfInProcess:
    """A loaded model with its tokenizer. See `engines.base.Engine` for what the methods return."""

    def __init__(self, config: HfEngine, runtime: EngineRuntime) -> None:
        if runtime.num_threads:
            torch.set_num_threads(runtime.num_threads)
        self.runtime = runtime
        self.device = pick_device(runtime.device)
        self.tokenizer = open_tokenizer(config)
        if config.adapter:
            check_base(config.adapter, config.model)
        quantize = quantization_of(config.quantize, config.adapter)
        model = load_model(config.model, config.dtype, quantize=quantize, device=self.device)
        # The model's own end tokens stop it too (GLM-4 ends with <|user|>). Its other settings, such as a
        # repetition penalty, would act on answers unasked: only `sampling` speaks.
        ends = list_ids(model.generation_config.eos_token_id)
        model.generation_config = GenerationConfig()
        whole = lay_adapter(model, config.adapter) if config.adapter else model
        if quantize == "none":  # a quantised one is there already
            whole.to(self.device)  # pyright: ignore[reportArgumentType]  # a wrapped method to pyright
        self.model = whole
        self.stops = list(dict.fromkeys([*stop_ids(self.tokenizer), *ends]))
        self.num_virtual = virtual_tokens(whole)
        self.context = int(model.config.max_position_embeddings) - self.num_virtual

    def show(self, prompt: Prompt) -> Asked:
        """The text and token ids that a prompt becomes."""
        return show_prompt(self.tokenizer, prompt)

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, until: str = ""
    ) -> Iterator[tuple[int, Completion]]:
        """(index, completion) of each prompt, the longest prompts first."""
        asked = [self.show(prompt) for prompt in prompts]
        rendered = [one.ids for one in asked]
        for index, ids in enumerate(rendered):
            if len(ids) + sampling.max_new_tokens > self.context:
                raise UserError(
                    f"record {index + 1}: {len(ids)} prompt tokens and {sampling.max_new_tokens} new ones "
                    f"exceed the model's {self.context}; lower sampling.max_new_tokens or shorten the record"
                )
        lengths = [len(ids) + sampling.max_new_tokens for ids in rendered]
        # Padding on the left would stand between a learnt prefix and the text, where training had none.
        for batch in self._batches(lengths, is_equal=self.num_virtual > 0):
            inputs, attention = self._pad([rendered[index] for index in batch], left=True)
            torch.manual_seed(sampling.seed + batch[0])  # the same draw whatever was answered before
            is_greedy = sampling.temperature == 0
            with quiet_peft():
                output = self.model.generate(  # pyright: ignore[reportCallIssue]
                    input_ids=inputs,
                    attention_mask=attention,
                    max_new_tokens=sampling.max_new_tokens,
                    do_sample=not is_greedy,
                    temperature=None if is_greedy else sampling.temperature,
                    top_p=None if is_greedy else sampling.top_p,
                    top_k=None if is_greedy else sampling.top_k,
                    eos_token_id=self.stops,
                    pad_token_id=self.tokenizer.pad_token_id,
                    stop_strings=until or None,
                    tokenizer=self.tokenizer if until else None,
                )
            for row, index in enumerate(batch):
                yield index, self._complete(asked[index], output[row, inputs.shape[1] :].tolist())

    def _complete(self, asked: Asked, ids: list[int]) -> Completion:
        """A completion from generated ids, cut at the first end token.

        Where the prompt opens a think block, what comes without its end is thinking and no answer.
        """
        end = next((position for position, token in enumerate(ids) if token in self.stops), None)
        thinking = split_thinking(decode(self.tokenizer, ids if end is None else ids[:end]))
        is_thought = thinking.reasoning is None and asked.text.rstrip().endswith(OPEN)
        return Completion(
            text="" if is_thought else thinking.answer,
            reasoning=thinking.answer if is_thought else thinking.reasoning,
            finish="length" if end is None else "stop",
            prompt_tokens=len(asked.ids),
            completion_tokens=len(ids) if end is None else end + 1,
        )

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
        scores = dict(
            zip(unique, score_trees(self.model, unique, batches=self._batches, pad=pad), strict=True)
        )
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
        yield from read_rows(self.model, rows, self._batches([len(row) for row in rows]))

    @contextmanager
    def without_adapter(self) -> Generator[None]:
        """While it lasts the base answers alone, from the same weights."""
        if not isinstance(self.model, PeftModel):
            raise UserError("the engine has no adapter that could be switched off; name engine.adapter")
        with self.model.disable_adapter():
            yield

    def _batches(self, lengths: Sequence[int], *, is_equal: bool = False) -> Iterator[list[int]]:
        """Indices in batches of similar length, or of one only, as the runtime allows."""
        runtime = self.runtime
        return batch_by_length(
            lengths, max_rows=runtime.max_batch_rows, max_tokens=runtime.max_batch_tokens, is_equal=is_equal
        )

    def _pad(self, rows: Sequence[list[int]], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, longest) token ids and attention mask."""
        longest = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        assert isinstance(pad, int), "load_tokenizer sets it"
        ids = torch.full((len(rows), longest), pad)
        attention = torch.zeros((len(rows), longest), dtype=torch.long)
        for row, tokens in enumerate(rows):
            part = slice(longest - len(tokens), longest) if left else slice(0, len(tokens))
            ids[row, part] = torch.tensor(tokens)
            attention[row, part] = 1
        return ids.to(self.device), attention.to(self.device)
