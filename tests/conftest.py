"""Tiny real things that many tests share: a tokenizer trained on the samples, and models of each family."""

import multiprocessing
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import orjson
import pytest
from matrix_table import Cell, as_table

from medtune.artifact import write_jsonl
from medtune.config import SAMPLES, Input
from medtune.engines.config import RayWorkers
from medtune.engines.workers import OF_ITS_OWN
from medtune.records import Document, content_id

# Ray locks out whoever shows no token, or another than its cluster's. Left alone, it shows one only where
# this process has begun a cluster before, and takes it from a file at home, which two clusters that begin
# together for the first time both write.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.update(OF_ITS_OWN)  # Ray reads it once, whoever imports it first; without it no loopback is joined

# Torch and its friends are imported inside the fixtures: who asks for no model does not wait for them.

MakeModel = Callable[..., Path]
Fork = Callable[[str], BaseProcess]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The cells of the training matrix that were tried, as a table; they come from every worker."""
    reports = [report for name in ("passed", "failed") for report in terminalreporter.getreports(name)]
    found = [value for report in reports for name, value in report.user_properties if name == "matrix"]
    if found:
        terminalreporter.section("training: stage x method x family")
        terminalreporter.write_line(as_table([Cell(*cell) for cell in found]))


@pytest.fixture(scope="session")
def fork() -> Fork:
    """fork(code): a process that runs it, forked from a server that holds what models want imported."""
    from medtune.runner import HEAVY

    context = multiprocessing.get_context("forkserver")

    def start(code: str) -> BaseProcess:
        context.set_forkserver_preload(list(HEAVY))  # other tests have servers of their own
        process = context.Process(target=exec, args=(f"import gc; gc.freeze()\n{code}", {}), daemon=True)
        process.start()
        return process

    return start


CLUSTER = """
import ray
info = ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=2**27,
                log_to_driver=False, _node_ip_address="127.0.0.1")
print("at", info.address_info["gcs_address"], flush=True)
input()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayWorkers]:
    """Two workers of a cluster that is there already, started by a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout
        address = next(line.split()[1] for line in process.stdout if line.startswith("at "))
        yield RayWorkers(num=2, address=address)
        process.communicate("\n")


@pytest.fixture(scope="session")
def tiny_tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer of 600 tokens with a ChatML template."""
    from medtune.train.config import TokenizerConfig
    from medtune.train.tokenizer import run

    folder = tmp_path_factory.mktemp("tokenizer")
    lines = (SAMPLES / "documents.jsonl").read_bytes().splitlines()[:80]
    texts = [orjson.loads(line)["text"] for line in lines]
    write_jsonl(folder / "texts.jsonl", [Document(id=content_id(text), text=text) for text in texts])
    run(TokenizerConfig(out=folder / "out", texts=(Input(folder / "texts.jsonl"),), vocab_size=600))
    return folder / "out"


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """make_model(tokenizer_dir, family="qwen3", seed=1): two random layers of width 32, and the tokenizer."""

    def make(tokenizer_dir: Path, family: str = "qwen3", seed: int = 1, context: int = 256) -> Path:
        import torch

        from medtune.engines.loading import save_model
        from medtune.engines.tokenizing import load_tokenizer
        from medtune.train.config import NewModel
        from medtune.train.model import build_model

        torch.set_num_threads(1)
        folder = tmp_path_factory.mktemp(family)
        tokenizer = load_tokenizer(Input(tokenizer_dir))
        shape = NewModel.model_validate(
            {
                "tokenizer": str(tokenizer_dir),
                "family": family,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "max_position_embeddings": context,
            }
        )
        model = build_model(shape, tokenizer, seed=seed)
        with torch.no_grad():  # so that its choices are clear, and depend on all of the prompt
            for weight in model.parameters():
                weight.mul_(10 if weight.ndim > 1 else 1)
        save_model(model, tokenizer, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_model_dir(make_model: MakeModel, tiny_tokenizer_dir: Path) -> Path:
    """A two-layer Qwen3."""
    return make_model(tiny_tokenizer_dir)


@pytest.fixture
def opening_dir(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """The tiny Qwen3 with a template whose prompts open a think block."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "opening"))
    template = folder / "chat_template.jinja"
    wording = template.read_text(encoding="utf-8")
    opened = wording.replace("assistant\\n' -}}{%- endif", "assistant\\n<think>\\n' -}}{%- endif")
    assert opened != wording
    template.write_text(opened, encoding="utf-8")
    return folder


@pytest.fixture(scope="session", params=["qwen2", "qwen3", "glm4", "llama"])
def family_dir(request: pytest.FixtureRequest, make_model: MakeModel, tiny_tokenizer_dir: Path) -> Path:
    """A two-layer model of each family."""
    return make_model(tiny_tokenizer_dir, request.param)
