"""The Modelfile words a talk as the chat template does, in Go's language."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from medtune.config import Input
from medtune.engines.config import TemplateName, ThinkingRules
from medtune.engines.rendering.dress import dress
from medtune.engines.rendering.ending import ends_of
from medtune.engines.rendering.render import prompt_text
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Message
from medtune.train.ollama import write_modelfile

ACTION = re.compile(r"\{\{ (.*?) \}\}")
TALKS = (
    [("user", "头痛怎么办？")],
    [("system", "你是医生。"), ("user", "头痛怎么办？")],
    [("user", "头痛"), ("assistant", "多休息。"), ("user", "还痛")],
    [
        ("system", "简答"),
        ("user", "一"),
        ("assistant", "二"),
        ("user", "三"),
        ("assistant", "四"),
        ("user", "五"),
    ],
)


def render_go(template: str, talk: list[tuple[str, str]]) -> str:
    """What Go's text/template makes of the few actions that a Modelfile here has."""
    lines, depth = ["def f(system, messages):", " out = []"], 1
    for at, part in enumerate(ACTION.split(template)):
        if at % 2 == 0:
            lines.append(f"{' ' * depth}out.append({part!r})")
            continue
        match part:
            case "if .System":
                head = "if system:"
            case "range $i, $_ := .Messages":
                head = "for i, (role, content) in enumerate(messages):"
            case 'if eq .Role "user"':
                head = "if role == 'user':"
            case 'else if eq .Role "assistant"':
                depth, head = depth - 1, "elif role == 'assistant':"
            case "if eq (len (slice $.Messages $i)) 1":
                head = "if len(messages[i:]) == 1:"
            case "else":
                depth, head = depth - 1, "else:"
            case "end":
                depth -= 1
                continue
            case ".System":
                lines.append(f"{' ' * depth}out.append(system)")
                continue
            case ".Content":
                lines.append(f"{' ' * depth}out.append(content)")
                continue
            case _:
                raise AssertionError(part)
        lines.append(f"{' ' * depth}{head}")
        depth += 1
    names: dict[str, object] = {}
    exec("\n".join([*lines, " return ''.join(out)"]), names)
    system = "\n\n".join(content for role, content in talk if role == "system")
    return names["f"](system, talk)  # type: ignore[operator]


MARKS = {
    "glm4": ["[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"],
    "llama3": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "internlm2": ["<s>"],
    "baichuan2": ["<reserved_106>", "<reserved_107>"],
}
"""Control tokens that a template writes beside those of ChatML."""


def open_tokenizer(folder: Path, template: TemplateName, **values: Any) -> PreTrainedTokenizerBase:
    tokenizer = load_tokenizer(Input(folder))
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in MARKS.get(template, [])])
    return dress(tokenizer, template=template, **values)


def as_messages(talk: list[tuple[str, str]]) -> list[Message]:
    return [Message.model_validate({"role": role, "content": content}) for role, content in talk]


def template_in(modelfile: str) -> str:
    (go,) = re.findall(r'TEMPLATE """(.*?)"""', modelfile, re.S)
    return go


@pytest.mark.parametrize(
    ("template", "thinking"), [*((name, None) for name in get_args(TemplateName)), ("qwen3", False)]
)
def test_ollama_words_a_talk_as_the_template_does(
    template: TemplateName, thinking: bool | None, tiny_tokenizer_dir: Path
) -> None:
    rules = None if thinking is None else ThinkingRules(enable=thinking)
    tokenizer = open_tokenizer(tiny_tokenizer_dir, template, thinking=rules)
    text = write_modelfile(tokenizer, "model.gguf", ends=ends_of(tokenizer), licence="mit")
    assert text.startswith("FROM ./model.gguf\nTEMPLATE ") and text.endswith('LICENSE "mit"\n')
    assert f'PARAMETER stop "{tokenizer.eos_token}"\n' in text
    for talk in TALKS:
        assert render_go(template_in(text), talk) == prompt_text(tokenizer, as_messages(talk)), talk


def test_a_system_prompt_of_the_template_itself_is_kept(tiny_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    first = "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    tokenizer.chat_template = first + str(tokenizer.chat_template)
    go = template_in(write_modelfile(tokenizer, "model.gguf", ends=[], licence=None))
    for talk in TALKS:
        assert render_go(go, talk) == prompt_text(tokenizer, as_messages(talk)), talk
    assert "You help." in render_go(go, TALKS[0]) and "You help." not in render_go(go, TALKS[1])


def test_what_llama_cpp_puts_before_a_text_stands_there_once(tiny_tokenizer_dir: Path) -> None:
    tokenizer = open_tokenizer(tiny_tokenizer_dir, "llama3")
    tokenizer.bos_token = "<|begin_of_text|>"
    begin = TemplateProcessing("<|begin_of_text|> $A", None, [("<|begin_of_text|>", tokenizer.bos_token_id)])
    tokenizer.backend_tokenizer.post_processor = begin  # type: ignore[attr-defined]
    go = template_in(write_modelfile(tokenizer, "model.gguf", ends=[], licence=None))
    assert "<|begin_of_text|>" not in go and "<|start_header_id|>user" in go


def test_a_model_that_knows_no_talks_gets_the_plain_prompt(tiny_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    tokenizer.chat_template = None
    text = write_modelfile(tokenizer, "model.gguf", ends=[], licence=None)
    assert text == 'FROM ./model.gguf\nTEMPLATE """{{ .Prompt }}"""\n'


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ loop.index }}. {{ m.content }}\n{% endfor %}",  # pieces that count
        "{% for m in messages %}<|im_start|>{{ '{{' }}{{ m.content }}<|im_end|>{% endfor %}",  # for Go
        "{{ messages | length }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    ],
)
def test_a_template_that_cannot_be_worded_is_refused(template: str, tiny_tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=r"cannot be worded in Go's language.*format\.ollama=false"):
        write_modelfile(tokenizer, "model.gguf", ends=[], licence=None)
