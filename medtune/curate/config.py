"""What embed, recall and mix may be told."""

from typing import Literal

from pydantic import Field

from medtune.config import CommandConfig, Input
from medtune.curate.embed_config import EmbedConfig

__all__ = ["EmbedConfig", "MixConfig", "RecallConfig", "SelectionConfig"]


class SelectionConfig(CommandConfig):
    """The keys that every way of choosing training data shares, so that arms differ in the choice alone."""

    pool: tuple[Input, ...] = Field(min_length=1)
    """Files of dialogue records to choose from."""
    decontaminate: tuple[Input, ...] = ()
    """Files of exam questions to be reported on: records that hold one are removed before the choice."""
    tokenizer: Input
    """Tokenizer, or model directory, that counts the tokens."""
    budget_tokens: int = Field(ge=1)
    """Tokens to choose, counted as the model will see them; the last record may run over."""


class RecallConfig(SelectionConfig):
    """Choose the records that are nearest to the questions of an exam, by TF-IDF of character n-grams."""

    questions: Input
    """The questions that the choice goes by: never those that will be reported on."""
    top_k: int = Field(50, ge=1)
    """Nearest records looked at per question."""
    min_similarity: float = Field(0.05, ge=0, le=1)
    """Records less similar (cosine) than this are not taken."""
    max_similarity: float = Field(0.95, ge=0, le=1)
    """Records more similar than this are near-copies of the question and not taken."""
    ngram_range: tuple[int, int] = (2, 3)
    """Shortest and longest character n-gram."""
    i_know: Literal["", "recalled_on_test"] = ""
    """Must say `recalled_on_test` to go by test questions; every later report says so too."""


class MixConfig(SelectionConfig):
    """Choose records at random: the control that shows what the choice itself is worth."""

    seed: int = 42
    """Seed of the draw."""
