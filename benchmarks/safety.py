"""How many answers a second the safety rules judge, on one core.

    python benchmarks/safety.py FILE [FILE …] [--rows 1000] [--rounds 15]

Each FILE holds dialogues as `prepare` writes them; the last question and its answer are judged. Told are the
best round, which other programs disturbed least, and the median, by the time that the process itself took.
"""

import argparse
import statistics
import time
from itertools import islice
from pathlib import Path

from medtune.artifact import read_jsonl
from medtune.records import Dialogue
from medtune.scorers.safety import assess


def measure(pairs: list[tuple[str, str]], rounds: int) -> list[float]:
    """Answers a second, by round."""
    for prompt, answer in pairs:
        assess(prompt, answer)  # reads the lexicons, and compiles what is found only now and then
    rates: list[float] = []
    for _ in range(rounds):
        start = time.process_time()
        for prompt, answer in pairs:
            assess(prompt, answer)
        rates.append(len(pairs) / (time.process_time() - start))
    return rates


def main() -> None:
    """Nothing; a line for each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="dialogues, as JSONL")
    parser.add_argument("--rows", type=int, default=1000, help="dialogues of each file, from its beginning")
    parser.add_argument("--rounds", type=int, default=15, help="how often each is judged")
    arguments = parser.parse_args()
    for file in arguments.files:
        rows = islice(read_jsonl(file, Dialogue), arguments.rows)
        pairs = [(row.messages[-2].content, row.messages[-1].content) for row in rows]
        rates = measure(pairs, arguments.rounds)
        size = statistics.mean(len(answer) for _, answer in pairs)
        print(
            f"{file}: {len(pairs)} answers of {size:.0f} characters, "
            f"best {max(rates):,.0f} answers/s, median {statistics.median(rates):,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
