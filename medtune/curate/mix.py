"""Records at random."""

import random

from medtune.artifact import Counts
from medtune.curate.config import MixConfig
from medtune.curate.pool import read_pool, take, write_choice


def run(config: MixConfig) -> Counts:
    """The counts of a random choice of equal tokens in `config.out`."""
    pool = read_pool(config)
    order = list(range(len(pool.records)))
    random.Random(config.seed).shuffle(order)
    return write_choice(config, pool, take(pool, order, config.budget_tokens), exam_ids=())
