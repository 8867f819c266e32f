"""Downloads from a hub on the loopback, through the real clients, each in a process of its own."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import Hub, serve

from medtune.artifact import read_manifest
from medtune.config import judge
from medtune.data.catalog import find_row
from medtune.data.config import DownloadConfig
from medtune.errors import UserError

ROWS = b'{"instruction": "\xe5\x92\xb3\xe5\x97\xbd", "output": "\xe5\xa4\x9a\xe5\x96\x9d\xe6\xb0\xb4"}\n'
LARGE = random.Random(7).randbytes(24_000_000)
"""The clients write in pieces of some megabytes: of less, nothing would be left to resume from."""
SCHEMES = ("hf", "modelscope")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as hub:
        hub.repositories["datasets", "med/tiny"] = {"rows.jsonl": ROWS, "README.md": b"# tiny\n"}
        yield hub


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "medtune", "download", *words]


def download(hub: Hub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        env=hub.environment(home),
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


def files_in(folder: Path) -> dict[str, bytes]:
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_killed_download_shows_nothing_and_resumes_whole(scheme: str, hub: Hub, tmp_path: Path) -> None:
    files = {"rows.jsonl": ROWS, "part/large.bin": LARGE}
    hub.repositories["datasets", "med/tiny"] = files
    hub.stalls = {"part/large.bin"}
    out, words = tmp_path / "out", (f"source={scheme}:med/tiny", f"out={tmp_path / 'out'}")
    with subprocess.Popen(
        command(*words), env=hub.environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert hub.stalled.wait(60)
        store = out / "checkpoints"
        size = len(LARGE) // 3
        while not any(
            path.stat().st_size > size for path in store.rglob("large.bin.*")
        ):  # .part, .incomplete
            assert process.poll() is None
        process.kill()
    assert sorted(path.name for path in out.iterdir()) in (
        ["checkpoints", "started.json"],
        [".lock", "checkpoints", "started.json"],
    )
    assert not (store / hub.commit("datasets", "med/tiny") / "part" / "large.bin").exists()

    hub.release()
    hub.asked.clear()
    done = download(hub, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert files_in(out) == files
    large = [asked for asked in hub.asked if asked.name == "part/large.bin"]
    assert large and all(asked.start > size for asked in large)
    manifest = read_manifest(out)
    assert manifest and manifest.counts == {
        "files": 2,
        "bytes": len(ROWS) + len(LARGE),
        "verified": 2,
        "revision": hub.commit("datasets", "med/tiny"),
    }


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_broken_connection_is_taken_up_again_in_the_same_run(scheme: str, hub: Hub, tmp_path: Path) -> None:
    hub.repositories["datasets", "med/tiny"] = {"large.bin": LARGE}
    hub.cuts = {"large.bin": 1}
    done = download(hub, tmp_path, f"source={scheme}:med/tiny", f"out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "out") == {"large.bin": LARGE}
    assert hub.asked[0].start == 0 < hub.asked[-1].start


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_commit_is_made_once_and_a_new_one_is_another(scheme: str, hub: Hub, tmp_path: Path) -> None:
    words = (f"source={scheme}:med/tiny", "files=*.jsonl", f"out={tmp_path / 'out'}")
    assert "files 1" in download(hub, tmp_path, *words).stdout
    commit = hub.commit("datasets", "med/tiny")
    pinned = (f"source={scheme}:med/tiny@{commit}", *words[1:])
    hub.asked.clear()
    assert "already made" in download(hub, tmp_path, *words).stdout
    assert "already made" in download(hub, tmp_path, *pinned).stdout
    assert not hub.asked
    hub.repositories["datasets", "med/tiny"]["rows.jsonl"] = ROWS * 2
    refused = download(hub, tmp_path, *words)
    assert refused.returncode == 2 and "add --replace" in refused.stderr
    assert download(hub, tmp_path, *words, "--replace").returncode == 0
    assert files_in(tmp_path / "out") == {"rows.jsonl": ROWS * 2}


@pytest.mark.parametrize(
    ("scheme", "name"), [("hf", "rows.jsonl"), ("hf", "large.bin"), ("modelscope", "rows.jsonl")]
)
def test_a_file_that_is_not_what_the_hub_states_is_refused(
    scheme: str, name: str, hub: Hub, tmp_path: Path
) -> None:
    hub.repositories["datasets", "med/tiny"]["large.bin"] = LARGE[:200_000]
    hub.false_checksums = {name}
    done = download(hub, tmp_path, f"source={scheme}:med/tiny", f"out={tmp_path / 'out'}")
    assert done.returncode == 2
    assert f"{name} does not match" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / name).exists()
    hub.false_checksums.clear()
    assert download(hub, tmp_path, f"source={scheme}:med/tiny", f"out={tmp_path / 'out'}").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_downloaded_model_loads(scheme: str, hub: Hub, tmp_path: Path, tiny_model_dir: Path) -> None:
    from medtune.config import Input
    from medtune.engines.hf import load_model
    from medtune.engines.tokenizing import load_tokenizer

    hub.repositories["models", "med/model"] = files_in(tiny_model_dir)
    done = download(hub, tmp_path, f"source={scheme}:med/model", "kind=model", f"out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "out") == files_in(tiny_model_dir)
    source = Input(tmp_path / "out")
    assert load_model(source, "float32").config.vocab_size >= len(load_tokenizer(source))


@pytest.mark.slow
def test_the_package_modelscope_reads_this_hub_too(hub: Hub, tmp_path: Path) -> None:
    program = (
        "import sys, modelscope; modelscope.dataset_snapshot_download('med/tiny', local_dir=sys.argv[1])"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        env=hub.environment(tmp_path), capture_output=True, check=True,
    )  # fmt: skip
    assert files_in(tmp_path / "out")["rows.jsonl"] == ROWS


FAULTS = {
    "med/gated": (403, "accept its terms"),
    "med/none": (404, "check the name"),
    "med/busy": (429, "wait a while"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_user_can_mend_is_one_line_that_says_how(scheme: str, hub: Hub, tmp_path: Path) -> None:
    hub.statuses = {name: status for name, (status, _) in FAULTS.items()}
    addresses = [f"{scheme}:{name}" for name in FAULTS] + [f"{scheme}:med/tiny@nobranch"]
    program = (
        "import json, sys\nfrom medtune import hub\nfrom medtune.config import Input\n"
        "from medtune.errors import UserError\nfaults = []\n"
        "for address in sys.argv[1:]:\n"
        "    try: hub.commit_of(Input(address))\n"
        "    except UserError as error: faults.append(str(error))\n"
        "print(json.dumps(faults))\n"
    )
    home = {
        **hub.environment(tmp_path),
        "MODELSCOPE_REPO_TREE_PAGE_MAX_ATTEMPTS": "1",
        "HF_HUB_DISABLE_RETRY": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *addresses], env=home, capture_output=True, text=True, check=True
    )
    faults = json.loads(done.stdout)
    for fault, (_, advice) in zip(faults, FAULTS.values(), strict=False):
        assert advice in fault and "\n" not in fault
    assert "branch, tag" in faults[3] or "branch or tag" in faults[3]
    unreachable = {**home, "HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", program, addresses[3]],
        env=unreachable,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be reached" in done.stdout and "_ENDPOINT" in done.stdout


def test_names_that_are_ours_and_patterns_that_fit_nothing_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["datasets", "med/tiny"]["manifest.json"] = b"{}"
    done = download(hub, tmp_path, "source=hf:med/tiny", f"out={tmp_path / 'out'}")
    assert done.returncode == 2 and "manifest.json bears a name that medtune keeps" in done.stderr
    done = download(hub, tmp_path, "source=hf:med/tiny", "files=*.csv", f"out={tmp_path / 'out'}")
    assert "no file fits *.csv; it holds README.md, manifest.json, rows.jsonl" in done.stderr
    assert not (tmp_path / "out").exists()


def config_of(**values: str) -> DownloadConfig:
    return judge(DownloadConfig, {"out": "out", **values}, "test")


def test_the_kind_becomes_part_of_the_address() -> None:
    assert config_of(source="hf:a/b@main").source == "hf:a/b@main"
    assert config_of(source="hf:a/b", kind="model").source == "hf:models/a/b"
    assert config_of(source="modelscope:models/a/b").kind == "model"
    assert config_of(source="a/b", kind="model").source == "hf:models/a/b"
    assert config_of(source="git:https://host/a/b@v1").source == "git:https://host/a/b@v1"


def test_a_row_of_the_catalog_is_looked_up() -> None:
    config = config_of(source="catalog:medical-o1-sft")
    assert config.source == "hf:FreedomIntelligence/medical-o1-reasoning-SFT"
    assert config.files == "medical_o1_sft_Chinese.json"
    assert config_of(source="catalog:medical-o1-sft", files="*.json").files == "*.json"
    assert config_of(source="catalog:baichuan-m2").kind == "model"


def test_what_lies_on_no_hub_is_refused() -> None:
    with pytest.raises(UserError, match="names nothing on a hub; write hf:"):
        config_of(source="data/rows.jsonl")
    with pytest.raises(UserError, match="fetch it by hand"):
        config_of(source="catalog:cmedqa2")


# ---- prepare reads what lies on a hub ----


def prepare(hub: Hub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "medtune", "prepare", *words, "valid=0", "test=0", "runtime.workers=1"],
        env=hub.environment(home),
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


def talks(*topics: str) -> bytes:
    rows = [{"query": f"{topic}怎么办？", "response": f"{topic}要先休息，再去医院看看。"} for topic in topics]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_prepare_reads_a_data_set_on_a_hub_and_names_its_commit(
    scheme: str, hub: Hub, tmp_path: Path
) -> None:
    hub.repositories["datasets", "med/tiny"] = {
        "rows.jsonl": talks("咳嗽", "头痛", "失眠"), "README.md": b"# tiny\n",
    }  # fmt: skip
    done = prepare(hub, tmp_path, f"source={scheme}:med/tiny", f"out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert (manifest.counts["rows"], manifest.counts["kept"]) == (3, 3)
    digest = manifest.inputs["source.0.path"]
    assert digest.startswith(f"{scheme}:med/tiny@")
    assert len(digest.rpartition("@")[2]) == 40


@pytest.mark.slow
def test_a_name_of_the_catalog_is_all_that_prepare_needs(hub: Hub, tmp_path: Path) -> None:
    row = find_row("chatmed-consult")
    hub.repositories["datasets", row.hf] = {"data.jsonl": talks("咳嗽", "头痛")}
    done = prepare(hub, tmp_path, "source=catalog:chatmed-consult", f"out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    records = (tmp_path / "out" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(records) == 2
    assert {json.loads(record)["meta"]["license"] for record in records} == {row.license}
