"""Which rows come together: in training by seed and epoch, in measuring by length."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import RandomSampler, Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from medtune.train.processes import world_size


class EpochSampler(Sampler[int]):
    """Rows in an order that seed and epoch alone decide, also when resumed; of similar length together
    where the sampler that it stands for does so.
    """

    def __init__(self, sampler: LengthGroupedSampler | RandomSampler, seed: int) -> None:
        self.sampler = sampler
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next order is that of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        if isinstance(self.sampler, RandomSampler):
            return iter(torch.randperm(len(self), generator=generator).tolist())
        # Of all processes together: the same rows make a step however many share it.
        size = self.sampler.batch_size * world_size()
        return iter(get_length_grouped_indices(self.sampler.lengths, size, generator=generator))


def share_of_rows(lengths: Sequence[int], size: int, *, rank: int, processes: int) -> Iterator[list[int]]:
    """The rows of each batch that a process measures, the longest first; every row is measured once.

    All processes have as many batches: what they compute in common would wait for ever. One may be empty.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    for start in range(0, len(order), size * processes):
        yield order[start + rank * size : start + (rank + 1) * size]
