"""Records as rows of other programs: sharegpt and alpaca for LLaMA-Factory, messages for ms-swift.

What these programs would skip, cut or learn otherwise than we do is refused and never written.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medtune.artifact import write_json, write_jsonl
from medtune.curate.mix_config import Format
from medtune.curate.shards import Trainable
from medtune.errors import UserError
from medtune.records import Dialogue, Message, Preference

Row = dict[str, Any]
NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool_call": "function_call",
         "tool": "observation"}  # fmt: skip
"""Our roles in sharegpt."""
ASKING, ANSWERING = ("user", "tool"), ("assistant", "tool_call")
SHAREGPT_TAGS = {
    "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
    "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
MESSAGES_TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "observation_tag": "tool", "function_tag": "tool_call", "system_tag": "system",
}  # fmt: skip


class Placed(NamedTuple):
    """A talk, or the prompt and answers of a preference, and where it stands."""

    place: str
    messages: tuple[Message, ...]
    """Of a preference, the prompt with the better answer."""
    rejected: str | None
    tools: str | None
    weights: tuple[float, ...] | None


def write_formats(formats: Sequence[Format], records: Sequence[tuple[str, Trainable]], out: Path) -> None:
    """Nothing; `out` then has a file of each format and a `dataset_info.json` that names them.

    `records` are given with their places.
    """
    if not formats:
        return
    placed = [place_talk(place, record) for place, record in records]
    odd = next((one for one in placed if (one.rejected is None) != (placed[0].rejected is None)), None)
    if odd:
        raise UserError(
            f"{odd.place}: talks and preferences do not go into one file of another format; mix one kind"
        )
    entries: dict[str, Row] = {}
    for name in formats:
        file = f"train.{name}.jsonl"
        own = weigh_all(placed) if name == "messages" else placed
        write_jsonl(out / file, put_types_first([WRITERS[name](one) for one in own]))
        if entry := describe(name, placed):
            entries[f"train_{name}"] = {"file_name": file, **entry}
    if entries:
        write_json(out / "dataset_info.json", entries)


def weigh_all(placed: Sequence[Placed]) -> list[Placed]:
    """The talks, all of them with weights where one has weights: loaders want turns of the same keys."""
    if not any(one.weights for one in placed):
        return list(placed)
    return [one._replace(weights=one.weights or (1.0,) * len(one.messages)) for one in placed]


def put_types_first(rows: Sequence[Row]) -> list[Row]:
    """The rows, in front those that show the type of each column to a loader that looks no further."""
    firsts: dict[str, int] = {}
    for number, row in enumerate(rows):
        for column, value in row.items():
            if value:
                firsts.setdefault(column, number)
    front = sorted(set(firsts.values()))
    return [
        *(rows[number] for number in front),
        *(row for number, row in enumerate(rows) if number not in front),
    ]


def place_talk(place: str, record: Trainable) -> Placed:
    """The record as messages; what no format holds is refused."""
    match record:
        case Dialogue():
            placed = Placed(place, record.messages, None, record.tools, learnt(record))
        case Preference():
            answer = Message(role="assistant", content=record.chosen)
            placed = Placed(place, (*record.prompt, answer), record.rejected, None, None)
            if not record.rejected.strip() or record.rejected == record.chosen:
                raise refusal(place, "has no worse answer, or the same as the better one")
        case _:
            raise refusal(place, "is a document, which no format of talks holds")
    turns = without_system(placed.messages)
    for number, turn in enumerate(turns):
        if turn.role not in (ANSWERING if number % 2 else ASKING):
            raise refusal(
                place, f"turn {number + 1} is of the {turn.role}; question and answer must alternate"
            )
    if not turns or len(turns) % 2:
        raise refusal(place, "ends without an answer")
    if any(not turn.content.strip() for turn in turns):
        raise refusal(place, "has an empty turn")
    return placed


def refusal(place: str, reason: str) -> UserError:
    """What is said of a record that a format cannot hold."""
    return UserError(f"{place}: {reason}; leave the record out, or the format")


def learnt(record: Dialogue) -> tuple[float, ...] | None:
    """The weights of the messages, None where every answer weighs 1."""
    weights = record.weights or ()
    answers = [
        weight for weight, turn in zip(weights, record.messages, strict=False) if turn.role in ANSWERING
    ]
    return record.weights if any(weight != 1 for weight in answers) else None


def without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages behind the instruction of the system."""
    return messages[1:] if messages and messages[0].role == "system" else messages


# ---- rows ----


def to_sharegpt(one: Placed) -> Row:
    """`{conversations: [{from, value}], tools}`, with `chosen` and `rejected` for a preference."""
    refuse_weights(one, "sharegpt")
    turns = [{"from": NAMES[turn.role], "value": turn.content} for turn in one.messages]
    if one.rejected is None:
        return {"conversations": turns, "tools": one.tools or ""}
    return {
        "conversations": turns[:-1],
        "chosen": turns[-1],
        "rejected": {"from": "gpt", "value": one.rejected},
    }


def to_alpaca(one: Placed) -> Row:
    """`{instruction, input, output, system, history}`, with `chosen` and `rejected` for a preference."""
    refuse_weights(one, "alpaca")
    if one.tools or any(turn.role in ("tool", "tool_call") for turn in one.messages):
        raise refusal(one.place, "uses tools, which alpaca does not know")
    turns = [turn.content for turn in without_system(one.messages)]
    row = {
        "instruction": turns[-2],
        "input": "",
        "system": one.messages[0].content if one.messages[0].role == "system" else "",
        "history": [list(pair) for pair in zip(turns[:-2:2], turns[1:-2:2], strict=True)],
    }
    if one.rejected is None:
        return {**row, "output": turns[-1]}
    return {**row, "chosen": turns[-1], "rejected": one.rejected}


def to_messages(one: Placed) -> Row:
    """`{messages: [{role, content, loss?}], tools}`, with `rejected_response` for a preference."""
    if any(weight not in (0, 1) for weight in one.weights or ()):
        raise refusal(one.place, "weighs an answer by other than 0 and 1, which messages does not know")
    for turn in one.messages:
        if turn.role == "tool_call" and turn.content.lstrip().startswith("["):
            raise refusal(one.place, "makes several calls of tools in one turn, which messages does not know")
    turns: list[Row] = [{"role": turn.role, "content": turn.content} for turn in one.messages]
    for turn, weight in zip(turns, one.weights or (), strict=False):
        turn["loss"] = bool(weight) if turn["role"] in ANSWERING else None
    row = {"messages": turns, "tools": one.tools}
    return row if one.rejected is None else {**row, "rejected_response": one.rejected}


def refuse_weights(one: Placed, name: str) -> None:
    """Nothing; every answer weighs 1."""
    if one.weights:
        raise refusal(
            one.place, f"has answers that are not learnt, or weigh less, which {name} does not know"
        )


WRITERS: dict[Format, Callable[[Placed], Row]] = {
    "sharegpt": to_sharegpt,
    "alpaca": to_alpaca,
    "messages": to_messages,
}


# ---- LLaMA-Factory's dataset_info.json ----


def describe(name: Format, placed: Sequence[Placed]) -> Row | None:
    """The entry of a file but for its name; None where LLaMA-Factory would read it otherwise than is meant.

    All tags are named: where an entry names some, LLaMA-Factory takes the others for none.
    """
    is_ranking = placed[0].rejected is not None
    ranking: Row = {"ranking": True} if is_ranking else {}
    answers = {"chosen": "chosen", "rejected": "rejected"} if is_ranking else {}
    if name == "alpaca":
        columns = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
        return {"formatting": "alpaca", **ranking, "columns": columns | (answers or {"response": "output"})}
    if name == "sharegpt":
        columns = {"messages": "conversations"} | (answers or {"tools": "tools"})
        return {"formatting": "sharegpt", **ranking, "columns": columns, "tags": SHAREGPT_TAGS}
    if is_ranking or any(one.weights for one in placed):
        return None
    columns = {"messages": "messages", "tools": "tools"}
    return {"formatting": "sharegpt", "columns": columns, "tags": MESSAGES_TAGS}
