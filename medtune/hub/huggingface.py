"""Hugging Face through its own client, which reads HF_ENDPOINT, HF_HOME and HF_TOKEN."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from medtune.errors import UserError, require

require("hub", "huggingface_hub")

from huggingface_hub import HfApi, constants, hf_hub_url, snapshot_download  # noqa: E402  # only once it is known to be there
from huggingface_hub.errors import (  # noqa: E402
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # of httpx or httpx2, as the version has it
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get  # noqa: E402
from huggingface_hub.hf_api import RepoFile  # noqa: E402
from huggingface_hub.utils import build_hf_headers  # noqa: E402

from medtune.hub.address import Address, RemoteFile  # noqa: E402

MIRROR = "check the network, or set HF_ENDPOINT to a mirror such as https://hf-mirror.com"


@contextmanager
def _told(address: Address) -> Generator[None]:
    """Nothing; what the client raises becomes a line that says what to do."""
    try:
        yield
    except GatedRepoError:
        page = f"{constants.ENDPOINT}/{'datasets/' if address.kind == 'dataset' else ''}{address.name}"
        raise UserError(f"{address}: gated; accept its terms at {page}, then log in: hf auth login") from None
    except RepositoryNotFoundError:
        other = "kind=model" if address.kind == "dataset" else "kind=dataset"
        raise UserError(
            f"{address}: no such {address.noun} at {constants.ENDPOINT}, or a private one; "
            f"check the name, try {other}, or log in: hf auth login"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{address}: no such revision; name a commit, branch or tag that it has") from None
    except HFValidationError as error:
        raise UserError(f"{address}: {error}") from None
    except (OfflineModeIsEnabled, LocalEntryNotFoundError):
        raise UserError(f"{address}: {constants.ENDPOINT} cannot be reached; {MIRROR}") from None
    except HfHubHTTPError as error:
        code = error.response.status_code
        way_out = (
            "wait a while, or log in for a higher limit: hf auth login" if code == 429 else "try again later"
        )
        raise UserError(
            f"{address}: {constants.ENDPOINT} answers {code}; {way_out}, or set HF_ENDPOINT"
        ) from None
    except HTTPError as error:
        raise UserError(
            f"{address}: {constants.ENDPOINT} cannot be reached or broke off ({type(error).__name__}); "
            f"{MIRROR}; run the same command again, it resumes"
        ) from None


def head_of(address: Address) -> str:
    """The commit of the address' revision."""
    with _told(address):
        info = HfApi().repo_info(address.name, repo_type=address.kind, revision=address.revision or None)
    if not info.sha:
        raise UserError(f"{address}: the hub names no commit of it; name one with @COMMIT")
    return info.sha


def list_files(address: Address) -> list[RemoteFile]:
    """Every file at a commit; large ones have a sha256, the others git's own hash."""
    with _told(address):
        tree = HfApi().list_repo_tree(
            address.name, recursive=True, revision=address.revision, repo_type=address.kind
        )
        return [
            RemoteFile(file.path, file.size, file.lfs.sha256 if file.lfs else "", file.blob_id)
            for file in tree
            if isinstance(file, RepoFile)
        ]


def fetch(address: Address, wanted: list[RemoteFile], patterns: list[str], into: Path | None) -> Path:
    """The directory that holds the files, by default in the client's cache.

    The client's own download of a snapshot begins a broken-off file anew. With `into`, a file grows as
    `NAME.part` and goes on where it stopped, in another process too.
    """
    with _told(address):
        if into is None:
            return Path(
                snapshot_download(
                    address.name,
                    repo_type=address.kind,
                    revision=address.revision,
                    allow_patterns=patterns or None,
                )
            )
        for file in wanted:
            path = into / file.name
            if not path.is_file() or path.stat().st_size != file.size:
                _fetch_file(address, file, path)
        return into


def _fetch_file(address: Address, file: RemoteFile, path: Path) -> None:
    url = hf_hub_url(address.name, file.name, repo_type=address.kind, revision=address.revision)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    with partial.open("ab") as stream:
        if stream.tell() > file.size:
            stream.truncate(0)
        http_get(
            url,
            stream,
            resume_size=stream.tell(),
            headers=build_hf_headers(),
            expected_size=file.size,
            displayed_filename=file.name,
        )
    partial.replace(path)
