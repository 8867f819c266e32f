"""The command line: what it takes, what it prints, how it ends."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

import medtune
from medtune.cli import main, sort_arguments
from medtune.commands import COMMANDS

Captured = pytest.CaptureFixture[str]


def run(capsys: Captured, *words: str) -> tuple[int, str, str]:
    """The exit code, and what went to both streams."""
    code: object = 0
    try:
        main(list(words))
    except SystemExit as end:
        code = end.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


def raw_rows(path: Path, count: int = 6) -> Path:
    rows = [
        {"instruction": f"问题{number}怎么办？", "output": f"建议第{number}天复查。"}
        for number in range(count)
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


# ---- sorting ----


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        (["key=value"], ["key=value"]),
        (["--key=value"], ["key=value"]),
        (["--key", "value"], ["key=value"]),
        (["--max_steps", "-1"], ["max_steps=-1"]),
        (["--method.rank", "8"], ["method.rank=8"]),
        (["--no-group-by-length"], ["group_by_length=false"]),
        (["--bf16"], ["bf16=true"]),
        (["--bf16", "--seed", "3"], ["bf16=true", "seed=3"]),
        (["--key=a=b"], ["key=a=b"]),
    ],
)
def test_every_way_to_write_an_override_means_the_same(words: list[str], overrides: list[str]) -> None:
    assert sort_arguments(["sft", *words]).overrides == overrides


def test_command_files_overrides_and_flags_are_told_apart() -> None:
    found = sort_arguments(["run", "x.yaml", "--check", "a=1", "-h"])
    assert found == ("run", ["x.yaml"], ["a=1"], {"check", "help"})


def test_file_whose_name_holds_an_equals_sign_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a=b.yaml"
    path.touch()
    assert sort_arguments(["sft", str(path)]).files == [str(path)]


# ---- help ----


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_command(capsys: Captured, words: list[str]) -> None:
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert all(f"\n  {name} " in out for name in [*COMMANDS, "run", "lineage"])


@pytest.mark.parametrize("command", [*COMMANDS, "run", "lineage"])
def test_each_command_has_help(capsys: Captured, command: str) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert out.startswith(f"medtune {command} ")


def test_version(capsys: Captured) -> None:
    assert run(capsys, "--version") == (0, f"{medtune.__version__}\n", "")


def test_module_runs_in_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "medtune", "--help"], capture_output=True, encoding="utf-8", check=True
    )
    assert "usage: medtune COMMAND" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("buffering", [[], ["-u"]])
def test_reader_that_leaves_early_is_no_fault(buffering: list[str]) -> None:
    """As in `medtune sft --help | head -1`."""
    program = "import sys, medtune.cli; sys.stdin.read(); medtune.cli.main(['sft', '--help'])"
    process = subprocess.Popen(
        [sys.executable, *buffering, "-c", program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 1


# ---- errors ----


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prpare"], "unknown command prpare; did you mean prepare?"),
        (["linage"], "unknown command linage; did you mean lineage?"),
        (["xyzzy"], "unknown command xyzzy; see medtune --help"),
        (["sft", "learning_rte=1"], "command line: learning_rte: unknown key; did you mean learning_rate?"),
        (
            ["sft", "--learning_rte", "1"],
            "command line: learning_rte: unknown key; did you mean learning_rate?",
        ),
        (["sft", "a.yaml", "b.yaml"], "sft takes one file; given: a.yaml b.yaml"),
        (["sft", "absent.yaml"], "absent.yaml: no such file"),
        (["run", "absent"], "absent: no such recipe file; shipped recipes: "),
        (["lineage"], "lineage wants the directory"),
        (["lineage", ".", "key=1"], "lineage wants the directory"),
        (["lineage", "absent"], "absent: no manifest.json in it"),
        (["sft", "--check"], "sft knows no --check"),
        (["run", "--replace"], "run knows no --replace"),
    ],
)
def test_users_errors_end_with_2_and_one_line_each(capsys: Captured, words: list[str], said: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}")
    assert "Traceback" not in err


def test_each_fault_has_its_line(capsys: Captured) -> None:
    code, _, err = run(capsys, "sft")
    assert code == 2
    assert [line.split(": ")[2] for line in err.splitlines()] == ["out", "train", "model"]


# ---- single commands ----


def test_command_runs_once_and_then_finds_its_result(tmp_path: Path, capsys: Captured) -> None:
    raw, out = raw_rows(tmp_path / "raw.jsonl"), tmp_path / "out"
    words = ["prepare", f"source=[{{path: {raw.as_posix()}}}]", f"out={out.as_posix()}"]
    code, printed, _ = run(capsys, *words)
    assert code == 0
    assert "made in" in printed and "rows 6 · kept 6 · dropped 0" in printed
    assert "already made" in run(capsys, *words)[1]


def test_result_of_other_settings_is_overwritten_only_when_told(tmp_path: Path, capsys: Captured) -> None:
    raw, out = raw_rows(tmp_path / "raw.jsonl"), tmp_path / "out"
    words = ["prepare", f"source=[{{path: {raw.as_posix()}}}]", f"out={out.as_posix()}"]
    run(capsys, *words)
    code, _, err = run(capsys, *words, "clean.min_chars=3")
    assert code == 2
    assert "holds another prepare" in err and "--replace" in err
    code, printed, _ = run(capsys, *words, "clean.min_chars=3", "--replace")
    assert (code, "made in" in printed) == (0, True)


# ---- recipes and lineage ----


def recipe_file(folder: Path) -> Path:
    raw_rows(folder / "raw.jsonl")
    path = folder / "two.yaml"
    path.write_text(
        f"""
root: {folder.as_posix()}/runs
steps:
  pool: {{command: prepare, source: [{{path: {folder.as_posix()}/raw.jsonl}}]}}
  again: {{command: prepare, source: [{{path: "${{root}}/pool/train.jsonl"}}]}}
""",
        encoding="utf-8",
    )
    return path


def test_check_ends_before_anything_is_made(tmp_path: Path, capsys: Captured) -> None:
    code, out, _ = run(capsys, "run", str(recipe_file(tmp_path)), "--check")
    assert code == 0
    assert "2 steps, all checked" in out
    assert not (tmp_path / "runs").exists()


def test_recipe_of_unknown_variable_or_step_is_refused(tmp_path: Path, capsys: Captured) -> None:
    path = str(recipe_file(tmp_path))
    assert "roots: unknown key; did you mean root?" in run(capsys, "run", path, "roots=x", "--check")[2]
    assert "steps.pol: unknown key; did you mean pool?" in run(capsys, "run", path, "steps.pol.valid=1")[2]


def test_lineage_prints_a_tree_and_marks_what_changed(tmp_path: Path, capsys: Captured) -> None:
    raw = raw_rows(tmp_path / "raw.jsonl")
    first, second = tmp_path / "first", tmp_path / "second"
    run(capsys, "prepare", f"source=[{{path: {raw.as_posix()}}}]", f"out={first.as_posix()}")
    run(capsys, "prepare", f"source=[{{path: {first.as_posix()}/train.jsonl}}]", f"out={second.as_posix()}")
    code, out, _ = run(capsys, "lineage", str(second), "--verify")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 3
    assert f"prepare v{COMMANDS['prepare'].version}" in lines[0]
    assert lines[1].startswith("   └─ source.0.path: ") and "(prepare " in lines[1]
    assert lines[2].startswith("      └─ source.0.path: ") and lines[2].endswith("(raw)")
    raw_rows(raw, 7)
    assert run(capsys, "lineage", str(second))[1].splitlines()[2].endswith("(raw)  CHANGED since")


def test_verify_names_the_directory_whose_files_changed(tmp_path: Path, capsys: Captured) -> None:
    raw, out = raw_rows(tmp_path / "raw.jsonl"), tmp_path / "out"
    run(capsys, "prepare", f"source=[{{path: {raw.as_posix()}}}]", f"out={out.as_posix()}")
    (out / "card.md").write_text("other", encoding="utf-8")
    assert run(capsys, "lineage", str(out))[0] == 0
    code, _, err = run(capsys, "lineage", str(out), "--verify")
    assert code == 2
    assert f"files differ from their manifest in: {out}" in err
