"""pt: from scratch, and on from what pt made."""

from pathlib import Path
from typing import Any

import pytest
import torch

from medtune.commands import run_command
from medtune.config import Input
from medtune.engines.loading import load_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.train.config import PtConfig

pytestmark = pytest.mark.slow


def configure(out: Path, documents: Path, model: object, shape: dict[str, Any], **values: Any) -> PtConfig:
    base = {"out": out, "documents": [str(documents)], "model": model, **shape}
    return PtConfig.model_validate({**base, **values})


def test_a_model_from_scratch_goes_on_where_it_stopped(
    tiny_tokenizer_dir: Path, documents: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    fresh = {"type": "new", "tokenizer": str(tiny_tokenizer_dir), **sizes}
    first = run_command("pt", configure(tmp_path / "one", documents, fresh, shape)).counts
    second = run_command("pt", configure(tmp_path / "two", documents, str(tmp_path / "one"), shape)).counts
    assert first["trainable_weights"] == first["all_weights"] == second["all_weights"]
    assert second["loss"] < first["loss"]
    one, two = (load_model(Input(tmp_path / name), "float32") for name in ("one", "two"))
    assert not torch.equal(one.get_input_embeddings().weight, two.get_input_embeddings().weight)
    old, new = (load_tokenizer(Input(folder)) for folder in (tiny_tokenizer_dir, tmp_path / "two"))
    assert old.get_vocab() == new.get_vocab()
    assert old.chat_template == new.chat_template


def test_every_token_of_the_documents_is_learnt(
    tiny_model_dir: Path, documents: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    endless = {"max_steps": -1, "num_train_epochs": 1}
    config = configure(tmp_path / "out", documents, str(tiny_model_dir), {**shape, **endless}, max_length=32)
    counts = run_command("pt", config).counts
    assert counts["tokens_seen"] == counts["trained_tokens_seen"] + counts["rows"], "all but a row's first"
    assert (counts["records"], counts["too_long"], counts["epochs"]) == (6, 0, 1.0)
    assert counts["steps"] == -(-counts["rows"] // 2)
    assert counts["rows"] == -(-counts["tokens_seen"] // 32)


def test_a_valid_file_of_documents_is_measured(
    tiny_model_dir: Path, documents: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    config = configure(tmp_path / "out", documents, str(tiny_model_dir), shape, valid=str(documents))
    counts = run_command("pt", config).counts
    assert counts["eval_loss"] > 0
    assert counts["valid_records"] == 6


def test_packed_documents_have_the_loss_of_single_ones(
    tiny_model_dir: Path, documents: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    one_step = {**shape, "max_steps": 1, "max_length": 250, "per_device_train_batch_size": 6}
    alone, packed, joined = (
        run_command(
            "pt", configure(tmp_path / str(way), documents, str(tiny_model_dir), one_step, packing=way)
        ).counts
        for way in (False, True, "joined")
    )
    assert alone["rows"] == 6 > packed["rows"] >= joined["rows"]
    assert packed["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    assert joined["loss"] != pytest.approx(alone["loss"], rel=1e-4)
    assert packed["ledger"] == alone["ledger"]


def test_a_raw_text_can_be_pretrained_on(tiny_model_dir: Path, shape: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_text("高血压患者应少吃盐、多运动、定期量血压。" * 20, encoding="utf-8")
    config = configure(tmp_path / "out", tmp_path / "raw.txt", str(tiny_model_dir), shape)
    counts = run_command("pt", config).counts
    assert (counts["records"], counts["ledger"]["trained"]) == (1, 1)
    assert (config.out / "dropped.jsonl").read_bytes() == b""
