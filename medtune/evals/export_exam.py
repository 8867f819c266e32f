"""The command that writes an exam, and answers to it, for another evaluation tool."""

from collections.abc import Mapping, Sequence

from medtune.artifact import Counts, read_jsonl, read_manifest, write_jsonl, write_text
from medtune.config import Input
from medtune.errors import UserError
from medtune.evals.config import ExportExamConfig
from medtune.evals.evaluate import read_questions
from medtune.evals.harness import (
    LOADER,
    ROWS_MODULE,
    HarnessTask,
    doc_of,
    group_yaml,
    name_task,
    sample_of,
    task_yaml,
)
from medtune.records import Prediction, Question

ASKED = "questions.jsonl"
"""The questions that are asked, as our own commands read them."""


def run(config: ExportExamConfig) -> Counts:
    """How many questions went where. Writes YAML and rows by subject, and one YAML for the whole exam."""
    questions, left_out = choose_single(config.questions, config.multiple)
    shots, shots_left_out = choose_single(config.fewshot, config.multiple) if config.fewshot else ([], 0)
    shown = {shot.id for shot in shots} & {question.id for question in questions}
    if shown:
        raise UserError(
            f"{config.fewshot}: question {min(shown)} is asked too; examples must be other questions"
        )
    by_task = group_by_task(questions, config)
    examples = group_by_task(shots, config)
    tasks: list[HarnessTask] = []
    for name, own in by_task.items():
        own_shots = examples.get(name, [])
        if len(own_shots) < config.num_fewshot:
            raise UserError(
                f"{config.fewshot}: {len(own_shots)} examples of subject {own[0].subject}, "
                f"num_fewshot={config.num_fewshot} are wanted"
            )
        tasks.append(
            HarnessTask(name, [word(one, config) for one in own], [word(one, config) for one in own_shots])
        )
    for task in tasks:
        write_text(config.out / f"{task.name}.yaml", task_yaml(task, config.num_fewshot))
        write_jsonl(config.out / f"{task.name}.test.jsonl", task.docs)
        if task.shots:
            write_jsonl(config.out / f"{task.name}.dev.jsonl", task.shots)
    write_text(config.out / f"{config.name}.yaml", group_yaml(config.name, tasks))
    write_text(config.out / f"{ROWS_MODULE}.py", LOADER)
    write_jsonl(config.out / ASKED, questions)
    counts: Counts = {"questions": len(questions), "tasks": len(tasks), "multiple_left_out": left_out}
    if config.fewshot:
        counts |= {"examples": sum(len(task.shots) for task in tasks), "examples_left_out": shots_left_out}
    if config.predictions:
        counts["samples"] = write_samples(config, by_task, config.predictions)
    return counts


def choose_single(source: Input, multiple: str) -> tuple[list[Question], int]:
    """The questions with one right letter in the file's order, and how many others were left out."""
    questions = list(read_questions(source.path).values())
    chosen = [question for question in questions if not question.is_multiple]
    if not chosen:
        raise UserError(f"{source}: no question with one right letter in it")
    if len(chosen) < len(questions) and multiple == "refuse":
        first = next(question for question in questions if question.is_multiple)
        raise UserError(
            f"{source}: {len(questions) - len(chosen)} of {len(questions)} questions have several right "
            f"letters, first {first.id}; multiple_choice asks for one: multiple=leave_out leaves them out"
        )
    return chosen, len(questions) - len(chosen)


def group_by_task(questions: Sequence[Question], config: ExportExamConfig) -> dict[str, list[Question]]:
    """The questions by the name of their subject's task; subjects whose names come out alike are refused."""
    tasks: dict[str, list[Question]] = {}
    for question in questions:
        own = tasks.setdefault(name_task(config.name, question.subject), [])
        if own and own[0].subject != question.subject:
            raise UserError(
                f"{config.questions}: subjects {own[0].subject!r} and {question.subject!r} would be one task;"
                " rename one of them"
            )
        own.append(question)
    return tasks


def word(question: Question, config: ExportExamConfig) -> dict[str, object]:
    """The question's row, its subject as the task's first sentence calls it."""
    subject = config.subjects.get(question.subject, question.subject)
    if not subject:
        raise UserError(
            f"{config.questions}: question {question.id} has no subject; say what the exam is about: "
            "subjects={'': NAME}"
        )
    return doc_of(question, subject)


def write_samples(
    config: ExportExamConfig, by_task: Mapping[str, Sequence[Question]], predictions: Input
) -> int:
    """The number of answers written, a `samples_*.jsonl` per task."""
    manifest = read_manifest(predictions.path)
    if not manifest or manifest.command != "predict":
        raise UserError(f"{predictions}: was not made by predict; name a directory that it made")
    where = predictions.path / "predictions.jsonl"
    found = {row.id: row for row in read_jsonl(where, Prediction) if row.way == "letter" and not row.order}
    asked = [question for own in by_task.values() for question in own]
    missing = [question.id for question in asked if question.id not in found]
    if missing:
        raise UserError(
            f"{where}: {len(missing)} of {len(asked)} questions have no `letter` prediction, first "
            f"{missing[0]}; predict with ways=[letter]"
        )
    started = manifest.started[:19].replace(":", "-")  # lm-eval reads a file's task from before the last "_"
    return sum(
        write_jsonl(
            config.out / f"samples_{name}_{started}.jsonl",
            (
                sample_of(number, word(question, config), question=question, prediction=found[question.id])
                for number, question in enumerate(own)
            ),
        )
        for name, own in by_task.items()
    )
