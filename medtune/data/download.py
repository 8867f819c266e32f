"""A data set or model from a hub -> a directory: resumed, checked against the hub, pinned to a commit."""

import shutil
from pathlib import Path

from tqdm import tqdm

from medtune import hub
from medtune.artifact import CHECKPOINTS, LOCK, LOGS, MANIFEST, STARTED, Counts
from medtune.data.config import DownloadConfig
from medtune.errors import UserError

OURS = (CHECKPOINTS, LOCK, LOGS, MANIFEST, STARTED)
"""Names in a directory of ours that mean something already."""


def run(config: DownloadConfig) -> Counts:
    """The counts of the files in `config.out`, each whole and as the hub says it is."""
    commit = hub.commit_of(config.source)
    wanted = hub.files_of(config.source, config.files)
    taken = [file.name for file in wanted if Path(file.name).parts[0] in OURS]
    if taken:
        raise UserError(
            f"{config.source}: {taken[0]} bears a name that medtune keeps; choose others by `files`"
        )
    store = config.out / CHECKPOINTS / commit
    hub.fetch(config.source, config.files, into=store)
    num_verified = check_files(store, wanted, str(config.source))
    for file in wanted:
        target = config.out / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        (store / file.name).replace(target)
    shutil.rmtree(config.out / CHECKPOINTS)
    return {
        "files": len(wanted),
        "bytes": sum(file.size for file in wanted),
        "verified": num_verified,
        "revision": commit,
    }


def check_files(folder: Path, files: list[hub.RemoteFile], source: str) -> int:
    """The number of files that the hub states a checksum of; one that differs is removed and refused."""
    stated = [file for file in files if file.sha256 or file.git_sha1]
    total = sum(file.size for file in stated)
    with tqdm(total=total, desc="verify", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for file in stated:
            if not hub.is_whole(folder / file.name, file):
                (folder / file.name).unlink()
                raise UserError(
                    f"{source}: {file.name} does not match the hub's checksum and was removed; run the same "
                    "command again. If it stays so, the hub's copy is damaged: name another revision"
                )
            bar.update(file.size)
    return len(stated)
