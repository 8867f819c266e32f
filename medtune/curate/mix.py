"""Records at random."""

import random

from medtune.artifact import Counts
from medtune.curate.config import MixConfig
from medtune.curate.pool import read_pool, take, write_choice


def run(config: MixConfig) -> Counts:
    """The counts of a random choice of equal tokens in `config.out`."""
    pool, _ = read_pool(config)
    order = [row for row in range(len(pool)) if pool.is_free[row]]
    random.Random(config.seed).shuffle(order)
    return write_choice(config, pool, take(pool, order, config), exam_ids=())
