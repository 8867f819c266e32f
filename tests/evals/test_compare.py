"""Arms compared item by item: what is refused, what the statistics say, and in which words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest
from pydantic import ValidationError
from saved_evaluations import N, first_right, flip, items_of, save

from medtune.artifact import read_jsonl, write_jsonl
from medtune.config import Input, load
from medtune.errors import UserError
from medtune.evals.compare import run
from medtune.evals.compare_report import report_on
from medtune.evals.config import CompareConfig, words_of_comparison
from medtune.evals.contrasts import Trial, contrast_arms, estimate_arm, pair_runs
from medtune.records import Estimate, Phrase, Report, Row, Score, Table
from medtune.reports.phrases import fill, phrase
from medtune.scorers.stats import Floats, mcnemar


class AnswerRow(Row):
    id: str
    subject: str
    gold: str
    answers: dict[str, list[str | None]]


def compare(folder: Path, **arms: Sequence[Input]) -> Report:
    config = CompareConfig(
        out=folder, arms={arm: tuple(runs) for arm, runs in arms.items()}, num_resamples=2000
    )
    run(config)
    return Report.model_validate_json((folder / "report.json").read_bytes())


def find_table(report: Report, name: str) -> Table:
    return next(table for table in report.tables if table.name == name)


def keys(sentences: Sequence[Phrase]) -> list[str]:
    return [sentence.key for sentence in sentences]


# ---- the command ----


def test_three_arms_make_a_report(tmp_path: Path):
    base = [save(tmp_path / "base", first_right(60))]
    other = [save(tmp_path / f"random-{seed}", first_right(62 + seed)) for seed in range(3)]
    best = [save(tmp_path / f"recalled-{seed}", first_right(110 + seed)) for seed in range(3)]
    report = compare(tmp_path / "out", base=base, random=other, recalled=best)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.json", "report.md", "report.en.md", "report.html", "answers.jsonl", "changed.jsonl",
    }  # fmt: skip
    assert report.n == N and [row[0] for row in find_table(report, "generate_arms").rows] == [
        "base",
        "random",
        "recalled",
    ]
    assert keys(report.verdict)[:2] == ["contrast_same", "contrast_better"]
    better = report.metrics["generate.difference.recalled-base"]
    assert better.value == pytest.approx(51 / 200) and better.low > 0 and better.unit == "points"
    pairs = find_table(report, "generate_pairs").rows
    assert len(pairs) == 6 and pairs[3][:4] == ("recalled − base", 1, 50, 0)
    assert pairs[3][5] == pytest.approx(mcnemar(50, 0))
    assert (
        find_table(report, "generate_arms").rows[2][2]
        == "0.5500 (110/200), 0.5550 (111/200), 0.5600 (112/200)"
    )
    changed = [orjson.loads(line) for line in (tmp_path / "out" / "changed.jsonl").read_bytes().splitlines()]
    one = [row for row in changed if (row["contrast"], row["pair"]) == ("recalled-base", 1)]
    assert [row["change"] for row in one] == ["fixed"] * 50 and len({row["id"] for row in one}) == 50
    assert {(row["before"], row["answer"], row["gold"]) for row in one} == {("B", "A", "A")}
    answers = list(read_jsonl(tmp_path / "out" / "answers.jsonl", AnswerRow))
    assert len(answers) == N and answers[110].answers == {
        "base": ["B"],
        "random": ["B"] * 3,
        "recalled": ["B", "A", "A"],
    }


def test_runs_of_other_exams_are_refused(tmp_path: Path):
    one = save(tmp_path / "one", first_right(50))
    fewer = save(tmp_path / "fewer", first_right(50, 199))
    with pytest.raises(UserError, match="1 items are not those of"):
        compare(tmp_path / "out", base=[one], other=[fewer])
    for field, value in {"gold": "C", "subject": "surgery", "cluster": "another"}.items():
        changed = items_of()
        changed[7] = changed[7].model_copy(update={field: value})
        other = save(tmp_path / field, first_right(50), items=changed)
        with pytest.raises(UserError, match=f"q0007 differs from .* in {field}"):
            compare(tmp_path / "out", base=[one], other=[other])


def test_a_directory_named_twice_is_refused(tmp_path: Path):
    one, two = save(tmp_path / "one", first_right(50)), save(tmp_path / "two", first_right(51))
    with pytest.raises(UserError, match="stands in arm other and again in other"):
        compare(tmp_path / "out", base=[one], other=[two, Input(tmp_path / "x" / ".." / "two")])
    with pytest.raises(UserError, match="stands in arm base and again in other"):
        compare(tmp_path / "out", base=[one], other=[one])


def test_scores_that_do_not_fit_their_items_are_refused(tmp_path: Path):
    one, two = save(tmp_path / "one", first_right(50)), save(tmp_path / "two", first_right(51))
    scores = list(read_jsonl(tmp_path / "two" / "scores.jsonl", Score))
    write_jsonl(tmp_path / "two" / "scores.jsonl", scores[1:])
    with pytest.raises(UserError, match="scores and its items are not the same"):
        compare(tmp_path / "out", base=[one], other=[two])
    (tmp_path / "two" / "scores.jsonl").unlink()
    with pytest.raises(UserError, match="no such file"):
        compare(tmp_path / "out", base=[one], other=[two])


def test_the_way_is_the_first_that_all_runs_have(tmp_path: Path):
    one, two = save(tmp_path / "one", first_right(50)), save(tmp_path / "two", first_right(51))
    values = {"arms": {"one": [str(one)], "two": [str(two)]}, "out": tmp_path / "out"}
    assert CompareConfig.model_validate(values).way is None
    assert run(CompareConfig.model_validate(values))["generate.difference.two-one"] == 0.5


def test_impossible_contrasts_are_refused_when_the_config_is_read(tmp_path: Path):
    arms = {"base": (Input("a"),), "other": (Input("b"),)}
    for contrasts, message in [
        ((("new", "base"),), "new is no arm"),
        ((("base", "base"),), "compared with itself"),
        ((("other", "base"), ("other", "base")), "each pair once"),
    ]:
        with pytest.raises(ValidationError, match=message):
            CompareConfig(out=tmp_path, arms=arms, contrasts=contrasts)
    with pytest.raises(ValidationError, match="names no evaluation"):
        CompareConfig(out=tmp_path, arms={"base": (), "other": (Input("b"),)})


def test_warnings_of_the_inputs_are_repeated_by_arm(tmp_path: Path):
    seen = phrase("warn_seen", count=3, n=N)
    base = [save(tmp_path / "base", first_right(60), provenance={"predict.preset": "plain"})]
    told = [
        save(
            tmp_path / f"told-{seed}",
            first_right(60 + seed),
            warnings=[seen],
            provenance={"predict.preset": "chat"},
        )
        for seed in range(2)
    ]
    report = compare(tmp_path / "out", base=base, told=told)
    assert report.warnings == (
        phrase("warn_arm", arm="told", warning=seen),
        phrase("warn_settings", names="predict.preset"),
    )
    assert "told: This exam's items were used to choose the training data (3 of 200)" in fill(
        report.warnings[0], "en"
    )


def test_copies_and_ways_that_are_not_everywhere_are_told(tmp_path: Path):
    base = [save(tmp_path / "base", first_right(60))]
    copies = [
        save(
            tmp_path / f"copy-{n}",
            first_right(60),
            ways=("generate", "letter"),
            provenance={"predictions": "same"},
        )
        for n in range(2)
    ]
    report = compare(tmp_path / "out", base=base, copies=copies)
    assert keys(report.warnings) == ["warn_identical", "warn_way"]
    assert not any(table.name.startswith("letter") for table in report.tables)
    with pytest.raises(UserError, match="has no `letter` scores"):
        run(
            CompareConfig(
                out=tmp_path / "x", arms={"base": tuple(base), "copies": tuple(copies)}, way="letter"
            )
        )


def test_same_seed_same_bytes(tmp_path: Path):
    base = [save(tmp_path / "base", first_right(60))]
    other = [save(tmp_path / f"other-{seed}", first_right(70 + seed)) for seed in range(2)]
    compare(tmp_path / "one", base=base, other=other), compare(tmp_path / "two", base=base, other=other)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


# ---- statistics and words ----


def trial(arms: dict[str, Floats], *, num_per_case: int = 1) -> Report:
    items = items_of(next(iter(arms.values())).shape[1], num_per_case=num_per_case)
    names = list(arms)
    contrasts = tuple((arm, names[0]) for arm in names[1:])
    return report_on(Trial(items, {"generate": arms}, contrasts, "generate", 2000, 42))


@pytest.mark.parametrize(
    ("fixed", "broken", "key"),
    [(46, 36, "contrast_same"), (61, 21, "contrast_better"), (21, 61, "contrast_worse")],
)
def test_a_difference_counts_only_when_tested(fixed: int, broken: int, key: str):
    # 818 items of which a tenth changes: +10 is p = 0.32, +40 is p = 1.1e-5 (evaluation.md, check 9)
    assert f"{mcnemar(fixed, broken):.2g}" == ("0.32" if key == "contrast_same" else "1.1e-05")
    base = first_right(600, 818)
    report = trial({"base": base[None], "new": flip(base, fixed, broken)[None]})
    assert report.verdict[0].key == key
    p = find_table(report, "generate_contrasts").rows[0][2]
    assert p == pytest.approx(mcnemar(fixed, broken), abs=1e-6)
    assert "n = 818" in fill(report.verdict[0], "en") or key != "contrast_same"
    assert keys(report.details)[0] == "explain_test"
    assert "one run each" in fill(report.details[0], "en")


def test_seeds_that_disagree_settle_nothing():
    base = first_right(100)
    runs = np.stack([flip(base, 40, 0), flip(base, 35, 0), flip(base, 0, 3)])
    report = trial({"base": base[None], "new": runs})
    assert report.verdict[0].key == "contrast_split"
    assert "2 of 3 pairs of runs" in fill(report.details[0], "en")
    assert "不一致" in fill(report.verdict[0], "zh")


def spread_out(*counts: int) -> Floats:
    """Runs with so many of 200 right, each its own: errors are drawn, not nested."""
    rng = np.random.default_rng(0)
    runs = np.zeros((len(counts), N))
    for run_, count in zip(runs, counts, strict=True):
        run_[rng.choice(N, size=count, replace=False)] = 1
    return runs


def test_three_seeds_make_a_finding_hold_for_other_seeds():
    report = trial({"base": spread_out(60, 62, 64), "new": spread_out(110, 118, 107)})
    better = report.verdict[0]
    assert better.key == "contrast_better" and "explain_models" not in keys(report.details)
    assert "over items and training seeds)" in fill(better, "en") and "换种子都计入" in fill(better, "zh")
    items = report.metrics["generate.difference.new-base"]
    both = report.metrics["generate.over_seeds.new-base"]
    assert better.values["low"] == f"+{100 * both.low:.2f}" != f"+{100 * items.low:.2f}"
    row = find_table(report, "generate_contrasts").rows[0]
    assert (
        row[1] == items
        and isinstance(row[3], Phrase)
        and fill(row[3], "en").startswith(f"+{100 * both.low:.2f} to")
    )
    assert isinstance(row[4], float) and isinstance(row[2], float) and row[5] == max(row[2], row[4])


def test_what_holds_for_these_models_may_not_hold_for_other_seeds():
    report = trial({"base": spread_out(60, 60, 60), "new": spread_out(65, 65, 160)})
    assert report.verdict[0].key == "contrast_open"
    assert "these models do differ, by +18.33 percentage points" in fill(report.verdict[0], "en")
    row = find_table(report, "generate_contrasts").rows[0]
    assert isinstance(row[2], float) and row[2] < 0.001 and row[7] == phrase("finding_open")


def test_a_pair_that_disagrees_does_not_outweigh_the_seeds():
    report = trial({"base": spread_out(60, 61, 59, 75), "new": spread_out(90, 92, 91, 74)})
    assert report.verdict[0].key == "contrast_better"
    assert "3 of 4 pairs of runs" in fill(report.details[0], "en")


def test_fewer_seeds_speak_of_these_very_models():
    two = trial({"base": spread_out(60, 62), "new": spread_out(110, 112)})
    assert two.verdict[0].key == "contrast_better" and "over items)" in fill(two.verdict[0], "en")
    assert keys(two.details)[:2] == ["explain_test", "explain_models"]
    assert "generate.over_seeds.new-base" in two.metrics  # shown, though it does not decide
    one = trial({"base": spread_out(60), "new": spread_out(110, 112, 111)})
    assert "these very models" in fill(one.details[1], "en")
    assert "只针对这些模型" in fill(one.details[1], "zh")
    assert find_table(one, "generate_contrasts").rows[0][3:5] == (None, None)
    spreads = [row[3] for row in find_table(one, "generate_arms").rows]
    told = [fill(cell, "en") for cell in spreads if isinstance(cell, Phrase)]
    assert told == ["one seed", "0.0050 (3 seeds)"]


def test_an_arm_at_chance_is_called_so():
    report = trial({"base": first_right(50)[None], "new": np.stack([first_right(52), first_right(120)])})
    assert keys(report.verdict)[1:] == ["arms_same", "arms_some"]
    assert keys(report.details)[-2:] == ["arm_same", "arm_mixed"]


def test_p_values_are_adjusted_for_the_number_of_contrasts():
    base = first_right(100)[None]
    new = flip(base[0], 20, 6)[None]
    clusters = [str(number) for number in range(N)]
    arms = {"base": base, "one": new, "two": new.copy(), "three": base.copy()}
    found = contrast_arms(
        arms, [("one", "base"), ("two", "base"), ("three", "base")], clusters, seed=[1], num_resamples=1000
    )
    assert [one.adjusted for one in found] == pytest.approx([3 * found[0].p, 3 * found[0].p, 1.0])


def test_runs_are_paired_by_number_and_a_single_one_with_each():
    three = np.stack([first_right(10), first_right(20), first_right(30)])
    assert [(pair.fixed, pair.broken) for pair in pair_runs(three, first_right(20)[None])] == [
        (0, 10),
        (0, 0),
        (10, 0),
    ]
    assert [pair.fixed for pair in pair_runs(three, three[:2])] == [0, 0]
    report = trial({"base": three[:2], "new": three})
    assert "note_unpaired" in keys(find_table(report, "generate_pairs").notes)


def test_items_of_one_case_widen_the_interval():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.integers(0, 2, size=50), 4).astype(np.float64)[None]
    alone = estimate_arm(right, [str(n) for n in range(N)], rng=rng, num_resamples=4000)
    cases = estimate_arm(right, [str(n // 4) for n in range(N)], rng=rng, num_resamples=4000)
    assert alone.count == cases.count == int(right.sum())
    assert width(cases) > 1.7 * width(alone)


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def test_directories_stand_for_arms_of_one_run_each() -> None:
    words = words_of_comparison(["runs/eval-base", "runs/eval-tuned"])
    config = load(CompareConfig, None, [*words, "way=cloze"])
    assert config.arms == {"eval-base": ("runs/eval-base",), "eval-tuned": ("runs/eval-tuned",)}
    assert config.out == Path("runs/compare-eval-base-eval-tuned")
    twins = load(CompareConfig, None, [*words_of_comparison(["a/eval", "b/eval"]), "out=elsewhere"])
    assert list(twins.arms) == ["a/eval", "b/eval"]
    assert twins.out == Path("elsewhere")
    with pytest.raises(UserError, match="name two different evaluations at least"):
        load(CompareConfig, None, words_of_comparison(["a/eval", "a/eval"]))
