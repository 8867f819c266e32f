"""Rows with turns -> dialogues and preferences: ShareGPT, OpenAI messages, MedDialog, chosen and rejected."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from medtune.data.config import Source
from medtune.data.fields import (
    Row,
    dialogue,
    meta_of,
    read_history,
    text_if_any,
    text_of,
)
from medtune.data.reading.jsons import spoken
from medtune.records import Dialogue, Message, Preference, content_id

ROLES = {
    "system": "system", "developer": "system", "human": "user", "user": "user", "patient": "user",
    "gpt": "assistant", "assistant": "assistant", "bot": "assistant", "model": "assistant",
    "doctor": "assistant", "function_call": "tool_call", "tool_call": "tool_call", "observation": "tool",
    "tool": "tool", "tool_response": "tool", "function": "tool",
}  # fmt: skip
TURN_KEYS = (("from", "value"), ("role", "content"))
OUR_TAGS = {"function_call": "tool_call", "observation": "tool"}
WEIGHT_KEYS = ("weight", "loss")
"""Where a turn says how much its loss weighs: a number, or yes and no."""


class Turns(NamedTuple):
    """The turns of a row."""

    messages: list[Message]
    weights: list[float]
    """One for each message; 1 where the row says nothing."""


def read_turns(turns: object, source: Source) -> Turns:
    """The messages of a list of turns, roles translated, with the weights of their losses."""
    if not isinstance(turns, list) or not turns:
        raise ValueError("holds no turns")
    read = Turns([], [])
    for turn in turns:
        if not isinstance(turn, dict):
            raise ValueError(f"has a turn that is a {type(turn).__name__}; an object is wanted")
        messages = read_turn(turn, source)
        read.messages.extend(messages)
        read.weights.extend(_weight_of(turn, message) for message in messages)
    return read


def _weight_of(turn: dict[str, Any], message: Message) -> float:
    """The weight that a turn gives its message; only an answer's counts, and only that is kept."""
    key = next((key for key in WEIGHT_KEYS if turn.get(key) is not None), None)
    if key is None:
        return 1.0
    weight = turn[key]
    if not isinstance(weight, bool | int | float) or not 0 <= weight < math.inf:
        raise ValueError(f"has a turn of {key} {weight!r}; a number from 0 on, true or false is wanted")
    if message.role in ("assistant", "tool_call"):
        return float(weight)
    if weight not in (0, 1):
        raise ValueError(f"has a {message.role}'s turn of {key} {weight!r}; only answers are weighed")
    return 1.0


def _weights_of(weights: Sequence[float]) -> tuple[float, ...] | None:
    return tuple(weights) if any(weight != 1 for weight in weights) else None


def read_turn(turn: dict[str, Any], source: Source) -> list[Message]:
    """The message of a turn, and one more for the calls of tools that it makes."""
    role_key, text_key = TURN_KEYS["role" in turn]
    roles = ROLES
    if tags := source.tags:
        role_key, text_key = tags.get("role", role_key), tags.get("content", text_key)
        roles = ROLES | {theirs: OUR_TAGS.get(ours, ours) for ours, theirs in tags.items()}
    name = str(turn.get(role_key))
    role = roles.get(name) or roles.get(name.lower())
    if role is None:
        raise ValueError(f"has a turn of role {turn.get(role_key)!r}; known: {', '.join(ROLES)}")
    calls = turn.get("tool_calls") or turn.get("function_call")
    content = _content_of(turn, text_key) if not calls or turn.get(text_key) else ""
    messages = [Message(role=role, content=content)] if content or not calls else []  # type: ignore[arg-type]
    if calls:
        messages.append(Message(role="tool_call", content=_written_calls(calls)))
    return messages


def _content_of(turn: dict[str, Any], key: str) -> str:
    parts = turn.get(key)
    if isinstance(parts, list) and all(
        isinstance(part, dict) and part.get("type") == "text" for part in parts
    ):
        return "\n".join(text_of(part, "text") for part in parts)
    if isinstance(parts, dict):  # arguments or results of a tool
        return orjson.dumps(parts).decode()
    return text_of(turn, key)


def _written_calls(calls: object) -> str:
    """The JSON of one call `{name, arguments}`, or of a list of several."""
    given = calls if isinstance(calls, list) else [calls]
    written = list[dict[str, Any]]()
    for call in given:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or "name" not in function:
            raise ValueError("has a call of a tool without a name")
        arguments = function.get("arguments") or {}
        if isinstance(arguments, str):
            try:
                arguments = orjson.loads(arguments)
            except orjson.JSONDecodeError:
                raise ValueError("has a call of a tool whose arguments are no JSON") from None
        written.append({"name": function["name"], "arguments": arguments})
    return orjson.dumps(written[0] if len(written) == 1 else written).decode()


def _tools_of(row: Row) -> str | None:
    tools = row.get("tools")
    if not tools:
        return None
    return tools.strip() if isinstance(tools, str) else orjson.dumps(tools).decode()


def read_conversation(row: Row, source: Source) -> Dialogue | Preference:
    """`{conversations: [{from, value}] or messages: [{role, content}], system?, tools?, rejected_response?}`.

    A turn may have the `weight` of its loss, or `loss` as yes or no. A rejected response is the worse answer
    beside the one that ends the talk.
    """
    turns = row.get("conversations") if "conversations" in row else row.get("messages")
    (messages, weights), system = read_turns(turns, source), text_if_any(row, "system")
    if system and messages[0].role != "system":
        messages.insert(0, Message(role="system", content=system))
        weights.insert(0, 1.0)
    if rejected := text_if_any(row, "rejected"):
        if messages[-1].role != "assistant":
            raise ValueError("has a rejected response, but does not end with the answer that is better")
        prompt = [turn.model_dump() for turn in messages[:-1]]
        return read_preference(
            {**row, "messages": prompt, "chosen": messages[-1].content, "rejected": rejected}, source
        )
    return dialogue(messages, row, source, tools=_tools_of(row), weights=_weights_of(weights))


def read_utterances(row: Row, source: Source) -> Dialogue:
    """`{utterances: ["patient: …", "doctor: …"]}`, as MedDialog has it.

    What the patient says behind the doctor's last words has no answer and is left out.
    """
    turns = row["utterances"]
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise ValueError("'utterances' is no list of texts")
    said: list[tuple[str, str]] = []
    for turn in turns:
        speaker, text = spoken(turn) or ("", turn)
        if not said and not speaker:
            raise ValueError("has a first turn that says not who speaks")
        if said and speaker in ("", said[-1][0]):
            said[-1] = (said[-1][0], f"{said[-1][1]}\n{text}".strip())
        else:
            said.append((speaker, text.strip()))
    while said and said[-1][0] == "user":
        said.pop()
    if not any(speaker == "user" for speaker, _ in said):
        raise ValueError("is no talk of a patient and a doctor who answers")
    messages = [Message(role=speaker, content=text) for speaker, text in said]  # type: ignore[arg-type]
    return dialogue(messages, row, source)


def read_preference(row: Row, source: Source) -> Preference:
    """`{conversations | messages | prompt | question | instruction, chosen, rejected}`.

    An answer is a text, a turn, or the whole talk that ends with it.
    """
    prompt, chosen, rejected = _prompt_of(row, source), row["chosen"], row["rejected"]
    if isinstance(chosen, list) and isinstance(rejected, list):
        talks = read_turns(chosen, source).messages, read_turns(rejected, source).messages
        before = [messages[:-1] for messages in talks]
        if before[0] != before[1]:
            raise ValueError("has a chosen and a rejected talk with different beginnings")
        prompt = before[0] or prompt
        chosen, rejected = (messages[-1].content for messages in talks)
    else:
        chosen, rejected = _answer(row, "chosen", source), _answer(row, "rejected", source)
    if not prompt:
        raise ValueError(f"has no prompt (keys: {', '.join(row)})")
    key = content_id("preference", [(turn.role, turn.content) for turn in prompt], chosen, rejected)
    return Preference(
        id=key, prompt=tuple(prompt), chosen=chosen, rejected=rejected, meta=meta_of(row, source)
    )


def read_ranked_output(row: Row, source: Source) -> Preference:
    """`{instruction, input?, output: [chosen, rejected]}`."""
    key = "output" if "output" in row else "answer"
    return read_preference({**row, "chosen": row[key][0], "rejected": row[key][1]}, source)


def is_ranked(row: Row) -> bool:
    """Whether the output is a better and a worse text."""
    output = row.get("output", row.get("answer"))
    return isinstance(output, list) and len(output) == 2 and all(isinstance(text, str) for text in output)


def _answer(row: Row, key: str, source: Source) -> str:
    value = row[key]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        return read_turn(value, source)[0].content
    return text_of({key: value}, key)


def _prompt_of(row: Row, source: Source) -> list[Message]:
    key = next(
        (
            key
            for key in ("conversations", "messages", "prompt", "question", "instruction", "query")
            if row.get(key)
        ),
        "",
    )
    system = text_if_any(row, "system")
    opening = [Message(role="system", content=system)] if system else []
    if not key:
        return []
    if isinstance(row[key], list):
        turns = read_turns(row[key], source).messages
        return turns if turns[0].role == "system" else opening + turns
    given = text_if_any(row, "input") if key == "instruction" else ""
    question = "\n".join(part for part in (text_of(row, key), given) if part)
    return [*opening, *read_history(row), Message(role="user", content=question)]
