"""`medtune plan`: what a run would train on, its steps and its memory, before any weight is loaded."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from medtune.config import Input
from medtune.engines.tokenizing import load_tokenizer
from medtune.reports.wording import width_of
from medtune.train.blueprint import (
    Blueprint,
    count_adapter,
    count_trainable,
    draw,
    model_config,
    shape_config,
)
from medtune.train.config import NewModel
from medtune.train.fitting import CARDS_GIB, RANK, cheapest_change, fits, sharing_words
from medtune.train.memory import (
    GIB,
    Setup,
    Terms,
    estimate,
    formula_bytes,
    whole_logits_bytes,
)
from medtune.train.method_config import can_share_weights
from medtune.train.plan_config import ABSENT, Asked, PlanConfig, read_plan
from medtune.train.precision import Hardware, find_hardware, precision_of
from medtune.train.steps import Config, Data, Steps, count_data, count_steps, warnings_of

STAGES = {"ddp": 0, "zero2": 2, "zero3": 3, "fsdp2": 3}


def plan_lines(path: Path | None, overrides: Sequence[str]) -> Iterator[str]:
    """The lines of `medtune plan`."""
    asked = read_plan(path, overrides)
    config, plan = asked.config, asked.plan
    hardware = find_hardware(config.runtime.device)
    tokenizer = _tokenizer(asked)
    facts = shape_config(plan.shape) if plan.shape else model_config(config.model, tokenizer)
    name = plan.shape or (config.model.family if isinstance(config.model, NewModel) else config.model.path)
    model = draw(name, facts)
    precision = "bf16" if config.bf16 == "auto" and plan.shape else precision_of(config, hardware)
    data = count_data(config, plan, tokenizer)
    steps = count_steps(config, data)
    setup = make_setup(config, model, data, precision=precision)
    kind = config.method.type + (f" r{setup.rank}" if setup.rank else "")
    size = f"{model.num_weights / 1e9:.3f} billion weights in {model.num_layers} layers"
    yield f"{asked.command} · {kind} · {name}: {size}, {setup.trainable:,} of them trained"
    if asked.filled:
        yield f"profile {config.profile} sets  " + "  ".join(
            f"{k}={_word(v)}" for k, v in asked.filled.items()
        )
    yield from ("", *data_lines(data, config))
    yield from ("", *step_lines(config, steps, plan))
    yield from ("", *memory_lines(model, setup, precision))
    yield from ("", *sharing_lines(model, setup))
    yield from ("", *fit_lines(model, setup, config.gradient_accumulation_steps))
    warnings = [*warnings_of(config, data, steps), *_misfits(model, setup, config, hardware)]
    if warnings:
        yield ""
        yield from (f"! {warning}" for warning in warnings)


def _tokenizer(asked: Asked) -> PreTrainedTokenizerBase | None:
    """The tokenizer to count with; none where a shape stands for the model, or rows are told."""
    model = asked.config.model
    if isinstance(model, NewModel):
        return load_tokenizer(model.tokenizer)
    if asked.plan.tokenizer:
        return load_tokenizer(asked.plan.tokenizer)
    if model.path == ABSENT or asked.plan.num_rows:
        return None
    return load_tokenizer(Input(model.path))


def make_setup(config: Config, model: Blueprint, data: Data, *, precision: str) -> Setup:
    """What the memory of a run depends on."""
    method = config.method.model_dump()
    dtype = "float32" if isinstance(config.model, NewModel) else config.model.dtype
    share = data.trained_tokens / data.tokens if data.trained_tokens and data.tokens else 1.0
    return Setup(
        method=config.method.type,
        trainable=count_trainable(model, config.method),
        rank=int(method.get("rank", 0)),
        bits=int(method.get("bits", 0)),
        batch_size=config.per_device_train_batch_size,
        length=min(config.max_length, data.longest or config.max_length),
        checkpointing=config.gradient_checkpointing,
        dtype=dtype,
        is_mixed=precision != "fp32" and dtype == "float32",
        optimizer=str(config.trainer.get("optim", "adamw_torch")),
        world_size=config.parallel.num_processes if config.parallel else 1,
        stage=STAGES[config.parallel.type] if config.parallel else 0,
        on_gpu=config.runtime.device != "cpu" and config.profile != "cpu",
        trained_share=share,
    )


# ---- what is printed ----


def data_lines(data: Data, config: Config) -> Iterator[str]:
    """What there is to train on."""
    yield f"Data ({data.source})"
    rows: list[tuple[str, ...]] = [("records", _number(data.records))]
    rows += [(f"  left out: {reason}", _number(count)) for reason, count in data.dropped.items()]
    rows += [(f"  {reason}", _number(count)) for reason, count in data.shortened.items()]
    share = f"{data.trained_tokens / data.tokens:.0%} of all" if data.trained_tokens and data.tokens else ""
    rows += [
        ("rows", _number(data.rows)),
        ("tokens", _number(data.tokens)),
        ("trained tokens", _number(data.trained_tokens), share),
        ("longest in tokens", _number(data.longest), f"max_length {config.max_length:,}"),
    ]
    yield from table(rows, left=(0, 2))


def step_lines(config: Config, steps: Steps, plan: PlanConfig) -> Iterator[str]:
    """How long it takes, in steps and hours, and when something is heard of it."""
    yield "Steps"
    devices = config.parallel.num_processes if config.parallel else 1
    made_of = (
        f"{config.per_device_train_batch_size} rows x {config.gradient_accumulation_steps} accumulated "
        f"x {devices} devices"
    )
    hours = "give tokens_per_second"
    if plan.tokens_per_second and steps.tokens_seen is not None:
        spent = steps.tokens_seen / plan.tokens_per_second / 3600
        hours = f"{spent:.3g}" if spent < 100 else f"{spent:,.0f}"
    elif plan.tokens_per_second:
        hours = "give tokens_per_row"
    has_valid = config.valid is not None
    rows = [
        (
            "effective batch",
            f"{steps.effective_batch:,}",
            made_of,
        ),
        ("steps", f"{steps.total:,}", f"{steps.per_epoch:,} an epoch, {steps.epochs:.4g} epochs"),
        ("rows seen", f"{steps.rows_seen:,}", f"{steps.share_seen:.1%} of the data"),
        ("tokens seen", _number(steps.tokens_seen), ""),
        ("first log at step", _first(steps.first_log), f"logging_steps {config.logging_steps}"),
        (
            "first eval at step",
            _first(steps.first_eval) if has_valid else "–",
            f"save_steps {config.save_steps}" if has_valid else "no valid",
        ),
        ("first save at step", _first(steps.first_save), f"save_steps {config.save_steps}"),
        ("hours", hours, f"at {plan.tokens_per_second:,g} tokens/s" if plan.tokens_per_second else ""),
    ]
    yield from table(rows, left=(0, 2))


def memory_lines(model: Blueprint, setup: Setup, precision: str) -> Iterator[str]:
    """Memory of each device by term, for this config and the three usual methods."""
    where = "each device" if setup.world_size > 1 else "one device"
    yield (
        f"Memory of {where} in GiB: {setup.batch_size} x {setup.length:,} tokens, {setup.dtype} weights"
        f"{f' computed in {precision}' if setup.is_mixed else ''}, {setup.optimizer}, "
        f"gradient checkpointing {'on' if setup.checkpointing else 'off'}"
    )
    columns = {"this config": setup, **alternatives(model, setup)}
    found = [estimate(model, other) for other in columns.values()]
    rows = [("", *columns)]
    for name, *sizes in zip(Terms._fields, *found, strict=True):
        rows.append((name, *map(_gib, sizes)))
    rows.append(("total", *(_gib(terms.total) for terms in found)))
    yield from table(rows)
    check = _gib(formula_bytes(model, setup))
    whole = _gib(whole_logits_bytes(model, setup))
    yield (
        f"  activations: traced on the meta device with fused attention (by formula {check}); logits are "
        f"computed in parts (at once: {whole}); overhead: 0.6 of context and 10 % lost to fragmentation"
    )


def alternatives(model: Blueprint, setup: Setup) -> dict[str, Setup]:
    """The same run by full tuning, LoRA and QLoRA."""
    rank = setup.rank or RANK
    adapter = count_adapter(model, rank) if setup.method not in ("lora", "qlora") else setup.trainable
    return {
        "full": setup._replace(method="full", trainable=model.num_weights, rank=0, bits=0),
        f"lora r{rank}": setup._replace(method="lora", trainable=adapter, rank=rank, bits=0),
        f"qlora r{rank}": setup._replace(method="qlora", trainable=adapter, rank=rank, bits=4),
    }


def sharing_lines(model: Blueprint, setup: Setup) -> Iterator[str]:
    """The total on each of several devices by what is shared out between them."""
    count = setup.world_size if setup.world_size > 1 else 8
    yield f"Total on each of {count} devices in GiB, by ZeRO stage (FSDP2 is stage 3)"
    rows: list[tuple[str, ...]] = [("", "0: all held", "1: optimizer", "2: + gradients", "3: + weights")]
    for name, other in alternatives(model, setup).items():
        stages = range(4 if can_share_weights(other.method) else 3)
        totals = [estimate(model, other._replace(world_size=count, stage=stage)).total for stage in stages]
        rows.append((name, *map(_gib, totals), *["–"] * (4 - len(totals))))
    yield from table(rows)


def fit_lines(model: Blueprint, setup: Setup, accumulation: int) -> Iterator[str]:
    """Where it fits, and the cheapest change where it does not."""
    yield "Fits into"
    rows: list[tuple[str, ...]] = []
    for gib in CARDS_GIB:
        if fits(model, setup, gib):
            rows.append((f"{gib} GB", "yes", ""))
            continue
        change = cheapest_change(model, setup, accumulation, gib)
        if change:
            way = "  ".join(change.words) + f"   ({_gib(estimate(model, change.setup).total)} GiB)"
        else:
            way = sharing_words(model, setup, gib) or "a smaller model"
        rows.append((f"{gib} GB", "no", way))
    yield from table(rows, left=(2,))


def _misfits(model: Blueprint, setup: Setup, config: Config, hardware: Hardware) -> Iterator[str]:
    """What is wrong with the run on this machine, or by its number formats."""
    if setup.on_gpu and hardware.is_gpu and not fits(model, setup, hardware.gib):
        yield f"this machine's {hardware.name} has {hardware.gib:.1f} GiB; the run does not fit"
    if setup.bits and setup.dtype == "float32":
        spare = estimate(model, setup).total - estimate(model, setup._replace(dtype="bfloat16")).total
        yield f"embeddings and computing stay in float32; model.dtype=bfloat16 saves {_gib(spare)} GiB"
    limit = int(model.config.to_dict().get("max_position_embeddings") or 0)
    if limit and config.max_length > limit:
        yield f"max_length {config.max_length:,} is beyond the {limit:,} positions of the model"


def table(rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)) -> Iterator[str]:
    """Rows as lines with aligned columns, those in `left` to the left; Chinese characters count as two."""
    full = max(len(row) for row in rows)
    cells = [[*row, *[""] * (full - len(row))] for row in rows]
    widths = [max(width_of(row[column]) for row in cells) for column in range(full)]
    for row in cells:
        parts: list[str] = []
        for column, (text, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - width_of(text))
            parts.append(text + blank if column in left else blank + text)
        yield ("  " + "  ".join(parts)).rstrip()


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _first(step: int | None) -> str:
    return "never" if step is None else f"{step:,}"


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
