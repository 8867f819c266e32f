"""How fast the item browser of an exam report opens and filters in a real Chromium, and what it fetches.

It makes up an exam of the size of CMB's test, evaluates made-up answers to it, and drives Chromium:

    npm install --prefix NODE playwright-core        # once, anywhere; needs chromium and node
    python benchmarks/report_browser.py --node NODE --chromium /usr/bin/chromium --out shots
"""

import argparse
import json
import math
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

from medtune.evals.exam import WAYS, item_of, score_prediction
from medtune.evals.saved import Saved, Stamp, render_pages
from medtune.evals.shown import show
from medtune.records import Completion, Likelihood, Prediction, Question, question_id

SUBJECTS = ("内科学", "外科学", "妇产科学", "儿科学", "药理学", "护理学", "中医学", "医学影像学")
DRIVER = Path(__file__).with_name("report_browser.mjs")
CHARS = "的病人血压心肺肝肾药物治疗首选诊断检查症状发热咳嗽疼痛感染炎症手术切除免疫细胞酶素酸钠钾钙氧气"
OPENINGS = (
    "答案：{letter}",
    "本题应选{letter}。",
    "综合以上分析，正确答案是{letter}",
    "无法确定。",
    "{letter}或C都可以。",
)
LETTERS = "ABCDE"


def say(chance: random.Random, size: int) -> str:
    """Characters at random."""
    return "".join(chance.choices(CHARS, k=size))


def make_question(number: int, chance: random.Random) -> Question:
    """An item of five options and a stem of 60 characters."""
    options = {letter: say(chance, chance.randint(3, 16)) for letter in LETTERS}
    stem, case = f"{number}. {say(chance, 55)}", say(chance, 90) if number % 9 == 0 else None
    return Question(
        id=question_id(stem, case, options),
        stem=stem,
        case=case,
        options=options,
        answer=chance.choice(LETTERS) if number % 7 else "".join(sorted(chance.sample(LETTERS, 3))),
        subject=chance.choice(SUBJECTS),
        split="test",
    )


def make_predictions(question: Question, chance: random.Random) -> list[Prediction]:
    """A free answer of some 200 characters, and likelihoods of the letters."""
    letter = question.answer if chance.random() < 0.6 else chance.choice(LETTERS)
    text = f"{say(chance, 180)}。{chance.choice(OPENINGS).format(letter=letter)}"
    completion = Completion(text=text, finish="stop", prompt_tokens=150, completion_tokens=120)
    keys = list(LETTERS) if not question.is_multiple else [question.answer, "AB", "CDE", "ACE", "BD"]
    weights = {key: chance.random() ** 3 + (key == letter) for key in keys}
    candidates = {
        key: Likelihood(logprob=math.log(weight + 1e-6), num_tokens=1, num_chars=1)
        for key, weight in weights.items()
    }
    return [
        Prediction(id=question.id, way="generate", prompt="", completion=completion),
        Prediction(id=question.id, way="letter", prompt="", candidates=candidates),
    ]


def write_report(folder: Path, num_items: int) -> None:
    """Nothing; the pages of a made-up evaluation."""
    chance = random.Random(42)
    questions = [make_question(number, chance) for number in range(1, num_items + 1)]
    predictions = [one for question in questions for one in make_predictions(question, chance)]
    by_way = {(one.way, one.id): one for one in predictions}
    scores = [
        score_prediction(by_way[way, question.id], question, "chars")
        for way in WAYS
        for question in questions
        if (way, question.id) in by_way
    ]
    saved = Saved(
        scores,
        [item_of(one) for one in questions],
        list(show(questions, predictions)),
        Stamp(name="made-up", provenance={}),
    )
    clock = time.perf_counter()
    pages = render_pages(saved)
    print(f"{'pages rendered':<34}{time.perf_counter() - clock:>9.2f} s")
    for name, content in pages.files.items():
        (folder / name).write_bytes(content)
        print(f"{name:<34}{len(content) / 1e6:>9.2f} MB")


def main() -> None:
    """Nothing; prints seconds to open and to filter, and requests to the outside."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--node", type=Path, required=True, help="where playwright-core is installed")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--items", type=int, default=11_200)
    parser.add_argument("--out", type=Path, help="where screenshots go; none without it")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_report(Path(folder), told.items)
        settings = {
            "folder": folder,
            "chromium": told.chromium,
            "out": str(told.out.resolve()) if told.out else "",
        }
        if told.out:
            told.out.mkdir(parents=True, exist_ok=True)
        modules = str((told.node / "node_modules").resolve())
        done = subprocess.run(
            ["node", str(DRIVER), json.dumps(settings)],
            env={**os.environ, "MEDTUNE_NODE_MODULES": modules},
            check=True,
            capture_output=True,
            text=True,
        )
    for name, figure in json.loads(done.stdout).items():
        print(f"{name:<34}{figure:>9}")


if __name__ == "__main__":
    main()
