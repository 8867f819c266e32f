"""The command that chooses the records which an exam asks for."""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medtune.artifact import CHECKPOINTS, Counts, digest_of, write_jsonl
from medtune.curate.config import RecallConfig
from medtune.curate.leaks import read_questions
from medtune.curate.measures import LOW_SHARE, Sight, open_sight
from medtune.curate.order import (
    Hit,
    by_relevance,
    by_score,
    by_similarity,
    in_turns,
    leave_out_alike,
    list_hits,
    sample_by_weight,
)
from medtune.curate.pool import Chosen, Pool, read_pool, take, write_choice
from medtune.curate.recall_config import Dsir, MeanOfBest, Threshold
from medtune.curate.recall_report import Choice, Reason, report_on
from medtune.curate.search import Nearest, RowScores, average_best, find_nearest, merge, quantile_of
from medtune.curate.shards import Shard, work_through
from medtune.errors import UserError
from medtune.records import Phrase, Question
from medtune.reports.phrases import phrase
from medtune.reports.report import write_reports


class Found(NamedTuple):
    """The rows in the order in which they are taken, and what brought them."""

    order: Iterable[int]
    hits: list[list[Hit]]
    """By question; empty where no single question brings a row."""
    low: float
    """Near enough."""
    histogram: NDArray[np.int64]
    """Similarities of a sample of all pairs."""
    too_near: int
    """Pairs above the upper bound."""


def run(config: RecallConfig) -> Counts:
    """The counts of the chosen records in `config.out`; `near.jsonl` says what brought each."""
    questions = read_queries(config)
    sight = open_sight(config, questions)
    pool, counts = read_pool(config, sight.counting)
    sight.check(pool)
    sight.learn(counts)
    found = search(config, sight, pool, counts)
    chosen = take(pool, found.order, config)
    reasons = list(explain(config, sight, pool, chosen, found))
    told = write_choice(config, pool, chosen, exam_ids=[question.id for question in questions])
    write_jsonl(config.out / "near.jsonl", (tell(reason, questions) for reason in reasons))
    choice = Choice(
        questions=questions,
        reasons=reasons,
        num_tokens=told["tokens"],
        num_pool=len(pool),
        num_leaking=pool.num_leaking if config.decontaminate else None,
        sources=pool.sources,
        in_pool=np.bincount(pool.source, minlength=len(pool.sources)).tolist(),
        chosen_from=np.bincount(
            pool.source[[reason.row for reason in reasons]], minlength=len(pool.sources)
        ).tolist(),
        histogram=found.histogram,
        details=describe(config, sight, found),
    )
    sources = (*config.pool, config.questions, *config.decontaminate)
    report = report_on(choice, provenance={str(source): digest_of(source)[:16] for source in sources})
    write_reports(report, config.out)
    shutil.rmtree(config.out / CHECKPOINTS)
    return {
        **told,
        "questions": len(questions),
        "questions_that_brought_none": len(questions)
        - len({hit.question for reason in reasons for hit in reason.hits}),
        "too_near": found.too_near,
        "mean_similarity": round(float(np.mean([reason.similarity for reason in reasons])), 5),
    }


def describe(config: RecallConfig, sight: Sight, found: Found) -> list[Phrase]:
    """How near was measured, and within which bounds."""
    if isinstance(config.near, Dsir):
        return [phrase("choice_by_dsir")]
    bounds = phrase("choice_bounds", low=found.low, high=high_of(config, sight), too_near=found.too_near)
    return [sight.described, bounds]


def read_queries(config: RecallConfig) -> list[Question]:
    """The questions that the choice goes by; test questions are refused unless that is known."""
    questions = read_questions(config.questions)
    tested = sum(question.split == "test" for question in questions)
    if tested and config.i_know != "recalled_on_test":
        raise UserError(
            f"{config.questions}: {tested} questions are of the test split; choosing training data by what "
            "will be reported makes the report worthless. Use val questions, or say i_know=recalled_on_test "
            "and have every report say it"
        )
    return questions


# ---- which rows, in which order ----


class Searcher:
    """What it takes to search shards."""

    def __init__(self, config: RecallConfig, counts: NDArray[np.float64], is_free: NDArray[np.bool_]) -> None:
        questions = read_queries(config)
        self._config, self._is_free, self._num_questions = config, is_free, len(questions)
        self._sight = open_sight(config, questions)
        self._sight.learn(counts)
        self._high = high_of(config, self._sight)

    def find(self, shard: Shard) -> Nearest:
        """The nearest rows of each question in a shard."""
        return find_nearest(
            self._sight.blocks(shard),
            self._is_free,
            num_questions=self._num_questions,
            top_k=self._config.top_k,
            too_near=self._high,
        )

    def score(self, shard: Shard) -> RowScores:
        """How near each row of a shard is to the exam as a whole."""
        num_best = self._config.rule.num_best if isinstance(self._config.rule, MeanOfBest) else 1
        return average_best(self._sight.blocks(shard), self._is_free, num_best=num_best, too_near=self._high)


def search(config: RecallConfig, sight: Sight, pool: Pool, counts: NDArray[np.float64]) -> Found:
    """The rows that are near enough, in the order of the rule."""
    over = partial(
        work_through,
        pool.shards,
        out=config.out,
        stage="search",
        workers=config.runtime.workers,
        hold=partial(Searcher, config, counts, pool.is_free),
    )
    if isinstance(config.near, Dsir) or isinstance(config.rule, MeanOfBest):
        parts = list(over(kind=RowScores, work=Searcher.score))
        scores = np.concatenate([part.scores for part in parts])
        histogram = np.sum([part.histogram for part in parts], axis=0)
        low = find_floor(config, sight, histogram)
        if isinstance(config.near, Dsir) and config.near.draw == "sampled":
            scores = sample_by_weight(scores, config.near.seed)
        found = Found(by_score(scores, at_least=low), [], low, histogram, 0)
    else:
        parts = over(kind=Nearest, work=Searcher.find)
        nearest = reduce(lambda one, other: merge(one, other, top_k=config.top_k), parts)
        low = find_floor(config, sight, nearest.histogram)
        hits = list_hits(nearest, at_least=low)
        order = order_hits(config, sight, pool, hits)
        found = Found(order, hits, low, nearest.histogram, int(nearest.too_near.sum()))
    return found._replace(order=keep_unlike(config, sight, pool, found))


def high_of(config: RecallConfig, sight: Sight) -> float:
    """How near is too near."""
    return sight.limits.high if config.max_similarity is None else config.max_similarity


def find_floor(config: RecallConfig, sight: Sight, histogram: NDArray[np.int64]) -> float:
    """How near is near enough."""
    if config.min_similarity is not None:
        return config.min_similarity
    share = config.min_quantile or (LOW_SHARE if sight.limits.low is None else None)
    if share:
        return quantile_of(histogram, share)
    assert sight.limits.low is not None
    return sight.limits.low


def order_hits(config: RecallConfig, sight: Sight, pool: Pool, hits: list[list[Hit]]) -> Iterator[int]:
    """The rows that questions brought, in the order of the rule."""
    if isinstance(config.rule, Threshold):
        return by_similarity(hits)
    if config.variety.relevance < 1:
        hits = [
            by_relevance(own, sight.vectors_of(pool, [hit.row for hit in own]), config.variety.relevance)
            if own
            else []
            for own in hits
        ]
    return in_turns(hits)


def keep_unlike(config: RecallConfig, sight: Sight, pool: Pool, found: Found) -> Iterable[int]:
    """The rows without those that are too alike to one before them."""
    if config.variety.max_alike is None:
        return found.order
    return leave_out_alike(found.order, lambda rows: sight.vectors_of(pool, rows), config.variety.max_alike)


# ---- why each was chosen ----


def tell(reason: Reason, questions: Sequence[Question]) -> dict[str, object]:
    """The reason as a row of `near.jsonl`."""
    return {
        "record": reason.record,
        "place": reason.place,
        "similarity": round(reason.similarity, 5),
        "brought_by": [
            {
                "question": questions[hit.question].id,
                **({"rank": hit.rank} if hit.rank else {}),
                "similarity": round(hit.similarity, 5),
            }
            for hit in reason.hits
        ],
    }


def explain(
    config: RecallConfig, sight: Sight, pool: Pool, chosen: Sequence[Chosen], found: Found
) -> Iterator[Reason]:
    """Why each row was chosen, in the order of the choice."""
    brought: dict[int, list[Hit]] = defaultdict(list)
    for hit in (hit for own in found.hits for hit in own):
        brought[hit.row].append(hit)
    for one in chosen:
        hits = sorted(brought[one.row], key=lambda hit: (-hit.similarity, hit.question))
        if hits:
            similarity = hits[0].similarity
        else:  # the rule went by the record alone
            scores = sight.look_at(pool, [one.row])[:, 0]
            number = config.rule.num_best if isinstance(config.rule, MeanOfBest) else 0
            best = np.argsort(-scores, kind="stable")[:number]
            hits = [Hit(int(question), 0, one.row, float(scores[question])) for question in best]
            similarity = float(np.mean(scores[best])) if hits else float(scores[0])
        yield Reason(one.row, one.record.id, pool.place(one.row), similarity, hits)
