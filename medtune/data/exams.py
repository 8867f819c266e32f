"""Exam items as public sets write them -> questions, and the split that a file of them is."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from medtune.data.config import Source, Split
from medtune.data.fields import Row, meta_of, text_if_any, text_of
from medtune.data.reading.rows import Bad, Raw
from medtune.errors import UserError
from medtune.lexicon import read_table
from medtune.records import Question, question_id

LETTERS = "ABCDEFGH"
SPLITS: dict[str, Split] = {
    "train": "train", "dev": "dev", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip
"""Names of splits in files, directories and rows."""
MARK = re.compile(r"[(\uff08]?(?<![A-Za-z0-9])([A-H])\s?[.\uff0e\u3001:\uff1a)\uff09]\s*")
LINE_MARK = re.compile(r"^\s*([A-H])(?:\s*[.\uff0e\u3001:\uff1a)\uff09]|(?=\s|[\u4e00-\u9fff]))\s*", re.M)
CHOICE = re.compile(
    r"(?:[\u4e00-\u9fff]{1,4}\s*[:\uff1a]\s*)?([A-H](?:[\s,\uff0c\u3001;\uff1b]*[A-H])*)\s*[.\u3002]?"
)
MIN_OPTIONS = 3


def read_exam(row: Row, source: Source) -> Question:
    """`{question, A, B, …, answer, subject?, split?, case?}`, as C-Eval and CMMLU have it."""
    options = {letter: text for letter in LETTERS if (text := text_if_any(row, letter))}
    return _item(text_of(row, "question"), options, row.get("answer"), row, source)


def read_option_table(row: Row, source: Source) -> Question:
    """`{question, option or options: {A: …} or […], answer, answer_idx?}`, as CMB and MedQA have it."""
    given = row["option"] if "option" in row else row["options"]
    if isinstance(given, list):
        given = dict(_keyed(item, letter) for item, letter in zip(given, LETTERS, strict=False))
    if not isinstance(given, dict):
        raise ValueError("has options that are no object and no list")
    options = {str(letter): text for letter in sorted(given) if (text := text_of(given, letter))}
    letters = row.get("answer_idx")
    return _item(text_of(row, "question"), options, letters or row.get("answer"), row, source)


def _keyed(item: object, letter: str) -> tuple[str, Any]:
    """The letter and text of a listed option: `{key, value}`, or a text that has its letter by its place."""
    if isinstance(item, dict) and "key" in item:
        return str(item["key"]), item.get("value")
    if isinstance(item, str) and (match := MARK.match(item)) and match[1] == letter:
        return letter, item[match.end() :]
    return letter, item


def read_option_text(row: Row, source: Source) -> Question:
    r"""`{question, options: "A xx\nB yy", answer, explanation?}`, as CMExam has it."""
    text = text_of(row, "options")
    found = split_options(text, LINE_MARK) or split_options(text, MARK)
    if not found:
        raise ValueError("has options that do not begin with A, B, C …")
    return _item(text_of(row, "question"), found[1], row.get("answer"), row, source)


def read_inline_exam(row: Row, source: Source) -> Question:
    """An item whose options stand inside its question, the answer as a letter or an option's text."""
    found = _inline(row)
    if not found:
        raise ValueError("has no options A, B, C … in its question")
    key = "output" if "output" in row else "answer"
    return _item(found[0], found[1], row.get(key), row, source)


def is_inline_exam(row: Row) -> bool:
    """Whether a question ends with options and the answer is as short as one of them."""
    answer = row.get("output", row.get("answer"))
    if not isinstance(answer, str) or "\n" in answer or not (found := _inline(row)):
        return False
    return len(answer) <= max(map(len, found[1].values())) + 8


def _inline(row: Row) -> tuple[str, dict[str, str]] | None:
    for key in ("input", "instruction", "question"):
        text = row.get(key)
        if isinstance(text, str) and "A" in text and "B" in text and "C" in text:
            found = split_options(text, MARK) or split_options(text, LINE_MARK)
            if found and found[0]:
                return found
    return None


def split_options(text: str, mark: re.Pattern[str]) -> tuple[str, dict[str, str]] | None:
    """What stands before the options, and the options by letter; None without three in a row."""
    marks, best = list(mark.finditer(text)), list[re.Match[str]]()
    for at, first in enumerate(marks):
        if first[1] != "A":
            continue
        chain = [first]
        for match in marks[at + 1 :]:
            if match[1] == LETTERS[len(chain)]:
                chain.append(match)
                if len(chain) == len(LETTERS):
                    break
        best = chain if len(chain) >= len(best) else best
    if len(best) < MIN_OPTIONS:
        return None
    ends = [match.start() for match in best[1:]] + [len(text)]
    options = {
        match[1]: text[match.end() : end].strip().rstrip(",;\uff0c\uff1b")
        for match, end in zip(best, ends, strict=True)
    }
    return _label().sub("", text[: best[0].start()]).strip(), options


@cache
def _label() -> re.Pattern[str]:
    """The word for options that stands before them."""
    words = "|".join(["options", *map(re.escape, read_table("columns")["options"])])
    return re.compile(rf"\s*(?:{words})\s*[:\uff1a]?\s*$", re.I)


def _item(stem: str, options: dict[str, str], answer: object, row: Row, source: Source) -> Question:
    case = text_if_any(row, "case") or None
    return Question(
        id=question_id(stem, case, options),
        stem=stem,
        case=case,
        options=options,
        answer=find_gold(text_if_any({"answer": answer}, "answer"), options),
        subject=_subject(row, source),
        split=_split(row, source),  # type: ignore[arg-type]
        meta=meta_of(row, source),
    )


def find_gold(answer: str, options: dict[str, str]) -> str:
    """The right letters in order, of letters however they are separated or of an option's text."""
    if not answer:
        raise ValueError("has an empty 'answer'")
    wanted = _plain(answer)
    same = [letter for letter, text in options.items() if _plain(text) == wanted]
    if len(same) == 1 and len(answer) > 1:
        return same[0]
    match = CHOICE.fullmatch(answer.upper())
    if match:
        return "".join(sorted(set(re.findall("[A-H]", match[1]))))
    if (marked := MARK.match(answer)) and _plain(options.get(marked[1], "")) == _plain(
        answer[marked.end() :]
    ):
        return marked[1]
    if len(same) > 1:
        raise ValueError(f"has an answer that is the text of options {', '.join(same)}")
    if same:
        return same[0]
    raise ValueError(f"answer {answer[:20]!r} is not among the options {''.join(options)}")


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(folded.split()).rstrip(".\u3002;,")


def _subject(row: Row, source: Source) -> str:
    given = next((row[key] for key in ("subject", "exam_subject") if row.get(key)), "") or source.subject
    if not given:
        raise ValueError("names no subject; give the source a subject")
    return str(given)


def _split(row: Row, source: Source) -> str:
    if given := str(row.get("split") or "").lower():
        if given not in SPLITS:
            raise ValueError(f"names split {given!r}; known: {', '.join(SPLITS)}")
        return SPLITS[given]
    return source.split if isinstance(source.split, str) else "open"


def subject_of(file: Path) -> str:
    """The subject that a file's name stands for: the name without its split."""
    words = re.split(r"[_.\-]", file.name.partition(".")[0])
    return "_".join(words[:-1] if len(words) > 1 and words[-1].lower() in SPLITS else words)


def split_of(file: Path) -> Split | None:
    """The split that a file's name or its directory says it is."""
    words = re.split(r"[_.\-]", file.name.partition(".")[0].lower())
    return SPLITS.get(words[-1]) or SPLITS.get(words[0]) or SPLITS.get(file.parent.name.lower())


def plan_splits(rows: Sequence[Raw | Bad], source: Source) -> Sequence[Split] | None:
    """The split of each row of one file: by the source's numbers, the file's name, or ids that begin anew.

    C-Eval's val and test parts are often one file, val first. None: the rows or the source say it by
    themselves, or nothing does and the items are open.
    """
    if isinstance(source.split, dict):
        total = sum(source.split.values())
        if total != len(rows):
            sizes = " + ".join(f"{name} {count}" for name, count in source.split.items())
            raise UserError(
                f"{source.path}: {len(rows)} rows where the source's split says {sizes} = {total}; "
                "the file is short or not this one"
            )
        return [name for name, count in source.split.items() for _ in range(count)]
    items = [(at, row.values) for at, row in enumerate(rows) if isinstance(row, Raw)]
    if not items or source.split or any(values.get("split") for _, values in items):
        return None
    if named := split_of(rows[0].file):
        return [named for _ in rows]
    ids = [_number(values.get("id", values.get(""))) for _, values in items]
    starts = [at for at in range(1, len(ids)) if ids[at] <= ids[at - 1]]
    if ids[0] not in (0, 1) or len(starts) != 1 or ids[starts[0]] != ids[0] or min(ids) < 0:
        return None
    first = items[starts[0]][0]
    return None if first * 2 >= len(rows) else ["val" if at < first else "test" for at in range(len(rows))]


def _number(value: object) -> int:
    text = str(value)
    return int(text) if text.isdecimal() else -1
