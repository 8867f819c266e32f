"""The ledger of rows and tokens adds up on public data, from the raw file to the token columns."""

import json
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import get_args

import pytest
from transformers import PreTrainedTokenizerBase

from medtune.artifact import read_jsonl
from medtune.commands import run_command
from medtune.config import Input
from medtune.data.config import PrepareConfig
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import RECORD
from medtune.train.columns import dialogue_columns, document_columns
from medtune.train.config import Truncation
from medtune.train.ledger import Columns
from medtune.train.packing import pack

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="wants the public data in ../shared/data"),
]
FILES = sorted(
    path.relative_to(DATA).as_posix()
    for path in DATA.rglob("*")
    if path.name != "README.md" and path.is_file()
)
NOT_FOR_SFT = {
    "dpo_zh_500.jsonl": "preference",
    "medalpaca_mcq_999.jsonl": "question",
    "ceval_medical/": "question",
}
"""What does not become dialogues, and what it becomes."""
ROWS = 60


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(Input(tiny_tokenizer_dir))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @cache
    def prepare(name: str) -> Path:
        """The records of the first rows of a file, prepared with nothing but defaults."""
        folder = tmp_path_factory.mktemp("prepared")
        head = folder / Path(name).name
        if head.suffix == ".json":
            rows = json.loads((DATA / name).read_text(encoding="utf-8"))[:ROWS]
            head.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        else:
            with (DATA / name).open("rb") as file:
                head.write_bytes(b"".join(islice(file, ROWS * (4 if head.suffix == ".txt" else 1))))
        values = {"source": str(head), "out": folder / "out", "max_dropped": 1.0}
        run_command("prepare", PrepareConfig.model_validate(values))
        return next(path for name in ("train", "test") if (path := folder / "out" / f"{name}.jsonl").exists())

    return prepare


def kind_of(name: str) -> str:
    return next((kind for start, kind in NOT_FOR_SFT.items() if name.startswith(start)), "dialogue")


def check_ledger(columns: Columns, num_records: int) -> None:
    """Both sums of the ledger, from counts that were not made for it."""
    rows, ledger = list(columns.dataset), columns.ledger
    assert ledger.records == num_records == ledger.trained + sum(ledger.dropped.values())
    in_rows = sum(len(row["input_ids"]) for row in rows)
    learnt = sum(label >= 0 for row in rows for label in row["labels"])
    assert (ledger.trained_tokens, ledger.prompt_tokens) == (learnt, in_rows - learnt)
    assert ledger.tokens + ledger.repeated_tokens == in_rows + ledger.cut_tokens
    assert sum(ledger.shortened.values()) == sum(1 for misfit in columns.misfits if misfit.num_kept)


@pytest.mark.parametrize("name", FILES)
def test_the_ledger_adds_up_on_every_file(
    name: str, prepared: Callable[[str], Path], tokenizer: PreTrainedTokenizerBase
) -> None:
    file = Input(prepared(name))
    records = list(read_jsonl(file.path, RECORD))
    assert {record.kind for record in records} == {kind_of(name)}
    if kind_of(name) != "dialogue":
        with pytest.raises(UserError, match=rf":1: sft wants dialogues .* this is a {kind_of(name)}"):
            dialogue_columns([file], tokenizer, max_length=256)
        return
    whole = dialogue_columns([file], tokenizer, max_length=10**6).dataset
    lengths = sorted(len(row["input_ids"]) for row in whole)
    limit = max(lengths[len(lengths) // 2], 8)
    for truncation in get_args(Truncation):
        columns = dialogue_columns([file], tokenizer, max_length=limit, truncation=truncation)
        check_ledger(columns, len(records))
        assert max(len(row["input_ids"]) for row in columns.dataset) <= limit
        packed = pack(columns, max_length=limit)
        assert packed.ledger == columns.ledger and packed.num_tokens == columns.num_tokens


@pytest.mark.parametrize("is_joined", [True, False])
def test_the_ledger_adds_up_on_raw_text(is_joined: bool, tokenizer: PreTrainedTokenizerBase) -> None:
    columns = document_columns(
        [Input(DATA / "medical_corpus.txt")], tokenizer, max_length=512, is_joined=is_joined
    )
    check_ledger(columns, 1)
    with pytest.raises(UserError, match="is not UTF-8"):
        document_columns([Input(DATA / "toyhom_neike.txt")], tokenizer, max_length=512, is_joined=is_joined)
