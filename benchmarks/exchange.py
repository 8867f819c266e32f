"""An exported exam, answered by lm-eval and imported again: both must count alike, to the last digit.

    python benchmarks/exchange.py /path/to/environment/bin/lm_eval

The environment needs lm_eval[hf] 0.4.13. The model is random and tiny; what is compared is how answers are
counted, 0- and 2-shot, as plain text and through a chat template.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
import torch

from medtune.artifact import write_jsonl
from medtune.commands import run_command
from medtune.config import SAMPLES, Input
from medtune.data.config import PrepareConfig
from medtune.engines.loading import save_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.evals.config import ExportExamConfig, ImportScoresConfig
from medtune.records import Document, content_id
from medtune.train.config import NewModel, TokenizerConfig
from medtune.train.model import build_model

TASKS = "medtune_exam"
CHAT = ("--apply_chat_template", "--fewshot_as_multiturn", "true")
RUNS: dict[str, tuple[int, tuple[str, ...]]] = {
    "0-shot": (0, ()),
    "2-shot": (2, ()),
    "0-shot, chat": (0, CHAT[:1]),
    "2-shot, chat": (2, CHAT),
}


def make_model(home: Path) -> Path:
    """A random model of two layers whose choices depend on the whole prompt, and its tokenizer."""
    lines = (SAMPLES / "documents.jsonl").read_bytes().splitlines()[:80]
    texts = [orjson.loads(line)["text"] for line in lines]
    write_jsonl(home / "texts.jsonl", [Document(id=content_id(text), text=text) for text in texts])
    run_command(
        "tokenizer",
        TokenizerConfig(out=home / "tokenizer", texts=(Input(home / "texts.jsonl"),), vocab_size=600),
    )
    tokenizer = load_tokenizer(Input(home / "tokenizer"))
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape = {"tokenizer": str(home / "tokenizer"), "family": "qwen3", "max_position_embeddings": 2048}
    model = build_model(
        NewModel.model_validate(shape | sizes | {"num_key_value_heads": 2}), tokenizer, seed=1
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(10 if weight.ndim > 1 else 1)
    save_model(model, tokenizer, home / "model")
    return home / "model"


def answer(lm_eval: str, model: Path, tasks: Path, out: Path, shots: int, flags: tuple[str, ...]) -> float:
    """The accuracy that lm-eval prints for the whole exam."""
    command = [
        lm_eval, "--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu",
        "--include_path", str(tasks), "--tasks", TASKS, "--num_fewshot", str(shots), "--batch_size", "16",
        "--output_path", str(out), "--log_samples", *flags,
    ]  # fmt: skip
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    subprocess.run(command, check=True, cwd=out.parent, env=offline, capture_output=True)
    (results,) = out.rglob("results_*.json")
    return orjson.loads(results.read_bytes())["results"][TASKS]["acc,none"]


def main(lm_eval: str) -> int:
    """0 when every run is counted alike by both."""
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model = make_model(home)
        run_command(
            "prepare", PrepareConfig.model_validate({"out": home / "exam", "source": "samples:exam.jsonl"})
        )
        questions, fewshot = Input(home / "exam/test.jsonl"), Input(home / "exam/val.jsonl")
        tasks = home / "tasks"
        exported = run_command(
            "export-exam",
            ExportExamConfig(out=tasks, questions=questions, fewshot=fewshot, multiple="leave_out"),
        )
        for number, (name, (shots, flags)) in enumerate(RUNS.items()):
            theirs = answer(lm_eval, model, tasks, home / f"theirs-{number}", shots, flags)
            out = home / f"ours-{number}"
            source, asked = Input(home / f"theirs-{number}"), Input(tasks / "questions.jsonl")
            run_command("import-scores", ImportScoresConfig(out=out, source=source, questions=asked))
            report = orjson.loads((out / "report.json").read_bytes())
            ours, n = report["metrics"]["letter.accuracy"]["value"], report["n"]
            is_same = ours == theirs and len(report["warnings"]) == 1 and n == exported.counts["questions"]
            differ += not is_same
            print(
                f"{name}: lm-eval {theirs!r} · imported {ours!r} · n {n} · {'same' if is_same else 'DIFFER'}"
            )
    return min(differ, 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
