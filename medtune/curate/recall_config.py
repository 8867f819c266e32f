"""How near a record is to a question, and which of the near ones are taken."""

from typing import Literal

from pydantic import Field

from medtune.config import Config, Input
from medtune.curate.embed_config import TextRecipe


class Bm25(Config):
    """The words that both hold, rare ones first: nothing to download, and nothing to embed before."""

    type: Literal["bm25"] = "bm25"
    """This measure. A similarity of 1 is what the question itself would get as a record."""
    text: TextRecipe = "whole"
    """What of records and questions is compared: `whole`, or `asked` (no answers, no options)."""
    k1: float = Field(default=1.2, ge=0)
    """How slowly a gram that comes again stops to count."""
    b: float = Field(default=0.75, ge=0, le=1)
    """How much a long record is marked down, 0 to 1."""


class Vectors(Config):
    """The cosine of vectors that `embed` made."""

    type: Literal["vectors"] = "vectors"
    """This measure."""
    pool: Input
    """Directory that `embed` made of the pool's files, in the same order."""
    questions: Input
    """Directory that `embed` made of the questions, `like` that of the pool."""


class Dsir(Config):
    """How much more a record is worded like the exam than like the pool: no single question brings it."""

    type: Literal["dsir"] = "dsir"
    """This measure: log importance weights of hashed character n-grams."""
    text: TextRecipe = "whole"
    """What of records and questions is compared: `whole`, or `asked` (no answers, no options)."""
    num_buckets: int = Field(default=10_000, ge=100)
    """Buckets that the n-grams are hashed into."""
    draw: Literal["best", "sampled"] = "best"
    """`best`: by the mean weight of a record's n-grams, so that its length does not decide. `sampled`: drawn
    by the sum of the weights, as published."""
    seed: int = 42
    """Seed of the draw."""


Near = Bm25 | Vectors | Dsir


class InTurns(Config):
    """Each question's nearest record first, then each one's second, and so on: no question goes short."""

    type: Literal["in_turns"] = "in_turns"
    """This rule."""


class Threshold(Config):
    """Every record near enough to some question, the nearest first, whichever question brought it."""

    type: Literal["threshold"] = "threshold"
    """This rule."""


class MeanOfBest(Config):
    """Records by the mean of their highest similarities: what many questions are near to comes first."""

    type: Literal["mean_of_best"] = "mean_of_best"
    """This rule."""
    num_best: int = Field(default=5, ge=1)
    """Questions, the nearest to a record, whose similarities are averaged."""


Rule = InTurns | Threshold | MeanOfBest


class Variety(Config):
    """What keeps the choice from saying one thing many times."""

    max_alike: float | None = Field(default=None, gt=0, le=1)
    """A record more alike than this (cosine) to one that is taken already is left out. Measured by the
    vectors of `near`, else by the pairs and triples of characters that both hold."""
    relevance: float = Field(default=1.0, ge=0, le=1)
    """Below 1 the records of each question are put in order by maximal marginal relevance (MMR): this share
    goes to nearness, the rest to being unlike the question's records before."""
