"""A control holds as much as the choice it is drawn for, and is like it in what is matched."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtune.artifact import read_jsonl, read_manifest, write_jsonl
from medtune.commands import run_command
from medtune.config import Input, judge
from medtune.curate.config import MixConfig, RecallConfig
from medtune.curate.control import bins_of
from medtune.errors import Advice, UserError
from medtune.places import text_of
from medtune.records import Dialogue, Meta, Question

Talk = Callable[[str, str], Dialogue]
Ask = Callable[..., Question]
SOURCES = ("书", "问诊")


def at(record: Dialogue, source: str) -> Dialogue:
    return record.model_copy(update={"meta": Meta(source=source)})


@pytest.fixture
def pool(tmp_path: Path, talk: Talk) -> Input:
    """400 talks of two sources, 20 to 600 characters long; those on hearts are long and of one source."""
    records: list[Dialogue] = []
    for n in range(400):
        asked, size = ("脚扭伤了怎么办", 1 + n) if n % 4 else ("心绞痛发作时怎么办", 200 + n)
        records.append(at(talk(f"第{n}问：{asked}", "答" * size), SOURCES[n % 2]))
    write_jsonl(tmp_path / "pool.jsonl", records)
    return Input(tmp_path / "pool.jsonl")


@pytest.fixture
def recalled(tmp_path: Path, pool: Input, question: Ask) -> Path:
    """A choice of 40 records on hearts."""
    write_jsonl(tmp_path / "val.jsonl", [question("心绞痛发作时怎么办", "含硝酸甘油", "跑步")])
    settings = {
        "out": tmp_path / "recalled", "pool": [pool], "questions": str(tmp_path / "val.jsonl"),
        "budget_rows": 40, "rule": {"type": "threshold"}, "min_similarity": -1, "max_similarity": 2,
    }  # fmt: skip
    run_command("recall", judge(RecallConfig, settings, "test"))
    return tmp_path / "recalled"


def control(out: Path, pool: Input, like: Path, **settings: Any) -> dict[str, Any]:
    given = {"out": out, "pool": [pool], "like": str(like), **settings}
    return run_command("mix", judge(MixConfig, given, "test")).counts


def cells(folder: Path) -> Counter[tuple[str, int]]:
    records = list(read_jsonl(folder / "train.jsonl", Dialogue))
    bins = bins_of(np.array([len(text_of(record)) for record in records], dtype=np.int32))
    return Counter(zip([record.meta.source for record in records], bins.tolist(), strict=True))


def test_a_matched_control_has_the_cells_of_the_choice_and_a_random_one_has_not(
    tmp_path: Path, pool: Input, recalled: Path
) -> None:
    counts = control(tmp_path / "matched", pool, recalled, match=["length", "source"])
    assert (counts["chosen"], counts["exact"], counts["near"], counts["elsewhere"]) == (40, 40, 0, 0)
    assert cells(tmp_path / "matched") == cells(recalled)
    plain = control(tmp_path / "plain", pool, recalled)
    assert plain["chosen"] == 40
    assert "exact" not in plain
    assert cells(tmp_path / "plain") != cells(recalled)


def test_each_row_tells_for_which_record_it_stands(tmp_path: Path, pool: Input, recalled: Path) -> None:
    counts = control(tmp_path / "matched", pool, recalled, match=["source"])
    chosen = {record.id: record for record in read_jsonl(recalled / "train.jsonl", Dialogue)}
    drawn = {record.id: record for record in read_jsonl(tmp_path / "matched" / "train.jsonl", Dialogue)}
    rows = [
        json.loads(line) for line in (tmp_path / "matched" / "origin.jsonl").read_text("utf-8").splitlines()
    ]
    assert sorted(row["like"] for row in rows) == sorted(chosen)
    assert all(drawn[row["record"]].meta.source == chosen[row["like"]].meta.source for row in rows)
    assert counts["in_both"] == len(chosen.keys() & drawn.keys())
    page = (tmp_path / "matched" / "report.en.md").read_text("utf-8")
    assert f"{counts['in_both']} stand in both" in page
    assert "| the same in all that is matched | 40 | 1.0000 |" in page


def test_a_control_holds_the_tokens_of_the_choice_to_within_one_record(
    tmp_path: Path, pool: Input, tiny_tokenizer_dir: Path
) -> None:
    first = {"pool": [pool], "tokenizer": str(tiny_tokenizer_dir), "budget_tokens": 4000, "seed": 5}
    like = tmp_path / "like"
    told = run_command("mix", judge(MixConfig, {"out": like, **first}, "test")).counts
    with pytest.raises(UserError, match="give the same tokenizer"):
        control(tmp_path / "none", pool, like)
    for match in ([], ["length", "source"]):
        out = tmp_path / f"control{len(match)}"
        counts = control(out, pool, like, match=match, tokenizer=first["tokenizer"])
        assert counts["like_tokens"] == told["tokens"]
        assert 0 <= counts["tokens"] - told["tokens"] < 900
        assert counts["chosen"] == len(list(read_jsonl(out / "train.jsonl", Dialogue)))


def test_seeds_repeat_and_differ(tmp_path: Path, pool: Input, recalled: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        control(tmp_path / name, pool, recalled, match=["length"], seed=seed)
    one, again, other = ((tmp_path / name / "train.jsonl").read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_where_a_cell_runs_dry_the_nearest_is_taken_and_told(tmp_path: Path, talk: Talk) -> None:
    def write(name: str, sizes: list[tuple[str, int]]) -> Input:
        rows = [at(talk(f"{name}{n:03}", "答" * size), source) for n, (source, size) in enumerate(sizes)]
        write_jsonl(tmp_path / name, rows)
        return Input(tmp_path / name)

    asked = write("a", [("书", 100)] * 4)
    run_command("mix", judge(MixConfig, {"out": tmp_path / "like", "pool": [asked]}, "test"))
    # One is exact, one a little shorter, one of the source but far too long, and so on.
    held = write("b", [("书", 100), ("书", 80), ("书", 3000), ("网", 100), ("网", 400), ("网", 2)])
    with pytest.warns(Advice, match=r"75.0% of the records are not of the source and length"):
        counts = control(tmp_path / "control", held, tmp_path / "like", match=["source", "length"])
    assert (counts["exact"], counts["near"], counts["elsewhere"], counts["in_both"]) == (1, 1, 2, 0)
    sizes = sorted(len(text_of(r)) - 5 for r in read_jsonl(tmp_path / "control" / "train.jsonl", Dialogue))
    assert sizes == [80, 100, 100, 400]


def test_what_is_no_choice_or_of_other_exams_is_told(
    tmp_path: Path, pool: Input, recalled: Path, question: Ask
) -> None:
    with pytest.raises(UserError, match="no directory that recall or mix made"):
        control(tmp_path / "none", pool, tmp_path)
    write_jsonl(tmp_path / "test.jsonl", [question("附睾精液囊肿的特点有哪些要点呢", "可见精子", "质硬")])
    with pytest.warns(Advice, match="another `decontaminate`"):
        control(tmp_path / "other", pool, recalled, decontaminate=[str(tmp_path / "test.jsonl")])
    write_jsonl(tmp_path / "few.jsonl", list(read_jsonl(pool.path, Dialogue))[:30])
    with pytest.raises(UserError, match="holds 40 records; the pool has only 30"):
        control(tmp_path / "few", Input(tmp_path / "few.jsonl"), recalled)


def test_the_choice_is_an_ancestor_of_its_control(tmp_path: Path, pool: Input, recalled: Path) -> None:
    control(tmp_path / "control", pool, recalled)
    manifest = read_manifest(tmp_path / "control")
    assert manifest
    assert set(manifest.inputs) == {"pool.0", "like"}
