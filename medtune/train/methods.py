"""Which weights a method trains."""

import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
)
from peft.utils.integrations import dequantize_module_weight
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from medtune.config import Input
from medtune.engines.loading import check_base, lay_adapter, load_model, quiet_peft
from medtune.engines.rendering.render import encode
from medtune.engines.tokenizing import locate
from medtune.errors import UserError
from medtune.train.adapters import low_rank_layers, remember_start
from medtune.train.config import NewModel, PretrainedModel
from medtune.train.method_config import Freeze, Full, Ia3, Lora, Method, Prefix, Prompt, Qlora

KINDS = {"LORA": "lora", "PREFIX_TUNING": "prefix", "PROMPT_TUNING": "prompt", "IA3": "ia3"}
"""PEFT's name of a kind of adapter, and ours. A qlora is a lora once it is saved."""


def prepare_model(
    model: PreTrainedModel,
    method: Method,
    *,
    seed: int,
    tokenizer: PreTrainedTokenizerBase | None = None,
    base: PretrainedModel | NewModel | None = None,
    adapter: Input | None = None,
) -> PreTrainedModel | PeftModel:
    """The model with the method's weights, and only those, set to be trained; `seed` draws new ones.

    `tokenizer` reads a prompt's init_text. `base` is where the model was loaded from: loftq reads it again,
    and `adapter`, which is gone on from, must be its own.
    """
    torch.manual_seed(seed)
    if adapter is not None:
        return go_on(model, method, adapter, base)
    match method:
        case Full():
            return model.requires_grad_(True)
        case Freeze():
            return free_layers(model, method)
        case Lora() | Qlora():
            return add_low_rank(model, method, base)
        case Ia3():
            check_layers(model, (*method.target_modules, *method.feedforward_modules), "target_modules")
            settings = IA3Config(
                task_type="CAUSAL_LM",
                target_modules=[*method.target_modules, *method.feedforward_modules],
                feedforward_modules=list(method.feedforward_modules),
            )
            return add_adapter(model, settings)
        case Prefix():
            return add_adapter(model, prefix_settings(model, method))
        case Prompt():
            settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=method.num_virtual_tokens)
            peft = add_adapter(model, settings)
            if method.init_text:
                assert tokenizer is not None
                start_prompt(peft, method, tokenizer)
            return peft


def add_adapter(model: PreTrainedModel, settings: PeftConfig) -> PeftModel:
    """The model with a new adapter; what PEFT finds wrong with it is the user's to mend."""
    try:
        with quiet_peft():
            peft = get_peft_model(model, settings)
    except ValueError as error:
        raise UserError(f"method: {' '.join(str(error).split())}") from None
    assert isinstance(peft, PeftModel)
    return peft


def check_layers(model: PreTrainedModel, wanted: tuple[str, ...], key: str) -> None:
    """Nothing, or a UserError when the model has no layer of a name."""
    names = [f".{name}" for name, _ in model.named_modules()]
    for target in wanted:
        if not any(name.endswith(f".{target}") for name in names):
            known = sorted({name.rpartition(".")[2] for name in names if "layers.0." in name})
            raise UserError(
                f"method.{key}: the model has no layer {target}; its layers hold {', '.join(known)}"
            )


def go_on(
    model: PreTrainedModel, method: Method, adapter: Input, base: PretrainedModel | NewModel | None
) -> PeftModel:
    """The model with a saved adapter, to be trained on."""
    if isinstance(base, PretrainedModel):
        check_base(adapter, base.path)
    kind = kind_of(adapter)
    if kind != method.type.removeprefix("q"):
        raise UserError(
            f"adapter {adapter} is of type {kind} and method.type is {method.type}; "
            f"set method.type to {kind}, or leave the adapter out"
        )
    return lay_adapter(model, adapter, is_trainable=True)


def kind_of(adapter: Input) -> str:
    """The method that made an adapter."""
    name, revision = locate(adapter, "adapter_config.json")
    found = str(PeftConfig.from_pretrained(name, revision=revision).peft_type).rpartition(".")[2]
    if found not in KINDS:
        raise UserError(f"{adapter}: an adapter of type {found} is unknown here; known: {', '.join(KINDS)}")
    return KINDS[found]


# ---- freeze ----


def free_layers(model: PreTrainedModel, method: Freeze) -> PreTrainedModel:
    """The model with all frozen but the chosen parts of the chosen layers."""
    layers = model.get_decoder().get_submodule("layers")
    assert isinstance(layers, torch.nn.ModuleList)
    count = method.num_trainable_layers
    if abs(count) > len(layers):
        raise UserError(f"method.num_trainable_layers: {abs(count)} of a model with {len(layers)} layers")
    model.requires_grad_(False)
    for layer in layers[-count:] if count > 0 else layers[:-count]:
        parts = dict(layer.named_modules())
        for name in ("",) if method.name_module_trainable == "all" else method.name_module_trainable:
            if name not in parts:
                known = ", ".join(part for part in parts if part)
                raise UserError(f"method.name_module_trainable: a layer has no {name}; it has {known}")
            parts[name].requires_grad_(True)
    outside = {name: part for name, part in model.named_modules() if ".layers." not in name}
    for wanted in method.extra_modules:
        found = [part for name, part in outside.items() if f".{name}".endswith(f".{wanted}")]
        if not found:
            raise UserError(f"method.extra_modules: the model has no {wanted} outside its layers")
        for part in found:
            part.requires_grad_(True)
    return model


# ---- lora, qlora ----


def add_low_rank(
    model: PreTrainedModel, method: Lora | Qlora, base: PretrainedModel | NewModel | None
) -> PeftModel:
    """The model with low-rank additions that begin as `method.init` says."""
    targets = method.target_modules
    if isinstance(targets, tuple):
        check_layers(model, targets, "target_modules")
    check_layers(model, method.modules_to_save, "modules_to_save")
    refuse_experts(model, method)
    is_tied = bool(model.config.tie_word_embeddings) and {"embed_tokens", "lm_head"} & {
        *method.modules_to_save
    }
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        modules_to_save=list(method.modules_to_save) or None,
        use_rslora=method.use_rslora,
        use_dora=method.use_dora,
        init_lora_weights=method.init if method.init in ("pissa", "olora") else True,
        ensure_weight_tying=bool(is_tied),
    )
    peft = add_adapter(model, settings)
    if method.init in ("pissa", "olora"):
        remember_start(peft)
    if method.init == "loftq":
        assert isinstance(base, PretrainedModel)
        recover_loss(peft, load_model(base.path, base.dtype))
    return peft


def has_experts(model: PreTrainedModel) -> bool:
    """Whether this is a mixture of experts."""
    return any(name.endswith(".experts") for name, _ in model.named_modules())


def refuse_experts(model: PreTrainedModel, method: Lora | Qlora) -> None:
    """Nothing, or a UserError: a mixture's experts are one tensor, of which PEFT cannot do everything."""
    if has_experts(model) and method.target_modules == "all-linear":
        for key, wanted in (
            ("use_dora", method.use_dora),
            ("dropout", method.dropout > 0),
            ("init", method.init != "default"),
        ):
            if wanted:
                raise UserError(
                    f"method.{key}: cannot be had for this model's experts, which are no layers of "
                    "their own; leave it out, or name the attention's layers: "
                    "method.target_modules=[q_proj,k_proj,v_proj,o_proj]"
                )


def recover_loss(peft: PeftModel, whole: PreTrainedModel) -> None:
    """Nothing; each addition begins as the best one of its rank for what quantisation took from its layer."""
    for name, layer in low_rank_layers(peft).items():
        assert isinstance(layer, torch.nn.Module)
        weight = whole.get_parameter(f"{name.removeprefix('base_model.model.')}.weight")
        quantised = dequantize_module_weight(layer.get_base_layer()).detach()
        lost = (weight.to(quantised.device, torch.float32) - quantised.float()) / layer.scaling["default"]
        left, sizes, right = torch.linalg.svd(lost, full_matrices=False)
        rank = layer.r["default"]
        root = sizes[:rank].sqrt()
        with torch.no_grad():
            for part, start in (("lora_A", root[:, None] * right[:rank]), ("lora_B", left[:, :rank] * root)):
                layer.get_submodule(f"{part}.default").get_parameter("weight").copy_(start)


# ---- prefix, prompt ----


def prefix_settings(model: PreTrainedModel, method: Prefix) -> PrefixTuningConfig:
    """A prefix of the shape of the model's cache; a model with a cache of another kind is refused."""
    text = model.config.get_text_config()
    if has_experts(model):
        raise UserError(
            f"method.type prefix: {text.model_type} balances its experts over the tokens of the text, and a "
            "prefix would be counted among them; use method.type prompt or lora"
        )
    kinds = {*(text.to_dict().get("layer_types") or ["full_attention"])}
    if kinds != {"full_attention"} or "num_key_value_heads" not in text.to_dict():
        raise UserError(
            f"method.type prefix: {text.model_type} keeps no plain keys and values in every layer "
            f"({', '.join(sorted(kinds))}), which a prefix would fill; use method.type prompt or lora"
        )
    heads = text.num_key_value_heads
    width = text.to_dict().get("head_dim") or text.hidden_size // text.num_attention_heads
    return PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=method.num_virtual_tokens,
        prefix_projection=method.projection,
        encoder_hidden_size=method.hidden_size or text.hidden_size,
        num_layers=text.num_hidden_layers,
        num_attention_heads=heads,
        token_dim=heads * width,
    )


def start_prompt(peft: PeftModel, method: Prompt, tokenizer: PreTrainedTokenizerBase) -> None:
    """Nothing; the prompt begins as the embeddings of its text, repeated up to their number."""
    ids = encode(tokenizer, method.init_text)
    if len(ids) > method.num_virtual_tokens:
        raise UserError(
            f"method.init_text has {len(ids)} tokens, num_virtual_tokens is {method.num_virtual_tokens}; "
            f"set that to {len(ids)}, or shorten the text"
        )
    rows = [ids[position % len(ids)] for position in range(method.num_virtual_tokens)]
    embeddings = peft.get_input_embeddings().get_parameter("weight")
    with torch.no_grad():
        peft.get_parameter("prompt_encoder.default.embedding.weight").copy_(embeddings[rows])
