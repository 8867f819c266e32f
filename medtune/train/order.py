"""Which rows come together: in training by seed and epoch, in measuring by length."""

from collections.abc import Iterator, Sequence

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from medtune.train.processes import world_size


class EpochSampler(LengthGroupedSampler):
    """Rows of similar length together, in an order that seed and epoch alone decide, also when resumed."""

    def __init__(self, sampler: LengthGroupedSampler, seed: int) -> None:
        # Of all processes together: the same rows make a step however many share it.
        super().__init__(sampler.batch_size * world_size(), lengths=sampler.lengths)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next order is that of this epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


def share_of_rows(lengths: Sequence[int], size: int, *, rank: int, processes: int) -> Iterator[list[int]]:
    """The rows of each batch that a process measures, the longest first; every row is measured once.

    All processes have as many batches: what they compute in common would wait for ever. One may be empty.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    for start in range(0, len(order), size * processes):
        yield order[start + rank * size : start + (rank + 1) * size]
