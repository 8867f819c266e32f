"""The sentences of a comparison: what a contrast shows, on the main exam and on further ones."""

from collections.abc import Mapping, Sequence
from itertools import count

from medtune.evals.contrasts import ALPHA, MIN_SEEDS, ChanceCount, Contrast, Further
from medtune.records import Phrase
from medtune.reports.phrases import phrase, say_p
from medtune.reports.wording import word_points
from medtune.scorers.stats import mcnemar

# ---- a contrast ----


def judge(contrast: Contrast) -> Phrase:
    """What a contrast shows, with the interval that this rests on."""
    return phrase(f"contrast_{contrast.finding}", **figures_of(contrast))


def figures_of(contrast: Contrast) -> dict[str, str | int | float | Phrase]:
    """What fills a sentence about a contrast."""
    difference = contrast.decisive.estimate
    return {
        "better": contrast.better,
        "worse": contrast.worse,
        "points": word_points(difference.value),
        "size": f"{abs(100 * difference.value):.2f}",
        "low": word_points(difference.low),
        "high": word_points(difference.high),
        "n": difference.n,
        "basis": say_basis(contrast),
    }


def say_basis(contrast: Contrast) -> Phrase:
    """Over what the interval and p of a finding generalize."""
    return phrase("over_seeds" if contrast.is_general else "over_items")


def explain(contrast: Contrast) -> list[Phrase]:
    """The test behind a finding, whether seeds agree, whom it speaks of, and what could have been shown."""
    return [explain_test(contrast), *explain_models(contrast), *explain_detectable(contrast)]


def explain_test(contrast: Contrast) -> Phrase:
    """The adjusted p, what it speaks of, and whether seeds agree."""
    return phrase(
        "explain_test",
        better=contrast.better,
        worse=contrast.worse,
        p=say_p(contrast.adjusted),
        basis=say_basis(contrast),
        seeds=say_seeds(contrast),
    )


def explain_models(contrast: Contrast) -> list[Phrase]:
    """That other seeds may turn out otherwise, where seeds are too few to say."""
    if len(contrast.pairs) == 1 or contrast.num_seeds >= MIN_SEEDS:
        return []
    return [phrase("explain_models", better=contrast.better, worse=contrast.worse, needed=MIN_SEEDS)]


def explain_detectable(contrast: Contrast) -> list[Phrase]:
    """What could have been shown, where nothing was."""
    if contrast.finding != "same":
        return []
    named = {"better": contrast.better, "worse": contrast.worse}
    return [
        phrase(
            "explain_detectable", **named, n=contrast.difference.n, points=100 * contrast.find_detectable()
        )
    ]


def say_seeds(contrast: Contrast) -> Phrase:
    """How many seed pairs point the way of the mean."""
    if len(contrast.pairs) == 1:
        return phrase("seeds_single")
    differences = [pair.fixed - pair.broken for pair in contrast.pairs]
    key = "seeds_agree" if contrast.num_agreeing == len(contrast.pairs) else "seeds_mixed"
    points = [
        word_points(difference / contrast.difference.n) for difference in (min(differences), max(differences))
    ]
    return phrase(key, count=contrast.num_agreeing, total=len(contrast.pairs), low=points[0], high=points[1])


# ---- arms against guessing ----


def judge_all_chances(chances: Mapping[str, ChanceCount]) -> list[Phrase]:
    """That every arm beats guessing, or the arms of which that cannot be said."""
    below = [arm for arm, count in chances.items() if count.below]
    same = [arm for arm, count in chances.items() if count.above == count.below == 0]
    some = [arm for arm, count in chances.items() if 0 < count.above < count.num_runs and not count.below]
    groups = {"arms_below": below, "arms_same": same, "arms_some": some}
    told = [phrase(key, arms=", ".join(arms)) for key, arms in groups.items() if arms]
    return told or [phrase("arms_above")]


def judge_chance(arm: str, count: ChanceCount) -> Phrase:
    """How an arm's runs stand against guessing."""
    key = (
        "arm_above"
        if count.above == count.num_runs
        else "arm_below"
        if count.below == count.num_runs
        else "arm_same"
        if count.above == count.below == 0
        else "arm_mixed"
    )
    return phrase(key, arm=arm, above=count.above, below=count.below, total=count.num_runs)


# ---- further exams ----


def judge_transfer(exam: str, main: Contrast, here: Contrast) -> Phrase:
    """Whether a gain on the main exam is seen on another one as well."""
    if main.finding != "better":
        return phrase("transfer_none", exam=exam, better=main.better, worse=main.worse, sentence=judge(here))
    return phrase(f"transfer_{here.finding}", exam=exam, **figures_of(here))


def judge_loss(exam: str, contrast: Contrast, base: ChanceCount, *, num_tests: int) -> Phrase:
    """Whether an arm lost what the base knows. A base that guesses has nothing to lose, and is said to."""
    if contrast.finding != "worse" and base.above < base.num_runs:
        return phrase("loss_blind", exam=exam, better=contrast.better, worse=contrast.worse)
    figures = figures_of(contrast)
    if contrast.finding == "same" and contrast.decisive.estimate.high < 0:
        # What many tests at once excuse must not read as no loss.
        return phrase("loss_maybe", exam=exam, p=say_p(contrast.adjusted), count=num_tests, **figures)
    if contrast.finding == "same":
        figures |= {"detectable": 100 * smallest_loss(contrast, num_tests), "count": num_tests}
    return phrase(f"loss_{contrast.finding}", exam=exam, **figures)


def smallest_loss(contrast: Contrast, num_tests: int) -> float:
    """The smallest loss between two runs, as a share of the items, that the strictest of so many tests finds.

    Where few answers changed, power is not what limits it: the test wants so many items broken and none
    fixed before any loss counts.
    """
    fewest = next(broken for broken in count(1) if num_tests * mcnemar(0, broken) < ALPHA)
    return min(1.0, max(contrast.find_detectable(num_tests=num_tests), fewest / contrast.difference.n))


def judge_further(
    exam: Further,
    found: Sequence[Contrast],
    chances: Mapping[str, ChanceCount],
    main: Sequence[Contrast],
    *,
    num_tests: int,
) -> list[Phrase]:
    """What a further exam shows for its purpose, and which of its arms may be guessing."""
    match exam.purpose:
        case "transfer":
            told = [judge_transfer(exam.name, one, here) for one, here in zip(main, found, strict=True)]
        case "forgetting":
            told = [judge_loss(exam.name, one, chances[one.worse], num_tests=num_tests) for one in found]
    guessing = [sentence for sentence in judge_all_chances(chances) if sentence.key != "arms_above"]
    return told + [say_on(exam.name, sentence) for sentence in guessing]


def explain_further(exam: Further, found: Sequence[Contrast]) -> list[Phrase]:
    """The tests behind the sentences, and what neither these nor the main exam's details say already."""
    told = [explain_test(one) for one in found]
    # A sentence on a loss tells what it would have taken; the contrasts of a transfer are the main exam's.
    tell_more = explain_detectable if exam.purpose == "transfer" else explain_models
    told += [sentence for one in found for sentence in tell_more(one)]
    return [say_on(exam.name, sentence) for sentence in told]


def say_on(exam: str, sentence: Phrase) -> Phrase:
    """The sentence, said of another exam than the main one."""
    return phrase("on_exam", exam=exam, sentence=sentence)
