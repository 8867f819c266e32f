"""Memory by term: the counts of known models, the trace, and what fits."""

import pytest
import torch
from transformers import PretrainedConfig

from medtune.errors import UserError
from medtune.train.blueprint import Blueprint, count_adapter, count_trainable, draw, read_shapes, shape_config
from medtune.train.fitting import cheapest_change, devices_needed, fits, sharing_words
from medtune.train.memory import GIB, Setup, estimate, formula_bytes, kept_by, whole_logits_bytes
from medtune.train.method_config import Freeze, Full, Ia3, Lora, Prefix, Prompt
from medtune.train.methods import prepare_model
from medtune.train.trace import LENGTH, _kept, empty_model, trace_layers

BILLIONS = {
    "qwen3-0.6b": 0.596, "qwen3-1.7b": 1.721, "qwen3-4b": 4.022, "qwen3-8b": 8.191, "qwen3-14b": 14.768,
    "qwen2.5-3b": 3.086, "qwen2.5-7b": 7.616, "llama-3-8b": 8.030, "glm-4-9b": 9.400,
}  # fmt: skip
"""Parameters as the model cards tell them."""
TABLE = {  # GiB: bfloat16, NF4 with double quantisation, millions of LoRA r16, GiB of full AdamW in float32
    "qwen3-0.6b": (1.11, 0.50, 10.1, 8.9),
    "qwen3-1.7b": (3.20, 1.26, 17.4, 25.6),
    "qwen3-4b": (7.49, 2.47, 33.0, 59.9),
    "qwen3-8b": (15.26, 5.66, 43.6, 122),
    "qwen3-14b": (27.5, 9.25, 64.2, 220),
}


def drawn(name: str) -> Blueprint:
    return draw(name, shape_config(name))


def setup_of(model: Blueprint, method: str = "full", **changes: object) -> Setup:
    rank = 0 if method == "full" else 16
    setup = Setup(
        method=method,
        trainable=count_adapter(model, rank) if rank else model.num_weights,
        rank=rank,
        bits=4 if method == "qlora" else 0,
        batch_size=1,
        length=1024,
        checkpointing=True,
        dtype="bfloat16",
        is_mixed=False,
        optimizer="adamw_torch",
    )
    return setup._replace(**changes)  # type: ignore[arg-type]


@pytest.fixture
def small() -> PretrainedConfig:
    facts = {**shape_config("qwen3-0.6b").to_dict(), "num_hidden_layers": 5, "hidden_size": 64,
             "intermediate_size": 192, "vocab_size": 500}  # fmt: skip
    return type(shape_config("qwen3-0.6b")).from_dict({**facts, "layer_types": None})


@pytest.mark.parametrize("name", BILLIONS)
def test_shapes_have_the_weights_of_their_model_cards(name: str) -> None:
    assert set(BILLIONS) == set(read_shapes())
    assert drawn(name).num_weights / 1e9 == pytest.approx(BILLIONS[name], abs=6e-4)


@pytest.mark.parametrize("name", TABLE)
def test_weights_and_states_are_those_of_the_arithmetic(name: str) -> None:
    model = drawn(name)
    bf16, nf4, adapter, full = TABLE[name]
    plain = estimate(model, setup_of(model, dtype="float32"))
    assert (plain.weights + plain.gradients + plain.optimizer) / GIB == pytest.approx(full, rel=5e-3)
    assert estimate(model, setup_of(model)).weights / GIB == pytest.approx(bf16, rel=2e-3)
    quantised = estimate(model, setup_of(model, "qlora")._replace(trainable=0))
    assert quantised.weights / GIB == pytest.approx(nf4, rel=4e-3)
    assert count_adapter(model, 16) / 1e6 == pytest.approx(adapter, rel=3e-3)


def test_qwen3_4b_by_qlora_takes_what_was_measured() -> None:
    model = drawn("qwen3-4b")
    terms = estimate(model, setup_of(model, "qlora"))
    assert terms.weights / GIB == pytest.approx(2.59, rel=0.02)
    assert fits(model, setup_of(model, "qlora"), 8) and 4 < terms.total / GIB < 6.5
    assert terms.total == sum(terms)


def test_trace_of_two_layers_tells_what_all_layers_keep(small: PretrainedConfig) -> None:
    for rank in (0, 4):
        kept = trace_layers(small, torch.bfloat16, rank=rank)
        for checkpointing in (False, True):
            whole = _kept(small, 5, torch.bfloat16, rank, checkpointing=checkpointing)
            again = kept.layer if checkpointing else 0
            assert kept.total(5, checkpointing=checkpointing) == pytest.approx(whole + again, rel=1e-3)


def test_trace_counts_what_training_on_real_tensors_keeps(small: PretrainedConfig) -> None:
    """The same hooks over a model with numbers, with torch's own attention and a padded row."""
    model = type(empty_model(small, torch.float32))._from_config(small, dtype=torch.float32)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ids = torch.zeros((1, LENGTH), dtype=torch.long)
        model.get_decoder()(input_ids=ids, attention_mask=torch.arange(LENGTH)[None] > 3, use_cache=False)
    traced = trace_layers(small, torch.float32, rank=0).total(5, checkpointing=False) * LENGTH
    assert traced == pytest.approx(sum(kept.values()), rel=0.05)


@pytest.mark.parametrize("name", ["qwen3-4b", "qwen2.5-7b", "llama-3-8b", "glm-4-9b"])
def test_formula_and_trace_agree_within_a_third(name: str) -> None:
    model = drawn(name)
    for checkpointing in (True, False):
        setup = setup_of(model, checkpointing=checkpointing)
        traced = estimate(model, setup).activations
        assert formula_bytes(model, setup) == pytest.approx(traced, rel=0.34)


def test_activations_grow_with_tokens_and_shrink_with_checkpointing() -> None:
    model = drawn("qwen3-0.6b")
    one = estimate(model, setup_of(model)).activations
    assert estimate(model, setup_of(model, batch_size=2)).activations == pytest.approx(2 * one)
    assert estimate(model, setup_of(model, length=2048)).activations == pytest.approx(2 * one)
    assert estimate(model, setup_of(model, checkpointing=False)).activations > 5 * one
    assert kept_by(model, setup_of(model)).boundary == 2 * 1024  # a layer's input in bfloat16


def test_zero_stages_share_out_one_term_after_the_other() -> None:
    model = drawn("qwen3-0.6b")
    stages = [estimate(model, setup_of(model, world_size=4, stage=stage)) for stage in range(4)]
    assert stages[1].optimizer == stages[0].optimizer / 4 and stages[1].gradients == stages[0].gradients
    assert stages[2].gradients == stages[0].gradients / 4 and stages[2].weights == stages[0].weights
    gathered = model.largest_table * 2
    assert stages[3].weights == pytest.approx(stages[0].weights / 4 + gathered)


def test_optimizers_and_number_formats_take_what_they_keep() -> None:
    model = drawn("qwen3-0.6b")
    eight_bit = estimate(model, setup_of(model, optimizer="adamw_8bit")).optimizer
    assert eight_bit == 2 * (model.num_weights - model.embeddings) + 8 * model.embeddings
    assert estimate(model, setup_of(model, optimizer="sgd")).optimizer == 0
    mixed = estimate(model, setup_of(model, dtype="float32", is_mixed=True)).weights
    assert mixed == 4 * model.num_weights + 2 * model.linear
    adapters = estimate(model, setup_of(model, "lora"))
    assert adapters.gradients == 4 * count_adapter(model, 16)


def test_logits_are_tiled_on_a_gpu_and_scored_where_labelled_on_a_cpu() -> None:
    model = drawn("qwen3-0.6b")
    tiled = estimate(model, setup_of(model, "lora", batch_size=16)).logits
    assert tiled < whole_logits_bytes(model, setup_of(model, batch_size=16)) / 20
    cpu = setup_of(model, "lora", on_gpu=False, trained_share=0.5)
    assert estimate(model, cpu).logits == whole_logits_bytes(model, cpu) / 2


@pytest.mark.parametrize(
    "method",
    [
        Full(), Lora(rank=8), Lora(target_modules=("q_proj", "v_proj")), Freeze(num_trainable_layers=2),
        Freeze(num_trainable_layers=-1), Freeze(name_module_trainable=("mlp",)), Prefix(), Prompt(), Ia3(),
    ],
    ids=lambda method: "-".join(str(value) for value in method.model_dump(exclude_defaults=True).values())
    or method.type,
)  # fmt: skip
def test_trainable_weights_are_those_that_training_would_have(
    method: Full | Lora | Freeze | Prefix | Prompt | Ia3, small: PretrainedConfig
) -> None:
    model = type(empty_model(small, torch.float32))._from_config(small, dtype=torch.float32)
    prepared = prepare_model(model, method, seed=1)
    trained = sum(weight.numel() for weight in prepared.parameters() if weight.requires_grad)
    assert count_trainable(draw("small", small), method) == trained


def test_cheapest_change_costs_no_more_than_it_must() -> None:
    model = drawn("qwen3-4b")
    roomy = setup_of(model, "qlora", batch_size=4, checkpointing=False)
    first = cheapest_change(model, roomy, 4, 24)
    assert first and first.words == ("per_device_train_batch_size=2", "gradient_accumulation_steps=8")
    second = cheapest_change(model, roomy, 4, 8)
    assert second and second.words[0] == "gradient_checkpointing=true"
    full = cheapest_change(model, setup_of(model), 1, 16)
    assert full and full.words == ("method.type=lora",) and fits(model, full.setup, 16)
    nothing = setup_of(drawn("qwen3-14b"))
    assert cheapest_change(drawn("qwen3-14b"), nothing, 1, 8) is None
    assert devices_needed(model, setup_of(model), 16) == 4


def test_quantised_weights_are_not_proposed_to_be_shared_out() -> None:
    model = drawn("qwen3-14b")
    quantised = setup_of(model)._replace(method="qlora", bits=4, rank=16, trainable=10**7, length=8192)
    assert devices_needed(model, quantised, 8) is None
    assert sharing_words(model, quantised, 16).startswith("method.type=lora  parallel.type=fsdp2")
    assert sharing_words(model, quantised._replace(method="prefix", bits=0), 8) == ""
    shared = setup_of(model)._replace(world_size=2, stage=3)
    change = cheapest_change(model, shared, 1, 16)
    assert change is None or "method.type=qlora" not in change.words


def test_unknown_shape_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"shape: qwen9: unknown; known here: qwen3-0\.6b, .*glm-4-9b"):
        shape_config("qwen9")
