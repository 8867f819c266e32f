"""What `evaluate` does with free answers: scores by rules, by references or by a judge, and the report."""

from collections.abc import Sequence
from contextlib import closing

from medtune.artifact import Counts
from medtune.engines.base import open_engine
from medtune.evals.answers.back_likelihood import score_back
from medtune.evals.answers.items import Answer, read_answers, read_asked
from medtune.evals.answers.judged import read_judged, score_judged
from medtune.evals.answers.open_scores import score_open
from medtune.evals.answers.safety_scores import assess_all
from medtune.evals.answers.saved import Saved, publish
from medtune.evals.config import EvaluateConfig
from medtune.evals.gating import limits_of
from medtune.evals.provenance import describe, trace, warn_of_lineage
from medtune.evals.saved import Stamp
from medtune.records import Report, Score
from medtune.scorers.safety.dose import read_formulary
from medtune.scorers.safety.drugs import read_terms


def run(config: EvaluateConfig) -> Counts:
    """The figures. Writes scores, prompts without their texts, answers, and the report."""
    asked = read_asked(config.questions)
    answers = read_answers(asked, config.predictions)
    items = {name: own.item for name, own in asked.items()}
    stamp = Stamp(
        task=config.task,
        name=config.name or config.predictions.path.resolve().name,
        warnings=tuple(warn_of_lineage(0, len(asked), trace(config.predictions.path).broken)),
        provenance=describe(config),
        limits=limits_of(config),
        num_resamples=config.num_resamples,
        seed=config.seed,
    )
    saved = Saved([], list(items.values()), answers if config.texts else None, stamp)
    if config.task == "safety":
        terms = read_terms(config.drugs.path) if config.drugs else None
        formulary = read_formulary(config.formulary.path, terms) if config.formulary else None
        assessed = assess_all(answers, items, formulary=formulary, terms=terms)
        saved = saved._replace(scores=assessed.scores, marks=tuple(assessed.marks))
    elif config.task == "open":
        saved = saved._replace(scores=score_questions(answers, config))
    elif config.judgements:
        judged = read_judged(config.judgements, config.predictions)
        told = {
            "warnings": (*stamp.warnings, *judged.warnings),
            "provenance": stamp.provenance | judged.provenance,
        }
        saved = saved._replace(
            scores=score_judged(judged.judgements, answers),
            judgements=tuple(judged.judgements),
            stamp=stamp.model_copy(update=told),
        )
    return tell(publish(saved, config.out), num_answers=len(answers))


def score_questions(answers: Sequence[Answer], config: EvaluateConfig) -> list[Score]:
    """Whether the answers answer; by the base model too, where one is named."""
    scores = score_open(answers, seed=config.seed)
    if config.base:
        with closing(open_engine(config.base, config.runtime)) as engine:
            scores += score_back(answers, engine, seed=config.seed)
    return scores


def tell(report: Report, *, num_answers: int) -> Counts:
    """The counts of the manifest: every figure with its interval."""
    told = {
        name: f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f}, n {estimate.n})"
        for name, estimate in report.metrics.items()
    }
    return {**told, "questions": report.n, "answers": num_answers}
