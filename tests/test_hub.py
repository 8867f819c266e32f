"""Addresses, files of a git repository, and what stands for them in a key."""

import os
import subprocess
from pathlib import Path

import pytest

from medtune import hub
from medtune.artifact import digest_of
from medtune.config import Input
from medtune.errors import UserError
from medtune.hub import Address, RemoteFile

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf:a/b", Address("hf", "dataset", "a/b", "")),
        ("hf:datasets/a/b@v1.0", Address("hf", "dataset", "a/b", "v1.0")),
        ("hf:models/a/b.c-d", Address("hf", "model", "a/b.c-d", "")),
        ("hf:a/b@refs/convert/parquet", Address("hf", "dataset", "a/b", "refs/convert/parquet")),
        ("hf:models/b", Address("hf", "dataset", "models/b", "")),
        ("modelscope:a/b@master", Address("modelscope", "dataset", "a/b", "master")),
        ("git:https://host/a/b.git", Address("git", "dataset", "https://host/a/b.git", "")),
        ("git:https://host/a/b@v1", Address("git", "dataset", "https://host/a/b", "v1")),
        ("git:git@host:a/b.git", Address("git", "dataset", "git@host:a/b.git", "")),
        ("git:ssh://git@host/a/b@v1", Address("git", "dataset", "ssh://git@host/a/b", "v1")),
        (f"a/b@{COMMIT}", Address("hf", "model", "a/b", COMMIT)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert hub.read_address(Input(text)) == address
    assert hub.read_address(Input(address)) == address  # and written


@pytest.mark.parametrize(
    "text", ["hf:a", "hf:a/b/c", "hf:a/b@", "modelscope:", "git:", "git:--upload-pack=x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="write "):
        hub.read_address(Input(text))


def test_inputs_tell_what_they_are() -> None:
    assert Input("hf:a/b").scheme == "hf" and Input("hf:a/b").is_remote
    assert Input("a/b@main").scheme == "" and Input("a/b@main").is_remote
    assert not Input("samples:exam.jsonl").is_remote and not Input("C:/data").is_remote
    assert Input("data/*.csv").is_pattern and not Input("git:https://x/[a]").is_pattern


def test_patterns_choose_files() -> None:
    assert hub.is_wanted("a/b.json", "") and hub.is_wanted("a/b.json", "*.csv, a/*.json")
    assert hub.is_wanted("a/b/c.json", "*.json") and not hub.is_wanted("a/b.JSON", "*.json")


def test_a_commit_needs_no_hub_and_enters_the_key() -> None:
    assert digest_of(Input(f"hf:a/b@{COMMIT}")) == f"hf:a/b@{COMMIT}"
    assert digest_of(Input(f"modelscope:models/a/b@{COMMIT}")) == f"modelscope:models/a/b@{COMMIT}"


def test_a_file_is_held_against_either_checksum(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    git = "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    plain = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"  # sha256sum
    assert hub.is_whole(path, RemoteFile("hello", 6, "", git))
    assert hub.is_whole(path, RemoteFile("hello", 6, plain, git[::-1]))
    assert not hub.is_whole(path, RemoteFile("hello", 6, plain[::-1], git))
    assert not hub.is_whole(path, RemoteFile("hello", 7, plain, ""))


# ---- patterns on this machine ----


def test_a_pattern_stands_for_the_names_and_bytes_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1", encoding="utf-8")
    (tmp_path / "b.csv").write_text("2", encoding="utf-8")
    pattern = Input(tmp_path / "*.csv")
    assert [path.name for path in pattern.matches] == ["a.csv", "b.csv"]
    first = digest_of(pattern)
    (tmp_path / "note.txt").write_text("3", encoding="utf-8")
    assert digest_of(pattern) == first
    (tmp_path / "b.csv").rename(tmp_path / "c.csv")
    second = digest_of(pattern)
    (tmp_path / "c.csv").write_text("4", encoding="utf-8")
    assert len({first, second, digest_of(pattern)}) == 3
    with pytest.raises(UserError, match="no file fits the pattern"):
        digest_of(Input(tmp_path / "*.json"))


# ---- git ----


def git(folder: Path, *words: str) -> str:
    author = {f"GIT_{who}_{what}": "x@y.z" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        env={**os.environ, **author},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two commits, the first with a tag, and a home directory for the cache."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    folder = tmp_path / "origin"
    (folder / "data").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "data" / "\u5185\u79d1.csv").write_bytes(b"a,b\r\n1,2\r\n")
    (folder / "README.md").write_text("first", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "1")
    git(folder, "tag", "-a", "v1", "-m", "v1")
    (folder / "README.md").write_text("second", encoding="utf-8")
    (folder / "large.bin").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", encoding="utf-8"
    )
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "2")
    return folder


def test_files_of_a_git_repository_come_as_they_are_stored(repository: Path, tmp_path: Path) -> None:
    source = Input(f"git:{repository}")
    head = git(repository, "rev-parse", "HEAD")
    assert hub.commit_of(source) == hub.commit_of(Input(f"{source}@main")) == head
    assert hub.commit_of(Input(f"{source}@v1")) == git(repository, "rev-parse", "HEAD~1")
    assert digest_of(source) == f"git:{repository}@{head}"
    (csv,) = hub.files_of(source, "*.csv")
    folder = hub.fetch(source, "*.csv", into=tmp_path / "into")
    assert (folder / csv.name).read_bytes() == b"a,b\r\n1,2\r\n" and hub.is_whole(folder / csv.name, csv)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["\u5185\u79d1.csv"]


def test_an_earlier_commit_is_fetched_too(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD~1")
    assert (hub.fetch(Input(f"git:{repository}@{first}")) / "README.md").read_text(
        encoding="utf-8"
    ) == "first"


def test_git_faults_say_what_to_do(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such branch or tag; a commit is named by all its 40 characters"):
        hub.commit_of(Input(f"git:{repository}@abcdef1"))
    with pytest.raises(UserError, match="check the URL"):
        hub.commit_of(Input(f"git:{tmp_path / 'nowhere'}"))
    with pytest.raises(UserError, match=r"large.bin is kept by Git LFS"):
        hub.fetch(Input(f"git:{repository}"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        hub.commit_of(Input(f"git:{repository}@other"))
