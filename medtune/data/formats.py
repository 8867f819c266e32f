"""Raw row -> record. To add a format: a function, and a row in FORMATS."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from medtune.data.config import Source, Split
from medtune.data.text import read_words, tidy
from medtune.errors import UserError
from medtune.records import (
    Dialogue,
    Document,
    Message,
    Meta,
    Preference,
    Question,
    content_id,
    dialogue_id,
    question_id,
)
from medtune.scorers.overlap import bare

Row = Mapping[str, Any]
AnyRecord = Document | Dialogue | Preference | Question
Reader = Callable[[Row, Source], AnyRecord]

ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


class Format(NamedTuple):
    """How a kind of row is told and read."""

    keys: frozenset[str]
    """A row that has all of these is taken for this format; the first match in the table wins."""
    read: Reader


def text_of(row: Row, key: str) -> str:
    """The tidied text under a key; a row without the key, or with something else there, is a fault."""
    if key not in row:
        raise ValueError(f"has no {key!r} (keys: {', '.join(row)})")
    value = row[key]
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{key!r} is a {type(value).__name__}; text is wanted")
    return tidy(str(value))


def text_if_any(row: Row, key: str) -> str:
    """The tidied text under a key that a row may lack."""
    return text_of(row, key) if key in row else ""


def meta_of(row: Row, source: Source) -> Meta:
    """The metadata that a row brings, under the names that public sets use."""
    given = row.get("meta")
    values: Row = {**row, **given} if isinstance(given, dict) else row
    style, risk, complexity = values.get("lang_style"), values.get("risk_level"), values.get("complexity")
    return Meta(
        source=str(values.get("source") or source.path.path.name),
        license=str(values.get("license") or source.license),
        specialty=str(values["specialty"]) if values.get("specialty") else None,
        risk=risk if risk in ("low", "medium", "high", "critical") else None,
        complexity=complexity if isinstance(complexity, int) else None,
        style=style if style in ("standard", "colloquial") else None,
    )


def dialogue(messages: list[Message], row: Row, source: Source) -> Dialogue:
    """A dialogue record."""
    turns = tuple(messages)
    return Dialogue(id=dialogue_id(turns), messages=turns, meta=meta_of(row, source))


def talk(question: str, answer: str, row: Row, source: Source, *, system: str = "") -> Dialogue:
    """A dialogue of one question and one answer."""
    opening = [Message(role="system", content=system)] if system else []
    turns = [*opening, Message(role="user", content=question), Message(role="assistant", content=answer)]
    return dialogue(turns, row, source)


def read_alpaca(row: Row, source: Source) -> Dialogue:
    """A talk from `{instruction, input, output, system?, history?}`.

    With an input the instruction becomes the system's, as Alpaca means it.
    """
    instruction, given = text_of(row, "instruction"), text_if_any(row, "input")
    system = "\n".join(part for part in (text_if_any(row, "system"), instruction if given else "") if part)
    messages = [Message(role="system", content=system)] if system else []
    for pair in row.get("history") or []:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError("has a 'history' that is no list of [question, answer] pairs")
        messages += [
            Message(role="user", content=tidy(pair[0])),
            Message(role="assistant", content=tidy(pair[1])),
        ]
    messages.append(Message(role="user", content=given or instruction))
    messages.append(Message(role="assistant", content=text_of(row, "output")))
    return dialogue(messages, row, source)


def read_turns(turns: object, role_key: str, text_key: str) -> list[Message]:
    """The messages of a list of turns, roles translated."""
    if not isinstance(turns, list) or not turns:
        raise ValueError("holds no turns")
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise ValueError(f"has a turn that is a {type(turn).__name__}; an object is wanted")
        role = ROLES.get(str(turn.get(role_key)))
        if role is None:
            raise ValueError(f"has a turn of role {turn.get(role_key)!r}; known: {', '.join(ROLES)}")
        messages.append(Message(role=role, content=text_of(turn, text_key)))  # type: ignore[arg-type]
    return messages


def read_sharegpt(row: Row, source: Source) -> Dialogue:
    """`{conversations: [{from, value}], system?}`."""
    messages, system = read_turns(row.get("conversations"), "from", "value"), text_if_any(row, "system")
    if system and messages[0].role != "system":
        messages.insert(0, Message(role="system", content=system))
    return dialogue(messages, row, source)


def read_messages(row: Row, source: Source) -> Dialogue:
    """`{messages: [{role, content}]}`, as OpenAI has it."""
    return dialogue(read_turns(row.get("messages"), "role", "content"), row, source)


def read_consultation(row: Row, source: Source) -> Dialogue:
    """`department,title,ask,answer`: the title joins the ask when that says too little without it."""
    title, ask = text_if_any(row, "title"), text_of(row, "ask")
    is_vague = ask.lower() in read_words("vague_asks") or len(ask) < 6
    question = (title if is_vague else ask) or ask
    values = {**row, "specialty": row.get("department")}
    return talk(question, text_of(row, "answer"), values, source)


def read_question_answer(row: Row, source: Source) -> Dialogue:
    """`{question, answer, think?}`; thinking goes before the answer in a think block."""
    thought, answer = text_if_any(row, "think"), text_of(row, "answer")
    return talk(
        text_of(row, "question"), f"<think>{thought}</think>\n{answer}" if thought else answer, row, source
    )


def read_text_answer(row: Row, source: Source) -> Dialogue:
    """`{text, answer}`."""
    return talk(text_of(row, "text"), text_of(row, "answer"), row, source)


def read_preference(row: Row, source: Source) -> Preference:
    """`{conversations | prompt | question, chosen, rejected}`; the prompt may have several turns."""
    if "conversations" in row:
        prompt = tuple(read_turns(row["conversations"], "from", "value"))
    else:
        prompt = (Message(role="user", content=text_of(row, "prompt" if "prompt" in row else "question")),)
    chosen, rejected = text_of(row, "chosen"), text_of(row, "rejected")
    key = content_id("preference", [(turn.role, turn.content) for turn in prompt], chosen, rejected)
    return Preference(id=key, prompt=prompt, chosen=chosen, rejected=rejected, meta=meta_of(row, source))


def read_exam(row: Row, source: Source) -> Question:
    """`{question, A, B, …, answer, subject?, split?, case?}`, as C-Eval and CMMLU have it."""
    options = {letter: text_of(row, letter) for letter in "ABCDEFGH" if row.get(letter) not in (None, "")}
    stem, case = text_of(row, "question"), text_if_any(row, "case") or None
    gold = "".join(sorted(set(text_of(row, "answer").upper())))
    if not gold:
        raise ValueError("has an empty 'answer'")
    split = str(row.get("split") or "") or source.split
    if split not in ("dev", "val", "test"):
        raise ValueError("names no split; give the source a split: test, or {val: 19, test: 175}")
    subject = str(row.get("subject") or "") or source.subject
    if not subject:
        raise ValueError("names no subject; give the source a subject")
    return Question(
        id=question_id(stem, case, options),
        stem=stem,
        case=case,
        options=options,
        answer=gold,
        subject=subject,
        split=split,
        meta=meta_of(row, source),
    )


def read_document(row: Row, source: Source) -> Document:
    """`{text}`."""
    text = text_of(row, "text")
    return Document(id=content_id("document", text), text=text, meta=meta_of(row, source))


FORMATS: dict[str, Format] = {
    "preference": Format(frozenset({"chosen", "rejected"}), read_preference),
    "sharegpt": Format(frozenset({"conversations"}), read_sharegpt),
    "messages": Format(frozenset({"messages"}), read_messages),
    "exam": Format(frozenset({"question", "A", "B", "answer"}), read_exam),
    "alpaca": Format(frozenset({"instruction", "output"}), read_alpaca),
    "consultation": Format(frozenset({"ask", "answer"}), read_consultation),
    "question-answer": Format(frozenset({"question", "answer"}), read_question_answer),
    "text-answer": Format(frozenset({"text", "answer"}), read_text_answer),
    "document": Format(frozenset({"text"}), read_document),
}


def find_format(row: Row, name: str, place: str) -> tuple[str, Reader]:
    """The format's name and reader: by name, by `my_module:function`, or by the keys of the row."""
    if name in FORMATS:
        return name, FORMATS[name].read
    if ":" in name:
        module, _, function = name.partition(":")
        try:
            return name, vars(import_module(module))[function]
        except (ImportError, KeyError, ValueError):
            raise UserError(f"format {name}: no such function can be imported") from None
    if name != "auto":
        raise UserError(f"format {name}: unknown; known: auto, {', '.join(FORMATS)}, or my_module:function")
    known = tell_format(row)
    if known:
        return known, FORMATS[known].read
    wanted = "; ".join(f"{known}: {', '.join(sorted(form.keys))}" for known, form in FORMATS.items())
    raise UserError(f"{place}: keys {', '.join(row)} fit no format ({wanted}); is an answer missing?")


def tell_format(row: Row) -> str | None:
    """The first format whose keys the row has, None when it fits none."""
    return next((name for name, form in FORMATS.items() if form.keys <= set(row)), None)


def split_sizes(source: Source, num_rows: int) -> list[Split] | None:
    """The split of each row when the source gives numbers of rows; they must add up."""
    if not isinstance(source.split, dict):
        return None
    total = sum(source.split.values())
    if total != num_rows:
        sizes = " + ".join(f"{name} {count}" for name, count in source.split.items())
        raise UserError(
            f"{source.path}: {num_rows} rows where the source's split says {sizes} = {total}; "
            "the file is short or not this one"
        )
    return [name for name, count in source.split.items() for _ in range(count)]


def group_of(record: AnyRecord) -> str:
    """What must stay on one side of a split: records that ask the same."""
    match record:
        case Dialogue():
            return bare(next((turn.content for turn in record.messages if turn.role == "user"), ""))
        case Preference():
            return bare(record.prompt[-1].content)
        case Document():
            return bare(record.text)
        case Question():
            return record.cluster
