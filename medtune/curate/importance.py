"""DSIR: how much more a record is worded like the questions than like the pool (Xie et al. 2023, 2302.03169).

Character n-grams fall into buckets by a hash; a record's weight is the log of the ratio of its likelihoods
under two bags of buckets, that of the questions and that of the pool.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import HashingVectorizer

from medtune.curate.recall_config import Dsir
from medtune.curate.texts import text_for
from medtune.places import AnyRecord
from medtune.scorers.overlap import bare

SMOOTHING = 1e-8
"""Added to each bucket's share, as in the authors' code, so that no logarithm is infinite."""


class Importance:
    """The questions' bag of n-grams, held against that of the pool."""

    def __init__(self, config: Dsir, questions: Sequence[AnyRecord]) -> None:
        self.config = config
        self._buckets = HashingVectorizer(
            analyzer="char",
            ngram_range=(1, 2),
            n_features=config.num_buckets,
            norm=None,  # pyright: ignore[reportArgumentType]  # scikit-learn takes it
            alternate_sign=False,
        )
        self._wanted = self.count(questions)

    def count(self, records: Sequence[AnyRecord]) -> NDArray[np.float64]:
        """How often each bucket is hit, shape (num_buckets,)."""
        return np.asarray(self._bags(records).sum(axis=0), dtype=np.float64)

    def learn(self, total: NDArray[np.float64]) -> None:
        """The weight of each bucket, from the counts of the whole pool."""
        wanted, had = (counts / max(counts.sum(), 1) + SMOOTHING for counts in (self._wanted, total))
        self._weights = np.log(wanted) - np.log(had)

    def score(self, records: Sequence[AnyRecord]) -> NDArray[np.float32]:
        """(1, records): log importance weights: the sum over a record's n-grams, or their mean."""
        bags = self._bags(records)
        weights = np.asarray(bags @ self._weights)
        if self.config.draw == "best":
            weights /= np.maximum(np.asarray(bags.sum(axis=1)), 1)
        return weights.astype(np.float32)[None, :]

    def _bags(self, records: Sequence[AnyRecord]) -> csr_array:
        texts = (bare(text_for(record, self.config.text)) for record in records)
        return csr_array(self._buckets.transform(texts))
