"""What watches over a run: signals that ask it to stop, numbers that are none, patience, a progress bar."""

import math
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from medtune.errors import Diverged

STOPS = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGUSR1") if name in signal.Signals.__members__
)
"""What schedulers send before they kill, and Ctrl-C. Windows has no SIGUSR1."""
MAX_SKIPPED = 20
"""fp16's scaler skips a step whose gradients overflow and halves itself; so many in a row are a fault."""


class StopRequest:
    """Whether somebody asked the process to stop, while this context lasts. A second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            self._before = {number: signal.signal(number, self._note) for number in STOPS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


class Sanity:
    """Stops a run at the first step whose loss or gradient norm is no number."""

    def __init__(self) -> None:
        self._num_skipped = 0

    def check(self, loss: float, grad_norm: float | None, *, step: int, is_scaled: bool) -> None:
        """Nothing, or Diverged. With `is_scaled`, fp16's scaler may skip a few steps that overflow."""
        if not math.isfinite(loss):
            raise _diverged("loss", loss, step)
        is_fault = grad_norm is not None and not math.isfinite(grad_norm)
        self._num_skipped = self._num_skipped + 1 if is_fault else 0
        if grad_norm is not None and is_fault and (not is_scaled or self._num_skipped > MAX_SKIPPED):
            raise _diverged("gradient norm", grad_norm, step)


def _diverged(what: str, value: float, step: int) -> Diverged:
    return Diverged(
        f"the {what} is {value} at step {step}; lower learning_rate, or use bf16 in place of fp16. "
        "The last checkpoint is kept"
    )


def is_over(state: TrainerState, *, patience: int) -> bool:
    """Whether a run has done its last step, or had no new lowest loss on `valid` for `patience` of them.

    A function of the state alone, so that a resumed run stops where an unbroken one does.
    """
    best = state.best_global_step or 0
    num_worse = sum(1 for row in state.log_history if "eval_loss" in row and row["step"] > best)
    return (0 < state.max_steps <= state.global_step) or 0 < patience <= num_worse


class Watch(TrainerCallback):
    """A progress bar with loss, gradient norm, tokens per second and the time that is left."""

    def __init__(self, name: str, *, is_shown: bool = True) -> None:
        self.name = name
        self.is_shown = is_shown
        self.num_tokens = 0
        self.bar: tqdm[Any] | None = None
        self.since = time.monotonic()

    @property
    def tokens_per_second(self) -> float:
        """Of all that this process did, losses on `valid` and saves included."""
        return self.num_tokens / max(time.monotonic() - self.since, 1e-9)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The bar appears, at the step that the run resumes from."""
        self.since = time.monotonic()
        self.bar = tqdm(
            desc=self.name,
            total=state.max_steps,
            initial=state.global_step,
            unit="step",
            disable=None if self.is_shown else True,
            leave=False,
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The bar moves to the step that was done; what is saved is logged too."""
        assert self.bar is not None
        self.bar.update(state.global_step - self.bar.n)
        control.should_log = control.should_log or control.should_save

    def tell(self, loss: float, grad_norm: float | None, *, num_tokens: int) -> None:
        """Nothing; the bar shows the step that was done."""
        self.num_tokens += num_tokens
        if self.bar is not None and not self.bar.disable:
            norm = "" if grad_norm is None else f", norm={grad_norm:.2g}"
            self.bar.set_postfix_str(
                f"loss={loss:.3f}{norm}, {self.tokens_per_second:,.0f} tokens/s", refresh=False
            )

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """A loss on `valid` that is no number ends the run."""
        loss = float(state.log_history[-1].get("eval_loss", 0.0))
        if not math.isfinite(loss):
            raise _diverged("eval_loss", loss, state.global_step)

    def close(self) -> None:
        """Nothing; the bar goes away."""
        if self.bar is not None:
            self.bar.close()
