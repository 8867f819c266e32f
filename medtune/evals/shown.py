"""What a reader sees of exam items beside their scores: the texts of questions and of free answers."""

from collections.abc import Iterable, Iterator

from medtune.records import Letter, Prediction, Question, Row


class Reply(Row):
    """A free answer as the model gave it."""

    text: str
    reasoning: str | None = None


class Shown(Row):
    """The texts of an item. They stand apart from scores and items, so that those can be shared without."""

    id: str
    stem: str
    case: str | None = None
    options: dict[Letter, str]
    replies: dict[str, Reply]
    """Free answers, by the scorer that read them."""


def show(questions: Iterable[Question], predictions: Iterable[Prediction]) -> Iterator[Shown]:
    """The texts of each question and of the answers to it in the published order of its options."""
    replies: dict[str, dict[str, Reply]] = {}
    for prediction in predictions:
        completion = prediction.completion
        if completion and prediction.order is None:
            reply = Reply(text=completion.text, reasoning=completion.reasoning)
            replies.setdefault(prediction.id, {})[prediction.way] = reply
    for question in questions:
        yield Shown(
            id=question.id,
            stem=question.stem,
            case=question.case,
            options=question.options,
            replies=replies.get(question.id, {}),
        )
