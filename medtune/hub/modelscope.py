"""ModelScope through its own client, which reads MODELSCOPE_ENDPOINT, _CACHE and _API_TOKEN."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medtune.errors import UserError, require

require("hub", "modelscope_hub")

from modelscope_hub import HubApi  # noqa: E402  # only once it is known to be there
from modelscope_hub.errors import (  # noqa: E402
    AuthenticationError,
    FileDownloadError,
    FileIntegrityError,
    HubError,
    NetworkError,
    NotExistError,
    PermissionDeniedError,
    RateLimitError,
)

from medtune.hub.address import COMMIT, Address, RemoteFile  # noqa: E402

LOG_IN = "log in: modelscope login --token TOKEN"


@contextmanager
def _told(address: Address) -> Generator[None]:
    """Nothing; what the client raises becomes a line that says what to do."""
    logging.getLogger("modelscope_hub").setLevel(logging.CRITICAL)  # its notes repeat what the error says
    try:
        yield
    except FileDownloadError as error:
        name, cause = next(iter(error.failed_files.items()))
        what = "does not match the hub's checksum" if isinstance(cause, FileIntegrityError) else "broke off"
        raise UserError(
            f"{address}: {name} {what}; run the same command again, what arrived whole is kept"
        ) from None
    except NotExistError:
        other = "kind=model" if address.kind == "dataset" else "kind=dataset"
        raise UserError(
            f"{address}: no such {address.noun} or revision on ModelScope; check the name, or try {other}"
        ) from None
    except (AuthenticationError, PermissionDeniedError):
        raise UserError(f"{address}: private or gated; accept its terms on its page, then {LOG_IN}") from None
    except RateLimitError:
        raise UserError(f"{address}: ModelScope limits the rate; wait a while, or {LOG_IN}") from None
    except NetworkError:
        raise UserError(
            f"{address}: ModelScope cannot be reached; check the network, or set MODELSCOPE_ENDPOINT"
        ) from None
    except HubError as error:
        raise UserError(f"{address}: {str(error).splitlines()[0]}; try again later") from None


def _rows(address: Address, revision: str) -> list[dict[str, Any]]:
    """The listing as the hub sends it; the typed one of the client leaves the commits out."""
    with _told(address):
        rows = HubApi().legacy.list_repo_files(address.name, address.kind, revision=revision)
    blobs = [row for row in rows if row.get("Type") != "tree"]
    if not blobs:  # the hub answers so for a revision that it does not know, too
        raise UserError(f"{address}: no files at {revision}; name a branch, tag or commit that it has")
    return blobs


def head_of(address: Address) -> str:
    """The commit that last wrote one of the files: the hub names the head itself only in short."""
    rows = _rows(address, address.revision or "master")
    written = [(int(row.get("CommittedDate") or 0), str(row.get("Revision") or "")) for row in rows]
    commit = max(written)[1]
    if not COMMIT.fullmatch(commit):
        raise UserError(f"{address}: the hub names no commit of it; name one with @COMMIT")
    return commit


def list_files(address: Address) -> list[RemoteFile]:
    """Every file at a commit with its sha256."""
    return [
        RemoteFile(str(row["Path"]), int(row["Size"]), str(row.get("Sha256") or "").lower(), "")
        for row in _rows(address, address.revision)
    ]


def fetch(address: Address, wanted: list[RemoteFile], patterns: list[str], into: Path | None) -> Path:
    """The directory that holds the files; the client checks every sha256 and resumes what broke off."""
    with _told(address):
        return HubApi().download_repo(
            address.name,
            address.kind,
            revision=address.revision,
            local_dir=into,
            allow_patterns=patterns or None,
        )
