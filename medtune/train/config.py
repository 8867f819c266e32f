"""What the training commands may be told."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from medtune.config import CommandConfig, Config, Input


class PretrainedModel(Config):
    """A model that exists already."""

    type: Literal["pretrained"] = "pretrained"
    """This variant; `model: PATH` means the same."""
    path: Input
    """Model directory, or hub id with its revision."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights."""


class NewModel(Config):
    """A model with random weights, to be trained from scratch."""

    type: Literal["new"] = "new"
    """This variant."""
    tokenizer: Input
    """Tokenizer directory; it travels with the model."""
    family: Literal["qwen3", "qwen2", "glm4", "llama"] = "qwen3"
    """The architecture, built from transformers' own class."""
    hidden_size: int = 128
    """Width of the residual stream."""
    intermediate_size: int = 384
    """Width of the feed-forward layers."""
    num_hidden_layers: int = 4
    """Number of layers."""
    num_attention_heads: int = 4
    """Query heads per layer."""
    num_key_value_heads: int = 2
    """Key and value heads per layer."""
    max_position_embeddings: int = 2048
    """Longest sequence in tokens."""


def _path_means_pretrained(value: object) -> object:
    if isinstance(value, str):
        return {"type": "pretrained", "path": value}
    if isinstance(value, dict) and "type" not in value:
        return {"type": "pretrained", **value}
    return value  # pyright: ignore[reportUnknownVariableType]


Model = Annotated[
    PretrainedModel | NewModel, BeforeValidator(_path_means_pretrained), Field(discriminator="type")
]


class Full(Config):
    """Train every weight."""

    type: Literal["full"] = "full"
    """This method."""


class Lora(Config):
    """Train low-rank additions to the linear layers (arXiv 2106.09685)."""

    type: Literal["lora"] = "lora"
    """This method."""
    rank: int = Field(default=16, ge=1)
    """Rank of the additions."""
    alpha: int = Field(default=32, ge=1)
    """Their scale; they are multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of their inputs that is zeroed in training."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers that get one; `all-linear` is every linear layer but the output one."""


Method = Annotated[Full | Lora, Field(discriminator="type")]


class TrainRuntime(Config):
    """What changes speed and not the result."""

    device: Literal["auto", "cpu"] = "auto"
    """`auto` takes the GPUs that there are."""
    num_threads: int = 0
    """CPU threads; 0 leaves the choice to torch."""


class TrainingConfig(CommandConfig):
    """The keys that pt and sft share. Names and meanings are those of Hugging Face's TrainingArguments."""

    learning_rate: float = Field(2e-4, gt=0)
    """Peak learning rate."""
    num_train_epochs: float = Field(3.0, gt=0)
    """How often each row is seen."""
    max_steps: int = -1
    """Stop after this many optimiser steps; -1 leaves it to num_train_epochs."""
    per_device_train_batch_size: int = Field(4, ge=1)
    """Rows per forward pass and device."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Forward passes per optimiser step."""
    lr_scheduler_type: str = "cosine"
    """How the learning rate falls."""
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    """Share of the steps in which it rises."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this norm."""
    max_length: int = Field(1024, ge=8)
    """Longest sequence in tokens."""
    group_by_length: bool = True
    """Put rows of similar length into a batch: less padding, faster."""
    logging_steps: int = Field(10, ge=1)
    """Steps between two logged losses."""
    save_steps: int = Field(200, ge=1)
    """Steps between two checkpoints, and between two losses on `valid`."""
    save_total_limit: int = Field(2, ge=2)
    """Checkpoints kept; two at least, so that a kill during a save leaves a whole one."""
    bf16: bool = False
    """Compute in bfloat16."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of storing them: less memory, slower."""
    report_to: tuple[str, ...] = ()
    """Trackers that transformers knows: tensorboard, swanlab, wandb."""
    seed: int = 42
    """Seed of weights, order and dropout."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Any other key of TRL's SFTConfig, passed as it is; an unknown one is refused."""
    runtime: TrainRuntime = TrainRuntime()
    """What changes speed and not the result."""


class PtConfig(TrainingConfig):
    """Pre-train on documents, joined with end tokens and cut to max_length: all tokens are learnt."""

    documents: tuple[Input, ...] = Field(min_length=1)
    """Files of document records."""
    valid: Input | None = None
    """File of document records; the checkpoint with the lowest loss on it becomes the model."""
    model: Model
    """What to train: `{type: new, tokenizer: …}` from scratch, or a path to go on from."""
    method: Method = Full()
    """Which weights change."""

    @model_validator(mode="after")
    def _new_is_full(self) -> "PtConfig":
        if isinstance(self.model, NewModel) and not isinstance(self.method, Full):
            raise ValueError("a new model has no saved base for an adapter; use method: {type: full}")
        return self


class SftConfig(TrainingConfig):
    """Fine-tune on dialogues: only the assistant's tokens and the end of the answer are learnt."""

    train: tuple[Input, ...] = Field(min_length=1)
    """Files of dialogue records."""
    valid: Input | None = None
    """File of dialogue records; the checkpoint with the lowest loss on it becomes the model."""
    model: Model
    """What to train; a path, or `{type: pretrained, path: …}`."""
    method: Method = Lora()
    """Which weights change."""
    max_dropped: float = Field(0.05, ge=0, le=1)
    """Largest share of dialogues that may be left out as longer than max_length before the command fails."""

    @model_validator(mode="after")
    def _has_a_model(self) -> "SftConfig":
        if isinstance(self.model, NewModel):
            raise ValueError("sft wants a pretrained model; make one with pt first")
        return self


class TokenizerConfig(CommandConfig):
    """Train a byte-level BPE tokenizer with a ChatML template that keeps `<think>` apart."""

    texts: tuple[Input, ...] = Field(min_length=1)
    """Files of records; every text in them is read."""
    vocab_size: int = Field(4096, ge=300)
    """Number of tokens, the 256 bytes and the special ones included."""


class MergeConfig(CommandConfig):
    """Add an adapter to its base; written only when the sum answers fixed prompts as base and adapter did."""

    model: Input
    """The base that the adapter was trained on."""
    adapter: Input
    """The adapter directory that `sft` made."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the merged weights; the sum is taken in float32."""
    tolerance: float = Field(1e-3, gt=0)
    """Largest difference of any log-probability, base + adapter against merged weights, both in float32."""
