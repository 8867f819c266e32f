"""What a directory was made from is told down to the raw files, and what changed since is marked."""

import shutil
from pathlib import Path

import pytest

from medtune.artifact import Counts, claim, make, write_text
from medtune.config import CommandConfig, Input
from medtune.errors import UserError
from medtune.lineage import ancestors, home_of


class JoinConfig(CommandConfig):
    """A command that joins texts."""

    sources: tuple[Input, ...]


def join(config: JoinConfig) -> Counts:
    files = [
        path
        for source in config.sources
        for path in ([source.path] if source.path.is_file() else source.path.glob("*.txt"))
    ]
    write_text(config.out / "joined.txt", "".join(path.read_text(encoding="utf-8") for path in files))
    return {}


def joined(out: Path, *sources: Path | str) -> Path:
    make(claim("join", 1, JoinConfig(out=out, sources=tuple(Input(source) for source in sources))), join)
    return out


def family(folder: Path) -> Path:
    """A child of two parents, one of which has a raw file and a sample as parents."""
    write_text(folder / "raw.txt", "raw")
    write_text(folder / "other.txt", "other")
    parent = joined(folder / "parent", folder / "raw.txt", "samples:phrasing.yaml")
    return joined(folder / "child", parent / "joined.txt", folder / "other.txt")


def test_tree_leads_from_a_directory_to_its_raw_files(tmp_path: Path) -> None:
    nodes = list(ancestors(family(tmp_path)))
    assert [(node.depth, node.field) for node in nodes] == [
        (1, "sources.0"), (2, "sources.0"), (2, "sources.1"), (1, "sources.1"),
    ]  # fmt: skip
    assert [node.path for node in nodes] == [
        str(tmp_path / "parent" / "joined.txt"), str(tmp_path / "raw.txt"),
        "samples:phrasing.yaml", str(tmp_path / "other.txt"),
    ]  # fmt: skip
    assert [node.manifest.command if node.manifest else "raw" for node in nodes] == [
        "join",
        "raw",
        "raw",
        "raw",
    ]
    assert not any(node.is_changed for node in nodes)


def test_changed_input_is_marked_where_it_stands(tmp_path: Path) -> None:
    child = family(tmp_path)
    write_text(tmp_path / "raw.txt", "changed")
    assert [node.is_changed for node in ancestors(child)] == [False, True, False, False]


def test_vanished_input_is_marked(tmp_path: Path) -> None:
    child = family(tmp_path)
    (tmp_path / "other.txt").unlink()
    assert [node.path for node in ancestors(child) if node.is_changed] == [str(tmp_path / "other.txt")]


def test_tree_survives_a_move_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    family(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert not any(node.is_changed for node in ancestors(tmp_path / "there" / "child"))


def test_hub_model_is_no_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def touch(config: JoinConfig) -> Counts:
        write_text(config.out / "joined.txt", "")
        return {}

    make(claim("join", 1, JoinConfig(out=tmp_path / "out", sources=(Input("owner/name@0123abc"),))), touch)
    (node,) = ancestors(tmp_path / "out")
    assert (node.path, node.manifest, node.is_changed) == ("owner/name@0123abc", None, False)


def test_unfinished_directory_has_no_lineage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is no finished medtune directory"):
        list(ancestors(tmp_path))


def test_home_of_a_file_is_the_finished_directory_it_lies_in(tmp_path: Path) -> None:
    child = family(tmp_path)
    assert home_of(child / "joined.txt") == child
    assert home_of(child) == child
    assert home_of(tmp_path / "raw.txt") is None
