"""Messages -> token ids, and which of them are answers.

The only renderer: training, preview, prediction and serving all call it. The tokenizer's own chat template
does the wording. An answer is tokenised apart from its prompt, because that is how a model meets it at
inference: the prompt is whole before the first answer token exists.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from medtune.errors import UserError
from medtune.records import Message


class Rendered(NamedTuple):
    """One training sequence."""

    ids: list[int]
    is_answer: list[bool]
    """Same length as ids: True for what the model is to learn to say, its end token included."""


def render_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids of a talk up to where the assistant begins to answer."""
    return encode(tokenizer, prompt_text(tokenizer, messages))


def render_dialogue(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[Rendered]:
    """The training sequences of a talk: each answer after exactly the ids that inference would put before it.

    Usually that is one sequence with several answers. Where the template words earlier turns differently once
    a later turn is there (Qwen3 drops old thinking), or a model ends its answer with a token that the
    template does not write (GLM-4), the talk becomes one sequence per answer.
    """
    sequences: list[Rendered] = []
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = prompt_text(tokenizer, messages[:index])
        whole = apply_template(tokenizer, messages[: index + 1])
        if not whole.startswith(prompt):
            raise UserError(
                "the chat template words the prompt differently once the answer is there, so training could "
                f"not match inference; prompt ends {prompt[-40:]!r}, "
                f"with answer {whole[: len(prompt)][-40:]!r}"
            )
        prompt_ids = encode(tokenizer, prompt)
        answer_ids, answer_length = end_answer(tokenizer, encode(tokenizer, whole[len(prompt) :]))
        is_answer = [position < answer_length for position in range(len(answer_ids))]
        last = sequences[-1].ids if sequences else None
        if last is not None and prompt_ids[: len(last)] == last:
            between = len(prompt_ids) - len(last)
            ids = prompt_ids + answer_ids
            sequences[-1] = Rendered(ids, sequences[-1].is_answer + [False] * between + is_answer)
        else:
            sequences.append(Rendered(prompt_ids + answer_ids, [False] * len(prompt_ids) + is_answer))
    return sequences


def end_answer(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> tuple[list[int], int]:
    """The ids of an answer, ended by a token that stops generation, and how many of them are to be learnt.

    What the template writes after that token (ChatML has a newline) stays, unlearnt. Where it writes none,
    the tokenizer's own end token is added.
    """
    stops = stop_ids(tokenizer)
    last = max((position for position, token in enumerate(ids) if token in stops), default=None)
    if last is None:
        return [*ids, end_id(tokenizer)], len(ids) + 1
    return ids, last + 1


def end_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The tokenizer's own end token; one without is refused."""
    end = tokenizer.eos_token_id
    if end is None:
        raise UserError(
            f"{tokenizer.name_or_path}: the tokenizer has no eos_token, so no answer could ever end; set one"
        )
    assert isinstance(end, int)
    return end


def stop_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end an answer.

    First the special token that the template closes a turn with, then the tokenizer's end token.
    """
    end = end_id(tokenizer)
    turn = [Message(role="user", content="。"), Message(role="assistant", content="。")]
    tail = apply_template(tokenizer, turn).rpartition("。")[2]
    closing = [token for token in encode(tokenizer, tail) if token in tokenizer.all_special_ids]
    return list(dict.fromkeys([*closing[:1], end]))


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """The text before an answer, ending in the assistant's header."""
    return apply_template(tokenizer, messages, is_prompt=True)


def apply_template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, is_prompt: bool = False
) -> str:
    """The text that the tokenizer's own chat template makes of messages."""
    if not tokenizer.chat_template:
        raise UserError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template; use the model's instruct "
            "version, or put the template of its family into the directory as chat_template.jinja"
        )
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=is_prompt)
    except TemplateError as error:
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template refuses these messages: {error}"
        ) from None
    assert isinstance(text, str)
    return text


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text, nothing added: templates write their own special tokens."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[return-value]


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of generated ids, without the end token and other special tokens."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True)
    assert isinstance(text, str)
    return text
