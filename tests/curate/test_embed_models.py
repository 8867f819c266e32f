"""Vectors from models in this process: each text by itself, cut where it is said, with its role's prompt."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medtune.artifact import write_jsonl
from medtune.commands import run_command
from medtune.config import Input, judge
from medtune.curate.config import EmbedConfig
from medtune.curate.embed_config import EmbedRuntime, SentenceEmbedder, StatesEmbedder
from medtune.curate.embedders import embed_batch
from medtune.curate.vectors import open_vectors, refuse_other_space
from medtune.engines.loading import load_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Document

TEXTS = [
    "高血压患者应少盐多动。",
    "头痛",
    "糖尿病患者的饮食" * 6,
    "咳嗽三天，夜间加重，应做哪些检查",
    "失眠" * 20,
]
QUERY = "为问题找出答案："


@pytest.fixture(scope="module")
def sentence_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3 with pooling of the last token, as Qwen3-Embedding has it, that takes 24 tokens."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    layers = Transformer(str(tiny_model_dir), max_seq_length=24)
    model = SentenceTransformer(
        modules=[layers, Pooling(32, pooling_mode="lasttoken")],
        prompts={"query": QUERY, "document": ""},
        device="cpu",
    )
    folder = tmp_path_factory.mktemp("sentences") / "model"
    model.save(str(folder))
    return folder


@pytest.fixture
def records(tmp_path: Path) -> Input:
    write_jsonl(tmp_path / "pool.jsonl", [Document(id=text[:2], text=text) for text in TEXTS])
    return Input(tmp_path / "pool.jsonl")


def make(out: Path, records: Input, **settings: Any) -> dict[str, Any]:
    config = {"out": out, "records": [records], "dtype": "float32", "runtime": {"device": "cpu"}, **settings}
    return run_command("embed", judge(EmbedConfig, config, "test")).counts


Open = Callable[..., Any]


@pytest.fixture(params=["sentence-transformers", "states"])
def open_one(request: pytest.FixtureRequest, sentence_dir: Path, tiny_model_dir: Path) -> Open:
    """open_one(runtime keys): an embedder of either kind."""
    from medtune.curate.embed_sentences import SentenceModel
    from medtune.curate.embed_states import StatesModel

    def open_it(**runtime: Any) -> Any:
        limits = EmbedRuntime(device="cpu", **runtime)
        if request.param == "states":
            return StatesModel(StatesEmbedder(model=Input(tiny_model_dir), max_tokens=40), limits)
        return SentenceModel(SentenceEmbedder(model=Input(sentence_dir)), "passage", limits)

    return open_it


def test_a_vector_does_not_depend_on_its_batch(open_one: Open) -> None:
    whole = embed_batch(open_one(), TEXTS)
    alone = [embed_batch(open_one(batch_size=1), [text]).vectors[0] for text in TEXTS]
    small = embed_batch(open_one(batch_size=2, max_batch_tokens=60), TEXTS[::-1])
    assert np.linalg.norm(whole.vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert whole.vectors == pytest.approx(np.stack(alone), abs=1e-5)
    assert whole.vectors[::-1] == pytest.approx(small.vectors, abs=1e-5)
    assert np.abs(whole.vectors[0] - whole.vectors[1]).max() > 1e-2
    assert len(whole.truncated) == len(small.truncated) > 0


# ---- states ----


def test_states_are_means_of_the_last_layer_by_position(
    tiny_model_dir: Path, records: Input, tmp_path: Path
) -> None:
    counts = make(
        tmp_path / "v", records, embedder={"type": "states", "model": str(tiny_model_dir), "max_tokens": 40}
    )
    tokenizer = load_tokenizer(Input(tiny_model_dir))
    model = load_model(Input(tiny_model_dir), "float32")
    array = open_vectors(Input(tmp_path / "v")).array
    num_cut = 0
    for row, text in enumerate(TEXTS):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        num_cut += len(ids) > 40
        with torch.inference_mode():
            output = model(torch.tensor([ids[:40]]), output_hidden_states=True)
        states = output.hidden_states[-1][0]
        mean = sum(place * state for place, state in enumerate(states, 1)) / sum(range(1, len(states) + 1))
        assert array[row] == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)
    assert 0 < counts["truncated"] == num_cut < len(TEXTS)
    assert counts["dim"] == 32


def test_what_a_tokenizer_writes_before_texts_is_read_and_does_not_count(tiny_model_dir: Path) -> None:
    from medtune.curate.embed_states import StatesModel

    config = StatesEmbedder(model=Input(tiny_model_dir), max_tokens=40)
    model = StatesModel(config, EmbedRuntime(device="cpu"))
    plain = model.embed(TEXTS).vectors
    model._begin = [5]
    begun = model.embed(TEXTS)
    ids = model._tokenizer(TEXTS[1], add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        states = model._model(torch.tensor([[5, *ids]])).last_hidden_state[0, 1:]
    mean = sum(place * state for place, state in enumerate(states, 1)) / sum(range(1, len(states) + 1))
    assert begun.vectors[1] == pytest.approx(mean.numpy(), abs=1e-5)
    assert np.abs(begun.vectors - plain).max() > 1e-3


def test_more_tokens_than_the_model_takes_are_refused(
    tiny_model_dir: Path, records: Input, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"max_tokens 512: .* takes 256 tokens at most"):
        make(tmp_path / "v", records, embedder={"type": "states", "model": str(tiny_model_dir)})


def test_a_model_whose_numbers_are_none_is_refused_by_line(
    tiny_model_dir: Path, records: Input, tmp_path: Path
) -> None:
    from medtune.engines.loading import save_model

    model = load_model(Input(tiny_model_dir), "float32")
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    save_model(model, load_tokenizer(Input(tiny_model_dir)), tmp_path / "broken")
    told = {"type": "states", "model": str(tmp_path / "broken"), "max_tokens": 40}
    with pytest.raises(UserError, match=r"pool.jsonl:1: has a vector that is no number"):
        make(tmp_path / "v", records, embedder=told)


# ---- sentence-transformers ----


def test_sentences_are_as_the_library_has_them_for_either_role(
    sentence_dir: Path, records: Input, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(sentence_dir), device="cpu")
    embedder = {"type": "sentence-transformers", "model": str(sentence_dir)}
    counts = make(tmp_path / "v", records, embedder=embedder)
    make(tmp_path / "q", records, like=str(tmp_path / "v"), role="query")
    pool, questions = (open_vectors(Input(tmp_path / name)) for name in "vq")
    assert pool.array == pytest.approx(library.encode_document(TEXTS, normalize_embeddings=True), abs=1e-5)
    assert questions.array == pytest.approx(library.encode_query(TEXTS, normalize_embeddings=True), abs=1e-5)
    assert np.abs(pool.array[1] - questions.array[1]).max() > 1e-2
    refuse_other_space(pool, questions)
    assert (pool.space.prompts.query, pool.space.prompts.passage, pool.space.max_tokens) == (QUERY, "", 24)
    tokenizer = load_tokenizer(Input(sentence_dir))
    assert counts["truncated"] == sum(len(tokenizer(text)["input_ids"]) > 24 for text in TEXTS) > 0


def test_length_dimensions_and_prompts_act_and_are_part_of_the_space(
    sentence_dir: Path, records: Input, tmp_path: Path
) -> None:
    base = {"type": "sentence-transformers", "model": str(sentence_dir)}
    whole, vectors = make(tmp_path / "v", records, embedder=base), open_vectors(Input(tmp_path / "v"))
    for change, words in (
        ({"max_length": 8}, "max_tokens 24 against 8"),
        ({"dimensions": 12}, "dim 32 against 12"),
        ({"passage_prompt": "文："}, "prompts"),
    ):
        out = tmp_path / next(iter(change))
        counts = make(out, records, embedder={**base, **change})
        other = open_vectors(Input(out))
        with pytest.raises(UserError, match=words):
            refuse_other_space(vectors, other)
        width = other.space.dim
        assert not np.allclose(other.array, vectors.array[:, :width], atol=1e-2)
        assert counts["dim"] == change.get("dimensions", 32)
        assert (counts["truncated"] > whole["truncated"]) == ("max_length" in change)
    cut = vectors.array[:, :12]
    shortened = open_vectors(Input(tmp_path / "dimensions")).array
    assert shortened == pytest.approx(cut / np.linalg.norm(cut, axis=1, keepdims=True), abs=1e-5)


def test_what_is_no_such_model_or_too_narrow_is_refused(
    sentence_dir: Path, tiny_model_dir: Path, records: Input, tmp_path: Path
) -> None:
    def refuse(words: str, **embedder: Any) -> None:
        told = {"type": "sentence-transformers", "model": str(sentence_dir), **embedder}
        with pytest.raises(UserError, match=words):
            make(tmp_path / "v", records, embedder=told)

    refuse("holds none of modules.json", model=str(tiny_model_dir))
    refuse("max_length 25: .* takes 24 tokens at most", max_length=25)
    refuse("pool.jsonl:1: has a vector of 32 numbers where 64 are expected", dimensions=64)
    broken = Path(shutil.copytree(sentence_dir, tmp_path / "broken"))
    for file in broken.rglob("*.safetensors"):
        file.write_bytes(b"x")
    refuse("cannot be loaded", model=str(broken))


def test_a_model_that_changed_since_is_not_taken_for_the_same(
    sentence_dir: Path, records: Input, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(sentence_dir, tmp_path / "model"))
    make(tmp_path / "v", records, embedder={"type": "sentence-transformers", "model": str(model)})
    (model / "README.md").write_text("another\n", encoding="utf-8")
    with pytest.raises(UserError, match="its embedder is not what it was: model"):
        make(tmp_path / "q", records, like=str(tmp_path / "v"))
