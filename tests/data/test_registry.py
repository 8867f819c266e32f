"""LLaMA-Factory's `dataset_info.json`, the catalog and bare paths become sections of sources."""

import json
from pathlib import Path

import pytest

from medtune.data.config import PrepareConfig, Source
from medtune.data.formats import find_format
from medtune.data.reading.sources import Raw, read_rows
from medtune.data.registry import name_sources
from medtune.errors import UserError

INFO = {
    "clinic": {"file_name": "clinic.json", "file_sha1": "0" * 40},
    "renamed": {
        "file_name": "renamed.json",
        "columns": {"prompt": "q", "response": "a"},
        "num_samples": 5,
    },
    "talks": {
        "file_name": "talks.json",
        "formatting": "sharegpt",
        "columns": {"messages": "dialog", "system": "sys", "tools": "fns"},
        "tags": {"role_tag": "who", "content_tag": "said", "user_tag": "U", "assistant_tag": "A",
                 "function_tag": "F", "observation_tag": "O", "system_tag": "S"},
    },
    "ranked": {
        "file_name": "ranked.json",
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {"messages": "conversations", "chosen": "better", "rejected": "worse"},
    },
    "books": {"file_name": "books.json", "columns": {"prompt": "body"}},
    "judged": {"file_name": "judged.json", "columns": {"prompt": "q", "response": "a", "kto_tag": "label"}},
    "hub": {"hf_hub_url": "owner/set", "ms_hub_url": "owner/other", "folder": "zh", "subset": "med",
            "split": "train"},
    "scope": {"ms_hub_url": "owner/set"},
    "scripted": {"script_url": "loader.py"},
    "nowhere": {"formatting": "alpaca"},
    "odd": {"file_name": "x.json", "formatting": "chatml"},
    "typo": {"file_name": "x.json", "columns": {"promt": "q"}},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dataset_info.json").write_text(json.dumps(INFO), encoding="utf-8")
    return tmp_path


def sections(names: object, folder: Path) -> list[dict]:
    return name_sources({"dataset": names, "dataset_dir": str(folder)})["source"]


def records(name: str, rows: object, folder: Path) -> list:
    (section,) = sections(name, folder)
    Path(section["path"]).write_text(json.dumps(rows), encoding="utf-8")
    source = Source.model_validate(section)
    raws = [row for row in read_rows(source) if isinstance(row, Raw)]
    return [find_format(raw.values, "auto", raw.place)[1](raw.values, source) for raw in raws]


def test_names_become_sections_in_their_order(folder: Path) -> None:
    assert sections("clinic, scope", folder) == [
        {"path": str(folder / "clinic.json"), "sha1": "0" * 40},
        {"path": "modelscope:owner/set"},
    ]
    assert sections(["scope"], folder) == [{"path": "modelscope:owner/set"}]


def test_a_config_holds_the_sources_and_not_the_names_again(folder: Path, tmp_path: Path) -> None:
    values = {"out": tmp_path / "out", "dataset": "clinic", "dataset_dir": str(folder)}
    config = PrepareConfig.model_validate(values)
    assert [source.path for source in config.source] == [str(folder / "clinic.json")]
    assert PrepareConfig.model_validate(config.model_dump()) == config


def test_a_hub_entry_gives_its_address_and_a_pattern(folder: Path) -> None:
    assert sections("hub", folder) == [{"path": "hf:owner/set", "files": "zh/*med*train*"}]


def test_columns_that_an_entry_does_not_name_are_not_read(folder: Path) -> None:
    (record,) = records("renamed", [{"q": "头痛", "a": "休息", "input": "别的", "system": "别的"}], folder)
    assert [turn.content for turn in record.messages] == ["头痛", "休息"]
    assert sections("renamed", folder)[0]["max_samples"] == 5


def test_tags_and_columns_of_talks_are_translated(folder: Path) -> None:
    turns = [
        {"who": "U", "said": "查血压"},
        {"who": "F", "said": '{"name": "bp", "arguments": {}}'},
        {"who": "O", "said": "120"},
        {"who": "A", "said": "正常"},
    ]
    (record,) = records("talks", [{"dialog": turns, "sys": "你是医生", "fns": '[{"name": "bp"}]'}], folder)
    assert [turn.role for turn in record.messages] == ["system", "user", "tool_call", "tool", "assistant"]
    assert record.tools == '[{"name": "bp"}]'


def test_ranked_talks_become_preferences(folder: Path) -> None:
    row = {
        "conversations": [{"from": "human", "value": "头痛"}],
        "better": {"from": "gpt", "value": "休息"},
        "worse": {"from": "gpt", "value": "不管"},
    }
    (record,) = records("ranked", [row], folder)
    assert (record.chosen, record.rejected, record.prompt[0].content) == ("休息", "不管", "头痛")


def test_a_prompt_alone_is_raw_text(folder: Path) -> None:
    (record,) = records("books", [{"body": "头痛是常见症状。"}], folder)
    assert (record.kind, record.text) == ("document", "头痛是常见症状。")


def test_an_answer_marked_as_bad_is_a_fault(folder: Path) -> None:
    assert records("judged", [{"q": "头痛", "a": "休息", "label": True}], folder)
    with pytest.raises(ValueError, match="marked as a bad answer"):
        records("judged", [{"q": "头痛", "a": "不管", "label": False}], folder)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("clinc", r"no data set clinc; did you mean clinic\?"),
        ("zzzz", "no data set zzzz; known there: clinic, renamed"),
        ("scripted", "a script of its own .script_url., which is never run here"),
        ("nowhere", "names none of file_name, hf_hub_url, ms_hub_url"),
        ("odd", "formatting chatml is unknown; known: alpaca, sharegpt, openai"),
        ("typo", r"columns: unknown promt; did you mean prompt\?"),
    ],
)
def test_an_entry_that_cannot_be_read_says_why(folder: Path, name: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        sections(name, folder)


def test_a_missing_or_broken_table_and_two_ways_at_once_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset_info\.json: no such file; dataset_dir names"):
        name_sources({"dataset": "clinic", "dataset_dir": str(tmp_path / "none")})
    with pytest.raises(UserError, match="source and dataset both say"):
        name_sources({"dataset": "clinic", "dataset_dir": str(folder), "source": "x"})
    for content, complaint in (("[1]", "a list; an object"), ('{"a"', "no whole JSON in UTF-8")):
        (folder / "dataset_info.json").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=complaint):
            sections("clinic", folder)


def test_bare_paths_and_lists_become_sections() -> None:
    assert name_sources({"source": "a.csv"}) == {"source": [{"path": "a.csv"}]}
    assert name_sources({"source": ["a.csv", {"path": "b.csv", "weight": 2}]}) == {
        "source": [{"path": "a.csv"}, {"path": "b.csv", "weight": 2}]
    }
    assert name_sources({"valid": 0.2}) == {"valid": 0.2}


def test_a_row_of_the_catalog_is_filled_in_under_the_users_own_keys() -> None:
    (plain,) = name_sources({"source": "catalog:toyhom"})["source"]
    (own,) = name_sources({"source": {"path": "catalog:toyhom", "license": "own", "max_samples": 9}})[
        "source"
    ]
    assert not plain["path"].startswith("catalog:")
    assert (own["path"], own["license"], own["max_samples"]) == (plain["path"], "own", 9)
    with pytest.raises(UserError, match="not in the catalog"):
        name_sources({"source": "catalog:no-such-set"})
