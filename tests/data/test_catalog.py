"""The catalog is whole, consistent and readable."""

import pytest

from medtune.config import Input, judge
from medtune.data.catalog import find_row, read_catalog, source_of
from medtune.data.config import DownloadConfig, Source
from medtune.data.formats import FORMATS
from medtune.errors import UserError
from medtune.hub import read_address
from medtune.listing import catalog_lines, fit, width_of

ROWS = read_catalog()
NAMED = {
    "toyhom",
    "huatuo-llama",
    "huatuo-liver-cancer",
    "shibing624-medical",
    "chatmed-consult",
    "healthcaremagic",
    "icliniq",
    "genmedgpt",
    "meddialog",
    "cmedqa",
    "cmedqa2",
    "delicate-medical-r1",
    "medical-o1-sft",
    "cmexam",
    "cmb",
}  # fmt: skip


def test_the_catalog_holds_what_the_field_works_with() -> None:
    assert set(ROWS) >= NAMED
    assert sum(row.kind == "model" for row in ROWS.values()) >= 22


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_consistent(name: str) -> None:
    row = ROWS[name]
    assert row.hf or row.modelscope or row.git
    assert row.format == "auto" or row.format in FORMATS
    assert set(row.columns.values()) <= set(row.fields)
    if row.address:
        address = read_address(Input(row.address))
        assert (address.kind == "model") == (row.kind == "model")
        assert judge(DownloadConfig, {"out": "x", "source": f"catalog:{name}"}, name).source == row.address
    if row.address and row.kind != "model":
        assert judge(Source, source_of(name), name).path == row.address
    text = "\n".join(catalog_lines(name, {}))
    assert row.title in text and (f"medtune {row.command} " in text or "by hand" in text)


def test_what_cannot_be_prepared_says_the_way() -> None:
    with pytest.raises(UserError, match="did you mean cmexam"):
        find_row("cmexan")
    with pytest.raises(UserError, match="see  medtune catalog"):
        find_row("zzzzzz")
    with pytest.raises(UserError, match="medtune download source=catalog:huatuogpt-o1"):
        source_of("huatuogpt-o1")
    with pytest.raises(UserError, match="fetch it by hand"):
        source_of("meddialog")


def test_the_table_is_chosen_from_and_lines_up() -> None:
    lines = list(catalog_lines("", {"kind": "exam"}))
    assert lines[0].startswith("exam") and not any("huatuogpt" in line for line in lines)
    at = lines[0].index("commercial")
    assert {line[at:].split()[0] for line in lines[1:-2]} <= {"yes", "no", "unclear"}
    assert any("aquilamed" in line for line in catalog_lines("", {"language": "en"}))
    with pytest.raises(UserError, match="unknown key; known here: kind"):
        list(catalog_lines("", {"colour": "red"}))
    with pytest.raises(UserError, match="known: dataset, exam, model"):
        list(catalog_lines("", {"kind": "film"}))


def test_chinese_takes_two_columns() -> None:
    assert width_of("a\u836f") == 3
    assert fit("\u836f\u836f\u836f", 5) == "\u836f\u836f\u2026" and fit("\u836f", 4) == "\u836f  "
