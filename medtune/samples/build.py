"""The sample files, built from the facts tables.

`python -m medtune.samples.build` writes them beside this file. The facts and the sentences that carry them
are hand-written, each with its source; this script only combines them with the ways in which people ask and
answer. The result is committed, and a test keeps it equal to what this script makes.
"""

import csv
import random
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

from medtune.artifact import write_bytes
from medtune.samples.build_general import general_exam_rows, general_texts, read_general_facts

HERE = Path(__file__).parent
LICENSE = "CC0-1.0"
Words = dict[str, list[str]]
Row = dict[str, object]


class Fact(NamedTuple):
    """One fact of an entity, with the sentences that carry it."""

    entity: dict[str, str | list[str]]
    department: str
    place: int
    """0 for the entity's first."""
    relation: str
    value: str
    ask: str
    say: str
    say_again: str
    question: str
    wrong: list[str]
    source: str

    @property
    def name(self) -> str:
        """The entity."""
        return str(self.entity["name"])


def read_tables() -> list[dict[str, object]]:
    """The facts tables in file order."""
    return [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((HERE / "facts").glob("*.yaml"))
    ]


def read_facts(tables: Sequence[dict[str, object]]) -> list[Fact]:
    """Every fact of every entity, in table order."""
    return [
        Fact(entity, table["department"], place, **fact)  # type: ignore[arg-type]
        for table in tables
        for entity in table["entities"]  # type: ignore[attr-defined]
        for place, fact in enumerate(entity["facts"])
    ]


# ---- talks ----


def ask(fact: Fact, words: Words, rng: random.Random) -> str:
    """A patient's message that leads to a fact."""
    return (
        rng.choice(words["greetings"]) + str(fact.entity["scene"]) + rng.choice(words["joints"]) + fact.ask
        + rng.choice(words["thanks"])
    )  # fmt: skip


def answer(fact: Fact, sentence: str, words: Words, rng: random.Random) -> str:
    """A doctor's message around the sentence that carries a fact."""
    advice = (
        rng.choice(words["advice_joints"]) + str(fact.entity["advice"]) + "。" if rng.random() < 0.5 else ""
    )
    return rng.choice(words["answers"]) + sentence + advice + rng.choice(words["closers"])


def think(fact: Fact, words: Words, rng: random.Random) -> str:
    """A thinking block that leads to a fact."""
    fields = {
        "name": fact.name,
        "relation": fact.relation,
        "value": fact.value,
        "department": fact.department,
    }
    fields["book"] = fact.source.partition("《")[2].partition("》")[0]
    parts = [
        rng.choice(words[key]).format(**fields) for key in ("think_openers", "think_bodies", "think_closers")
    ]
    return f"<think>{''.join(parts)}</think>\n"


def meta(fact: Fact, style: str) -> Row:
    """The metadata fields that public medical sets carry."""
    return {"source": fact.source, "license": LICENSE, "specialty": fact.department, "lang_style": style}


def alpaca_rows(facts: Sequence[Fact], words: Words, rng: random.Random) -> Iterator[Row]:
    """Each fact once in its first wording, every third with thinking; then long talks over three facts."""
    for number, fact in enumerate(facts):
        has_think = number % 3 == 0
        yield {
            "instruction": words["think_instruction" if has_think else "instruction"],
            "input": ask(fact, words, rng),
            "output": (think(fact, words, rng) if has_think else "") + answer(fact, fact.say, words, rng),
            "meta": meta(fact, "colloquial"),
        }
    for first, second, third in list(zip(facts[1::4], facts[2::4], facts[3::4], strict=True))[::2]:
        extra = rng.choice(words["long_extras"])
        opening = rng.choice(words["long_openers"]).format(scene=first.entity["scene"], extra=extra)
        questions = str(words["long_questions"]).format(first=first.ask, second=second.ask, third=third.ask)
        reply = str(words["long_answers"]).format(
            first=first.say, second=second.say_again, third=third.say, advice=first.entity["advice"]
        )
        yield {
            "instruction": "",
            "input": opening + questions,
            "output": reply,
            "meta": meta(first, "colloquial"),
        }


def sharegpt_rows(facts: Sequence[Fact], words: Words, rng: random.Random) -> Iterator[Row]:
    """Odd facts once in their second wording, and for each entity a talk of two turns."""
    for fact in facts[1::2]:
        turns = [("human", ask(fact, words, rng)), ("gpt", answer(fact, fact.say_again, words, rng))]
        yield {
            "conversations": [{"from": role, "value": text} for role, text in turns],
            "meta": meta(fact, "colloquial"),
        }
    for first, second in zip(facts[0::4], facts[3::4], strict=True):
        turns = [
            ("human", ask(first, words, rng)),
            ("gpt", answer(first, first.say, words, rng)),
            ("human", second.ask),
            ("gpt", answer(second, second.say_again, words, rng)),
        ]
        yield {
            "conversations": [{"from": role, "value": text} for role, text in turns],
            "meta": meta(first, "colloquial"),
        }


def csv_rows(facts: Sequence[Fact], words: Words, rng: random.Random) -> Iterator[tuple[str, str, str, str]]:
    """Even facts once in their second wording: department, title, ask, answer.

    Some asks are vague, the title tells.
    """
    for number, fact in enumerate(facts[0::2]):
        aliases = fact.entity["aliases"]
        alias = rng.choice(aliases) if isinstance(aliases, list) and aliases else fact.name
        title = rng.choice(words["titles"]).format(name=fact.name, alias=alias, ask=fact.ask)
        is_vague = number % 4 == 0
        question = (
            rng.choice(words["vague_asks"])
            if is_vague
            else str(fact.entity["scene"]) + rng.choice(words["thanks"])
        )
        yield fact.department, title, question, answer(fact, fact.say_again, words, rng)


def spoil(rows: list[Row], rng: random.Random) -> list[Row]:
    """The rows with what real files hold too: some repeated, some with an empty or placeholder answer."""
    repeated = rng.sample(rows, 12)
    hollow: list[Row] = [
        {**row, "output": text}
        for row, text in zip(rng.sample(rows, 6), ["无", "", "nan", "无", "暂无", "无"], strict=True)
    ]
    spoilt = rows + repeated + hollow
    rng.shuffle(spoilt)
    return spoilt


# ---- exams and documents ----


def exam_rows(
    tables: Sequence[dict[str, object]], facts: Sequence[Fact], rng: random.Random
) -> Iterator[Row]:
    """Exam items: one per fact with four or five options, then several-answer items, then shared cases."""
    for number, fact in enumerate(facts):
        num_options = 4 + number % 2
        options = [fact.value, *fact.wrong[: num_options - 1]]
        rng.shuffle(options)
        # One fact of each entity goes to val, another each time: val and test ask about the same diseases.
        split = "val" if fact.place == (number // 4) % 4 else "test"
        letters = dict(zip("ABCDE", options, strict=False))
        gold = "ABCDE"[options.index(fact.value)]
        yield _item(fact.question, letters, gold, fact.department, split, fact.source)
    for table in tables:
        for item in table["multi"]:  # type: ignore[attr-defined]
            yield _written_item(item, table)
        for case in table["cases"]:  # type: ignore[attr-defined]
            for item in case["questions"]:
                yield {**_written_item(item, table), "case": case["stem"]}


def _written_item(item: dict[str, Any], table: dict[str, object]) -> Row:
    """A test item that stands in a facts table as it is, its options in their own order."""
    department = str(table["department"])
    return _item(item["question"], item["options"], item["answer"], department, "test", item["source"])


def _item(question: str, options: dict[str, str], gold: str, subject: str, split: str, source: str) -> Row:
    return {
        "question": question,
        **options,
        "answer": gold,
        "subject": subject,
        "split": split,
        "source": source,
    }


def document_rows(
    tables: Sequence[dict[str, object]], facts: Sequence[Fact], words: Words, rng: random.Random
) -> Iterator[Row]:
    """Texts that give the words but never the facts that the exam asks for.

    For each entity what it is, what people say and what they ask; for each department its terms in random
    company, so that a model knows them without knowing what goes with what; and how doctors phrase replies.
    """
    for table in tables:
        for entity in table["entities"]:  # type: ignore[attr-defined]
            fields = {**entity, "department": table["department"]}
            fields["asks"] = "".join(fact["ask"] for fact in entity["facts"])
            for template in (rng.choice(words["documents"]), str(words["questions_document"])):
                yield _document(template.format(**fields), table)
        department = table["department"]
        own = [fact for fact in facts if fact.department == department]
        terms = sorted({term for fact in own for term in (fact.value, *fact.wrong)})
        glossary = str(words["glossary_document"])
        for _ in range(4):
            rng.shuffle(terms)
            for start in range(0, len(terms), 12):
                listed = "、".join(terms[start : start + 12])
                yield _document(glossary.format(department=department, terms=listed), table)
        kinds = ("answers", "advice_joints", "closers", "greetings", "thanks")
        phrases = [phrase for kind in kinds for phrase in words[kind]]
        rng.shuffle(phrases)
        yield _document(str(words["replies_document"]).format(phrases="".join(phrases)), table)


def _document(text: str, table: dict[str, object]) -> Row:
    return {"text": text, "license": LICENSE, "specialty": table["department"]}


def jsonl(rows: Iterator[Row] | list[Row]) -> bytes:
    """The rows as JSON lines."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def build() -> dict[str, bytes]:
    """The content of every sample file by name."""
    tables, rng = read_tables(), random.Random(20260101)
    facts = read_facts(tables)
    words: Words = yaml.safe_load((HERE / "phrasing.yaml").read_text(encoding="utf-8"))
    table = StringIO()
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(("department", "title", "ask", "answer"))
    writer.writerows(csv_rows(facts, words, rng))
    general, draw = read_general_facts(), random.Random(20260102)
    return {
        "consult_alpaca.jsonl": jsonl(spoil(list(alpaca_rows(facts, words, rng)), rng)),
        "consult_sharegpt.jsonl": jsonl(sharegpt_rows(facts, words, rng)),
        "consult_gb18030.csv": table.getvalue().encode("gb18030"),
        "exam.jsonl": jsonl(exam_rows(tables, facts, rng)),
        "documents.jsonl": jsonl(document_rows(tables, facts, words, rng)),
        "general_exam.jsonl": jsonl(general_exam_rows(general, str(words["general_source"]), draw)),
        "general_documents.jsonl": jsonl(
            [{"text": text, "license": LICENSE} for text in general_texts(general, words, draw)]
        ),
    }


if __name__ == "__main__":
    for name, content in build().items():
        write_bytes(HERE / name, content)
