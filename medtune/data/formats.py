"""Raw row -> record. To add a format: a function, and a row in FORMATS."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from medtune.data.config import Source
from medtune.data.exams import (
    is_inline_exam,
    read_exam,
    read_inline_exam,
    read_option_table,
    read_option_text,
    subject_of,
)
from medtune.data.fields import (
    AnyRecord,
    Reader,
    Row,
    known_names,
    meta_of,
    talk,
    text_if_any,
    text_of,
    think_first,
    under_known_names,
)
from medtune.data.talks import (
    is_ranked,
    read_conversation,
    read_preference,
    read_ranked_output,
    read_utterances,
)
from medtune.errors import UserError
from medtune.lexicon import read_words
from medtune.records import RECORD, Dialogue, Document, Message, content_id, dialogue_id
from medtune.scorers.overlap import bare

ASKING = ("question", "prompt", "query", "problem", "instruction", "text", "input")
ANSWERING = ("answer", "completion", "response", "output", "target")
FRAME = re.compile(r"Instruction:\s*(?P<task>.*?)(?:\n+Input:\s*(?P<given>.*?))?\n+Answer:\s*", re.S)
"""What converters for ChatGLM put around a question."""
KINDS = ("document", "dialogue", "preference", "question")


class Format(NamedTuple):
    """How a kind of row is told and read."""

    keys: tuple[frozenset[str], ...]
    """A row that has all keys of one of these may be of this format; the first match in the table wins."""
    read: Reader
    fits: Callable[[Row], bool] | None = None
    """A look at the values, where the keys do not tell."""


def read_record(row: Row, source: Source) -> AnyRecord:
    """A record that medtune wrote, as it is."""
    try:
        return RECORD.validate_python(dict(row))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"is no whole record: {first['loc'][-1]}: {first['msg']}") from None


def read_alpaca(row: Row, source: Source) -> Dialogue:
    """A talk from `{instruction, input, output, system?, history?, meta?}`.

    With an input the instruction becomes the system's, as Alpaca means it.
    """
    instruction, given = text_of(row, "instruction"), text_if_any(row, "input")
    system = "\n".join(part for part in (text_if_any(row, "system"), instruction if given else "") if part)
    answer = text_of(row, "output" if "output" in row else "response")
    return talk(given or instruction, answer, row, source, system=system)


def read_consultation(row: Row, source: Source) -> Dialogue:
    """`department,title,ask,answer`: the title joins the ask when that is vague or says less."""
    ask = text_of(row, "ask" if "ask" in row else "question")
    return talk(join_title(text_if_any(row, "title"), ask), text_of(row, "answer"), row, source)


def join_title(title: str, ask: str) -> str:
    """The question of a consultation: title and ask, or the one that holds all the other says."""
    if not title or title in ask:
        return ask or title
    if ask.lower() in read_words("vague_asks") or ask in title:
        return title
    signs, said = bare(title), ask.lower()
    if len(said) >= len(signs) and sum(map(said.__contains__, signs)) * 2 >= len(signs):
        return ask
    return f"{title}\n{ask}"


def read_pair(row: Row, source: Source) -> Dialogue:
    """A question and its answer under any of the usual names, with `think` and `system` if given."""
    asked = next(key for key in ASKING if key in row)
    answered = next((key for key in ANSWERING if key in row and key != asked), "answer")
    answer = think_first(text_if_any(row, "think"), text_of(row, answered))
    return talk(text_of(row, asked), answer, row, source, system=text_if_any(row, "system"))


def read_context_target(row: Row, source: Source) -> Dialogue:
    """`{context, target}`, without the words that a converter put around the question."""
    context = text_of(row, "context")
    framed = FRAME.fullmatch(context + "\n" if context.endswith(":") else context)
    if not framed:
        return talk(context, text_of(row, "target"), row, source)
    values = {"instruction": framed["task"].strip(), "input": (framed["given"] or "").strip()}
    return read_alpaca({**row, **values, "output": row["target"]}, source)


def read_open_question(row: Row, source: Source) -> Dialogue:
    """`{question, reference}`: a question to be answered freely, with a model solution beside it."""
    turns = (Message(role="user", content=text_of(row, "question")),)
    reference, meta = text_of(row, "reference"), meta_of(row, source)
    return Dialogue(id=dialogue_id(turns), messages=turns, reference=reference, meta=meta)


def read_document(row: Row, source: Source) -> Document:
    """`{text}` or `{content}`, below its title if there is one."""
    title, text = text_if_any(row, "title"), text_of(row, "text" if "text" in row else "content")
    whole = f"{title}\n{text}" if title and not text.startswith(title) else text
    return Document(id=content_id("document", whole), text=whole, meta=meta_of(row, source))


def keys(*rows: str) -> tuple[frozenset[str], ...]:
    """The sets of keys that are written as `question answer`."""
    return tuple(frozenset(row.split()) for row in rows)


FORMATS: dict[str, Format] = {
    "medtune": Format(keys("kind id"), read_record, lambda row: row["kind"] in KINDS),
    "preference": Format(keys("chosen rejected"), read_preference),
    "preference-list": Format(keys("instruction output", "question answer"), read_ranked_output, is_ranked),
    "sharegpt": Format(keys("conversations"), read_conversation),
    "messages": Format(keys("messages"), read_conversation),
    "meddialog": Format(keys("utterances"), read_utterances),
    "exam": Format(keys("question A B answer"), read_exam),
    "cmb-exam": Format(keys("question option answer"), read_option_table),
    "medqa-exam": Format(
        keys("question options answer", "question options answer_idx"),
        read_option_table,
        lambda row: not isinstance(row["options"], str),
    ),
    "cmexam": Format(keys("question options answer"), read_option_text),
    "inline-exam": Format(keys("instruction output", "question answer"), read_inline_exam, is_inline_exam),
    "alpaca": Format(keys("instruction output", "instruction response"), read_alpaca),
    "consultation": Format(keys("ask answer", "title question answer"), read_consultation),
    "question-think-answer": Format(
        keys("question think answer", "question think response", "problem think answer",
             "problem think response", "prompt think response"), read_pair,
    ),
    "question-answer": Format(keys("question answer"), read_pair),
    "text-answer": Format(keys("text answer"), read_pair),
    "context-target": Format(keys("context target"), read_context_target),
    "prompt-completion": Format(keys("prompt completion", "prompt response"), read_pair),
    "query-response": Format(keys("query response"), read_pair),
    "question-response": Format(keys("question response", "problem answer", "input output"), read_pair),
    "open-question": Format(keys("question reference"), read_open_question),
    "document": Format(keys("text", "content"), read_document),
}  # fmt: skip
EXAM_FORMATS = frozenset(name for name in FORMATS if "exam" in name)


def find_format(values: Mapping[str, Any], name: str, place: str) -> tuple[str, Reader]:
    """The format's name and reader: by name, by `my_module:function`, or by the keys of the row.

    The reader of exam items takes the name of the file in `place` for the subject that neither row nor source
    names.
    """
    if ":" in name:
        module, _, function = name.partition(":")
        try:
            return name, vars(import_module(module))[function]
        except (ImportError, KeyError, ValueError):
            raise UserError(f"format {name}: no such function can be imported") from None
    if name != "auto" and name not in FORMATS:
        raise UserError(f"format {name}: unknown; known: auto, {', '.join(FORMATS)}, or my_module:function")
    told = name if name in FORMATS else tell_format(values)
    if not told:
        wanted = "; ".join(
            f"{known}: {' or '.join(', '.join(sorted(some)) for some in form.keys)}"
            for known, form in FORMATS.items()
        )
        raise UserError(f"{place}: keys {', '.join(values)} fit no format ({wanted}); is an answer missing?")
    subject = subject_of(Path(place.rpartition(":")[0])) if told in EXAM_FORMATS else ""
    return told, partial(_read_named, FORMATS[told].read, subject)


def _read_named(read: Reader, subject: str, row: Row, source: Source) -> AnyRecord:
    known = under_known_names(row)
    if subject and not (source.subject or known.get("subject") or known.get("exam_subject")):
        known = {**known, "subject": subject}
    return read(known, source)


def tell_format(values: Mapping[str, Any]) -> str | None:
    """The first format that the row fits, None when it fits none."""
    candidates = _formats_by_keys(tuple(values))
    for name in candidates:
        fits = FORMATS[name].fits
        if fits is None or fits(under_known_names(values)):
            return name
    return None


@lru_cache(4096)
def _formats_by_keys(given: tuple[str, ...]) -> tuple[str, ...]:
    """The formats that rows with these keys may be of, in the order of the table."""
    names = frozenset(known_names(given) or given)
    return tuple(name for name, form in FORMATS.items() if any(some <= names for some in form.keys))
