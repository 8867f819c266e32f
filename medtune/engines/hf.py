"""A model in this process through transformers: answers and likelihoods in batches of similar length."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from torch.nn.functional import log_softmax
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from medtune.config import Input
from medtune.engines.base import Choices
from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.engines.render import decode, encode, prompt_text, render_prompt, stop_ids
from medtune.errors import UserError
from medtune.records import Completion, Likelihood, Message
from medtune.scorers.thinking import split_thinking

Ids = tuple[int, ...]
UNLOADABLE = (OSError, ValueError, RuntimeError, SafetensorError, StrictDataclassError)
"""What the libraries raise on files that are damaged, of another shape, or not of their kind."""
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


class Loadable(NamedTuple):
    """What transformers' from_pretrained wants of a model: never remote code, never pickles."""

    name: str
    revision: str | None


def locate(source: Input, *files: str) -> Loadable:
    """Where to load from. A directory must hold one of `files`; the error says which is missing."""
    if source.is_hub_id:
        name, _, revision = source.partition("@")
        return Loadable(name, revision or None)
    folder = source.path
    if not folder.is_dir():
        raise UserError(f"{source}: no such model directory")
    if files and not any(next(folder.glob(pattern), None) for pattern in files):
        raise UserError(
            f"{source}: holds none of {', '.join(files)}; "
            "name a directory that holds a saved model and its tokenizer"
        )
    return Loadable(str(folder), None)


def load_tokenizer(source: Input) -> PreTrainedTokenizerBase:
    """The tokenizer of a model or tokenizer directory, padding set up."""
    name, revision = locate(source, "tokenizer.json", "tokenizer.model", "vocab.json")
    disable_progress_bar()  # transformers' bars count files; ours count what a user waits for
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    except UNLOADABLE as error:
        raise UserError(f"{source}: its tokenizer cannot be loaded: {' '.join(str(error).split())}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(source: Input, dtype: str) -> PreTrainedModel:
    """The weights of a model directory or hub id, on CPU, in evaluation mode."""
    name, revision = locate(source, *WEIGHTS)
    locate(source, "config.json")
    disable_progress_bar()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
            name,
            revision=revision,
            dtype=torch_dtype(dtype),
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except UNLOADABLE as error:
        raise UserError(f"{source}: cannot be loaded: {' '.join(str(error).split())}") from None
    if report["missing_keys"]:
        lost = min(report["missing_keys"])
        raise UserError(f"{source}: lacks weights, such as {lost}; fetch or save the model again")
    return model.eval()


def torch_dtype(name: str) -> torch.dtype:
    """The torch type of a config's dtype name."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def lay_adapter(model: PreTrainedModel, adapter: Input) -> PeftModel:
    """The model with a saved adapter over it."""
    locate(adapter, "adapter_config.json")
    name, revision = locate(adapter, "adapter_model.safetensors")
    try:
        laid = PeftModel.from_pretrained(model, name, revision=revision).eval()
    except UNLOADABLE as error:
        raise UserError(
            f"{adapter}: does not fit this model; name its own base: {' '.join(str(error).split()):.300}"
        ) from None
    if not adapter.is_hub_id:
        with safe_open(adapter.path / "adapter_model.safetensors", framework="pt") as saved:
            strays = set(saved.keys()) ^ set(get_peft_model_state_dict(laid, save_embedding_layers=False))
        if lost := sorted(name for name in strays if ".lora_" in name):  # PEFT passes them over
            raise UserError(
                f"{adapter}: does not fit this model, which has no place for {lost[0]}; name its own base"
            )
    return laid


class HfInProcess:
    """A loaded model with its tokenizer. See `engines.base.Engine` for what the methods return."""

    def __init__(self, config: HfEngine, runtime: EngineRuntime) -> None:
        if runtime.num_threads:
            torch.set_num_threads(runtime.num_threads)
        self.runtime = runtime
        self.device = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if runtime.device == "auto" else runtime.device
        )
        self.tokenizer = load_tokenizer(config.model)
        model = load_model(config.model, config.dtype)
        # The model's own end tokens stop it too (GLM-4 ends with <|user|>). Its other settings, such as a
        # repetition penalty, would act on answers unasked: only `sampling` speaks.
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
        model.generation_config = GenerationConfig()
        whole = lay_adapter(model, config.adapter) if config.adapter else model
        self.model = whole.to(self.device)  # pyright: ignore[reportArgumentType]  # a wrapped method to pyright
        self.stops = list(dict.fromkeys([*stop_ids(self.tokenizer), *ends]))
        self.context = int(model.config.max_position_embeddings)

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """(index, completion) of each prompt, the longest prompts first."""
        rendered = [render_prompt(self.tokenizer, messages) for messages in prompts]
        for index, ids in enumerate(rendered):
            if len(ids) + sampling.max_new_tokens > self.context:
                raise UserError(
                    f"record {index + 1}: {len(ids)} prompt tokens and {sampling.max_new_tokens} new ones "
                    f"exceed the model's {self.context}; lower sampling.max_new_tokens or shorten the record"
                )
        for batch in self._batches([len(ids) + sampling.max_new_tokens for ids in rendered]):
            inputs, attention = self._pad([rendered[index] for index in batch], left=True)
            torch.manual_seed(sampling.seed + batch[0])  # the same draw whatever was answered before
            is_greedy = sampling.temperature == 0
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
            contexts = [question.messages] if question.prior is None else [question.messages, question.prior]
            for messages in contexts:
                prompt = prompt_text(self.tokenizer, messages)
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

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices in batches of similar length within the token budget.

        The longest come first, so that memory fails early.
        """
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
            widest = lengths[batch[0]] if batch else 0
            if batch and (
                len(batch) == self.runtime.max_batch_rows
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


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Nothing; weights as safetensors, tokenizer and its chat template side by side."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
