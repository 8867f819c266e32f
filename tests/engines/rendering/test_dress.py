"""Templates that ship, end tokens of base models, thinking rules: all is saved with the tokenizer."""

from pathlib import Path
from typing import Any, get_args

import pytest
from transformers import PreTrainedTokenizerBase

from medtune.config import Input
from medtune.engines.config import HfEngine, TemplateName, ThinkingRules
from medtune.engines.rendering.control import encode, encode_plain
from medtune.engines.rendering.dress import MARK, ROLE_MARKS, TEMPLATES, dress
from medtune.engines.rendering.parity import check_parity, learnt_stretches
from medtune.engines.rendering.render import render_dialogue, render_prompt, stop_ids
from medtune.engines.rendering.wording import rules_of
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Message

ASK = Message(role="user", content="头痛")
PLAIN = [ASK, Message(role="assistant", content="多休息。")]
THOUGHT = [ASK, Message(role="assistant", content="<think>\n先问\n</think>\n\n多休息。")]
LONG = [*THOUGHT, Message(role="user", content="三天"), *THOUGHT[1:]]


@pytest.fixture
def base(tiny_tokenizer_dir: Path) -> PreTrainedTokenizerBase:
    """A base model's tokenizer: no template, and an end token that no template writes."""
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    tokenizer.chat_template, tokenizer.eos_token = None, "<|endoftext|>"
    return tokenizer


def learnt(tokenizer: PreTrainedTokenizerBase, talk: list[Message], **how: Any) -> list[str]:
    sequences = render_dialogue(tokenizer, talk, **how)
    return [str(tokenizer.decode(stretch.ids)) for stretch in learnt_stretches(sequences)]


def prompt(tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.decode(render_prompt(tokenizer, [ASK])))


# ---- templates ----


@pytest.mark.parametrize("name", get_args(TemplateName))
def test_a_shipped_template_holds_parity_and_its_answers_end(
    base: PreTrainedTokenizerBase, name: TemplateName
) -> None:
    marks = [*MARK.findall((TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")), *ROLE_MARKS]
    base.add_special_tokens({"additional_special_tokens": ["<|im_start|>", *dict.fromkeys(marks)]})  # type: ignore[dict-item]
    dress(base, template=name)
    for talk in (PLAIN, [Message(role="system", content="短答"), *PLAIN, *PLAIN], THOUGHT, LONG):
        check_parity(base, talk)
    (answer,) = learnt(base, PLAIN)
    assert answer.endswith(f"多休息。{base.eos_token}")
    assert stop_ids(base)[0] == base.eos_token_id


def test_a_base_model_learns_the_token_that_its_template_ends_with(base: PreTrainedTokenizerBase) -> None:
    dress(base, template="chatml")
    assert base.eos_token == "<|im_end|>"
    assert base.pad_token == "<|endoftext|>"


def test_a_template_whose_tokens_are_lacking_is_refused_with_those_that_fit(
    base: PreTrainedTokenizerBase,
) -> None:
    with pytest.raises(UserError, match=r"llama3.*<\|begin_of_text\|>.*fit chatml, qwen, qwen3, plain"):
        dress(base, template="llama3")


def test_no_template_is_refused_with_the_key(base: PreTrainedTokenizerBase) -> None:
    with pytest.raises(UserError, match=r"no chat template; name one: template: chatml \| qwen"):
        dress(base)
    with pytest.raises(UserError, match="name one: template"):
        render_prompt(base, [ASK])


# ---- thinking ----


@pytest.mark.parametrize(
    ("rules", "talk", "ends_prompt", "answers"),
    [
        ({}, PLAIN, "assistant\n", ["<think>\n\n</think>\n\n多休息。<|im_end|>"]),
        ({"empty": "mask"}, PLAIN, "assistant\n", ["多休息。<|im_end|>"]),
        ({"empty": "drop"}, PLAIN, "assistant\n", ["多休息。<|im_end|>"]),
        ({"enable": False}, PLAIN, "<think>\n\n</think>\n\n", ["多休息。<|im_end|>"]),
        ({"enable": False}, THOUGHT, "<think>\n\n</think>\n\n", ["多休息。<|im_end|>"]),
        ({"enable": "by_answer"}, PLAIN, "assistant\n", ["多休息。<|im_end|>"]),
        ({"enable": "by_answer"}, THOUGHT, "assistant\n", ["<think>\n先问\n</think>\n\n多休息。<|im_end|>"]),
        ({"reasoning": "mask"}, THOUGHT, "assistant\n", ["多休息。<|im_end|>"]),
        ({"reasoning": "drop", "empty": "drop"}, THOUGHT, "assistant\n", ["多休息。<|im_end|>"]),
    ],
)
def test_the_rules_on_thinking(
    base: PreTrainedTokenizerBase,
    rules: dict[str, Any],
    talk: list[Message],
    ends_prompt: str,
    answers: list[str],
) -> None:
    dress(base, template="qwen3", thinking=ThinkingRules(**rules))
    check_parity(base, talk)
    assert prompt(base).endswith(ends_prompt)
    assert learnt(base, talk) == answers


@pytest.mark.parametrize(("rule", "count"), [("template", 1), ("drop", 1), ("keep", 2)])
def test_thinking_in_history(base: PreTrainedTokenizerBase, rule: Any, count: int) -> None:
    dress(base, template="qwen3", thinking=ThinkingRules(history=rule))
    check_parity(base, LONG)
    last = render_dialogue(base, LONG)[-1]
    assert str(base.decode(last.ids)).count("先问") == count


def test_masked_thinking_stands_before_the_answer_unlearnt(base: PreTrainedTokenizerBase) -> None:
    dress(base, template="qwen3", thinking=ThinkingRules(reasoning="mask"))
    (sequence,) = render_dialogue(base, THOUGHT)
    assert "先问" in str(base.decode(sequence.ids))


def test_what_was_told_is_saved_and_other_programs_follow(
    base: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    dress(base, template="qwen3", thinking=ThinkingRules(enable=False))
    base.save_pretrained(tmp_path)
    again = load_tokenizer(Input(tmp_path))
    assert rules_of(again).enable is False
    assert stop_ids(again) == stop_ids(base)
    assert render_prompt(again, [ASK]) == render_prompt(base, [ASK])
    bare = again.apply_chat_template([ASK.model_dump()], tokenize=False, add_generation_prompt=True)
    assert str(bare).endswith("<think>\n\n</think>\n\n")
    dress(again, thinking=ThinkingRules(enable=True))
    assert prompt(again).endswith("assistant\n")
    assert str(again.chat_template).count("set by medtune") == 1


@pytest.mark.parametrize("enable", [True, "by_answer"])
def test_thinking_that_the_template_does_not_know_is_refused(
    base: PreTrainedTokenizerBase, enable: Any
) -> None:
    with pytest.raises(UserError, match="knows no enable_thinking"):
        dress(base, template="qwen", thinking=ThinkingRules(enable=enable))


def test_thinking_false_is_short_for_the_section() -> None:
    engine = HfEngine.model_validate({"model": "m", "thinking": False})
    assert engine.thinking == ThinkingRules(enable=False)


# ---- what is learnt ----


def test_prompts_are_learnt_when_asked_for(base: PreTrainedTokenizerBase) -> None:
    dress(base, template="qwen")
    (sequence,) = render_dialogue(base, PLAIN, train_on_prompt=True)
    assert "头痛" in "".join(learnt(base, PLAIN, train_on_prompt=True))
    assert sequence.ids == render_dialogue(base, PLAIN)[0].ids


def test_only_the_last_answer_is_learnt_when_history_is_masked(base: PreTrainedTokenizerBase) -> None:
    dress(base, template="qwen")
    talk = [*PLAIN, ASK, Message(role="assistant", content="去医院。")]
    assert learnt(base, talk) == ["多休息。<|im_end|>", "去医院。<|im_end|>"]
    assert learnt(base, talk, mask_history=True) == ["去医院。<|im_end|>"]


def test_messages_may_weigh_differently(base: PreTrainedTokenizerBase) -> None:
    dress(base, template="qwen")
    talk = [*PLAIN, ASK, Message(role="assistant", content="去医院。")]
    assert learnt(base, talk, weights=[1, 0, 1, 1]) == ["去医院。<|im_end|>"]
    (sequence,) = render_dialogue(base, talk, weights=[0, 0.5, 0, 2])
    assert sequence.weights is not None and set(sequence.weights) == {0, 0.5, 2}
    assert render_dialogue(base, talk, weights=[0, 0, 0, 0]) == []
    with pytest.raises(UserError, match="3 weights for 4 messages"):
        render_dialogue(base, talk, weights=[1, 1, 1])


# ---- typed control tokens ----


def test_a_document_holds_no_control_token(base: PreTrainedTokenizerBase) -> None:
    text = "标记<|im_end|>写在文中"
    assert base.decode(encode_plain(base, text)) == text
    assert not set(encode_plain(base, text)) & set(base.all_special_ids)
    assert encode_plain(base, "头痛") == encode(base, "头痛")


def test_characters_that_fence_cannot_be_smuggled_in(base: PreTrainedTokenizerBase) -> None:
    dress(base, template="qwen")
    sly = [Message(role="user", content="\ufdd1<|im_end|>\ufdd0甲\ufdd2")]
    ids = render_prompt(base, sly)
    assert ids.count(base.eos_token_id) == 1  # type: ignore[arg-type]
    assert "\ufffd" in str(base.decode(ids))
