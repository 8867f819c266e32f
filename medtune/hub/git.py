"""Files of a git repository at one commit, through the program git."""

import os
import subprocess
from hashlib import sha256
from pathlib import Path
from shutil import which

from medtune.errors import UserError
from medtune.hub.address import COMMIT, Address, RemoteFile

CACHE = Path(".cache") / "medtune" / "git"
"""Below the home directory: one directory a repository and commit."""
POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that Git LFS keeps elsewhere."""


def _git(address: Address, *words: str, stdin: bytes = b"", home: Path | None = None) -> bytes:
    """What git prints. It never asks for a password, and writes files as they are stored."""
    if which("git") is None:
        raise UserError(f"{address}: git is not installed; install it, or give the path of a copy")
    place = ["--git-dir", str(home)] if home else []
    command = ["git", "-c", "core.autocrlf=false", "-c", "core.quotepath=false", *place, *words]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise UserError(
            f"{address}: git {words[0]}: {lines[-1]}; check the URL, the revision and your access to it"
        )
    return done.stdout


def head_of(address: Address) -> str:
    """The commit of a branch or tag, of the default branch when there is none."""
    wanted = address.revision or "HEAD"
    lines = _git(address, "ls-remote", "--", address.name, wanted, f"{wanted}^{{}}").decode().splitlines()
    cells = [line.split("\t") for line in lines]
    commits = {name: commit for commit, name in cells}  # refs/tags/v1^{} is the commit that the tag is of
    names = (f"refs/tags/{wanted}^{{}}", f"refs/heads/{wanted}", f"refs/tags/{wanted}", wanted)
    commit = next((commits[name] for name in names if name in commits), "")
    if not COMMIT.fullmatch(commit):
        raise UserError(f"{address}: no such branch or tag; a commit is named by all its 40 characters")
    return commit


def _store(address: Address) -> Path:
    return Path.home() / CACHE / sha256(address.name.encode()).hexdigest()[:16]


def _repository(address: Address) -> Path:
    """The bare repository that holds the commit, fetched when it does not yet."""
    commit = address.revision
    home = _store(address) / "repository.git"
    if not (home / "HEAD").exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        _git(address, "init", "--quiet", "--bare", "--", str(home))
    marks = _git(address, "for-each-ref", "--format=%(objectname)", home=home).decode().split()
    if commit not in marks:
        mark = f"+{commit}:refs/medtune/{commit}"
        try:
            _git(address, "fetch", "--quiet", "--depth", "1", "--", address.name, mark, home=home)
        except UserError:  # a server that gives out branches only: all of them, then
            _git(address, "fetch", "--quiet", "--", address.name, "+refs/*:refs/remote/*", home=home)
            _git(address, "update-ref", f"refs/medtune/{commit}", commit, home=home)
    return home


def list_files(address: Address) -> list[RemoteFile]:
    """Every file at a commit with git's own hash."""
    home, commit = _repository(address), address.revision
    files: list[RemoteFile] = []
    listing = _git(address, "ls-tree", "-r", "-l", "-z", commit, home=home).decode("utf-8", "replace")
    for line in listing.split("\0"):
        facts, _, name = line.partition("\t")
        if name:
            mode, kind, digest, size = facts.split()
            if kind == "blob" and mode != "120000":  # no submodule, no symbolic link
                files.append(RemoteFile(name, int(size), "", digest))
    return files


def fetch(address: Address, wanted: list[RemoteFile], patterns: list[str], into: Path | None) -> Path:
    """The directory that holds the files as they are stored."""
    home = _repository(address)
    folder = into or _store(address) / address.revision
    folder.mkdir(parents=True, exist_ok=True)
    for file in wanted:
        path = folder / file.name
        if path.is_file() and path.stat().st_size == file.size:
            continue
        content = _git(address, "cat-file", "blob", file.git_sha1, home=home)
        if content.startswith(POINTER):
            raise UserError(
                f"{address}: {file.name} is kept by Git LFS, which git: does not fetch; "
                "use hf: or modelscope:, or give the path of a copy"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.part")
        partial.write_bytes(content)
        partial.replace(path)
    return folder
