"""Models and adapters from directories and hubs, quantised where they are to be."""

import json
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from peft import (
    PeftConfig,
    PeftModel,
    PromptLearningConfig,
    get_peft_model,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from safetensors import safe_open
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from medtune.artifact import digest_of, read_manifest
from medtune.config import Input
from medtune.engines.config import Quantize
from medtune.engines.tokenizing import UNLOADABLE, WEIGHTS, locate
from medtune.engines.vetting import vet
from medtune.errors import UserError, require

QUANTIZATION = "quantization.json"
"""Beside an adapter whose base was quantised: how. Whoever loads the adapter quantises the base alike."""


def load_model(
    source: Input,
    dtype: str,
    *,
    quantize: Quantize = "none",
    device: torch.device | str = "cpu",
    attention: str | None = None,
) -> PreTrainedModel:
    """The weights of a model directory or hub id in evaluation mode on the CPU, quantised on `device`.

    `attention` is transformers' name of how attention is computed; None leaves the choice to it.
    """
    name, revision = locate(source, *WEIGHTS)
    locate(source, "config.json")
    vet(name, revision, source)
    disable_progress_bar()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
            name,
            revision=revision,
            dtype=torch_dtype(dtype),
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            quantization_config=None if quantize == "none" else quantizer(quantize, dtype),
            device_map=None if quantize == "none" else {"": str(device)},
            attn_implementation=attention,
        )
    except ImportError as error:  # what computes attention so is not installed
        raise UserError(f"model.attention {attention}: {' '.join(str(error).split())}; use sdpa") from None
    except UNLOADABLE as error:
        raise UserError(f"{source}: cannot be loaded: {' '.join(str(error).split())}") from None
    if report["missing_keys"]:
        lost = min(report["missing_keys"])
        raise UserError(f"{source}: lacks weights, such as {lost}; fetch or save the model again")
    if quantize == "nf4":
        _keep_form(model)
    return model.eval()


def quantizer(quantize: Quantize, dtype: str) -> BitsAndBytesConfig:
    """What bitsandbytes is told: NF4, scales quantised too (arXiv 2305.14314), or LLM.int8 (2208.07339)."""
    require("quant", "bitsandbytes")
    if quantize == "int8":
        # It would say at every product that its inputs become float16, which is how LLM.int8 works.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch_dtype(dtype),
    )


def _keep_form(model: PreTrainedModel) -> None:
    """Nothing; the layers in 4 bits answer on every CPU as they were trained.

    Where the CPU has AVX512-BF16, bitsandbytes (0.50) packs a layer anew when it first answers: its scales
    are rounded to bfloat16, layers narrower than a block break, and training goes on with what was rounded.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False


def quantization_of(wanted: Quantize | Literal["as-trained"], adapter: Input | None) -> Quantize:
    """How the base is to be quantised; `as-trained` asks the adapter's directory."""
    if wanted != "as-trained":
        return wanted
    if adapter is None or adapter.is_hub_id:
        return "none"
    path = Path(locate(adapter, "adapter_config.json").name) / QUANTIZATION
    return json.loads(path.read_text(encoding="utf-8"))["base"] if path.exists() else "none"


def pick_device(name: str) -> torch.device:
    """The device of a config's name; `auto` is a GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def torch_dtype(name: str) -> torch.dtype:
    """The torch type of a config's dtype name."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def lay_adapter(
    model: PreTrainedModel,
    adapter: Input,
    *,
    is_trainable: bool = False,
    name: str = "default",
    beside: PeftModel | None = None,
) -> PeftModel:
    """The model with a saved adapter over it, to be asked or, if so wanted, to be trained on.

    PEFT knows it as `name`; `beside` is the model with other adapters, which a low-rank one joins.
    """
    locate(adapter, "adapter_config.json")
    place, revision = locate(adapter, "adapter_model.safetensors")
    vet(place, revision, adapter)
    try:
        with quiet_peft():
            settings = PeftConfig.from_pretrained(place, revision=revision)
            # The base lies where it was loaded from. PEFT would ask the hub for the name that was saved.
            settings.base_model_name_or_path = model.name_or_path
            settings.inference_mode = not is_trainable
            if settings.is_prompt_learning and is_trainable:  # PEFT loads these for answers only
                laid = get_peft_model(model, settings)
                assert isinstance(laid, PeftModel)
                set_peft_model_state_dict(laid, load_peft_weights(place, device="cpu", revision=revision))
            elif beside is not None and not settings.is_prompt_learning:
                laid = beside
                laid.add_adapter(name, settings)
                weights = load_peft_weights(place, device="cpu", revision=revision)
                set_peft_model_state_dict(laid, weights, adapter_name=name)
            else:
                laid = PeftModel.from_pretrained(
                    model, place, name, revision=revision, config=settings, is_trainable=is_trainable
                )
    except UNLOADABLE as error:
        raise UserError(
            f"{adapter}: does not fit this model; name its own base: {' '.join(str(error).split()):.300}"
        ) from None
    laid = laid.train(is_trainable)
    if not adapter.is_hub_id:
        with safe_open(Path(place) / "adapter_model.safetensors", framework="pt") as saved:
            known = get_peft_model_state_dict(laid, adapter_name=name, save_embedding_layers=False)
            strays = set(saved.keys()) ^ set(known)
        # PEFT passes them over
        if lost := sorted(key for key in strays if ".lora_" in key or ".ia3_" in key):
            raise UserError(
                f"{adapter}: does not fit this model, which has no place for {lost[0]}; name its own base"
            )
    return laid


@contextmanager
def quiet_peft() -> Generator[None]:
    """PEFT without two warnings about what is as it should be.

    It writes rank patterns itself, for a mixture's experts come in two shapes, then misses layers for them.
    It drops the positions that `generate` counts, and a model counts the same where no row is padded.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys")
        warnings.filterwarnings("ignore", message="Position ids are not supported for parameter efficient")
        yield


def check_base(adapter: Input, base: Input) -> None:
    """Nothing, or a UserError when the adapter's manifest names another base.

    A hub id and a copy cannot be compared.
    """
    manifest = None if adapter.is_hub_id else read_manifest(Path(locate(adapter).name))
    trained_on = manifest.inputs.get("model.path") if manifest else None
    if trained_on and ("@" in trained_on) == base.is_hub_id and trained_on != digest_of(base):
        raise UserError(f"{adapter}: was not trained on {base}; name the base that it was trained on")


def virtual_tokens(model: PreTrainedModel | PeftModel) -> int:
    """How many learnt positions stand before every text: those of a prefix or prompt, else 0."""
    settings = model.active_peft_config if isinstance(model, PeftModel) else None
    return settings.num_virtual_tokens if isinstance(settings, PromptLearningConfig) else 0


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Nothing; weights as safetensors, tokenizer and its chat template side by side."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
