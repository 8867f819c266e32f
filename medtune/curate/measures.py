"""How near the rows of a pool are to questions: by their words, or by vectors that `embed` made."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import HashingVectorizer

from medtune.config import Input
from medtune.curate.bm25 import Bm25Nearness
from medtune.curate.config import RecallConfig
from medtune.curate.importance import Importance
from medtune.curate.order import Matrix
from medtune.curate.pool import Pool
from medtune.curate.recall_config import Bm25, Dsir, TextRecipe, Vectors
from medtune.curate.search import Block, Floats, blocks_of_texts, blocks_of_vectors, read_rows
from medtune.curate.shards import Shard
from medtune.curate.survey import Counting, fingerprints
from medtune.curate.texts import text_for
from medtune.curate.vectors import open_vectors, refuse_other_space
from medtune.errors import UserError
from medtune.records import Phrase, Question
from medtune.reports.phrases import phrase
from medtune.scorers.overlap import bare


class Limits(NamedTuple):
    """How near is near enough, and how near is too near."""

    low: float | None
    """None: the similarity that `LOW_SHARE` of all pairs stay below."""
    high: float


LOW_SHARE = 0.99
LIMITS = {
    "bm25": Limits(0.1, 0.8),
    "tfidf": Limits(0.3, 0.95),
    "sentence-transformers": Limits(0.75, 0.95),
    "api": Limits(0.75, 0.95),
    "states": Limits(None, 0.999),
}
"""By measure, or by embedder. For neural embeddings the usual bounds of exam-driven recall; hidden states all
lie near each other, so that only their order tells."""

WORDING = HashingVectorizer(analyzer="char", ngram_range=(2, 3), n_features=2**20, alternate_sign=False)
"""Two texts that share all but a few words have a cosine near 1 by it."""


def name_model(model: str) -> str:
    """The model's name; of a digest its beginning."""
    return model[:12] if re.fullmatch("[0-9a-f]{64}", model) else model


class Sight(Protocol):
    """The questions, and what is needed to see how near a row is."""

    limits: Limits
    described: Phrase
    """How nearness is measured."""

    @property
    def counting(self) -> Counting | None:
        """What must see the whole pool's wording before."""
        ...

    def learn(self, counts: NDArray[np.float64]) -> None:
        """Nothing; what the survey of the pool told is taken in."""
        ...

    def check(self, pool: Pool) -> None:
        """Nothing, or a UserError when this does not speak of the pool."""
        ...

    def blocks(self, shard: Shard) -> Iterator[Block]:
        """The similarities of a shard."""
        ...

    def look_at(self, pool: Pool, rows: Sequence[int]) -> Floats:
        """(questions, rows): the similarities of some rows."""
        ...

    def vectors_of(self, pool: Pool, rows: Sequence[int]) -> Matrix:
        """(rows, features): unit vectors by which rows are told to be alike."""
        ...


class ByWords:
    """Nearness by what is said."""

    def __init__(self, near: Bm25 | Dsir, files: Sequence[Input], questions: Sequence[Question]) -> None:
        if isinstance(near, Bm25):
            self.limits, self.counting = LIMITS["bm25"], Bm25Nearness(near, questions)
            self.described = phrase("choice_by_words")
        else:
            self.limits, self.counting = Limits(-np.inf, np.inf), Importance(near, questions)
            self.described = phrase("choice_by_dsir")
        self._files: Sequence[Input] = files
        self._text: TextRecipe = near.text

    def learn(self, counts: NDArray[np.float64]) -> None:
        """Nothing; the words get their weights."""
        self.counting.learn(counts)

    def check(self, pool: Pool) -> None:
        """Nothing: the words are the pool's own."""

    def blocks(self, shard: Shard) -> Iterator[Block]:
        """The similarities of a shard."""
        return blocks_of_texts(self._files, shard, self.counting)

    def look_at(self, pool: Pool, rows: Sequence[int]) -> Floats:
        """(questions, rows): the similarities of some rows."""
        return self.counting.score(list(pool.read(rows)))

    def vectors_of(self, pool: Pool, rows: Sequence[int]) -> Matrix:
        """(rows, features): the pairs and triples of characters in a record."""
        texts = (bare(text_for(record, self._text)) for record in pool.read(rows))
        return csr_array(WORDING.transform(texts))


class ByVectors:
    """Nearness by the cosine of vectors."""

    counting: Counting | None = None

    def __init__(self, near: Vectors, questions: Sequence[Question]) -> None:
        self._name = near.pool
        self._pool, asked = open_vectors(near.pool), open_vectors(near.questions)
        refuse_other_space(self._pool, asked)
        _refuse_other_rows(near.questions, list(asked.read_ids()), [question.id for question in questions])
        self._asked = read_rows(asked.array, 0, len(asked.array))
        space = self._pool.space
        self.limits = LIMITS[space.type]
        self.described = phrase("choice_by_vectors", type=space.type, model=name_model(space.model))

    def learn(self, counts: NDArray[np.float64]) -> None:
        """Nothing: vectors are what they are."""

    def check(self, pool: Pool) -> None:
        """Nothing, or a UserError when the vectors are not those of the pool's rows."""
        prints = fingerprints(self._pool.read_ids())
        if len(prints) != len(pool):
            raise UserError(
                f"{self._name}: {len(prints)} vectors for {len(pool)} records of the pool; embed its files"
            )
        if not np.array_equal(prints, pool.prints):
            row = int(np.argmax(prints != pool.prints))
            raise UserError(
                f"{self._name}: vector {row + 1} is not that of {pool.place(row)}; "
                "embed the pool's files in the order in which they are named"
            )

    def blocks(self, shard: Shard) -> Iterator[Block]:
        """The similarities of a shard."""
        return blocks_of_vectors(self._pool.array, self._asked, shard, name=str(self._name))

    def look_at(self, pool: Pool, rows: Sequence[int]) -> Floats:
        """(questions, rows): the similarities of some rows."""
        return self._asked @ self.vectors_of(pool, rows).T

    def vectors_of(self, pool: Pool, rows: Sequence[int]) -> NDArray[np.float32]:
        """(rows, dim): their vectors."""
        return np.concatenate([read_rows(self._pool.array, row, row + 1) for row in rows])


def _refuse_other_rows(folder: object, ids: Sequence[str], names: Sequence[str]) -> None:
    """Nothing, or a UserError when vectors are not those of the questions."""
    if len(ids) != len(names):
        raise UserError(f"{folder}: {len(ids)} vectors for {len(names)} questions; embed the same file")
    for number, (id, name) in enumerate(zip(ids, names, strict=True), 1):
        if id != name:
            raise UserError(
                f"{folder}: vector {number} is of {id}, question {number} is {name}; embed the same file"
            )


def open_sight(config: RecallConfig, questions: Sequence[Question]) -> Sight:
    """What sees how near rows are to the questions."""
    if isinstance(config.near, Vectors):
        return ByVectors(config.near, questions)
    return ByWords(config.near, config.pool, questions)
