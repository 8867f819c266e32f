"""Records that an exam asks for: each question's nearest ones, taken in turns until the budget is spent."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from medtune.artifact import Counts, write_jsonl
from medtune.curate.config import RecallConfig
from medtune.curate.pool import Pool, read_pool, read_questions, take, write_choice
from medtune.errors import UserError
from medtune.records import Question


class Hit(NamedTuple):
    """A record that a question brought."""

    question: int
    rank: int
    """0 for the question's nearest."""
    record: int
    similarity: float


def run(config: RecallConfig) -> Counts:
    """The counts of the chosen records in `config.out`; `why.jsonl` says which question brought each."""
    questions = read_questions(config.questions)
    tested = sum(question.split == "test" for question in questions)
    if tested and config.i_know != "recalled_on_test":
        raise UserError(
            f"{config.questions}: {tested} questions are of the test split; choosing training data by what "
            "will be reported makes the report worthless. Use val questions, or say i_know=recalled_on_test "
            "and have every report say it"
        )
    pool = read_pool(config)
    hits = in_turns(find_nearest(config, questions, pool))
    first = {hit.record: hit for hit in reversed(hits)}
    chosen = take(pool, dict.fromkeys(hit.record for hit in hits), config.budget_tokens)
    counts = write_choice(config, pool, chosen, exam_ids=[question.id for question in questions])
    write_jsonl(config.out / "why.jsonl", (_reason(first[index], questions, pool) for index in chosen))
    return {
        **counts,
        "questions": len(questions),
        "mean_similarity": float(np.mean([first[index].similarity for index in chosen])),
    }


def find_nearest(config: RecallConfig, questions: list[Question], pool: Pool) -> Iterator[Hit]:
    """For each question its top_k records inside the similarity bounds, nearest first.

    Similarity is the cosine of TF-IDF vectors of character n-grams.
    """
    vectors = TfidfVectorizer(
        analyzer="char",
        ngram_range=config.ngram_range,
        sublinear_tf=True,
        dtype=np.float32,  # pyright: ignore[reportArgumentType]  # scikit-learn takes it
    )
    records = vectors.fit_transform(pool.texts)
    asked = vectors.transform(
        " ".join([question.case or "", question.stem, *question.options.values()]) for question in questions
    )
    similarities = (asked @ records.T).toarray()  # (questions, records), rows are unit vectors
    for index, row in enumerate(similarities):
        order = np.argsort(-row, kind="stable")
        inside = [
            int(record) for record in order if config.min_similarity <= row[record] <= config.max_similarity
        ]
        for rank, record in enumerate(inside[: config.top_k]):
            yield Hit(index, rank, record, float(row[record]))


def in_turns(hits: Iterator[Hit]) -> list[Hit]:
    """First every question's nearest record, then every question's second, and so on."""
    return sorted(hits, key=lambda hit: (hit.rank, hit.question))


def _reason(hit: Hit, questions: list[Question], pool: Pool) -> dict[str, str | int | float]:
    return {
        "record": pool.records[hit.record].id,
        "question": questions[hit.question].id,
        "rank": hit.rank,
        "similarity": round(hit.similarity, 5),
    }
