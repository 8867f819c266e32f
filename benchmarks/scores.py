"""What the rules reach on their labelled sets: `make scores`."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from medtune.scorers.safety.labelled import FILES, measure, read_labelled

TESTS = Path(__file__).parents[1] / "tests" / "data"


def load(name: str) -> ModuleType:
    """A test module, which knows how to score its set."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Nothing; a table for each labelled set."""
    personal = load("test_personal_scores")
    for title, file in personal.SETS.items():
        print(f"\nde-identification, {title}: exact spans")
        print(f"{'type':<16}{'precision':>10}{'recall':>10}{'spans':>8}")
        for name, (precision, recall, count) in personal.scores(file).items():
            print(f"{name:<16}{precision:>10.3f}{recall:>10.3f}{count:>8}")
    for part in FILES:
        print(f"\nsafety of answers, {part.replace('_', ' ')}")
        print(f"{'rule':<24}{'precision':>10}{'recall':>10}{'labelled':>10}")
        for name, agreement in measure(read_labelled(part)).items():
            print(f"{name:<24}{agreement.precision:>10.3f}{agreement.recall:>10.3f}{agreement.num_true:>10}")
    labels = load("test_label_scores")
    tables: dict[str, Callable[[], dict[str, float]]] = {
        "annotation": labels.annotation_scores,
        "question-answer mismatch": labels.mismatch_scores,
    }
    for title, score in tables.items():
        print(f"\n{title}")
        for name, value in score().items():
            print(f"{name:<24}{value:>8.3f}")


if __name__ == "__main__":
    main()
