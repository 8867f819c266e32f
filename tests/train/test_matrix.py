"""Every stage x method x family: three steps, the right weights changed, saved, loaded, equal; or refused.

The table of all cells stands at the end of the test run: `python -m pytest tests/train/test_matrix.py`.
"""

import re
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from matrix_table import FAILED, OK, Cell
from peft import PeftModel
from pydantic import ValidationError

from medtune.artifact import write_jsonl
from medtune.config import Input
from medtune.engines.config import EngineRuntime, HfEngine
from medtune.engines.hf import HfInProcess
from medtune.engines.loading import load_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Document, Message
from medtune.train.columns import dialogue_columns, document_columns
from medtune.train.config import PtConfig, SftConfig
from medtune.train.fit import fit
from medtune.train.ledger import Columns
from medtune.train.methods import prepare_model
from medtune.train.model import open_model

pytestmark = [
    pytest.mark.slow,
    # Raised inside PEFT, where no caller can avoid it.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

FAMILIES = ("qwen2", "qwen3", "qwen3_moe", "glm4", "llama", "internlm", "baichuan")
STAGES = ("pt new", "pt", "sft")


class Row(NamedTuple):
    """A method of the matrix."""

    method: dict[str, Any]
    trained: str
    """What the names of all trained weights look like, and of no other."""
    tolerance: float = 0.0
    """Largest difference of a logit after reloading; above 0 where saving does arithmetic."""


LOW_RANK = r"\.lora_"
ROWS = {
    "full": Row({"type": "full"}, ""),
    "lora": Row({"type": "lora", "rank": 2}, LOW_RANK),
    "lora, named layers": Row(
        {"type": "lora", "rank": 2, "target_modules": ["q_proj", "v_proj"]}, r"\.[qv]_proj\.lora_"
    ),
    "lora + rslora": Row({"type": "lora", "rank": 2, "use_rslora": True}, LOW_RANK),
    "lora + dora": Row({"type": "lora", "rank": 2, "use_dora": True}, LOW_RANK),
    "lora + pissa": Row({"type": "lora", "rank": 2, "init": "pissa"}, LOW_RANK, 2e-4),
    "lora + olora": Row({"type": "lora", "rank": 2, "init": "olora", "alpha": 2}, LOW_RANK, 2e-4),
    "lora + embeddings": Row(
        {"type": "lora", "rank": 2, "modules_to_save": ["embed_tokens", "lm_head"]},
        r"\.lora_|modules_to_save",
    ),
    "qlora nf4": Row({"type": "qlora", "rank": 2}, LOW_RANK),
    "qlora nf4 + loftq": Row({"type": "qlora", "rank": 2, "init": "loftq"}, LOW_RANK),
    "qlora int8": Row({"type": "qlora", "rank": 2, "bits": 8}, LOW_RANK),
    "freeze, last": Row({"type": "freeze", "num_trainable_layers": 1}, r"\.layers\.1\."),
    "freeze, first": Row(
        {"type": "freeze", "num_trainable_layers": -1, "name_module_trainable": ["self_attn"]},
        r"\.layers\.0\.self_attn\.",
    ),
    "prefix": Row({"type": "prefix", "num_virtual_tokens": 3}, "prompt_encoder"),
    "prefix + projection": Row(
        {"type": "prefix", "num_virtual_tokens": 3, "projection": True, "hidden_size": 8},
        "prompt_encoder",
        1e-5,
    ),
    "prompt": Row({"type": "prompt", "num_virtual_tokens": 3}, "prompt_encoder"),
    "ia3": Row({"type": "ia3"}, r"\.ia3_l"),
}


class Refusal(NamedTuple):
    """Why a cell cannot be."""

    reason: str
    way_out: str
    message: str
    """What the user reads, which names the way out."""


EXPERTS = Refusal(
    "experts are no layers of their own",
    "leave the option out, or name the attention's layers as target_modules",
    r"leave it out, or name the attention's layers|the model has no layer down_proj",
)
BALANCE = Refusal(
    "experts are balanced over the tokens of the text, a prefix would be counted among them",
    "use method: prompt or lora",
    r"a prefix would be counted among them; use method\.type prompt or lora",
)
NO_BASE = Refusal(
    "a new model is no saved base that an adapter could be laid on",
    "train with method: full first, then lay the adapter on that",
    r"no saved base for an adapter; use method: \{type: full\}",
)
RANDOM = Refusal(
    "weights of a new model that are frozen would stay random",
    "use method: full",
    r"use method: \{type: full\}",
)
REFUSALS = (BALANCE, EXPERTS, NO_BASE, RANDOM)
"""In this order: the words of the last stand in the one before it too."""
EXPERTS_REFUSE = ("lora + dora", "lora + pissa", "lora + olora", "qlora nf4 + loftq", "ia3")


def expected(stage: str, name: str, family: str) -> Refusal | None:
    if stage == "pt new" and name != "full":
        return RANDOM if name.startswith("freeze") else NO_BASE
    if family == "qwen3_moe" and name in EXPERTS_REFUSE:
        return EXPERTS
    if family == "qwen3_moe" and name.startswith("prefix"):
        return BALANCE
    return None


class World(NamedTuple):
    """What all cells share."""

    tokenizer: Path
    bases: dict[str, Path]
    files: dict[str, Path]
    plain: dict[str, torch.Tensor]
    """What each base says untrained."""


@pytest.fixture(scope="module")
def world(
    make_model: Any,
    tiny_tokenizer_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> World:
    folder = tmp_path_factory.mktemp("matrix")
    texts = [f"第{n}条：高血压患者应少吃盐、多运动、定期量血压。" * n for n in range(1, 5)]
    write_jsonl(folder / "documents.jsonl", [Document(id=str(n), text=text) for n, text in enumerate(texts)])
    talks = [
        (Message(role="user", content=f"头痛{n}天怎么办"), Message(role="assistant", content="多休息。" * n))
        for n in range(1, 5)
    ]
    write_jsonl(folder / "talks.jsonl", [Dialogue(id=str(n), messages=talk) for n, talk in enumerate(talks)])
    files = {"documents": folder / "documents.jsonl", "train": folder / "talks.jsonl"}
    bases = {name: make_model(tiny_tokenizer_dir, name) for name in FAMILIES}
    plain = {name: logits_of(load_model(Input(base), "float32")) for name, base in bases.items()}
    return World(tiny_tokenizer_dir, bases, files, plain)


@cache
def columns_of(stage: str, file: Path, tokenizer: Path) -> Columns:
    read = dialogue_columns if stage == "sft" else document_columns
    return read([Input(file)], load_tokenizer(Input(tokenizer)), max_length=96)


def configure(
    stage: str, method: dict[str, Any], family: str, world: World, out: Path
) -> PtConfig | SftConfig:
    new = {"type": "new", "tokenizer": str(world.tokenizer), "family": family, "hidden_size": 32}
    new |= {"intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 256}
    values = {
        "out": out,
        "model": new if stage == "pt new" else str(world.bases[family]),
        "method": method,
        "max_steps": 3,
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "warmup_ratio": 0,
        "max_length": 96,
        "runtime": {"device": "cpu", "num_threads": 1},
    }
    if stage == "sft":
        return SftConfig.model_validate({**values, "train": [str(world.files["train"])]})
    return PtConfig.model_validate({**values, "documents": [str(world.files["documents"])]})


def train(config: PtConfig | SftConfig, columns: Columns) -> tuple[PeftModel, dict[str, torch.Tensor]]:
    """The trained model, and its weights before."""
    model, tokenizer = open_model(config.model, seed=1, method=config.method, device="cpu")
    prepared = prepare_model(model, config.method, seed=1, tokenizer=tokenizer, base=config.model)
    before = {name: weight.detach().clone() for name, weight in prepared.named_parameters()}
    return fit(config, prepared, tokenizer, columns, None).model, before  # pyright: ignore[reportReturnType]


@torch.inference_mode()
def logits_of(model: Any) -> torch.Tensor:
    ids = torch.tensor([[5, 9, 40, 77, 300, 12]])
    return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -6:]


def try_cell(stage: str, name: str, family: str, world: World, out: Path) -> Refusal | None:
    row = ROWS[name]
    file = world.files["train" if stage == "sft" else "documents"]
    try:
        config = configure(stage, row.method, family, world, out)
        model, before = train(config, columns_of(stage, file, world.tokenizer))
    except (UserError, ValidationError) as error:
        return next(refusal for refusal in REFUSALS if re.search(refusal.message, str(error)))
    after = dict(model.named_parameters())
    changed = {key for key, weight in after.items() if not torch.equal(weight, before[key])}
    wanted = {key for key in after if re.search(row.trained, key)}
    assert wanted and changed == wanted, sorted(changed ^ wanted)[:4]
    is_adapter = isinstance(model, PeftModel)
    engine = HfEngine(
        model=Input(world.bases[family] if is_adapter else out), adapter=Input(out) if is_adapter else None
    )
    loaded = HfInProcess(engine, EngineRuntime(device="cpu", num_threads=1)).model
    trained, again = logits_of(model), logits_of(loaded)
    assert float((trained - again).abs().max()) <= row.tolerance, float((trained - again).abs().max())
    if stage != "pt new":
        assert not torch.allclose(again, world.plain[family], atol=1e-3), "training must do something"
    return None


PLACES = {key: number for number, key in enumerate(product(STAGES, ROWS, FAMILIES))}


@pytest.mark.parametrize(("stage", "name", "family"), PLACES)
def test_cell(
    stage: str,
    name: str,
    family: str,
    world: World,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    mark = FAILED
    try:
        refusal = try_cell(stage, name, family, world, tmp_path / "out")
        assert refusal == expected(stage, name, family)
        mark = f"{refusal.reason}; {refusal.way_out}" if refusal else OK
    finally:
        cell = Cell(PLACES[stage, name, family], stage, name, family, mark)
        record_property("matrix", tuple(cell))  # xdist sends plain values alone
