"""What ends an answer stands in the model's own settings, and an end that was never learnt is seen."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from medtune.config import Input
from medtune.engines.loading import load_model
from medtune.engines.rendering.dress import dress
from medtune.engines.rendering.ending import ends_of, is_untrained, set_ends
from medtune.engines.rendering.render import stop_ids
from medtune.engines.tokenizing import load_tokenizer


@pytest.fixture
def tokenizer(tiny_tokenizer_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(Input(tiny_tokenizer_dir))


@pytest.fixture
def model(tiny_model_dir: Path) -> PreTrainedModel:
    return load_model(Input(tiny_model_dir), "float32")


def test_the_settings_stop_at_what_ends_an_answer_and_at_what_stopped_before(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model.generation_config.eos_token_id, model.config.eos_token_id = 7, 7
    model.generation_config.pad_token_id = None
    set_ends(model, tokenizer)
    assert model.generation_config.eos_token_id == [*stop_ids(tokenizer), 7]
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    assert model.config.eos_token_id == stop_ids(tokenizer)[0]
    set_ends(model, tokenizer)
    assert model.generation_config.eos_token_id == [*stop_ids(tokenizer), 7], "twice is as once"


def test_a_base_that_ends_with_another_token_stops_at_both(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    tokenizer.eos_token = "<|endoftext|>"
    own = tokenizer.eos_token_id
    model.generation_config.eos_token_id = own
    dress(tokenizer, template="chatml")
    assert isinstance(own, int) and tokenizer.eos_token_id != own
    set_ends(model, tokenizer)
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id, own]


def test_without_a_template_the_documents_end_is_it(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    assert ends_of(tokenizer) == [tokenizer.eos_token_id]


# ---- an end that was never learnt ----


def widen(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, num_spare: int) -> torch.Tensor:
    """The output rows of the model, which has spare ones beyond the vocabulary now."""
    model.resize_token_embeddings(len(tokenizer) + num_spare, mean_resizing=False)
    weight = model.get_output_embeddings().get_parameter("weight")
    torch.manual_seed(1)
    return weight.requires_grad_(False)


def test_random_weights_say_nothing(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    end = ends_of(tokenizer)[0]
    assert not is_untrained(model, tokenizer, end)
    widen(model, tokenizer, 8).normal_()
    assert not is_untrained(model, tokenizer, end)


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_an_end_among_the_spare_rows_was_never_learnt(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, offset: float
) -> None:
    end, (spare, learnt) = ends_of(tokenizer)[0], (16, 20)
    weight = widen(model, tokenizer, spare)
    weight.normal_()
    weight[[end, *range(len(tokenizer), len(tokenizer) + spare)]] = offset + 1e-3 * torch.randn(
        spare + 1, weight.shape[1]
    )
    assert is_untrained(model, tokenizer, end)
    assert not is_untrained(model, tokenizer, learnt)


def test_an_end_that_is_zero_was_never_learnt(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    end = ends_of(tokenizer)[0]
    weight = widen(model, tokenizer, 0)
    weight[end] = 0
    assert is_untrained(model, tokenizer, end)


def test_an_end_that_is_as_the_tokens_named_reserved_was_never_learnt(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    names = [f"<|reserved_special_token_{number}|>" for number in range(4)]
    tokenizer.add_special_tokens({"additional_special_tokens": names})  # type: ignore[dict-item]
    end = ends_of(tokenizer)[0]
    weight = widen(model, tokenizer, 0)
    weight.normal_()
    unused = [tokenizer.convert_tokens_to_ids(name) for name in names]
    weight[unused] = weight[5] + 1e-3 * torch.randn(4, weight.shape[1])
    assert not is_untrained(model, tokenizer, end)
    weight[end] = weight[unused].mean(dim=0)
    assert is_untrained(model, tokenizer, end)
