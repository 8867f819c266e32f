"""An exam and answers to it in the files of EleutherAI's lm-evaluation-harness, version 0.4.13.

The wording is that of its C-Eval tasks, as `predict preset=lm-eval` has it, so that figures of both can stand
beside each other.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from medtune.evals.exam import score_prediction
from medtune.evals.prompt import name_kind, read_presets
from medtune.records import Prediction, Question

ROWS_MODULE = "rows"
NO_WORD = re.compile(r"\W+")
ACCURACY = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
SURE = math.log(0.5)
"""What is likelier than this is what the model would have said: no other text can be as likely."""

LOADER = '''"""The questions of this folder, wherever it lies and wherever lm-eval is started."""

import json
from pathlib import Path

import datasets


def load(task, **metadata):
    """The rows of a task by split."""
    splits = {}
    for file in sorted(Path(__file__).parent.glob(f"{task}.*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        splits[file.name.split(".")[-2]] = datasets.Dataset.from_list(rows)
    return datasets.DatasetDict(splits)
'''
"""The one file of code in an exported folder."""


class Templates(NamedTuple):
    """What lm-eval fills with a row, by Jinja."""

    description: str
    item: str


def read_templates() -> Templates:
    """The first sentence with the gap after it, and the item."""
    wording = read_presets()["lm-eval"]
    option = wording.option.format(letter="{{letter}}", text="{{options[loop.index0]}}")
    options = f"{{% for letter in letters %}}{option}{{% if not loop.last %}}\n{{% endif %}}{{% endfor %}}"
    head = wording.head.format(subject="{{subject}}", kind=name_kind(is_multiple=False))
    item = wording.question.format(case="", stem="{{question.strip()}}", options=options)
    return Templates(head + wording.between, item)


class HarnessTask(NamedTuple):
    """The questions of one subject."""

    name: str
    docs: list[dict[str, object]]
    shots: list[dict[str, object]]


def name_task(group: str, subject: str) -> str:
    """The task's name: lm-eval splits lists of tasks at commas and names files by them."""
    return f"{group}_{NO_WORD.sub('_', subject).strip('_')}"


def doc_of(question: Question, subject: str) -> dict[str, object]:
    """The question as a row of a task; a case history stands before the stem."""
    return {
        "id": question.id,
        "subject": subject,
        "question": f"{question.case}\n{question.stem}" if question.case else question.stem,
        "letters": list(question.options),
        "options": list(question.options.values()),
        "answer": question.answer,
    }


def task_yaml(task: HarnessTask, num_fewshot: int) -> str:
    """The settings of one task."""
    templates = read_templates()
    settings: dict[str, object] = {
        "task": task.name,
        "dataset_kwargs": {"task": task.name},
        "test_split": "test",
        "output_type": "multiple_choice",
        "description": templates.description,
        "doc_to_text": templates.item,
        "doc_to_choice": "letters",
        "doc_to_target": "{{letters.index(answer)}}",
        "metric_list": [ACCURACY],
        "metadata": {"version": 1.0},
    }
    if task.shots:
        settings |= {"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}}
    if num_fewshot:  # where a task says 0, lm-eval takes no other number from its command line
        settings["num_fewshot"] = num_fewshot
    return f"{dump_yaml(settings)}custom_dataset: !function {ROWS_MODULE}.load\n"


def group_yaml(group: str, tasks: Sequence[HarnessTask]) -> str:
    """The settings of the whole exam: each item counts alike, whatever its subject."""
    settings: dict[str, object] = {
        "group": group,
        "task": [task.name for task in tasks],
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
        "metadata": {"version": 1.0},
    }
    return dump_yaml(settings)


def dump_yaml(settings: Mapping[str, object]) -> str:
    """The settings in their order, each value as JSON, which YAML reads."""
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())


def sample_of(
    number: int, doc: Mapping[str, object], *, question: Question, prediction: Prediction
) -> dict[str, object]:
    """An answer by letter likelihood as a row of `samples_*.jsonl`, where texts stand for numbers.

    Whether a letter is what the model would have said of all texts is told only where the likelihoods tell.
    """
    score = score_prediction(prediction, question, "none")
    assert score.logprobs is not None
    logprobs = [score.logprobs[letter] for letter in question.options]
    best = max(logprobs)
    greedy = [value > SURE if value > SURE or value < best else None for value in logprobs]
    answers = [[str(value), str(is_greedy)] for value, is_greedy in zip(logprobs, greedy, strict=True)]
    target = str(list(question.options).index(question.answer))
    return {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {
            f"gen_args_{place}": {"arg_0": prediction.prompt, "arg_1": letter}
            for place, letter in enumerate(question.options)
        },
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": hash_text(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": hash_text(prediction.prompt),
        "target_hash": hash_text(target),
        "acc": score.value,
    }


def hash_text(text: str) -> str:
    """sha256 of a text, as lm-eval names contents."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
