"""How much likelier an answer makes its question, by a base model that was not taught to answer."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from medtune.engines.base import Choices, Engine, Prompt
from medtune.errors import UserError
from medtune.evals.answers.items import Answer, score_of
from medtune.evals.answers.open_scores import BACK, BACK_SHUFFLED, BACK_WINS
from medtune.records import Likelihood, Message, Score
from medtune.scorers.overlap import bare
from medtune.scorers.relevance import MAX_ANSWER_CHARS, MAX_QUESTION_CHARS

BLOCK_ANSWERS = 64
"""Answers read at once, so that the bar moves."""
TABLE = Path(__file__).with_name("back_wording.yaml")


@cache
def read_wording() -> dict[str, str]:
    """What stands before the question, with an answer and alone."""
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def score_back(answers: Sequence[Answer], engine: Engine, *, seed: int) -> Iterator[Score]:
    """For each answer its gain, that of a shuffled pair, and whether its own is more.

    Of long texts the beginning is read.
    """
    others = draw_others([answer.prompt for answer in answers], seed=seed)
    with tqdm(total=len(answers), desc=BACK, unit="answer", disable=None, leave=False) as bar:
        for start in range(0, len(answers), BLOCK_ANSWERS):
            part = range(start, min(start + BLOCK_ANSWERS, len(answers)))
            pairs = [(place, text) for place in part for text in (place, others[place])]
            asked = [ask(answers[place].prompt, answers[text].visible) for place, text in pairs]
            ranked = dict(engine.rank(asked))
            gains = (gain(found["question"]) for _, found in sorted(ranked.items()))
            for place in part:
                own, other = next(gains), next(gains)
                yield score_of(answers[place], BACK, own)
                yield score_of(answers[place], BACK_SHUFFLED, other, note=answers[others[place]].id)
                yield score_of(answers[place], BACK_WINS, own > other)
            bar.update(len(part))


def draw_others(questions: Sequence[str], *, seed: int) -> list[int]:
    """For each answer the number of one to another question: the questions in a circle, in a drawn order."""
    first: dict[str, int] = {}
    plain = [bare(question) for question in questions]
    for place, question in enumerate(plain):
        first.setdefault(question, place)
    if len(first) < 2:
        raise UserError("back-likelihood needs answers to two questions at least; leave the base model out")
    names = list(first)
    circle = [names[number] for number in np.random.default_rng(seed).permutation(len(names))]
    following = dict(zip(circle, [*circle[1:], circle[0]], strict=True))
    return [first[following[question]] for question in plain]


def ask(question: str, text: str) -> Choices:
    """The question as it follows on a text, and alone."""
    wording = read_wording()
    return Choices(
        as_text(wording["with_answer"].format(answer=text.strip()[:MAX_ANSWER_CHARS])),
        {"question": question.strip()[:MAX_QUESTION_CHARS]},
        prior=as_text(wording["alone"]),
    )


def as_text(text: str) -> Prompt:
    """A text to be gone on with as it stands."""
    return Prompt([Message(role="user", content=text)], is_text=True)


def gain(found: Likelihood) -> float:
    """How much likelier the answer made the question, in nats a character."""
    assert found.prior_logprob is not None, "it was asked for"
    return (found.logprob - found.prior_logprob) / found.num_chars
