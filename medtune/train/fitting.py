"""What does not fit into a GPU, and the change that costs least and makes it fit."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from medtune.train.blueprint import Blueprint, count_adapter
from medtune.train.memory import GIB, Setup, estimate
from medtune.train.method_config import can_share_weights

CARDS_GIB = (8, 16, 24, 40, 80)
USABLE = 0.97
"""Share of a card's nominal memory that a process gets."""
RANK = 16
"""Of the LoRA that is proposed in place of full tuning."""


class Change(NamedTuple):
    """A setup and how to get there."""

    cost: float
    """In order of what is lost: nothing but time, then precision, then reach of the method, then text."""
    words: tuple[str, ...]
    """`key=value`, as on the command line."""
    setup: Setup


def fits(model: Blueprint, setup: Setup, gib: float) -> bool:
    """Whether a run fits into a card of so many GiB."""
    return estimate(model, setup).total <= USABLE * gib * GIB


def cheapest_change(model: Blueprint, setup: Setup, accumulation: int, gib: float) -> Change | None:
    """The change with the least cost that fits, or None when none does."""
    for change in sorted(
        _changes(model, setup, accumulation), key=lambda change: (change.cost, change.words)
    ):
        if fits(model, change.setup, gib):
            return change
    return None


def sharing_words(model: Blueprint, setup: Setup, gib: float) -> str:
    """The `key=value` that spread a run over several such cards; empty where none would hold it.

    Quantised weights cannot be shared out: their method becomes lora.
    """
    words, whole = "", setup
    if setup.method == "qlora":
        words, whole = "method.type=lora  ", setup._replace(method="lora", bits=0)
    count = devices_needed(model, whole, gib)
    return f"{words}parallel.type=fsdp2  parallel.num_processes={count}" if count else ""


def devices_needed(model: Blueprint, setup: Setup, gib: float) -> int | None:
    """How many such cards hold the run when weights, gradients and optimizer are shared out, up to 64."""
    if not can_share_weights(setup.method):
        return None
    for count in (2, 4, 8, 16, 32, 64):
        if count > setup.world_size and fits(model, setup._replace(world_size=count, stage=3), gib):
            return count
    return None


def _changes(model: Blueprint, setup: Setup, accumulation: int) -> Iterator[Change]:
    parts = (
        list(_checkpointing(setup)),
        list(_batches(setup, accumulation)),
        list(_numbers(setup)),
        list(_methods(model, setup)),
        list(_lengths(setup)),
    )
    for combination in product(*parts):
        after, cost, words = setup, 0.0, list[str]()
        for price, told, changed in combination:
            after, cost, words = after._replace(**changed), cost + price, [*words, *told]
        if after.method in ("full", "freeze") or not any(word.startswith("trainer.optim") for word in words):
            yield Change(cost, tuple(words), after)


Option = tuple[float, tuple[str, ...], dict[str, object]]
"""Its cost, its words, and the fields of the setup that it changes."""
NOTHING: Option = (0.0, (), {})


def _checkpointing(setup: Setup) -> Iterator[Option]:
    yield NOTHING
    if not setup.checkpointing and setup.method != "prefix":
        yield 1.0, ("gradient_checkpointing=true",), {"checkpointing": True}


def _batches(setup: Setup, accumulation: int) -> Iterator[Option]:
    """Smaller batches, more of them to a step: the same result."""
    yield NOTHING
    size, cost = setup.batch_size, 0.5
    while size % 2 == 0:
        size //= 2
        words = (
            f"per_device_train_batch_size={size}",
            f"gradient_accumulation_steps={accumulation * setup.batch_size // size}",
        )
        yield cost, words, {"batch_size": size}
        cost += 0.1


def _numbers(setup: Setup) -> Iterator[Option]:
    yield NOTHING
    if setup.dtype == "float32" and not setup.bits:
        cost = 3.0 if setup.method == "full" else 1.5
        changed: dict[str, object] = {"dtype": "bfloat16", "is_mixed": False}
        yield cost, ("model.dtype=bfloat16", "bf16=true"), changed
        yield cost + 2, ("model.dtype=bfloat16", "bf16=true", "trainer.optim=adamw_8bit"), {
            **changed, "optimizer": "adamw_8bit",
        }  # fmt: skip
    if "8bit" not in setup.optimizer:
        yield 2.0, ("trainer.optim=adamw_8bit",), {"optimizer": "adamw_8bit"}


def _methods(model: Blueprint, setup: Setup) -> Iterator[Option]:
    yield NOTHING
    adapter: dict[str, object] = {"rank": RANK, "trainable": count_adapter(model, RANK)}
    if setup.method == "full":
        yield 6.0, ("method.type=lora",), {"method": "lora", "bits": 0, **adapter}
        if setup.stage < 3:
            yield 8.0, ("method.type=qlora",), {"method": "qlora", "bits": 4, **adapter}
    elif setup.method == "lora" and setup.stage < 3:
        yield 3.0, ("method.type=qlora",), {"method": "qlora", "bits": 4}
    elif setup.method == "qlora" and setup.bits == 8:
        yield 1.0, ("method.bits=4",), {"bits": 4}


def _lengths(setup: Setup) -> Iterator[Option]:
    """Shorter rows: text is lost, so this comes last."""
    yield NOTHING
    length, cost = setup.length, 12.0
    while length >= 512:
        length //= 2
        yield cost, (f"max_length={length}",), {"length": length}
        cost += 3
