"""The methods: which weights training changes, and what may be said of each."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medtune.config import Config


class Full(Config):
    """Train every weight. Comes out: a whole model."""

    type: Literal["full"] = "full"
    """This method."""


class LowRank(Config):
    """What lora and qlora share."""

    rank: int = Field(default=16, ge=1)
    """Rank of the additions."""
    alpha: int = Field(default=32, ge=1)
    """Their scale; they are multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of their inputs that is zeroed in training."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers that get one; `all-linear` is every linear layer but the output one."""
    modules_to_save: tuple[str, ...] = ()
    """Names of modules that are trained whole beside the additions, such as `embed_tokens` and `lm_head`."""
    use_rslora: bool = False
    """Multiply by alpha / sqrt(rank) instead, so that high ranks learn too (arXiv 2312.03732)."""
    use_dora: bool = False
    """Train the length of each column apart from its direction (arXiv 2402.09353)."""

    @model_validator(mode="after")
    def _has_targets(self) -> "LowRank":
        if not self.target_modules:
            raise ValueError("target_modules is empty; name layers such as q_proj, or say all-linear")
        return self


class Lora(LowRank):
    """Train low-rank additions to the linear layers (arXiv 2106.09685). Comes out: an adapter."""

    type: Literal["lora"] = "lora"
    """This method."""
    init: Literal["default", "pissa", "olora", "loftq"] = "default"
    """First values: zero (default), the base's largest singular parts (pissa, arXiv 2404.02948), its QR
    decomposition (olora, arXiv 2406.01775). The saved adapter is a plain one, of twice the rank for pissa and
    olora, that fits the base as it is. `loftq` is for qlora."""

    @model_validator(mode="after")
    def _loftq_needs_a_loss(self) -> "Lora":
        if self.init == "loftq":
            raise ValueError(
                "init loftq makes up for quantisation, and lora's base is not quantised; use type qlora, "
                "or init pissa"
            )
        return self


class Qlora(LowRank):
    """Train low-rank additions over a quantised base (arXiv 2305.14314). Comes out: an adapter."""

    type: Literal["qlora"] = "qlora"
    """This method."""
    bits: Literal[4, 8] = 4
    """4 is NF4 with quantised scales, 8 is LLM.int8; both by bitsandbytes."""
    init: Literal["default", "pissa", "olora", "loftq"] = "default"
    """First values: zero (default), or what quantisation lost (loftq, arXiv 2310.08659, one round).
    `pissa` and `olora` are for lora."""

    @model_validator(mode="after")
    def _base_stays(self) -> "Qlora":
        if self.init in ("pissa", "olora"):
            raise ValueError(
                f"init {self.init} takes its part out of the base's weights, which quantised weights cannot "
                "give up; use init loftq, or type lora"
            )
        return self


class Freeze(Config):
    """Train some layers and leave the others as they are. Comes out: a whole model."""

    type: Literal["freeze"] = "freeze"
    """This method."""
    num_trainable_layers: int = 2
    """Layers to train: the last n, or the first n when negative."""
    name_module_trainable: Literal["all"] | tuple[str, ...] = "all"
    """Names of the parts of these layers to train, such as `mlp` or `self_attn.q_proj`, or `all`."""
    extra_modules: tuple[str, ...] = ()
    """Names of modules outside the layers to train as well, such as `embed_tokens` or `norm`."""

    @model_validator(mode="after")
    def _trains_something(self) -> "Freeze":
        if self.num_trainable_layers == 0:
            raise ValueError(
                "num_trainable_layers 0 trains no layer; say 2 for the last two, -2 for the first two"
            )
        if self.name_module_trainable == ():
            raise ValueError("name_module_trainable is empty; say all, or names such as mlp")
        return self


class Prefix(Config):
    """Train keys and values that every layer sees before the text (P-Tuning v2, arXiv 2110.07602).

    Comes out: an adapter. It wants a larger learning rate than lora: P-Tuning v2 took 5e-3 to 3e-2.
    """

    type: Literal["prefix"] = "prefix"
    """This method."""
    num_virtual_tokens: int = Field(default=16, ge=1)
    """Positions in the prefix."""
    projection: bool = False
    """Train a two-layer network that makes the prefix, instead of the prefix itself; the prefix is saved."""
    hidden_size: int | None = Field(default=None, ge=1)
    """Width of that network; the model's width unless told."""

    @model_validator(mode="after")
    def _width_needs_a_network(self) -> "Prefix":
        if self.hidden_size is not None and not self.projection:
            raise ValueError(
                "hidden_size is the width of the projection; set projection true or leave it out"
            )
        return self


class Prompt(Config):
    """Train embeddings that stand before the text (arXiv 2104.08691). Comes out: an adapter."""

    type: Literal["prompt"] = "prompt"
    """This method."""
    num_virtual_tokens: int = Field(default=16, ge=1)
    """Embeddings before the text."""
    init_text: str = ""
    """Text whose tokens' embeddings they begin as, repeated up to their number; random ones without it."""


class Ia3(Config):
    """Train factors for keys, values and the feed-forward layers' inputs (arXiv 2205.05638).

    Comes out: an adapter, the smallest of all.
    """

    type: Literal["ia3"] = "ia3"
    """This method."""
    target_modules: tuple[str, ...] = ("k_proj", "v_proj")
    """Names of the layers whose outputs are multiplied."""
    feedforward_modules: tuple[str, ...] = ("down_proj",)
    """Names of the layers whose inputs are multiplied. Empty for a mixture, whose experts are no layers."""

    @model_validator(mode="after")
    def _trains_something(self) -> "Ia3":
        if not self.target_modules and not self.feedforward_modules:
            raise ValueError("target_modules and feedforward_modules are both empty; name a layer")
        return self


WEIGHTS_SHARED = ("fsdp2", "zero3")
"""The ways of several processes in which each holds a share of the weights alone."""

Method = Annotated[Full | Lora | Qlora | Freeze | Prefix | Prompt | Ia3, Field(discriminator="type")]


def can_share_weights(kind: str) -> bool:
    """Whether processes can hold a share of the weights each under a method.

    bitsandbytes' scales are lost in a share (accelerate issue 3983), and transformers loads no quantised
    model in shares. PEFT saves what stands before a text by asking a network of which each has a part.
    """
    return kind not in ("qlora", "prefix", "prompt")


def refuse_impossible(
    method: Method,
    *,
    is_new: bool = False,
    has_adapter: bool,
    packing: bool,
    gradient_checkpointing: bool,
    parallel: str = "",
) -> None:
    """Nothing, or a ValueError that says why a run of this kind cannot be, and the way out."""
    kind = method.type
    told = own_settings(method)
    is_shared = parallel in WEIGHTS_SHARED and not can_share_weights(kind)
    faults = {
        "an adapter belongs to a saved base, and a new model is none; name the base as model": (
            is_new and has_adapter
        ),
        "freeze would leave random weights of a new model as they are; use method: {type: full}": (
            is_new and kind == "freeze"
        ),
        "a new model has no saved base for an adapter; use method: {type: full}": is_new and kind != "full",
        f"{kind} trains the model's own weights, not the adapter; merge the adapter first and name the "
        "result as model, or set method.type to that of the adapter": (
            has_adapter and kind in ("full", "freeze")
        ),
        f"method.{told[0] if told else ''}: an adapter that is gone on from has its own; leave it out": (
            has_adapter and bool(told)
        ),
        f"{kind} stands once before a row, not before each of several samples in it; set packing: false": (
            packing and kind in ("prefix", "prompt")
        ),
        "gradient_checkpointing computes layers anew without the prefix in their cache; set it false, or use "
        "method: {type: prompt}": gradient_checkpointing and kind == "prefix",
        f"quantised weights cannot be shared out by parallel.type {parallel}; use ddp or zero2, where each "
        "process holds all of them, or method: {type: lora}": is_shared and kind == "qlora",
        f"a {kind} cannot be saved from processes that hold a share of it each, as parallel.type {parallel} "
        "has them; use ddp or zero2": is_shared and kind != "qlora",
    }
    for fault, holds in faults.items():
        if holds:
            raise ValueError(fault)


def own_settings(method: Method) -> list[str]:
    """The keys of a method that are not as usual, save what speaks of the base and not of the adapter."""
    default = type(method)()
    return [
        name
        for name in type(method).model_fields
        if name not in ("type", "bits") and method.__dict__[name] != default.__dict__[name]
    ]
