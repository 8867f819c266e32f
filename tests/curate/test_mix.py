"""Sets hold their shares of the budget; a draw is the same for a seed, another for another."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medtune.artifact import read_jsonl
from medtune.commands import run_command
from medtune.config import Input, judge
from medtune.curate.config import MixConfig
from medtune.curate.mix import run
from medtune.curate.pool import count_tokens
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Question

BUDGET = 5000
Talk = Callable[[str, str], Dialogue]
Put = Callable[..., Input]
Draw = Callable[..., tuple[Path, dict[str, Any]]]


@pytest.fixture
def draw(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    def make(**settings: Any) -> tuple[Path, dict[str, Any]]:
        out = tmp_path_factory.mktemp("mix") / "out"
        return out, run_command("mix", judge(MixConfig, {"out": out, **settings}, "test")).counts

    return make


@pytest.fixture
def draw_tokens(draw: Draw, small_pool: Input, tiny_tokenizer_dir: Path) -> Draw:
    def make(**settings: Any) -> tuple[Path, dict[str, Any]]:
        given = {"pool": [small_pool], "tokenizer": str(tiny_tokenizer_dir), "budget_tokens": BUDGET}
        return draw(**{**given, **settings})

    return make


@pytest.fixture
def narrow(talk: Talk, put: Put) -> Input:
    return put("narrow.jsonl", [talk(f"窄集第{n}问：血压多高算高？", f"第{n}答") for n in range(40)])


@pytest.fixture
def wide(talk: Talk, put: Put, narrow: Input) -> Input:
    """A set that holds all of the narrow one, and more."""
    more = [talk(f"宽集第{n}问：感冒了怎么办？", f"第{n}答") for n in range(200)]
    return put("wide.jsonl", [*read_jsonl(narrow.path, Dialogue), *more])


def ids(out: Path) -> list[str]:
    return [record.id for record in read_jsonl(out / "train.jsonl", Dialogue)]


def origins(out: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (out / "origin.jsonl").read_text("utf-8").splitlines()]


# ---- one set ----


def test_a_seed_repeats_and_seeds_differ(draw_tokens: Draw) -> None:
    (one, _), (again, _), (other, _) = draw_tokens(seed=1), draw_tokens(seed=1), draw_tokens(seed=2)
    assert (one / "train.jsonl").read_bytes() == (again / "train.jsonl").read_bytes()
    assert set(ids(one)) != set(ids(other))
    assert len(set(ids(one))) == len(ids(one))


def test_every_seed_spends_the_same_tokens_to_within_one_record(
    draw_tokens: Draw, tiny_tokenizer_dir: Path
) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    for seed in (1, 2):
        out, counts = draw_tokens(seed=seed)
        tokens = [count_tokens(tokenizer, record) for record in read_jsonl(out / "train.jsonl", Dialogue)]
        assert (counts["chosen"], counts["tokens"]) == (len(tokens), sum(tokens))
        assert sum(tokens) >= BUDGET > sum(tokens[:-1])


def test_a_draw_is_spread_over_the_pool_and_tells_where_each_record_stood(
    draw_tokens: Draw, small_pool: Input
) -> None:
    places = {record.id: at for at, record in enumerate(read_jsonl(small_pool.path, Dialogue), 1)}
    out, _ = draw_tokens(seed=3)
    drawn = [places[one] / len(places) for one in ids(out)]
    assert min(drawn) < 0.2
    assert max(drawn) > 0.8
    told = [{"record": one, "place": f"pool.jsonl:{places[one]}"} for one in ids(out)]
    assert origins(out) == told


def test_no_exam_item_guides_a_random_draw(draw_tokens: Draw, sample_dir: Path) -> None:
    out, counts = draw_tokens(decontaminate=[str(sample_dir / "test.jsonl")])
    assert {path.name for path in out.iterdir()} == {
        "train.jsonl", "leaks.jsonl", "origin.jsonl", "manifest.json"
    }  # fmt: skip
    leaking = {json.loads(line)["record"] for line in (out / "leaks.jsonl").read_text("utf-8").splitlines()}
    assert counts["leaks_removed"] == len(leaking)
    assert not leaking & set(ids(out))


def test_a_planted_leak_is_never_drawn(
    draw_tokens: Draw, talk: Talk, question: Callable[..., Question], put: Put
) -> None:
    leak, rest = talk("高血压患者膳食干预最应限制摄入的是", "钠盐"), talk("头痛怎么办", "多休息")
    pool = put("pool.jsonl", [leak, rest])
    tested = put("test.jsonl", [question("高血压患者膳食干预最应限制摄入的是", "钠盐", "钾盐", split="test")])
    out, counts = draw_tokens(pool=[pool], decontaminate=[tested], budget_tokens=1)
    assert (ids(out), counts["pool"], counts["leaks_removed"]) == ([rest.id], 2, 1)
    with pytest.raises(UserError, match="could be chosen from 1 records"):
        draw_tokens(pool=[pool], decontaminate=[tested], budget_tokens=1000)


def test_without_a_budget_all_come_in_another_order(draw: Draw, narrow: Input) -> None:
    out, counts = draw(pool=[narrow])
    whole = [record.id for record in read_jsonl(narrow.path, Dialogue)]
    assert counts["chosen"] == 40
    assert ids(out) != whole
    assert sorted(ids(out)) == sorted(whole)


# ---- several sets ----


def test_sets_hold_their_shares_and_a_record_of_both_stands_once(
    draw: Draw, narrow: Input, wide: Input
) -> None:
    sets = {"recalled": {"pool": [narrow], "share": 7}, "background": {"pool": [wide], "share": 3}}
    out, counts = draw(sets=sets, budget_rows=50)
    assert Counter(row["set"] for row in origins(out)) == {"recalled": 35, "background": 15}
    assert (counts["sets"]["recalled"]["records"], counts["repeats_removed"]) == (35, 40)
    assert len(set(ids(out))) == 50
    own = {record.id for record in read_jsonl(narrow.path, Dialogue)}
    assert all((row["set"] == "recalled") == (row["record"] in own) for row in origins(out))
    assert [row["record"] for row in origins(out)] == ids(out)
    assert "recalled" in [row["set"] for row in origins(out)[25:]]  # shuffled, not one set after the other
    assert "| recalled | 35 | 0 | 0 | 0.7000 | 0.7000 |" in (out / "report.en.md").read_text("utf-8")


def test_shares_of_tokens_are_right_to_within_one_record(
    draw: Draw, narrow: Input, wide: Input, tiny_tokenizer_dir: Path
) -> None:
    sets = {name: {"pool": [file], "share": 1} for name, file in (("one", narrow), ("two", wide))}
    _, counts = draw(sets=sets, budget_tokens=1500, tokenizer=str(tiny_tokenizer_dir))
    one, two = counts["sets"]["one"], counts["sets"]["two"]
    largest = 60
    assert 750 <= one["tokens"] < 750 + largest
    assert 1500 <= one["tokens"] + two["tokens"] == counts["tokens"] < 1500 + largest


def test_a_set_that_is_short_fails_gives_less_or_repeats(draw: Draw, narrow: Input, wide: Input) -> None:
    def of(**how: str) -> dict[str, Any]:
        return {"few": {"pool": [narrow], "share": 1, **how}, "many": {"pool": [wide], "share": 1}}

    with pytest.raises(UserError, match=r"sets.few: holds 40 of the 100 rows .* in 40 records"):
        draw(sets=of(), budget_rows=200)
    _, less = draw(sets=of(if_short="take_less"), budget_rows=200)
    assert (less["sets"]["few"]["records"], less["sets"]["many"]["records"]) == (40, 100)
    out, more = draw(sets=of(if_short="repeat"), budget_rows=200)
    assert (more["chosen"], more["sets"]["few"]["repeated"]) == (200, 60)
    often = Counter(row["record"] for row in origins(out) if row["set"] == "few")
    assert (len(often), set(often.values())) == (40, {2, 3})


def test_a_set_may_be_taken_whole_or_from_its_beginning(draw: Draw, narrow: Input, wide: Input) -> None:
    sets = {
        "whole": {"pool": [narrow], "draw": "all"},
        "first": {"pool": [wide], "draw": "in_order", "share": 1},
    }
    out, counts = draw(sets=sets, budget_rows=50)
    assert {name: own["records"] for name, own in counts["sets"].items()} == {"whole": 40, "first": 10}
    lines = sorted(row["place"] for row in origins(out) if row["set"] == "first")
    assert lines == [f"wide.jsonl:{line}" for line in range(41, 51)]
    with pytest.raises(UserError, match="leaves nothing for the other sets"):
        draw(sets=sets, budget_rows=40)


def test_a_set_of_which_nothing_is_left_is_told(draw: Draw, narrow: Input, wide: Input) -> None:
    sets = {"wide": {"pool": [wide], "share": 1}, "narrow": {"pool": [narrow], "share": 1}}
    with pytest.raises(UserError, match=r"sets.narrow: none of its 40 records .* narrower set first"):
        draw(sets=sets, budget_rows=10)


# ---- what is refused ----

ONE = {"a": {"pool": ["x"], "share": 1}}


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({}, "give pool, or sets"),
        ({"pool": ["x"], "sets": ONE, "budget_rows": 1}, "give pool, or sets"),
        ({"sets": ONE}, "give a budget"),
        ({"sets": {"a": {"pool": ["x"], "draw": "all"}}, "budget_rows": 1}, "leave the budget out"),
        ({"sets": {"a": {"pool": ["x"]}}, "budget_rows": 1}, "share must be given"),
        ({"sets": {"a": {"pool": ["x"], "draw": "all", "share": 1}}}, "share has no effect"),
        ({"pool": ["x"], "match": ["length"]}, "match has no effect"),
        ({"pool": ["x"], "like": "y", "budget_rows": 1}, "like says how much"),
        ({"sets": ONE, "like": "y"}, "like draws from one pool"),
        ({"pool": ["x"], "tokenizer": "t"}, "tokenizer says nothing without budget_tokens"),
        ({"pool": ["x"], "formats": ["alpaca", "alpaca"]}, "names the same twice"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    tmp_path: Path, settings: dict[str, Any], fault: str
) -> None:
    with pytest.raises(UserError, match=fault):
        judge(MixConfig, {"out": tmp_path, **settings}, "test")


def test_a_like_alone_needs_no_budget(tmp_path: Path) -> None:
    config = judge(MixConfig, {"out": tmp_path, "pool": ["x"], "like": "y", "tokenizer": "t"}, "test")
    with pytest.raises(UserError, match="no such file"):
        run(config)
