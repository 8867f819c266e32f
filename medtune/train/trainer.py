"""TRL's trainer with steps that can be resumed to the byte, and guards about them."""

import math
import shutil
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors import SafetensorError
from torch.utils.data import RandomSampler
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler, nested_gather
from trl.trainer.sft_config import SFTConfig as TrlConfig
from trl.trainer.sft_trainer import SFTTrainer

from medtune.engines.loading import virtual_tokens
from medtune.errors import Interrupted, UserError
from medtune.train import checkpoints, guards
from medtune.train.adapters import load_encoder, save_encoder
from medtune.train.checkpoints import Saved
from medtune.train.config import TrainingConfig
from medtune.train.ledger import WEIGHTS
from medtune.train.losses import PLAIN_HEADS, answer_loss, step_weight, weighted_loss
from medtune.train.measure import mean_loss
from medtune.train.order import EpochSampler


class SafeTrainer(SFTTrainer):
    """TRL's trainer whose checkpoints count only when they are whole, and which is fast on a CPU too."""

    def prepare(self, config: TrainingConfig, *, watch: guards.Watch, stop: guards.StopRequest) -> None:
        """Nothing; the trainer knows its run. Apart from `__init__`, whose arguments are TRL's."""
        self.run, self.watch, self.stop = config, watch, stop
        self.sanity = guards.Sanity()
        assert isinstance(self.train_dataset, Dataset)
        self._heed_weights()
        self.fingerprint = checkpoints.fingerprint_of(
            config, self.train_dataset, num_processes=self.args.world_size
        )
        self.unlogged: list[float] = []
        self.last_step = -1
        self.num_tokens = 0
        self.order: EpochSampler | None = None

    def _heed_weights(self) -> None:
        """Nothing; rows with weights have their loss divided by us, and no other loss than the plain one."""
        assert isinstance(self.args, TrlConfig)
        train, valid = [
            isinstance(rows, Dataset) and WEIGHTS in rows.column_names
            for rows in (self.train_dataset, self.eval_dataset)
        ]
        if train:
            self.loss_is_scaled_for_ga = True  # for models too that take no count of items
        if not train and not valid:
            return
        if self.args.loss_type != "nll" or self.args.label_smoothing_factor:
            raise UserError(
                "trainer: some answers have weights, which act on the plain loss alone; leave out loss_type "
                "and label_smoothing_factor, or the weights"
            )

    def resume(self, checkpoint: Path | None) -> None:
        """Nothing; the run has been done, from a checkpoint on if there is one."""
        if checkpoint:
            checkpoints.check_drift(checkpoint, self.fingerprint, is_allowed=self.run.runtime.allow_drift)
            self.unlogged = checkpoints.read_state(checkpoint).losses
            self.last_step = int(checkpoint.name.rpartition("-")[2])
        try:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            self.watch.close()

    # ---- a step ----

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch, with the model's outputs when `return_outputs`."""
        assert isinstance(self.args, TrlConfig)
        if WEIGHTS in inputs:
            return self._weighted_loss(model, inputs, return_outputs, num_items_in_batch)
        if virtual_tokens(self.accelerator.unwrap_model(model)):  # PEFT alone puts them there
            return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)
        if self.args.device.type != "cpu" or self.args.loss_type != "nll":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        # TRL's tiled head saves GPU memory; on a CPU a step takes about 1.4 times as long as the plain loss.
        if return_outputs or self.args.world_size > 1 or model.config.model_type not in PLAIN_HEADS:
            return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)
        return answer_loss(model, inputs, num_items_in_batch)

    def _weighted_loss(self, model: Any, inputs: Any, return_outputs: bool, num_items: Any) -> Any:
        """The loss of a batch whose tokens have weights: Σ w·loss / Σ w over all batches of the step."""
        is_cpu = self.args.device.type == "cpu"
        has_virtual = virtual_tokens(self.accelerator.unwrap_model(model)) > 0
        is_whole = self.args.world_size == 1 and not has_virtual and not return_outputs
        if is_cpu and is_whole and model.config.model_type in PLAIN_HEADS:
            return answer_loss(model, inputs, num_items)
        if self.aux_loss_enabled:
            inputs = {**inputs, "output_router_logits": True}
        loss, outputs = weighted_loss(model, inputs, num_items, is_tiled=not is_cpu and not has_virtual)
        if num_items is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # processes' gradients are averaged
        if self.aux_loss_enabled:
            steps = 1 if num_items is None else self.current_gradient_accumulation_steps
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss / steps
        return (loss, outputs) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        if not batch_samples or WEIGHTS not in batch_samples[0]:
            return super()._get_num_items_in_batch(batch_samples, device)
        total = step_weight(batch_samples).to(device)
        is_shared = self.args.world_size > 1 and self.args.average_tokens_across_devices
        gathered: Any = self.accelerator.gather(total) if is_shared else total
        return gathered.sum()

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if WEIGHTS not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, WEIGHTS]

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """The batches of a step, their tokens counted."""
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        sums = [batch["attention_mask"].sum() for batch in batches if "attention_mask" in batch]
        self.num_tokens = int(sum(sums)) or sum(batch["input_ids"].numel() for batch in batches)
        return batches, num_items

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if guards.is_over(self.state, patience=self.run.early_stopping_patience):
            self.control.should_training_stop = True  # killed after its last save, a run has no step left
            return
        if self.order is not None:
            # Where several processes resume within an epoch it is wrapped so deep that nobody else tells it.
            self.order.set_epoch(kwargs["epoch"])
        super()._run_epoch(*args, **kwargs)

    def _maybe_log_save_evaluate(self, tr_loss: Any, grad_norm: Any, *args: Any, **kwargs: Any) -> None:
        """The border between two steps: look at the numbers; log, evaluate, save; stop if asked to."""
        step, signal = self.state.global_step, 0
        if step > self.last_step:  # transformers calls it once more at the end of an epoch
            self.last_step = step
            loss, signal = self._share(tr_loss)
            norm = None if grad_norm is None else float(grad_norm)
            is_scaled = self.accelerator.scaler is not None
            self.sanity.check(loss, norm, step=step, is_scaled=is_scaled)
            self.watch.tell(loss, norm, num_tokens=self.num_tokens * self.args.world_size)
            self.unlogged.append(loss)
            # Kept by us: a checkpoint between two logged steps holds what the next one will be made of.
            tr_loss.zero_()
            if self.control.should_log:
                tr_loss.fill_(math.fsum(self.unlogged))
                self._globalstep_last_logged = step - len(self.unlogged)
                self.unlogged = []
            self.control.should_save = self.control.should_save or bool(signal)
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *args, **kwargs)
        if guards.is_over(self.state, patience=self.run.early_stopping_patience):
            self.control.should_training_stop = True
        elif signal:
            name = guards.signal.Signals(signal).name
            raise Interrupted(f"stopped by {name} after step {step}, which is saved")

    def _share(self, tr_loss: torch.Tensor) -> tuple[float, int]:
        """The loss of a step over all processes, and the signal that any of them was sent."""
        if self.args.world_size == 1:
            return float(tr_loss), self.stop.signal
        both = torch.tensor([float(tr_loss), float(self.stop.signal)], device=tr_loss.device)
        gathered = nested_gather(both, self.args.parallel_mode)
        assert isinstance(gathered, torch.Tensor)
        shared = gathered.view(-1, 2)
        return float(shared[:, 0].mean()), int(shared[:, 1].max())

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The mean loss over all labelled tokens of `valid`."""
        metrics = {"eval_loss": mean_loss(self)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # ---- data and checkpoints ----

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(train_dataset)
        if not isinstance(sampler, LengthGroupedSampler | RandomSampler):
            return sampler
        self.order = EpochSampler(sampler, self.args.seed)
        return self.order

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        room = Path(self.args.output_dir or "")
        folder = room / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            room.mkdir(parents=True, exist_ok=True)
            checkpoints.check_disk(room, wanted=self._estimate())
            (folder / checkpoints.COMPLETE).unlink(missing_ok=True)
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            is_disk = isinstance(error, OSError | SafetensorError) or "write" in str(error).lower()
            if not (folder.is_dir() and is_disk):
                raise
            shutil.rmtree(folder)
            raise UserError(
                f"{folder}: could not be written ({' '.join(str(error).split())}); make room, and run the "
                "same command again, it resumes from the checkpoint before"
            ) from None
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            save_encoder(self.accelerator.unwrap_model(model), folder)
            checkpoints.save_state(folder, Saved(self.fingerprint, self.unlogged))
            checkpoints.seal(folder)
            checkpoints.rotate(room, keep=self.run.save_total_limit, best=self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not load_encoder(self.accelerator.unwrap_model(model or self.model), Path(resume_from_checkpoint)):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if not best or not load_encoder(self.accelerator.unwrap_model(self.model), Path(best)):
            super()._load_best_model()

    def _estimate(self) -> int:
        """The bytes of a first checkpoint: trained weights, and two of AdamW's numbers for each."""
        assert self.model is not None
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        return sum(weight.numel() * (weight.element_size() + 8) for weight in weights)
