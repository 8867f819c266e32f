"""The loss on `valid`: one number whatever batches and processes its rows come in."""

from typing import Any

import torch
from trl.trainer.sft_trainer import SFTTrainer

from medtune.train.ledger import IGNORED, WEIGHTS
from medtune.train.losses import step_weight
from medtune.train.order import share_of_rows


def mean_loss(trainer: SFTTrainer) -> float:
    """The mean loss over all labelled tokens of the trainer's rows for measuring, weighted if they are.

    Transformers' own is a mean of batch means, in which a short answer's token weighs more than a long one's.
    """
    model: Any = trainer.model_wrapped if trainer.is_deepspeed_enabled else trainer.model
    rows: Any = trainer.eval_dataset
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64)
    rank, processes = trainer.args.process_index, trainer.args.world_size
    size, lengths = trainer.args.per_device_eval_batch_size, [len(ids) for ids in rows["input_ids"]]
    for places in share_of_rows(lengths, size, rank=rank, processes=processes):
        # Who has no row left measures one for nothing: sharded weights are gathered by all or by none.
        batch = trainer._prepare_inputs(trainer.data_collator([rows[place] for place in places or [0]]))
        has_label = batch["labels"][:, 1:] != IGNORED
        amount = float(step_weight([batch]) if WEIGHTS in batch else has_label.sum())
        with torch.no_grad(), trainer.compute_loss_context_manager():
            loss = float(trainer.compute_loss(model, batch))
        if places and amount:
            sums += torch.tensor([loss * amount, amount], dtype=torch.float64)
    if processes > 1:
        sums = sums.to(trainer.args.device)
        torch.distributed.all_reduce(sums)
    return float(sums[0] / sums[1])
