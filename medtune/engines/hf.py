"""A model in this process through transformers: answers and likelihoods in batches of similar length."""

from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import log_softmax
from transformers import GenerationConfig, PreTrainedTokenizerBase

from medtune.engines.base import Choices, Prompt, Reading
from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.engines.dress import dress
from medtune.engines.ending import list_ids
from medtune.engines.loading import (
    check_base,
    lay_adapter,
    load_model,
    load_tokenizer,
    quantization_of,
    quiet_peft,
    virtual_tokens,
)
from medtune.engines.reading import encode_texts, read_rows
from medtune.engines.render import decode, encode, prompt_text, render_prompt, stop_ids
from medtune.errors import UserError
from medtune.records import Completion, Likelihood
from medtune.scorers.thinking import split_thinking

Ids = tuple[int, ...]


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
        self.device = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if runtime.device == "auto" else runtime.device
        )
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

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """(index, completion) of each prompt, the longest prompts first."""
        rendered = [render_prompt(self.tokenizer, messages, tools=tools) for messages, tools in prompts]
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
                )
            for row, index in enumerate(batch):
                yield index, self._complete(len(rendered[index]), output[row, inputs.shape[1] :].tolist())

    def _complete(self, prompt_tokens: int, ids: list[int]) -> Completion:
        """A completion from generated ids, cut at the first end token."""
        end = next((position for position, token in enumerate(ids) if token in self.stops), None)
        thinking = split_thinking(decode(self.tokenizer, ids if end is None else ids[:end]))
        return Completion(
            text=thinking.answer,
            reasoning=thinking.reasoning,
            finish="length" if end is None else "stop",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(ids) if end is None else end + 1,
        )

    def rank(self, questions: Sequence[Choices]) -> Iterator[tuple[int, dict[str, Likelihood]]]:
        """(index, likelihoods by candidate key) of each question, in the order asked."""
        jobs: list[tuple[Ids, Ids]] = []
        for question in questions:
            for messages, tools in filter(None, (question.prompt, question.prior)):
                prompt = prompt_text(self.tokenizer, messages, tools=tools)
                jobs += [
                    self._split(prompt, text, question.is_closed) for text in question.candidates.values()
                ]
        longest = max((len(begin) + len(answer) for begin, answer in jobs), default=0)
        if longest > self.context:
            raise UserError(
                f"a question and answer have {longest} tokens and the model takes {self.context}; "
                "leave it out"
            )
        logprobs = iter(zip(jobs, self._logprobs(jobs), strict=True))
        for index, question in enumerate(questions):
            given = [next(logprobs) for _ in question.candidates]
            alone = (
                [next(logprobs)[1] for _ in question.candidates]
                if question.prior is not None
                else [None] * len(given)
            )
            yield (
                index,
                {
                    key: Likelihood(
                        logprob=logprob, num_tokens=len(answer), num_chars=len(text), prior_logprob=prior
                    )
                    for (key, text), ((_, answer), logprob), prior in zip(
                        question.candidates.items(), given, alone, strict=True
                    )
                },
            )

    def _split(self, prompt: str, text: str, is_closed: bool) -> tuple[Ids, Ids]:
        """Token ids of prompt and candidate.

        A candidate that would melt into the prompt's last token has no likelihood and is refused.
        """
        begin, answer = encode(self.tokenizer, prompt), encode(self.tokenizer, text)
        if encode(self.tokenizer, prompt + text)[: len(begin)] != begin:
            raise UserError(
                f"the prompt's end {prompt[-8:]!r} and the answer {text[:8]!r} share a token, "
                "so the answer's likelihood is not defined; use another preset"
            )
        return tuple(begin), (*answer, *self.stops[:1]) if is_closed else tuple(answer)

    @torch.inference_mode()
    def _logprobs(self, jobs: Sequence[tuple[Ids, Ids]]) -> list[float]:
        """Summed log-probability of each answer after its context; equal jobs are computed once."""
        done = dict.fromkeys(jobs, 0.0)
        todo = list(done)
        for batch in self._batches([len(begin) + len(answer) for begin, answer in todo]):
            inputs, attention = self._pad([[*todo[index][0], *todo[index][1]] for index in batch], left=False)
            # Only logits that some answer needs are computed.
            first = min(len(todo[index][0]) for index in batch) - 1
            keep = inputs.shape[1] - first
            logits = self.model(
                input_ids=inputs, attention_mask=attention, logits_to_keep=keep
            ).logits.float()
            for row, index in enumerate(batch):
                begin, answer = todo[index]
                start = len(begin) - 1 - first
                scores = log_softmax(logits[row, start : start + len(answer)], dim=-1)
                chosen = scores.gather(1, torch.tensor(answer, device=scores.device).unsqueeze(1))
                done[todo[index]] = float(chosen.sum())
        return [done[job] for job in jobs]

    def _batches(self, lengths: Sequence[int], *, is_equal: bool = False) -> Iterator[list[int]]:
        """Indices in batches of similar length, or of one only, within the token budget.

        The longest come first, so that memory fails early.
        """
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
            widest = lengths[batch[0]] if batch else 0
            if batch and (
                len(batch) == self.runtime.max_batch_rows
                or (is_equal and lengths[index] != widest)
                or widest * (len(batch) + 1) > self.runtime.max_batch_tokens
            ):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

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

    def read(self, texts: Sequence[str], *, is_bare: bool = False) -> Iterator[tuple[int, Reading]]:
        """(index, reading) of each plain text, the longest first."""
        rows = encode_texts(self.tokenizer, texts, context=self.context)
        yield from read_rows(self.model, rows, self._batches([len(row) for row in rows]), is_bare=is_bare)
