"""The weights of messages: from the row's own key to the gradient."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import PreTrainedTokenizerBase

from medtune.artifact import read_jsonl, write_jsonl
from medtune.commands import run_command
from medtune.config import Input
from medtune.engines.loading import load_model
from medtune.engines.rendering.render import render_dialogue
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Message, dialogue_id
from medtune.train.columns import dialogue_columns
from medtune.train.config import SftConfig, Truncation
from medtune.train.ledger import IGNORED, UNLEARNT, WEIGHTS
from medtune.train.losses import answer_loss, step_weight, weighted_loss
from medtune.train.method_config import Prefix, Prompt
from medtune.train.methods import prepare_model
from medtune.train.packing import collator_for, pack

# Raised inside PEFT, where no caller can avoid it.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

WriteTalks = Callable[..., Path]


@pytest.fixture
def tokenizer(tiny_tokenizer_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(Input(tiny_tokenizer_dir))


def talk(*answers: float, system: bool = False, number: int = 1) -> Dialogue:
    """A dialogue of as many turns as there are weights."""
    messages = [Message(role="system", content="你是医生。")] if system else []
    weights = [1.0] * len(messages)
    for place, weight in enumerate(answers):
        messages += [
            Message(role="user", content=f"第{place}问：头痛{'怎么办' * number}？"),
            Message(role="assistant", content=f"第{place}答：" + "多喝水，" * (number + place) + "多休息。"),
        ]
        weights += [1.0, weight]
    turns = tuple(messages)
    return Dialogue(id=dialogue_id(turns), messages=turns, weights=tuple(weights))


@pytest.fixture
def write_weighted(tmp_path: Path) -> Callable[..., Path]:
    """write_weighted(name, talk, …): a file of dialogues."""

    def write(name: str, *talks: Dialogue) -> Path:
        write_jsonl(tmp_path / name, talks)
        return tmp_path / name

    return write


def oracle(model: Any, rows: list[dict[str, Any]]) -> float:
    """Σ w·loss / Σ w in float64, token by token."""
    total = weight = 0.0
    for row in rows:
        with torch.no_grad():
            scores = log_softmax(model(torch.tensor([row["input_ids"]])).logits[0].double(), dim=-1)
        for at, label in enumerate(row["labels"]):
            if label != IGNORED:
                own = row.get(WEIGHTS, [1.0] * len(row["labels"]))[at]
                total -= own * float(scores[at - 1, label])
                weight += own
    return total / weight


# ---- columns ----


def test_an_answer_of_weight_0_is_masked_like_any_prompt(
    tokenizer: PreTrainedTokenizerBase, write_weighted: Callable[..., Path]
) -> None:
    weighed, plain = talk(0, 1), talk(1, 1)
    (row,) = dialogue_columns([Input(write_weighted("a", weighed))], tokenizer, max_length=500).dataset
    (whole,) = dialogue_columns([Input(write_weighted("b", plain))], tokenizer, max_length=500).dataset
    assert row["input_ids"] == whole["input_ids"]
    assert WEIGHTS not in row, "0 and 1 need no column"
    learnt = [label for label in row["labels"] if label != IGNORED]
    assert tokenizer.decode(learnt) == weighed.messages[3].content + "<|im_end|>"


def test_an_unlearnt_answer_stays_unlearnt_when_prompts_are_learnt(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    record = talk(0, 1)
    (sequence,) = render_dialogue(tokenizer, record.messages, weights=record.weights, train_on_prompt=True)
    masked = [id for id, is_learnt in zip(sequence.ids, sequence.is_answer, strict=True) if not is_learnt]
    assert tokenizer.decode(masked).strip() == record.messages[1].content + "<|im_end|>"


def test_only_a_weight_of_another_size_makes_a_column(
    tokenizer: PreTrainedTokenizerBase, write_weighted: Callable[..., Path]
) -> None:
    file = write_weighted("a", talk(1), talk(0.5, 2, number=2))
    columns = dialogue_columns([Input(file)], tokenizer, max_length=500)
    for row in columns.dataset:
        assert len(row[WEIGHTS]) == len(row["labels"])
        assert all(
            (label == IGNORED) == (weight == 0)
            for label, weight in zip(row["labels"], row[WEIGHTS], strict=True)
        )
    assert set(columns.dataset[0][WEIGHTS]) == {0, 1} and set(columns.dataset[1][WEIGHTS]) == {0, 0.5, 2}
    counts = columns.ledger.trained_by_weight
    assert list(counts) == ["0.5", "1", "2"] and sum(counts.values()) == columns.num_trained_tokens


def test_a_dialogue_without_an_answer_to_learn_is_left_out_and_counted(
    tokenizer: PreTrainedTokenizerBase, write_weighted: Callable[..., Path]
) -> None:
    file = write_weighted("a", talk(1), talk(0, 0, number=2))
    columns = dialogue_columns([Input(file)], tokenizer, max_length=500)
    (misfit,) = columns.misfits
    assert (misfit.line, misfit.reason, misfit.num_kept) == (2, UNLEARNT, 0)
    assert columns.ledger.dropped == {UNLEARNT: 1} and columns.ledger.cut_tokens == misfit.num_tokens > 0
    assert len(columns.dataset) == columns.ledger.trained == 1 and columns.too_long == []


@pytest.mark.parametrize("how", ["left", "right", "split"])
def test_weights_stay_with_their_answers_when_a_dialogue_is_shortened(
    tokenizer: PreTrainedTokenizerBase, write_weighted: Callable[..., Path], how: Truncation
) -> None:
    record = talk(1, 2, 3, 4, system=True)
    (whole,) = render_dialogue(tokenizer, record.messages)
    file = write_weighted("a", record)
    columns = dialogue_columns([Input(file)], tokenizer, max_length=len(whole.ids) - 1, truncation=how)
    found: dict[float, str] = {}
    for row in columns.dataset:
        for weight in set(row[WEIGHTS]) - {0}:
            own = [id for id, at in zip(row["input_ids"], row[WEIGHTS], strict=True) if at == weight]
            found[weight] = tokenizer.decode(own).removesuffix("<|im_end|>")
    answers = {weight: record.messages[2 * weight].content for weight in (1, 2, 3, 4)}
    assert found and all(answers[int(weight)] == text for weight, text in found.items())
    assert set(found) == {"left": {2, 3, 4}, "right": {1, 2, 3}, "split": {1, 2, 3, 4}}[how]


def test_an_answer_and_its_calls_must_have_one_weight(tokenizer: PreTrainedTokenizerBase) -> None:
    call = Message(role="tool_call", content='{"name": "f", "arguments": {}}')
    messages = [Message(role="user", content="血糖"), Message(role="assistant", content="我查一下。"), call]
    with pytest.raises(UserError, match=r"weights 1, 0\.5; they are one answer, give them one weight"):
        render_dialogue(tokenizer, messages, weights=[1, 1, 0.5])


# ---- the loss ----


def batches_of(
    model: Any, tokenizer: PreTrainedTokenizerBase, file: Path, *, is_packed: bool = False
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """All rows of a file in one batch, and the single sequences."""
    columns = dialogue_columns([Input(file)], tokenizer, max_length=300)
    assert not columns.misfits
    rows = columns.dataset.to_list()
    dataset = pack(columns, max_length=400).dataset if is_packed else columns.dataset
    return collator_for(model, tokenizer, dataset)(dataset.to_list()), rows


@pytest.mark.parametrize("is_packed", [False, True])
def test_the_loss_is_the_weighted_mean_of_the_tokens_losses(
    family_dir: Path,
    tokenizer: PreTrainedTokenizerBase,
    write_weighted: Callable[..., Path],
    is_packed: bool,
) -> None:
    model = load_model(Input(family_dir), "float32").double()
    file = write_weighted("a", talk(2), talk(1, number=2), talk(0.25, 3), talk(0, 1))
    batch, rows = batches_of(model, tokenizer, file, is_packed=is_packed)
    wanted = oracle(model, rows)
    assert abs(wanted - oracle(model, [{**row, WEIGHTS: [1.0] * 500} for row in rows])) > 1e-4
    assert answer_loss(model, batch, None).item() == pytest.approx(wanted, rel=1e-5)
    assert weighted_loss(model, batch, None, is_tiled=False).loss.item() == pytest.approx(wanted, rel=1e-5)
    both = step_weight([batch, batch])
    assert float(both) == 2 * sum(sum(row[WEIGHTS]) for row in rows)
    assert answer_loss(model, batch, both).item() == pytest.approx(wanted / 2, rel=1e-5)


def test_weight_2_is_the_same_as_the_row_twice(
    tiny_model_dir: Path, tokenizer: PreTrainedTokenizerBase, write_weighted: Callable[..., Path]
) -> None:
    model = load_model(Input(tiny_model_dir), "float32").double()
    once, _ = batches_of(model, tokenizer, write_weighted("a", talk(2), talk(1, number=2)))
    twice, _ = batches_of(model, tokenizer, write_weighted("b", talk(1), talk(1), talk(1, number=2)))
    assert WEIGHTS in once and WEIGHTS not in twice
    embedding = model.get_input_embeddings().weight
    gradients = []
    for batch in (once, twice):
        loss = answer_loss(model, batch, None)
        gradients.append((loss, *torch.autograd.grad(loss, embedding)))
    for one, other in zip(*gradients, strict=True):
        # the plain loss is taken in float32
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", [Prompt(num_virtual_tokens=4), Prefix(num_virtual_tokens=4)])
def test_tokens_that_peft_puts_before_the_text_have_no_weight(
    tiny_model_dir: Path,
    tokenizer: PreTrainedTokenizerBase,
    write_weighted: Callable[..., Path],
    method: Prompt | Prefix,
) -> None:
    model = prepare_model(load_model(Input(tiny_model_dir), "float32"), method, seed=1, tokenizer=tokenizer)
    model.eval()
    batch, _ = batches_of(model, tokenizer, write_weighted("a", talk(2), talk(2, number=2)))
    plain = {name: value for name, value in batch.items() if name != WEIGHTS}
    loss = weighted_loss(model, batch, None, is_tiled=False).loss
    torch.testing.assert_close(loss, model(**plain).loss, rtol=1e-5, atol=1e-6)


def test_the_tiled_loss_is_the_plain_one(
    tiny_model_dir: Path, tokenizer: PreTrainedTokenizerBase, write_weighted: Callable[..., Path]
) -> None:
    from trl.trainer.utils import add_fused_lm_head

    model = load_model(Input(tiny_model_dir), "float32")
    batch, _ = batches_of(model, tokenizer, write_weighted("a", talk(2), talk(0.5, 1, number=2)))
    plain = weighted_loss(model, batch, None, is_tiled=False).loss
    add_fused_lm_head(model)
    tiled = weighted_loss(model, batch, None, is_tiled=True).loss
    torch.testing.assert_close(tiled, plain, rtol=1e-5, atol=1e-6)
    embedding = model.get_input_embeddings().weight
    (one,), (other,) = torch.autograd.grad(plain, embedding), torch.autograd.grad(tiled, embedding)
    torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-6)


# ---- runs ----

Configure = Callable[..., SftConfig]


@pytest.fixture
def configure(shape: dict[str, Any], tiny_model_dir: Path, tmp_path: Path) -> Configure:
    """configure(out, file, key=value, …): an sft of three steps."""

    def make(out: str, file: Path, **values: Any) -> SftConfig:
        base = {"out": tmp_path / out, "train": [str(file)], "model": str(tiny_model_dir), **shape}
        settings = {"max_length": 300, "method": {"type": "lora", "rank": 4}}
        return SftConfig.model_validate({**base, **settings, **values})

    return make


def without_weights(file: Path) -> Path:
    """The same records beside it, saying nothing of weights."""
    other = file.with_name(f"plain-{file.name}")
    write_jsonl(other, [talk.model_copy(update={"weights": None}) for talk in read_jsonl(file, Dialogue)])
    return other


@pytest.mark.slow
def test_weights_of_1_train_the_same_bytes_as_none(
    configure: Configure, write_weighted: Callable[..., Path]
) -> None:
    file = write_weighted("ones.jsonl", *(talk(1, 1, number=number) for number in range(1, 5)))
    told = run_command("sft", configure("told", file))
    silent = run_command("sft", configure("silent", without_weights(file)))
    weights = "adapter_model.safetensors"
    assert told.files[weights] == silent.files[weights] and told.counts == silent.counts


@pytest.mark.slow
@pytest.mark.parametrize("packing", [False, True])
def test_a_step_of_several_batches_is_divided_by_the_sum_of_its_weights(
    configure: Configure,
    write_weighted: Callable[..., Path],
    tiny_model_dir: Path,
    tokenizer: PreTrainedTokenizerBase,
    packing: bool,
) -> None:
    talks = [talk(2), talk(1, number=2), talk(0.25, 3), talk(0, 5, number=3)]
    file = write_weighted("weighted.jsonl", *talks)
    values = {"max_steps": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    config = configure("out", file, valid=str(file), packing=packing, **values)
    counts = run_command("sft", config).counts
    model = load_model(Input(tiny_model_dir), "float32")
    _, rows = batches_of(model, tokenizer, file)
    wanted = oracle(model, rows)
    # A new LoRA adds nothing yet, so that the first step's loss is the base's.
    assert counts["loss"] == pytest.approx(wanted, rel=1e-4)
    assert counts["eval_loss"] == pytest.approx(wanted, rel=0.05) and counts["eval_loss"] != counts["loss"]
    results = json.loads((config.out / "train_results.json").read_text(encoding="utf-8"))
    assert list(results["ledger"]["trained_by_weight"]) == ["0.25", "1", "2", "3", "5"]


@pytest.mark.slow
def test_the_loss_on_valid_is_the_weighted_mean_too(
    configure: Configure,
    write_weighted: Callable[..., Path],
    tiny_model_dir: Path,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    train = write_weighted("train.jsonl", talk(1), talk(1, number=2))
    valid = write_weighted("valid.jsonl", talk(2), talk(0.25, 3, number=2), talk(1, number=3))
    config = configure("out", train, valid=str(valid), max_steps=1, learning_rate=1e-12)
    counts = run_command("sft", config).counts
    model = load_model(Input(tiny_model_dir), "float32")
    _, rows = batches_of(model, tokenizer, valid)
    assert counts["eval_loss"] == pytest.approx(oracle(model, rows), rel=1e-4)


@pytest.mark.slow
def test_another_loss_than_the_plain_one_is_refused_with_weights(
    configure: Configure, write_weighted: Callable[..., Path]
) -> None:
    file = write_weighted("weighted.jsonl", talk(2), talk(1, number=2))
    with pytest.raises(UserError, match="weights, which act on the plain loss alone; leave out loss_type"):
        run_command("sft", configure("out", file, trainer={"loss_type": "dft"}))
