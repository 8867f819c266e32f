"""A model for other programs, merged first where it is an adapter, and read again before it stays."""

from typing import NamedTuple

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from medtune.artifact import Counts
from medtune.config import Input
from medtune.engines.loading import load_model, torch_dtype
from medtune.engines.rendering.control import encode
from medtune.engines.rendering.ending import ends_of, list_ids, set_ends
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError, require
from medtune.train.card_evaluations import read_evaluations
from medtune.train.config import ExportConfig
from medtune.train.export_card import write_export_card
from medtune.train.export_config import Gguf, Safetensors
from medtune.train.merge import add_adapter
from medtune.train.proof import (
    Difference,
    Reread,
    State,
    check_tokens,
    compare,
    greedy_answers,
    next_token_logprobs,
    state_of,
    texts_of,
)

MAX_DIVERGENCE = {
    "float32": 0.001,
    "f32": 0.001,
    "float16": 0.01,
    "bfloat16": 0.01,
    "f16": 0.01,
    "bf16": 0.01,
    "q8_0": 0.05,
    "q4_0": 1.0,
}
"""What rounding the weights may cost unless told, in nats a token."""


def run(config: ExportConfig) -> Counts:
    """The counts of the model in `config.out`: how far rounding and reading moved its answers."""
    if isinstance(config.format, Gguf):
        require("gguf", "gguf")
    told = read_evaluations(config.evaluations, model=config.model, adapter=config.adapter)
    model, tokenizer, counts = open_whole(config)
    set_ends(model, tokenizer)
    before, said = next_token_logprobs(model, tokenizer), greedy_answers(model, tokenizer)
    config.out.mkdir(parents=True, exist_ok=True)
    counts |= write(config, model, tokenizer)  # the model's weights are those of the files from here on
    rounded = state_of(model, tokenizer)
    rounding = compare(before, rounded.logprobs)
    check_rounding(config, rounding)
    settings = model.config
    model.to("meta")  # pyright: ignore[reportArgumentType]  # a large model is not to be there twice
    found = read_back(config, tokenizer, settings)
    reading = check_reading(config, rounded, state_of(found.model, tokenizer))
    counts = {
        "choices_changed": rounding.choices_changed,
        "tokens_compared": rounding.num_tokens,
        "answers_changed": sum(one != other for one, other in zip(said, rounded.answers, strict=True)),
        "rounding_divergence": rounding.divergence,
        "rounding_max_difference": rounding.largest,
        "reading_max_difference": reading.largest,
        "answers_compared": len(said),
        "texts_compared": len(texts_of(tokenizer)),
        "read_by": found.read_by,
        **counts,
    }
    write_export_card(config, counts, number_format=format_name(config), evaluations=told)
    return counts


class Opened(NamedTuple):
    """A whole model in float32, its tokenizer, and the counts of its merging."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    counts: Counts


def open_whole(config: ExportConfig) -> Opened:
    """The model to export; with an adapter the proven sum of both."""
    if config.adapter:
        merged = add_adapter(
            config.model, config.adapter, quantize=config.quantize, tolerance=config.tolerance
        )
        return Opened(merged.model, merged.tokenizer, {"merging_max_difference": merged.difference})
    if not config.model.is_remote and (config.model.path / "adapter_config.json").exists():
        raise UserError(f"{config.model}: is an adapter; name it as `adapter`, and its base as `model`")
    model, tokenizer = load_model(config.model, "float32"), load_tokenizer(config.model)
    if len(tokenizer) > (rows := model.config.get_text_config().vocab_size):
        raise UserError(f"{config.model}: its tokenizer has {len(tokenizer)} tokens, the model {rows} rows")
    return Opened(model, tokenizer, {})


def write(config: ExportConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Counts:
    """What is to be said of the files in `config.out`; the model's weights become those of the files."""
    match config.format:
        case Safetensors():
            return write_safetensors(config, model, tokenizer, config.format)
        case Gguf():
            from medtune.train.export_gguf import write_gguf_files  # needs its extra

            return write_gguf_files(config, model, tokenizer, config.format)


def write_safetensors(
    config: ExportConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, form: Safetensors
) -> Counts:
    """The number of files of weights, with tokenizer, template and what ends an answer beside them."""
    dtype = torch_dtype(form.dtype)
    for name, weight in model.named_parameters():  # buffers stay: rounded frequencies are others
        weight.data = weight.data.to(dtype)
        if not bool(weight.isfinite().all()):
            raise UserError(
                f"{config.model}: {name} has numbers that {form.dtype} cannot hold; take bfloat16"
            )
    model.save_pretrained(config.out, max_shard_size=form.max_shard_size)
    tokenizer.save_pretrained(config.out)
    for weight in model.parameters():
        weight.data = weight.data.float()
    return {"shards": len(list(config.out.glob("*.safetensors")))}


def check_rounding(config: ExportConfig, rounding: Difference) -> None:
    """Nothing, or a UserError where the number format costs more than it may."""
    number_format = format_name(config)
    limit = config.max_divergence or MAX_DIVERGENCE[number_format]
    if not rounding.divergence <= limit:
        raise UserError(
            f"{config.model}: as {number_format} it diverges by {rounding.divergence:.2g} nats a token "
            f"(max_divergence allows {limit:g}); take a wider number format; nothing was written"
        )


def format_name(config: ExportConfig) -> str:
    """The number format of the weights as the config names it."""
    return config.format.qtype if isinstance(config.format, Gguf) else config.format.dtype


def read_back(config: ExportConfig, tokenizer: PreTrainedTokenizerBase, settings: PreTrainedConfig) -> Reread:
    """The files as another program reads them; a UserError where their tokens, template or ends differ."""
    match config.format:
        case Safetensors():
            read, model = load_tokenizer(Input(config.out)), load_model(Input(config.out), "float32")
            check_tokens(tokenizer, lambda text: encode(read, text))
            ends = list_ids(model.generation_config.eos_token_id)
            if read.chat_template != tokenizer.chat_template or not set(ends_of(tokenizer)) <= set(ends):
                raise UserError(f"{config.out}: template or stop tokens did not survive; nothing was written")
            return Reread(model, "transformers")
        case Gguf():
            from medtune.train.export_gguf import read_gguf_back

            return read_gguf_back(config, tokenizer, settings)


def check_reading(config: ExportConfig, rounded: State, read: State) -> Difference:
    """How far the files' answers are from the model's; a UserError where they are not the same model."""
    reading = compare(rounded.logprobs, read.logprobs)
    differing = [name for name, digest in rounded.weights.items() if read.weights.get(name) != digest]
    if differing or read.answers != rounded.answers or not reading.largest <= config.tolerance:
        raise UserError(
            f"{config.out}: read again, {len(differing)} of {len(rounded.weights)} weights are others "
            f"({', '.join(differing[:1])}) and log-probabilities differ by up to {reading.largest:.2g} nats "
            f"(allowed {config.tolerance:g}); nothing was written"
        )
    return reading
