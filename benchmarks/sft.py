"""How fast sft is beside TRL and LLaMA-Factory: the same model, rows, tokens and optimizer steps.

    python benchmarks/sft.py [--models tiny,big] [--rows 128] [--repeats 3] [--precision fp32,bf16]
                             [--peers PYTHON] [--only medtune,trl] [--keep DIR] [--gpu]

Makes a tokenizer and a model with random weights: `tiny` has 7 million and 16,000 tokens, `big` is a Qwen3
of hidden size 512 with 6 layers and the vocabulary of every Qwen, 151,936. Rows are questions with answers
from ../shared/data when it is there, else from the shipped samples. Each contender is a process of its own,
one after the other, in another order each round; the ratios are medians over the rounds.

All train fully with AdamW at a constant rate on batches of 8 rows, in the order that medtune's grouping by
length gives: the others get the rows in this order and do not shuffle. The chat template is written out for
LLaMA-Factory. That all saw the same tokens and labels is checked by their digest; loss is the last step's.
`trl` and `llamafactory` are their defaults, save for the number format, which is the same for all; with
`-best` they do not compute activations twice, which is their fastest on a CPU.
Useful tokens are those that are no padding. Seconds are from the first step's start to the last one's end;
`whole` is the process, with imports, loading, tokenising and saving.

`--peers` is an interpreter that has LLaMA-Factory 0.9.5, made so (it pins other versions than medtune;
`--no-deps` leaves out torchvision and torchaudio, which text does not need):

    python3 -m venv peers; peers/bin/pip install torch==2.13.0
    peers/bin/pip install transformers==5.6.0 accelerate==1.11.0 datasets==4.0.0 peft==0.18.1 trl==0.24.0 \\
        torchdata==0.11.0 "av<=16" gradio==5.50.0 "tyro<0.9" einops fastapi fire hf-transfer matplotlib \\
        modelscope omegaconf pandas protobuf sentencepiece sse-starlette tiktoken uvicorn
    peers/bin/pip install --no-deps llamafactory==0.9.5

`--gpu` instead: the shape of Qwen2.5-3B in bfloat16, LoRA and QLoRA of rank 64 on rows of 2,048 tokens,
medtune beside TRL, with the share of the card's peak that the model's operations make.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from operator import truediv
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase
from transformers.trainer_pt_utils import LengthGroupedSampler

from medtune.artifact import write_jsonl
from medtune.config import SAMPLES, Input
from medtune.engines.tokenizing import load_tokenizer
from medtune.records import Dialogue, Document, Message, content_id
from medtune.train.columns import dialogue_columns
from medtune.train.config import TokenizerConfig
from medtune.train.order import EpochSampler
from medtune.train.tokenizer import run as train_tokenizer

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "toyhom_neike_sample.csv"
TEMPLATE = (
    "{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML with nothing after the end of an answer, on which trainers disagree whether it is learnt."""
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "model_type": "qwen3", "vocab_size": 16000, "hidden_size": 256, "intermediate_size": 768,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    },
    "big": {
        "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 512, "intermediate_size": 1536,
        "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64,
    },
    "3b": {
        "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008,
        "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2,
    },
}  # fmt: skip
SEED = 42


class Exchange(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


class Run(NamedTuple):
    """What one process did."""

    figures: dict[str, Any]
    seconds: float
    """Of the whole process."""
    peak: int
    """Bytes that it held at most."""


def read_exchanges() -> list[Exchange]:
    """The exchanges, in the order of their file."""
    if DATA.exists():
        with DATA.open(encoding="gb18030", newline="") as file:
            pairs = [(f"{row['title']}\n{row['ask']}", row["answer"]) for row in csv.DictReader(file)]
    else:
        lines = (SAMPLES / "consult_alpaca.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        pairs = [(row["input"] or row["instruction"], row["output"]) for row in rows]
    return [Exchange(one.strip(), other.strip()) for one, other in pairs if one.strip() and other.strip()]


def make_tokenizer(folder: Path, exchanges: list[Exchange], vocab_size: int) -> PreTrainedTokenizerBase:
    """A tokenizer of at most so many tokens, trained on the exchanges, saved in `folder`."""
    texts = [text for exchange in exchanges for text in exchange]
    write_jsonl(folder / "texts.jsonl", [Document(id=content_id(text), text=text) for text in texts])
    train_tokenizer(
        TokenizerConfig(
            out=folder / "tokenizer", texts=(Input(folder / "texts.jsonl"),), vocab_size=vocab_size
        )
    )
    tokenizer = load_tokenizer(Input(folder / "tokenizer"))
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(folder: Path, tokenizer: PreTrainedTokenizerBase, shape: dict[str, Any], dtype: str) -> int:
    """How many weights the model saved in `folder` has; they are drawn by the seed."""
    settings = {"max_position_embeddings": 4096, "tie_word_embeddings": True, **shape}
    settings |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(SEED)
    config = AutoConfig.for_model(**settings, bos_token_id=None)
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16 if dtype == "bfloat16" else None)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


def write_rows(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    exchanges: list[Exchange],
    *,
    num_rows: int,
    batch: int,
    max_length: int,
) -> int:
    """How many rows stand in `folder`, for each contender in its own format and in the order of training."""
    folder.mkdir(parents=True)
    dialogues = [dialogue_of(exchange) for exchange in exchanges]
    path = folder / "medtune.jsonl"
    write_jsonl(path, dialogues)
    columns = dialogue_columns([Input(path)], tokenizer, max_length=max_length)
    lost = {misfit.line - 1 for misfit in columns.misfits}
    kept = [place for place in range(len(exchanges)) if place not in lost][:num_rows]
    write_jsonl(path, [dialogues[place] for place in kept])
    lengths = [len(row) for row in columns.dataset["input_ids"]][:num_rows]
    order = list(EpochSampler(LengthGroupedSampler(batch, lengths=lengths), SEED))
    ordered = [exchanges[kept[place]] for place in order]
    write_jsonl(
        folder / "trl.jsonl",
        [
            {
                "prompt": [{"role": "user", "content": row.question}],
                "completion": [{"role": "assistant", "content": row.answer}],
            }
            for row in ordered
        ],
    )
    rows = [
        {
            "instruction": f"<|im_start|>user\n{row.question}<|im_end|>\n<|im_start|>assistant\n",
            "output": f"{row.answer}<|im_end|>",
        }
        for row in ordered
    ]
    (folder / "rows.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    facts = {"rows": {"file_name": "rows.json", "columns": {"prompt": "instruction", "response": "output"}}}
    (folder / "dataset_info.json").write_text(json.dumps(facts), encoding="utf-8")
    return len(kept)


def dialogue_of(exchange: Exchange) -> Dialogue:
    """The exchange as a record."""
    question = Message(role="user", content=exchange.question)
    answer = Message(role="assistant", content=exchange.answer)
    return Dialogue(id=content_id(*exchange), messages=(question, answer))


def run_contender(name: str, python: str, settings: dict[str, Any], folder: Path) -> Run:
    """What the contender did in a process of its own; where it fails, what it said ends this one."""
    folder.mkdir(parents=True)
    given = {**settings, "out": str(folder)}
    (folder / "settings.json").write_text(json.dumps(given), encoding="utf-8")
    figures = folder / "figures.json"
    command = [python, str(Path(__file__).with_name("sft_peers.py")), name]
    command += [str(folder / "settings.json"), str(figures)]
    start = time.perf_counter()
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        # The peers' interpreter must not find this project's libraries.
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=surroundings(name))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not figures.exists():
        sys.exit(f"{name}: {(folder / 'log.txt').read_text(encoding='utf-8')[-3000:]}")
    seconds = time.perf_counter() - start
    return Run(json.loads(figures.read_text(encoding="utf-8")), seconds, usage.ru_maxrss * 1024)


def surroundings(name: str) -> dict[str, str]:
    """The environment of a contender: no network."""
    lone = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    path = {} if name.startswith("llamafactory") else {"PYTHONPATH": str(ROOT)}
    return {**{key: value for key, value in os.environ.items() if key != "PYTHONPATH"}, **lone, **path}


def rate(run: Run) -> float:
    """Useful tokens a second, from the first step's start to the last one's end."""
    return run.figures["tokens"] / run.figures["steps"][-1]


def cpu_rate(run: Run) -> float:
    """Useful tokens for a second of CPU time, which says more than the clock where others compute too."""
    return run.figures["tokens"] / run.figures["cpu_seconds"]


def check_equal(rounds: list[dict[str, Run]]) -> None:
    """Nothing; contenders that did not train on the same tokens, labels and steps end the comparison."""
    runs = [(name, run) for runs in rounds for name, run in runs.items()]
    seen = {(run.figures["digest"], len(run.figures["steps"])): name for name, run in runs}
    if len(seen) > 1:
        facts = {
            name: [run.figures[key] for key in ("rows", "tokens", "trained_tokens", "digest")]
            for name, run in runs
        }
        sys.exit(f"not the same tokens or steps: {facts}")


COLUMNS = ("tokens/s", "whole", "per CPU s", "peak GiB", "loss", "difference", "ours is", "by CPU s")


def tell(title: str, rounds: list[dict[str, Run]]) -> None:
    """Nothing; prints medians of a model, each contender against medtune."""
    check_equal(rounds)
    facts = (rounds[0].get("medtune") or next(iter(rounds[0].values()))).figures
    print(f"\n{title}: {facts['rows']} rows, {facts['tokens']:,} tokens, {facts['trained_tokens']:,} of them "
          f"learnt, {len(facts['steps'])} steps, {len(rounds)} rounds")  # fmt: skip
    print(f"{'':<18}" + "".join(f"{column:>11}" for column in COLUMNS))
    for name in rounds[0]:
        runs = [runs[name] for runs in rounds]
        ours = [runs.get("medtune", runs[name]) for runs in rounds]
        loss, own = runs[0].figures["losses"][-1], facts["losses"][-1]
        row = [
            f"{statistics.median(map(rate, runs)):,.0f}",
            f"{statistics.median(run.figures['tokens'] / run.seconds for run in runs):,.0f}",
            f"{statistics.median(map(cpu_rate, runs)):,.0f}",
            f"{max(run.peak for run in runs) / 2**30:.2f}",
            f"{loss:.5f}",
            f"{abs(loss - own) / own:.1e}",
            f"{statistics.median(map(truediv, map(rate, ours), map(rate, runs))):.2f}×",
            f"{statistics.median(map(truediv, map(cpu_rate, ours), map(cpu_rate, runs))):.2f}×",
        ]
        print(f"{name:<18}" + "".join(f"{cell:>11}" for cell in row))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Nothing; prints the figures of every model in every precision."""
    exchanges = read_exchanges()[:1000]
    tokenizer = make_tokenizer(folder, exchanges, 16000)
    rows = folder / "rows"
    write_rows(rows, tokenizer, exchanges, num_rows=arguments.rows, batch=arguments.batch, max_length=512)
    pythons = {"medtune": sys.executable, "trl": sys.executable, "trl-best": sys.executable}
    if arguments.peers:
        pythons |= {"llamafactory": arguments.peers, "llamafactory-best": arguments.peers}
    names = [name for name in pythons if not arguments.only or name in arguments.only.split(",")]
    for model in arguments.models.split(","):
        make_model(folder / model, tokenizer, SHAPES[model], "float32")
        settings = {
            "model": str(folder / model),
            "dtype": "float32",
            "rows": str(rows),
            "method": {"type": "full"},
            "learning_rate": 1e-4,
            "batch": arguments.batch,
            "threads": arguments.threads,
            "max_length": 512,
            "seed": SEED,
            "is_gpu": False,
        }
        for precision in arguments.precision.split(","):
            rounds: list[dict[str, Run]] = []
            for number in range(arguments.repeats):
                order = names[number % len(names) :] + names[: number % len(names)]
                runs = {
                    name: run_contender(
                        name,
                        pythons[name],
                        {**settings, "bf16": precision == "bf16"},
                        folder / f"{model}-{precision}-{number}-{name}",
                    )
                    for name in order
                }
                rounds.append({name: runs[name] for name in names})
            tell(f"{model}, {precision}", rounds)
            print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


def long_exchanges(tokenizer: PreTrainedTokenizerBase, exchanges: list[Exchange]) -> Iterator[Exchange]:
    """Exchanges whose answers go on until they make about 2,000 tokens."""
    answer = ""
    for exchange in exchanges * 20:
        answer += exchange.answer
        if len(tokenizer.encode(answer)) > 1900:
            yield Exchange(exchange.question[:40], tokenizer.decode(tokenizer.encode(answer)[:1900]))
            answer = ""


def compare_on_gpu(arguments: argparse.Namespace, folder: Path) -> None:
    """Nothing; prints tokens a second, the share of the card's peak and its memory, for LoRA and QLoRA."""
    if not torch.cuda.is_available():
        sys.exit("--gpu: there is no GPU here; leave --gpu out to compare on the CPU")
    from trl.trainer.utils import get_peak_flops

    card = torch.cuda.get_device_name(0)
    peak = get_peak_flops(card, "bfloat16")
    exchanges = read_exchanges()[:1000]
    tokenizer = make_tokenizer(folder, exchanges, 16000)
    long = list(long_exchanges(tokenizer, exchanges))
    write_rows(folder / "rows", tokenizer, long, num_rows=arguments.rows, batch=4, max_length=2048)
    num_weights = make_model(folder / "3b", tokenizer, SHAPES["3b"], "bfloat16")
    settings = {
        "model": str(folder / "3b"), "dtype": "bfloat16", "rows": str(folder / "rows"), "bf16": True,
        "learning_rate": 1e-4, "batch": 4, "max_length": 2048, "seed": SEED, "is_gpu": True, "threads": 0,
    }  # fmt: skip
    for method in ("lora", "qlora"):
        own = {**settings, "method": {"type": method, "rank": 64, "alpha": 128}}
        runs = {
            name: run_contender(name, sys.executable, own, folder / f"{method}-{name}")
            for name in ("medtune", "trl")
        }
        tell(f"Qwen2.5-3B shape, {method} of rank 64, {card}", [runs])
        for name, run in runs.items():
            # Two operations a weight and token forward, two backward: frozen weights get no gradient.
            share = f"{4 * num_weights * rate(run) / peak:.1%}" if peak else "unknown"
            print(f"{name:<20}{share} of the card's peak, {run.figures['gpu_peak'] / 2**30:.1f} GiB on it")


def main() -> None:
    """Nothing; prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="tiny,big")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8, help="rows a step; 8 is the peers' own default")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of each; 0 leaves it to torch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="fp32", help="fp32, bf16, or both with a comma")
    parser.add_argument("--peers", default="", help="a Python that has LLaMA-Factory")
    parser.add_argument("--only", default="", help="contenders, with commas")
    parser.add_argument("--keep", type=Path, help="new directory for models, rows and logs")
    parser.add_argument("--gpu", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        (compare_on_gpu if arguments.gpu else compare)(arguments, folder)


if __name__ == "__main__":
    main()
