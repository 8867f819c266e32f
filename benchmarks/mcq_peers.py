"""One contender of benchmarks/mcq.py in a process of its own: `mcq_peers.py NAME SETTINGS FIGURES`."""

import json
import sys
import time
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def run_medtune(settings: dict[str, Any]) -> Figures:
    """Seconds and log-probabilities of medtune."""
    from medtune.artifact import read_jsonl
    from medtune.config import Input
    from medtune.engines.base import open_engine
    from medtune.engines.config import EngineRuntime, HfEngine
    from medtune.evals.asking import read_shots
    from medtune.evals.config import Shots
    from medtune.evals.prompt import Style, letter_choices
    from medtune.records import Question

    questions = list(read_jsonl(Path(settings["questions"]), Question))
    start = time.perf_counter()
    runtime = EngineRuntime(device="cpu", num_threads=settings["threads"], max_batch_rows=settings["batch"])
    engine = open_engine(HfEngine(model=Input(settings["model"])), runtime)
    loaded = time.perf_counter()
    shots = None
    if settings["num_shots"]:
        told = Shots(questions=Input(settings["shots"]), num=settings["num_shots"])
        shots = read_shots(told, questions)
    style = Style("lm-eval", shots=shots)
    ranked = dict(engine.rank([letter_choices(question, style) for question in questions]))
    seconds = time.perf_counter() - loaded
    logprobs = {
        question.stem + "".join(question.options.values()): {
            letter: likelihood.logprob for letter, likelihood in ranked[index].items()
        }
        for index, question in enumerate(questions)
    }
    return {"seconds": seconds, "load_seconds": loaded - start, "logprobs": logprobs}


def run_lm_eval(settings: dict[str, Any]) -> Figures:
    """Seconds and log-probabilities of lm-eval on the exported task."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(settings["threads"])
    start = time.perf_counter()
    model = HFLM(pretrained=settings["model"], dtype="float32", device="cpu", batch_size=settings["batch"])
    tasks = TaskManager(include_path=settings["task"], include_defaults=False)
    loaded = time.perf_counter()
    told = simple_evaluate(
        model=model,
        tasks=["medtune_exam"],
        num_fewshot=settings["num_shots"],
        task_manager=tasks,
        log_samples=True,
        bootstrap_iters=0,
        verbosity="ERROR",
    )
    seconds = time.perf_counter() - loaded
    assert told
    logprobs = {}
    for samples in told["samples"].values():
        for sample in samples:
            document = sample["doc"]
            letters = document["letters"]
            logprobs[document["question"] + "".join(document["options"])] = {
                letter: float(one[0][0] if isinstance(one[0], list | tuple) else one[0])
                for letter, one in zip(letters, sample["resps"], strict=True)
            }
    return {"seconds": seconds, "load_seconds": loaded - start, "logprobs": logprobs}


CONTENDERS = {"medtune": run_medtune, "lm-eval": run_lm_eval}

if __name__ == "__main__":
    name, given, figures = sys.argv[1:]
    result = CONTENDERS[name](json.loads(Path(given).read_text(encoding="utf-8")))
    Path(figures).write_text(json.dumps(result), encoding="utf-8")
