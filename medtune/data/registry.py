"""Short names of data -> sources in full: a path, `catalog:NAME`, `benchmark:NAME`, `dataset_info.json`."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from medtune.errors import UserError

Values = dict[str, Any]

CATALOG, BENCHMARK = "catalog:", "benchmark:"
ALPACA = {
    "prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system",
    "chosen": "chosen", "rejected": "rejected", "kto_tag": "kto_tag",
}  # fmt: skip
"""LLaMA-Factory's names of columns by those of the alpaca format."""
TALK = {
    "messages": "conversations", "system": "system", "tools": "tools", "chosen": "chosen",
    "rejected": "rejected", "kto_tag": "kto_tag",
}  # fmt: skip
"""The same for rows with turns."""
TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
UNUSED = ("query", "history", "system", "tools")
"""Columns that are not read when an entry names others and not them."""
KNOWN_COLUMNS = {*ALPACA, *TALK, "images", "videos", "audios"}
LAYOUTS = ("alpaca", "sharegpt", "openai")


def name_sources(values: Mapping[str, Any]) -> Values:
    """The values of a prepare config with every source as a section of its own."""
    named = dict(values)
    names = named.pop("dataset", "")
    if names:
        if named.get("source"):
            raise UserError("source and dataset both say what to read; give one of them")
        sections = read_dataset_info(names, Path(str(named.get("dataset_dir", "data"))))
        return {**named, "source": sections}
    if "source" not in named:
        return named
    given = named["source"]
    items = given if isinstance(given, list | tuple) else [given]
    return {**named, "source": [_fill(item) for item in items]}


def _fill(item: object) -> object:
    """The section of a source: what catalog or exam say, with the keys over it that stand beside the name."""
    section = {"path": item} if isinstance(item, str) else item
    if not isinstance(section, dict):
        return section
    if section.get("benchmark") or str(section.get("path", "")).startswith(BENCHMARK):
        from medtune.data.benchmarks import fill_benchmark

        return fill_benchmark(section)
    if not str(section.get("path", "")).startswith(CATALOG):
        return section
    from medtune.data.catalog import source_of  # the catalog is read only when it is asked

    row = source_of(str(section["path"]).removeprefix(CATALOG))
    return {**row, **{key: value for key, value in section.items() if key != "path"}}


def read_dataset_info(names: str | list[str], folder: Path) -> list[Values]:
    """The source sections of data sets by their names in LLaMA-Factory's `dataset_info.json`."""
    path = folder.expanduser() / "dataset_info.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; dataset_dir names the directory that holds it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no whole JSON in UTF-8: {error}") from None
    if not isinstance(table, dict):
        raise UserError(f"{path}: a {type(table).__name__}; an object of data sets by name is wanted")
    wanted = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    return [_section(name, table, path) for name in wanted if name]


def _section(name: str, table: Values, path: Path) -> Values:
    if name not in table:
        near = get_close_matches(name, table, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known there: {', '.join(table)}"
        raise UserError(f"{path}: no data set {name}; {hint}")
    entry = table[name]
    place = f"{path}: {name}"
    if not isinstance(entry, dict):
        raise UserError(f"{place}: a {type(entry).__name__}; an object is wanted")
    formatting = entry.get("formatting", "alpaca")
    if formatting not in LAYOUTS:
        raise UserError(f"{place}: formatting {formatting} is unknown; known: {', '.join(LAYOUTS)}")
    section = {
        "path": _address(entry, place, path.parent),
        "files": _files(entry),
        "columns": _columns(entry, formatting, place),
        "tags": {TAGS[tag]: theirs for tag, theirs in (entry.get("tags") or {}).items() if tag in TAGS},
        "max_samples": entry.get("num_samples"),
        "sha1": entry.get("file_sha1"),
    }
    return {key: value for key, value in section.items() if value}


def _address(entry: Values, place: str, folder: Path) -> str:
    """The path on this machine where there is one, else the hub."""
    if entry.get("script_url"):
        raise UserError(
            f"{place}: is loaded by a script of its own (script_url), which is never run here; "
            "name its files as file_name, or the data set on a hub as hf_hub_url"
        )
    if entry.get("file_name"):
        return str(folder / entry["file_name"])
    for key, scheme in (("hf_hub_url", "hf"), ("ms_hub_url", "modelscope")):
        if entry.get(key):
            return f"{scheme}:{entry[key]}"
    raise UserError(f"{place}: names none of file_name, hf_hub_url, ms_hub_url")


def _files(entry: Values) -> str:
    """The pattern for the files of a hub's folder, subset and split, as far as these are named."""
    if entry.get("file_name"):
        return ""
    folder = str(entry.get("folder") or "").strip("/")
    words = [str(entry[key]) for key in ("subset", "split") if entry.get(key)]
    if not folder and not words:
        return ""
    return (f"{folder}/*" * bool(folder) + "".join(f"*{word}*" for word in words)).replace("**", "*")


def _columns(entry: Values, formatting: str, place: str) -> dict[str, str]:
    """Their names of columns by ours; one that the entry does not name is left out, as LLaMA-Factory does."""
    given = entry.get("columns") or {}
    for key in given:
        if key not in KNOWN_COLUMNS:
            near = get_close_matches(key, sorted(KNOWN_COLUMNS), n=1)
            raise UserError(
                f"{place}: columns: unknown {key}" + (f"; did you mean {near[0]}?" if near else "")
            )
    if not given:
        return {}
    if set(given) == {"prompt"}:
        return {"text": given["prompt"]}
    known = ALPACA if formatting == "alpaca" else TALK
    columns = {ours: given.get(key, "") for key, ours in known.items() if key in given or key in UNUSED}
    return {ours: str(theirs or "") for ours, theirs in columns.items()}
