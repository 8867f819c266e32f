"""Further exams in a comparison: does a gain transfer, was anything forgotten, and one family of tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest
from pydantic import ValidationError
from saved_evaluations import N, first_right, flip, items_of, save

from medtune.config import Input
from medtune.errors import UserError
from medtune.evals.compare import run
from medtune.evals.compare_report import report_on
from medtune.evals.compare_words import smallest_loss
from medtune.evals.config import CompareConfig
from medtune.evals.contrasts import Further, Purpose, Trial, contrast_arms
from medtune.evals.exam import Item
from medtune.records import Phrase, Report, Table
from medtune.reports.phrases import fill, phrase
from medtune.scorers.stats import Floats, holm, minimum_detectable_difference

BASE = first_right(100)
GAIN = flip(BASE, 50, 10)
"""40 items more than BASE, with changes both ways."""
Exam = tuple[Purpose, dict[str, list[Floats]]]


def save_exam(folder: Path, name: str, arms: dict[str, list[Floats]]) -> dict[str, tuple[Input, ...]]:
    """Evaluations of an exam with items of its own."""
    return {
        arm: tuple(
            save(folder / f"{name}-{arm}-{number}", right, items=items_of(len(right), name=name))
            for number, right in enumerate(runs)
        )
        for arm, runs in arms.items()
    }


def compare(folder: Path, arms: dict[str, list[Floats]], **further: Exam) -> Report:
    """The report on a main exam and others, every run of which is saved first."""
    config = CompareConfig.model_validate(
        {
            "out": folder / "out",
            "arms": save_exam(folder, "q", arms),
            "further_exams": {
                name: {"purpose": purpose, "arms": save_exam(folder, name, own)}
                for name, (purpose, own) in further.items()
            },
            "num_resamples": 2000,
        }
    )
    run(config)
    return Report.model_validate_json((folder / "out" / "report.json").read_bytes())


def sentence(report: Report, beginning: str) -> str:
    """The first sentence of the verdict whose key begins so, in English."""
    return fill(next(one for one in report.verdict if one.key.startswith(beginning)), "en")


def find_table(report: Report, name: str) -> Table:
    return next(table for table in report.tables if table.name == name)


def keys(sentences: Sequence[Phrase]) -> list[str]:
    return [one.key for one in sentences]


# ---- verdicts ----


def test_a_gain_a_transfer_and_a_loss_stand_in_one_report(tmp_path: Path) -> None:
    report = compare(
        tmp_path,
        {"base": [BASE], "tuned": [GAIN, flip(BASE, 45, 5)]},
        general=("forgetting", {"base": [BASE], "tuned": [flip(BASE, 0, 30), flip(BASE, 2, 33)]}),
        second=("transfer", {"base": [BASE], "tuned": [GAIN, GAIN]}),
    )
    # Forgetting is told last, in whatever order the file names the exams.
    assert keys(report.verdict) == ["contrast_better", "arms_above", "transfer_better", "loss_worse"]
    assert sentence(report, "transfer").startswith(
        "second (transfer): the gain of tuned over base is seen here as well, 20.00 percentage points"
    )
    assert sentence(report, "loss").startswith("general (forgetting): tuned lost 15.25 percentage points")
    assert "general: tuned − base: an arm has fewer than 3 runs" in fill(report.details[-1], "en")
    assert "有所遗忘" in fill(report.verdict[3], "zh") and "也看得到" in fill(report.verdict[2], "zh")
    assert report.n == N and report.metrics["general.generate.difference.tuned-base"].value == -0.1525
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.json", "report.md", "report.en.md", "report.html", "answers.jsonl", "changed.jsonl",
        "changed-general.jsonl", "changed-second.jsonl",
    }  # fmt: skip
    rows = [orjson.loads(line) for line in (tmp_path / "out/changed-general.jsonl").read_bytes().splitlines()]
    assert [row["change"] for row in rows if row["pair"] == 1] == ["broken"] * 30
    assert {row["id"][:-4] for row in rows} == {"general"}
    answers = (tmp_path / "out" / "answers.jsonl").read_bytes().splitlines()
    assert len(answers) == N and all(orjson.loads(line)["id"].startswith("q") for line in answers)
    names = [table.name for table in report.tables]
    assert len(set(names)) == len(names) and "general_generate_subjects" in names
    page = (tmp_path / "out" / "report.en.md").read_text(encoding="utf-8")
    assert "## Further exam general (forgetting, 200 questions, Generated answer)" in page
    assert "how large a loss is not ruled out" in page


def test_a_gain_on_the_main_exam_alone_is_told_apart(tmp_path: Path) -> None:
    report = compare(
        tmp_path,
        {"base": [BASE], "tuned": [GAIN]},
        second=("transfer", {"base": [BASE], "tuned": [flip(BASE, 8, 7)]}),
    )
    assert "is not seen here: +0.50" in sentence(report, "transfer_same")
    told = [fill(one, "en") for one in report.details]
    assert any(line.startswith("second: tuned − base: these 200 items reliably") for line in told)


def test_without_a_gain_there_is_nothing_to_transfer(tmp_path: Path) -> None:
    report = compare(
        tmp_path,
        {"base": [BASE], "tuned": [flip(BASE, 8, 7)]},
        second=("transfer", {"base": [BASE], "tuned": [GAIN]}),
    )
    told = sentence(report, "transfer_none")
    assert "shows no gain over base" in told and "On this one: tuned is better than base: 20.00" in told


def test_no_loss_seen_says_which_loss_could_have_been_shown(tmp_path: Path) -> None:
    report = compare(
        tmp_path,
        {"base": [BASE], "tuned": [GAIN]},
        general=("forgetting", {"base": [BASE], "tuned": [flip(BASE, 9, 11)]}),
    )
    told = sentence(report, "loss_same")
    assert (
        "no loss of tuned against base seen: −1.00" in told and "no proof that nothing was forgotten" in told
    )
    # 20 items of 200 differ; of two tests (the gain and this) the stricter has 2.5 %.
    least = minimum_detectable_difference(200, 0.1, level=0.025)
    assert "(80%, counting all 2 tests) by these 200 items" in told
    assert f"has to be at least about {100 * least:.1f} points" in told
    assert least > minimum_detectable_difference(200, 0.1)
    lines = [fill(one, "en") for one in report.details]
    assert not any(line.startswith("general: tuned − base: these 200 items") for line in lines)


def test_where_hardly_an_answer_changed_the_test_sets_the_limit() -> None:
    arms = {"base": BASE[None], "tuned": BASE[None].copy()}
    (same,) = contrast_arms(
        arms, [("tuned", "base")], [str(n) for n in range(N)], seed=[1], num_resamples=1000
    )
    # 6 broken and none fixed is p = 0.031, 5 is 0.0625; of three tests the strictest wants 7 (3 x 0.0156).
    assert smallest_loss(same, 1) == pytest.approx(6 / N)
    assert smallest_loss(same, 3) == pytest.approx(7 / N)


def test_a_base_that_guesses_cannot_show_forgetting(tmp_path: Path) -> None:
    guessed = first_right(52)
    report = compare(
        tmp_path,
        {"base": [BASE], "tuned": [GAIN]},
        general=("forgetting", {"base": [guessed], "tuned": [flip(guessed, 5, 5)]}),
    )
    assert "cannot show what tuned forgot" in sentence(report, "loss_blind")
    assert sentence(report, "on_exam") == "general: Not distinguishable from chance: base, tuned."


def test_every_arm_is_held_against_the_first_for_forgetting(tmp_path: Path) -> None:
    arms = {"base": [BASE], "random": [flip(BASE, 10, 10)], "recalled": [GAIN]}
    config = CompareConfig.model_validate(
        {
            "out": tmp_path / "out",
            "arms": save_exam(tmp_path, "q", arms),
            "contrasts": [["recalled", "random"]],
            "further_exams": {
                "general": {"purpose": "forgetting", "arms": save_exam(tmp_path, "general", arms)},
                "second": {"purpose": "transfer", "arms": save_exam(tmp_path, "second", arms)},
            },
            "num_resamples": 2000,
        }
    )
    counts = run(config)
    assert [name for name in counts if "difference" in name] == [
        "generate.difference.recalled-random",
        "second.generate.difference.recalled-random",
        "general.generate.difference.random-base",
        "general.generate.difference.recalled-base",
    ]


# ---- one family ----


def test_holm_counts_every_test_of_the_report() -> None:
    arms = {"base": BASE[None], "one": flip(BASE, 24, 9)[None], "two": flip(BASE, 20, 8)[None]}
    lost = {"base": BASE[None], "one": flip(BASE, 8, 22)[None], "two": flip(BASE, 4, 5)[None]}
    contrasts = (("one", "base"), ("two", "base"))
    trials = [
        Trial(items_of(name=name), {"generate": own}, contrasts, "generate", 2000, 42)
        for name, own in (("q", arms), ("g", lost))
    ]
    report = report_on(trials[0], [Further("general", "forgetting", trials[1])])
    rows = [
        row
        for name in ("generate_contrasts", "general_generate_contrasts")
        for row in find_table(report, name).rows
    ]
    p = [row[2] for row in rows if isinstance(row[2], float)]
    assert len(p) == 4 and [row[5] for row in rows] == pytest.approx(holm(p))
    alone = find_table(report_on(trials[1]), "generate_contrasts").rows
    # Third by rank would be 3 x 0.016, but none is below the smallest, 4 x 0.0135: alone it is called a loss.
    assert alone[0][5] == pytest.approx(2 * p[2]) and alone[0][7] == phrase("finding_worse")
    assert rows[2][5] == pytest.approx(4 * p[0]) and rows[2][7] == phrase("finding_same")
    # Nobody is to read that as no loss: the interval, which is not adjusted, lies below zero.
    assert "one may have lost 7.00 percentage points" in sentence(report, "loss_maybe")
    assert find_table(report, "general_generate_contrasts").notes[0] == phrase("note_family", count=4)
    assert find_table(report_on(trials[0]), "generate_contrasts").notes[0] == phrase("note_contrasts")


def test_three_seeds_speak_of_other_seeds_on_further_exams_too() -> None:
    rng = np.random.default_rng(0)

    def spread_out(*counts: int) -> Floats:
        return np.stack([rng.permutation(first_right(count)) for count in counts])

    arms = {"base": spread_out(100, 102, 104), "new": spread_out(150, 158, 147)}
    lost = {"base": spread_out(150, 152, 154), "new": spread_out(100, 108, 97)}
    trials = [
        Trial(items, {"generate": own}, (("new", "base"),), "generate", 2000, 42)
        for items, own in ((items_of(), arms), (items_of(name="g"), lost))
    ]
    report = report_on(trials[0], [Further("general", "forgetting", trials[1])])
    assert "over items and training seeds" in sentence(report, "loss_worse")
    assert "general.generate.over_seeds.new-base" in report.metrics


# ---- refused and told ----


def test_runs_that_do_not_match_the_main_exam_are_refused_when_the_config_is_read(tmp_path: Path) -> None:
    arms = {"base": [tmp_path / "b"], "new": [tmp_path / "n1", tmp_path / "n2"]}
    for own, message in [
        ({"base": ["x"]}, "arm new has 0 evaluations here and 2 of the main exam"),
        ({"base": ["x"], "new": ["y"]}, "arm new has 1 evaluations here"),
        ({"base": ["x"], "new": ["y", "z"], "odd": ["w"]}, "odd is no arm; known: base, new"),
    ]:
        with pytest.raises(ValidationError, match=f"further_exams.second: {message}"):
            CompareConfig.model_validate(
                {
                    "out": tmp_path,
                    "arms": {arm: [str(run) for run in runs] for arm, runs in arms.items()},
                    "further_exams": {"second": {"purpose": "transfer", "arms": own}},
                }
            )
    with pytest.raises(ValidationError, match="names files too"):
        CompareConfig.model_validate(
            {
                "out": tmp_path,
                "arms": {"base": ["a"], "new": ["b"]},
                "further_exams": {"../x": {"purpose": "transfer", "arms": {"base": ["c"], "new": ["d"]}}},
            }
        )


def pair_of(
    folder: Path, name: str, *, items: Sequence[Item], **told: dict[str, str]
) -> dict[str, list[Input]]:
    """A base and a new run; `told`: the provenance of an arm."""
    return {
        arm: [save(folder / f"{name}-{arm}", right, items=items, provenance=told.get(arm))]
        for arm, right in (("base", BASE), ("new", GAIN))
    }


def compare_pairs(folder: Path, main: dict[str, list[Input]], second: dict[str, list[Input]]) -> Report:
    second_exam = {"purpose": "transfer", "arms": second}
    values = {"out": folder / "out", "arms": main, "further_exams": {"second": second_exam}}
    run(CompareConfig.model_validate(values | {"num_resamples": 1000}))
    return Report.model_validate_json((folder / "out" / "report.json").read_bytes())


def test_shared_items_are_told_and_the_same_exam_again_is_refused(tmp_path: Path) -> None:
    main = pair_of(tmp_path, "main", items=items_of())
    few = pair_of(tmp_path, "few", items=[*items_of(name="s")[:197], *items_of()[197:]])
    report = compare_pairs(tmp_path, main, few)
    assert [fill(warning, "en") for warning in report.warnings] == [
        "3 of the 200 items of second stand in the main exam too; they are no further evidence."
    ]
    with pytest.raises(UserError, match="second: it and the main exam ask the same items"):
        compare_pairs(tmp_path, main, pair_of(tmp_path, "same", items=items_of()))
    with pytest.raises(UserError, match="stands in arm base and again in base of second"):
        compare_pairs(tmp_path, main, main)


def test_a_run_of_another_model_is_refused(tmp_path: Path) -> None:
    models = {arm: {"predict.engine.model": arm, "predict.engine.adapter": "none"} for arm in ("base", "new")}
    main = pair_of(tmp_path, "main", items=items_of(), **models)
    other = items_of(name="s")
    assert compare_pairs(tmp_path, main, pair_of(tmp_path, "right", items=other, **models)).n == N
    turned = {"base": models["new"], "new": models["base"]}
    with pytest.raises(UserError, match=r"run 1 of arm base is not of the model that .*main-base is of"):
        compare_pairs(tmp_path, main, pair_of(tmp_path, "turned", items=other, **turned))


def test_a_way_that_a_further_exam_lacks_is_refused(tmp_path: Path) -> None:
    values = {
        "out": tmp_path / "out",
        "arms": pair_of(tmp_path, "main", items=items_of()),
        "further_exams": {
            "second": {
                "purpose": "transfer",
                "way": "cloze",
                "arms": pair_of(tmp_path, "second", items=items_of(name="s")),
            }
        },
    }
    with pytest.raises(UserError, match="second-base: has no `cloze` scores; ways of all runs: generate"):
        run(CompareConfig.model_validate(values))


def test_warnings_of_further_evaluations_are_repeated(tmp_path: Path) -> None:
    seen = phrase("warn_seen", count=3, n=N)
    second = {
        arm: [save(tmp_path / f"second-{arm}", right, items=items_of(name="s"), warnings=[seen])]
        for arm, right in (("base", BASE), ("new", GAIN))
    }
    report = compare_pairs(tmp_path, pair_of(tmp_path, "main", items=items_of()), second)
    told = [fill(warning, "en") for warning in report.warnings]
    assert [line.partition(" items were")[0] for line in told] == [
        "second: base: This exam's",
        "second: new: This exam's",
    ]
    assert "second.new.1" in report.provenance
