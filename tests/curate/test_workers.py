"""Embed and recall over two workers of a Ray cluster: the files of one process."""

import pickle
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtune.artifact import claim, make
from medtune.config import Input
from medtune.curate import shards
from medtune.curate.config import EmbedConfig, RecallConfig
from medtune.curate.embed import run as embed
from medtune.curate.leaks import read_questions
from medtune.curate.measures import open_sight
from medtune.curate.recall import Searcher
from medtune.curate.recall import run as recall
from medtune.curate.survey import Surveyor
from medtune.engines.config import RayWorkers


def make_vectors(home: Path, pool: Input, questions: str, runtime: dict[str, Any]) -> None:
    for name, settings in (
        ("pool", {"records": [str(pool)], "embedder": {"type": "tfidf", "dim": 32}, "runtime": runtime}),
        ("questions", {"records": [questions], "like": str(home / "pool")}),
    ):
        make(claim("embed", 1, EmbedConfig.model_validate({"out": home / name, **settings})), embed)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="wants ray: pip install 'medtune[ray]'")
def test_what_two_workers_choose_is_what_one_process_chooses(
    sample_dir: Path,
    small_pool: Input,
    cluster: RayWorkers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 64)  # three shards
    questions = str(sample_dir / "val.jsonl")
    for name, runtime in (("alone", {}), ("shared", {"workers": cluster.model_dump()})):
        home = tmp_path / name
        make_vectors(home, small_pool, questions, runtime)
        near = {"type": "vectors", "pool": str(home / "pool"), "questions": str(home / "questions")}
        out = home / "out"
        out.mkdir()
        given = {"pool": [str(small_pool)], "questions": questions, "near": near, "budget_rows": 50}
        recall(RecallConfig.model_validate({"out": out, **given, "runtime": runtime}))
    compared = ("pool/vectors.npy", "pool/ids.txt", "out/train.jsonl", "out/near.jsonl")
    for name in compared:
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


def test_what_a_worker_is_sent_works_there_as_here(
    sample_dir: Path, small_pool: Input, tmp_path: Path
) -> None:
    given = {"pool": [str(small_pool)], "questions": str(sample_dir / "val.jsonl")}
    config = RecallConfig.model_validate({"out": tmp_path, **given, "decontaminate": [given["questions"]]})
    counting = open_sight(config, read_questions(config.questions)).counting
    (shard,) = shards.list_shards(config.pool)
    survey = Surveyor(config, counting).look(shard)
    sent = pickle.loads(pickle.dumps(partial(Surveyor, config, counting)))().look(shard)
    for name, array in survey._asdict().items():
        assert np.array_equal(array, sent._asdict()[name]), name
    is_free = np.ones(len(survey.offsets), dtype=bool)
    make_searcher = partial(Searcher, config, survey.counts, is_free)
    here, there = make_searcher().find(shard), pickle.loads(pickle.dumps(make_searcher))().find(shard)
    assert np.array_equal(here.rows, there.rows)
    assert np.array_equal(here.similarities, there.similarities)
