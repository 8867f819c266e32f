"""The random control: the same for a seed, another for another, and of equal tokens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medtune.config import Input
from medtune.curate.config import MixConfig
from medtune.curate.mix import run
from medtune.curate.pool import count_tokens, read_dialogues
from medtune.engines.hf import load_tokenizer
from medtune.errors import UserError
from medtune.records import Dialogue, Question

BUDGET = 5000


@pytest.fixture(scope="module")
def mix(
    small_pool: Input, tiny_tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    def draw(**settings: Any) -> tuple[Path, dict[str, Any]]:
        out = tmp_path_factory.mktemp("mix")
        given = {"pool": [small_pool], "tokenizer": str(tiny_tokenizer_dir), "budget_tokens": BUDGET}
        return out, run(MixConfig.model_validate({"out": out, **given, **settings}))

    return draw


def ids(out: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (out / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_seed_repeats_and_seeds_differ(mix: Callable[..., Any]) -> None:
    (one, _), (again, _), (other, _) = mix(seed=1), mix(seed=1), mix(seed=2)
    assert (one / "train.jsonl").read_bytes() == (again / "train.jsonl").read_bytes()
    assert set(ids(one)) != set(ids(other))
    assert len(set(ids(one))) == len(ids(one))


def test_every_seed_spends_the_same_tokens_to_within_one_record(
    mix: Callable[..., Any], tiny_tokenizer_dir: Path
) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    for seed in (1, 2):
        out, counts = mix(seed=seed)
        tokens = [count_tokens(tokenizer, record) for record in read_dialogues([Input(out / "train.jsonl")])]
        assert (counts["chosen"], counts["tokens"]) == (len(tokens), sum(tokens))
        assert sum(tokens) >= BUDGET > sum(tokens[:-1])


def test_a_draw_is_spread_over_the_pool_and_not_its_beginning(
    mix: Callable[..., Any], small_pool: Input
) -> None:
    places = {record.id: at for at, record in enumerate(read_dialogues([small_pool]))}
    drawn = [places[one] / len(places) for one in ids(mix(seed=3)[0])]
    assert min(drawn) < 0.2
    assert max(drawn) > 0.8


def test_no_exam_item_guides_a_random_draw(mix: Callable[..., Any], sample_dir: Path) -> None:
    out, counts = mix(decontaminate=[str(sample_dir / "test.jsonl")])
    assert {path.name for path in out.iterdir()} == {"train.jsonl", "leaks.jsonl"}
    assert counts["leaks_removed"] == 0


def test_a_planted_leak_is_never_drawn(
    mix: Callable[..., Any],
    talk: Callable[[str, str], Dialogue],
    question: Callable[..., Question],
    put: Callable[..., Input],
) -> None:
    leak, rest = talk("高血压患者膳食干预最应限制摄入的是", "钠盐"), talk("头痛怎么办", "多休息")
    pool = put("pool.jsonl", [leak, rest])
    tested = put("test.jsonl", [question("高血压患者膳食干预最应限制摄入的是", "钠盐", "钾盐", split="test")])
    out, counts = mix(pool=[pool], decontaminate=[tested], budget_tokens=1)
    assert (ids(out), counts["pool"], counts["leaks_removed"]) == ([rest.id], 2, 1)
    with pytest.raises(UserError, match="could be chosen from 1 records"):
        mix(pool=[pool], decontaminate=[tested], budget_tokens=1000)
