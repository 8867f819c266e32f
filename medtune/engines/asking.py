"""A prompt -> what the model gets: text and token ids."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from medtune.engines.base import Asked, Prompt
from medtune.engines.control import encode, fence
from medtune.engines.render import prompt_text
from medtune.engines.trees import Ids, count_alike
from medtune.errors import UserError

OPEN = "<think>"


def show_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> Asked:
    """The text that a prompt becomes, what is typed like a control token still fenced, and its token ids."""
    text = word_prompt(tokenizer, prompt)
    return Asked(text, encode_prompt(tokenizer, prompt, text))


def word_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """The text before the answer, its lead included."""
    if prompt.is_text:
        (message,) = prompt.messages
        return fence(tokenizer, message.content) + prompt.lead
    text = prompt_text(tokenizer, prompt.messages, tools=prompt.tools)
    if prompt.lead.startswith(OPEN) and text.rstrip().endswith(OPEN):  # the template opens the block itself
        return text.rstrip() + prompt.lead.removeprefix(OPEN)
    return text + prompt.lead


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, text: str) -> list[int]:
    """Token ids of a worded prompt. A plain text begins as the tokenizer begins texts, some with a sign."""
    ids = encode(tokenizer, text)
    begin = list(tokenizer("")["input_ids"])[:1] if prompt.is_text else []  # type: ignore[arg-type]
    return [*begin, *ids] if begin == [tokenizer.bos_token_id] else ids


def encode_candidates(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, candidates: Sequence[str]
) -> tuple[Ids, list[Ids]]:
    """Token ids of a prompt and of each candidate answer behind it.

    A candidate that would melt into the prompt's last token has no likelihood and is refused.
    """
    text = word_prompt(tokenizer, prompt)
    begin = tuple(encode_prompt(tokenizer, prompt, text))
    answers: list[Ids] = []
    for candidate in candidates:
        whole = tuple(encode_prompt(tokenizer, prompt, text + candidate))
        if count_alike(whole, begin) < len(begin):
            melted = tokenizer.decode(whole[count_alike(whole, begin)])
            raise UserError(
                f"the prompt's end {text[-8:]!r} and the answer {candidate[:8]!r} share a token "
                f"{melted!r}, so the answer's likelihood is not defined; use another preset"
            )
        answers.append(tuple(encode(tokenizer, candidate)))
    return begin, answers
