"""One renderer: what training puts before an answer is, id by id, what inference puts before it."""

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest
from transformers import PreTrainedTokenizerBase

from medtune.config import Input
from medtune.engines.rendering.render import (
    Rendered,
    decode,
    encode,
    prompt_text,
    render_dialogue,
    render_prompt,
    stop_ids,
)
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Message

CHATML = """
{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\n你是健康助手。<|im_end|>\n' }}{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""

QWEN3 = """
{%- set ns = namespace(last=-1) %}
{%- for message in messages %}
  {%- if message.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
  {%- set thought = '' %}{%- set content = message.content %}
  {%- if message.role == 'assistant' and '</think>' in content %}
    {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
    {%- set content = content.split('</think>')[-1].lstrip('\n') %}
  {%- endif %}
  {{- '<|im_start|>' + message.role + '\n' }}
  {%- if message.role == 'assistant' and loop.index0 > ns.last %}
    {{- '<think>\n' + thought + '\n</think>\n\n' }}
  {%- endif %}
  {{- content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""

GLM4 = """{{- '[gMASK]<sop>' }}
{%- for message in messages %}{{- '<|' + message.role + '|>\n' + message.content }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"""

LLAMA3 = """{{- '<|begin_of_text|>' }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"""


class Family(NamedTuple):
    template: str
    special: tuple[str, ...]
    end_token: str
    """The tokenizer's eos_token."""
    answer: str
    """What is learnt of the answer {}, the token that stops it included."""
    num_sequences: int
    """Of a talk with two answers."""


FAMILIES = {
    "chatml": Family(CHATML, (), "<|im_end|>", "{}<|im_end|>", 1),
    "qwen3": Family(QWEN3, (), "<|im_end|>", "<think>\n\n</think>\n\n{}<|im_end|>", 2),
    "glm4": Family(
        GLM4,
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),
        "<|endoftext|>",
        "\n{}<|endoftext|>",
        2,
    ),
    "llama3": Family(
        LLAMA3,
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|endoftext|>",
        "{}<|eot_id|>",
        1,
    ),
}


def say(*turns: tuple[str, str]) -> list[Message]:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [Message.model_validate({"role": roles[role], "content": content}) for role, content in turns]


TALKS = {
    "one": say(("u", "感冒怎么办？"), ("a", "多喝水。")),
    "system": say(("s", "只说中文。"), ("u", "血压 140/90 高吗？"), ("a", "偏高，\n请复查。")),
    "two": say(("u", "头痛"), ("a", "多久了？"), ("u", "三天"), ("a", "请看神经内科。")),
    "three": say(
        ("s", "短答"), ("u", "咳"), ("a", "有痰吗"), ("u", "有"),
        ("a", "发烧吗"), ("u", "没"), ("a", "先观察"),
    ),
    "ends with the user": say(("u", "头痛"), ("a", "多久了？"), ("u", "三天")),
}  # fmt: skip


@pytest.fixture
def plain_tokenizer(tiny_tokenizer_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(Input(tiny_tokenizer_dir))


def dress(tokenizer: PreTrainedTokenizerBase, family: Family) -> PreTrainedTokenizerBase:
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", *family.special]})  # type: ignore[dict-item]
    tokenizer.eos_token = family.end_token
    tokenizer.chat_template = family.template
    return tokenizer


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture
def tokenizer(plain_tokenizer: PreTrainedTokenizerBase, family: Family) -> PreTrainedTokenizerBase:
    return dress(plain_tokenizer, family)


class Learnt(NamedTuple):
    before: list[int]
    answer: list[int]


def learnt_parts(sequences: list[Rendered]) -> list[Learnt]:
    """Every unbroken stretch of answer ids, with all that stands before it."""
    parts: list[Learnt] = []
    for ids, is_answer, _ in sequences:
        assert len(ids) == len(is_answer)
        position = 0
        for is_learnt, group in groupby(is_answer):
            length = len(list(group))
            if is_learnt:
                parts.append(Learnt(ids[:position], ids[position : position + length]))
            position += length
    return parts


# ---- training and inference see the same ----


@pytest.mark.parametrize("talk", TALKS)
def test_each_answer_is_trained_after_the_ids_that_inference_gets(
    tokenizer: PreTrainedTokenizerBase, talk: str
) -> None:
    messages = TALKS[talk]
    prompts = [
        render_prompt(tokenizer, messages[:index])
        for index, message in enumerate(messages)
        if message.role == "assistant"
    ]
    assert [part.before for part in learnt_parts(render_dialogue(tokenizer, messages))] == prompts


@pytest.mark.parametrize("talk", TALKS)
def test_answers_are_learnt_with_their_stop_and_nothing_else_is(
    tokenizer: PreTrainedTokenizerBase, family: Family, talk: str
) -> None:
    parts = learnt_parts(render_dialogue(tokenizer, TALKS[talk]))
    answers = [message.content for message in TALKS[talk] if message.role == "assistant"]
    assert [tokenizer.decode(part.answer) for part in parts] == [
        family.answer.format(answer) for answer in answers
    ]
    assert all(part.answer[-1] in stop_ids(tokenizer) for part in parts)
    assert all(not set(part.answer[:-1]) & set(stop_ids(tokenizer)) for part in parts)


def test_a_template_that_keeps_history_gives_one_sequence_and_others_one_per_answer(
    tokenizer: PreTrainedTokenizerBase, family: Family
) -> None:
    assert len(render_dialogue(tokenizer, TALKS["one"])) == 1
    assert len(render_dialogue(tokenizer, TALKS["two"])) == family.num_sequences


def test_every_token_of_the_template_is_in_the_sequence(
    tokenizer: PreTrainedTokenizerBase, family: Family
) -> None:
    (sequence,) = render_dialogue(tokenizer, TALKS["one"])
    whole = tokenizer.apply_chat_template(
        [{"role": message.role, "content": message.content} for message in TALKS["one"]], tokenize=False
    )
    added = family.end_token if family is FAMILIES["glm4"] else ""
    assert tokenizer.decode(sequence.ids) == whole + added


def test_the_closing_token_of_the_template_stops_first_then_the_tokenizers_own(
    tokenizer: PreTrainedTokenizerBase, family: Family
) -> None:
    closing = family.answer.partition("{}")[2]
    tokens = list(dict.fromkeys([closing, family.end_token]))
    assert stop_ids(tokenizer) == [tokenizer.convert_tokens_to_ids(token) for token in tokens]


def test_a_default_system_prompt_is_part_of_the_prompt(plain_tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer = dress(plain_tokenizer, FAMILIES["chatml"])
    (part,) = learnt_parts(render_dialogue(tokenizer, TALKS["one"]))
    assert tokenizer.decode(part.before).startswith("<|im_start|>system\n你是健康助手。<|im_end|>\n")


def test_the_template_of_our_own_tokenizer_gives_one_sequence(
    plain_tokenizer: PreTrainedTokenizerBase,
) -> None:
    (sequence,) = render_dialogue(plain_tokenizer, TALKS["three"])
    assert [tokenizer_text(plain_tokenizer, part) for part in learnt_parts([sequence])] == [
        "有痰吗<|im_end|>",
        "发烧吗<|im_end|>",
        "先观察<|im_end|>",
    ]


def tokenizer_text(tokenizer: PreTrainedTokenizerBase, part: Learnt) -> str:
    text = tokenizer.decode(part.answer)
    assert isinstance(text, str)
    return text


def test_a_talk_without_an_answer_gives_nothing_to_train_on(tokenizer: PreTrainedTokenizerBase) -> None:
    assert render_dialogue(tokenizer, say(("u", "你好"))) == []


# ---- thinking ----

THOUGHT = say(
    ("u", "头痛"), ("a", "<think>先问多久</think>\n\n多久了？"),
    ("u", "三天"), ("a", "<think>该转诊</think>\n\n去医院。"),
)  # fmt: skip


def test_thinking_stays_in_the_learnt_answer_and_leaves_the_history(
    plain_tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer = dress(plain_tokenizer, FAMILIES["qwen3"])
    first, second = learnt_parts(render_dialogue(tokenizer, THOUGHT))
    assert tokenizer.decode(first.answer) == "<think>\n先问多久\n</think>\n\n多久了？<|im_end|>"
    assert tokenizer.decode(second.answer) == "<think>\n该转诊\n</think>\n\n去医院。<|im_end|>"
    assert "先问多久" not in tokenizer.decode(second.before)
    assert "多久了？" in tokenizer.decode(second.before)


def test_thinking_stays_in_history_where_the_template_leaves_it(
    plain_tokenizer: PreTrainedTokenizerBase,
) -> None:
    (sequence,) = render_dialogue(dress(plain_tokenizer, FAMILIES["chatml"]), THOUGHT)
    assert plain_tokenizer.decode(sequence.ids).count("先问多久") == 1
    assert len(learnt_parts([sequence])) == 2


def test_think_tags_are_one_token_each_and_survive_decoding(plain_tokenizer: PreTrainedTokenizerBase) -> None:
    text = "<think>高血压？\n查一下</think>\n\n少吃盐 😀 5mg。"
    ids = encode(plain_tokenizer, text)
    assert decode(plain_tokenizer, ids) == text
    assert [len(encode(plain_tokenizer, tag)) for tag in ("<think>", "</think>")] == [1, 1]


def test_decoding_leaves_out_the_end_token_and_turn_marks(plain_tokenizer: PreTrainedTokenizerBase) -> None:
    ids = encode(plain_tokenizer, "好的<|im_end|><|endoftext|><|im_start|>")
    assert decode(plain_tokenizer, ids) == "好的"


# ---- what is refused ----


def test_a_tokenizer_without_a_template_is_refused(plain_tokenizer: PreTrainedTokenizerBase) -> None:
    plain_tokenizer.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        render_prompt(plain_tokenizer, TALKS["one"])


def test_a_template_that_words_the_prompt_differently_with_the_answer_is_refused(
    plain_tokenizer: PreTrainedTokenizerBase,
) -> None:
    head, _, tail = CHATML.rpartition("assistant\n")
    plain_tokenizer.chat_template = f"{head}assistant\n答：{tail}"
    assert prompt_text(plain_tokenizer, TALKS["one"][:1]).endswith("答：")
    with pytest.raises(UserError, match="words the prompt differently"):
        render_dialogue(plain_tokenizer, TALKS["one"])


def test_what_the_template_refuses_is_the_users_to_mend(plain_tokenizer: PreTrainedTokenizerBase) -> None:
    plain_tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(UserError, match="roles must alternate"):
        render_prompt(plain_tokenizer, TALKS["one"])


def test_a_tokenizer_without_an_end_token_is_refused(plain_tokenizer: PreTrainedTokenizerBase) -> None:
    plain_tokenizer.eos_token = None
    with pytest.raises(UserError, match="no eos_token"):
        render_dialogue(plain_tokenizer, TALKS["one"])


def test_a_template_that_loses_an_answer_is_refused(plain_tokenizer: PreTrainedTokenizerBase) -> None:
    plain_tokenizer.chat_template = CHATML.replace(
        "message.content +", "('' if message.content == '多喝水。' else message.content) +"
    )
    talk = [
        Message(role="user", content="头痛"),
        Message(role="assistant", content="多休息。"),
        Message(role="user", content="感冒"),
    ]
    assert render_dialogue(plain_tokenizer, talk[:2])
    with pytest.raises(UserError, match="leaves out of a message of the assistant: '多喝水"):
        render_dialogue(plain_tokenizer, [*talk, Message(role="assistant", content="多喝水。")])
