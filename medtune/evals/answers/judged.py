"""What a judge said of answers, as scores: taken from the directory that judge made of them."""

from collections.abc import Sequence
from typing import NamedTuple

from medtune.artifact import digest_of, read_jsonl, read_manifest
from medtune.config import Input
from medtune.errors import UserError
from medtune.evals.answers.items import Answer, score_of
from medtune.evals.answers.measures import Measure
from medtune.evals.judgements import SCORER, Judgement, by_answer, scores_from
from medtune.records import Phrase, Report, Score

MEASURES = (
    Measure("judge_score", SCORER, "high"),
    Measure("judge_critical", "judge_critical", "low"),
    Measure("judge_error", "judge_error", "low"),
)


class Judged(NamedTuple):
    """What stands in a directory that judge made."""

    judgements: list[Judgement]
    warnings: tuple[Phrase, ...]
    """What its report warns of, such as a judge that nobody calibrated."""
    provenance: dict[str, str]
    """Who judged, by which rubric and words."""


def read_judged(folder: Input, predictions: Input) -> Judged:
    """The judgements; those of other predictions, or of pairs, are refused."""
    manifest = read_manifest(folder.path)
    if not manifest or manifest.command != "judge":
        what = f"was made by {manifest.command}" if manifest else "was not made by medtune"
        raise UserError(f"judgements: {folder}: {what}; name a directory that judge made")
    if "against" in manifest.inputs:
        raise UserError(f"judgements: {folder}: judged pairs, which have no scores; see its own report")
    if manifest.inputs["predictions"] != digest_of(predictions):
        raise UserError(f"judgements: {folder}: judged other predictions than {predictions}; judge these")
    report = Report.model_validate_json((folder.path / "report.json").read_bytes())
    told = {f"judge.{key}": value for key, value in report.provenance.items() if key != "predictions"}
    return Judged(list(read_jsonl(folder.path / "judgements.jsonl", Judgement)), report.warnings, told)


def score_judged(judgements: Sequence[Judgement], answers: Sequence[Answer]) -> list[Score]:
    """For each answer: its score where every criterion has a verdict, whether a critical one failed, and
    whether the judge left one open. An answer that was not judged is refused.
    """
    scored = {(score.id, score.sample): score for score in scores_from(judgements)}
    grouped = by_answer(judgements)
    scores: list[Score] = []
    for answer in answers:
        place = answer.id, answer.sample
        if place not in grouped:
            raise UserError(f"judgements: none of answer {answer.id}; judge the same file of questions")
        own = scored.get(place)
        scores.append(score_of(answer, "judge_error", own is None))
        if own:
            scores.append(own)
        if own and any(judgement.critical for judgement in grouped[place]):
            is_critical = float(own.rule is not None)
            scores.append(own.model_copy(update={"scorer": "judge_critical", "value": is_critical}))
    return scores
