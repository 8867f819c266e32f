"""What benchmarks/prepare.py compares with; runs in an interpreter of its own that has the peers."""

import csv
import json
import re
import sys
import time

import datasketch
import pandas

NO_WORD = re.compile(r"[\W_]+")


def near(texts: list[str]) -> tuple[float, int]:
    """Rows a second of MinHash LSH over character 3-grams at 0.9 with 64 hashes, and how many rows repeat."""
    start = time.perf_counter()
    index = datasketch.MinHashLSH(threshold=0.9, num_perm=64)
    found = 0
    for number, text in enumerate(texts):
        bare = NO_WORD.sub("", text.lower())
        sketch = datasketch.MinHash(num_perm=64)
        sketch.update_batch([bare[place : place + 3].encode() for place in range(len(bare))])
        if index.query(sketch):
            found += 1
        else:
            index.insert(str(number), sketch)
    return len(texts) / (time.perf_counter() - start), found


def clean(path: str, num_rows: int) -> float:
    """Rows a second of a cleaner that walks a frame by iterrows, as scripts of the field do."""
    frame = pandas.read_csv(path, encoding="gb18030", nrows=num_rows)
    start = time.perf_counter()
    kept = []
    for _, row in frame.iterrows():
        question, answer = str(row["ask"]).strip(), str(row["answer"]).strip()
        if not question or not answer or len(question) > 200 or len(answer) > 200:
            continue
        kept.append({"instruction": question, "input": "", "output": answer})
    return len(frame) / (time.perf_counter() - start)


if __name__ == "__main__":
    path, num_rows = sys.argv[1], int(sys.argv[2])
    with open(path, encoding="gb18030", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        texts = [row[2] + row[3] for row, _ in zip(reader, range(num_rows), strict=False)]
    rate, found = near(texts)
    figures = {"datasketch": rate, "found": found, "datasketch_version": datasketch.__version__}
    figures |= {"pandas": clean(path, num_rows), "pandas_version": pandas.__version__}
    print(json.dumps(figures))
