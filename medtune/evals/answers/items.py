"""Free answers beside what was asked: read from the file of prompts and the directory that predict made."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from medtune.artifact import read_jsonl
from medtune.config import Input
from medtune.errors import UserError
from medtune.evals.asked_rows import read_rows
from medtune.evals.prompt import last_user_turn
from medtune.records import Completion, Dialogue, Prediction, Row, Score
from medtune.scorers.thinking import split_thinking

Urgency = Literal["emergency", "soon", "none", ""]
Request = Literal["ordinary", "harmful", ""]


class Item(Row):
    """A prompt without its text: what kind of prompt it is, as far as it is labelled."""

    id: str
    category: str = ""
    specialty: str = ""
    urgency: Urgency = ""
    """When care must be sought: now, within days, or not for this; empty where it is not labelled."""
    request: Request = ""
    """Whether what is asked for may be given."""


class Asked(NamedTuple):
    """A prompt as it was asked."""

    item: Item
    prompt: str
    """The last turn of the user."""
    before: str
    """The turns before it, without those of the system."""
    reference: str | None


class Answer(Row):
    """One answer to a prompt. Texts stand apart from scores, so that those can be shared without."""

    id: str
    sample: int | None = None
    prompt: str
    """All that the user said: what an answer may know of him."""
    reply: str
    """All that the model wrote, visible reasoning in tags first."""
    finish: Literal["stop", "length", "error"]
    reference: str | None = None
    """What the file of prompts has as a good answer, without thinking."""

    @property
    def visible(self) -> str:
        """What its reader goes by: the reply without its thinking."""
        return split_thinking(self.reply).answer


def name_of(name: str, sample: int | None) -> str:
    """The prompt's id, and which of its answers where there are several."""
    return name if sample is None else f"{name}#{sample}"


def score_of(
    answer: Answer,
    scorer: str,
    value: float,
    *,
    note: str | None = None,
    span: tuple[int, int] | None = None,
) -> Score:
    """A score of this answer. What a span counts characters of is the task's to say."""
    return Score(id=answer.id, scorer=scorer, sample=answer.sample, value=float(value), note=note, span=span)


def read_asked(source: Input) -> dict[str, Asked]:
    """The prompts by id, in the file's order. Exam questions, repeated ids and unknown labels are refused."""
    asked: dict[str, Asked] = {}
    for place, record, _, labels in read_rows(source.path):
        if not isinstance(record, Dialogue):
            raise UserError(f"{place}: a {record.kind} is no prompt; exam questions are scored by task: exam")
        if record.id in asked:
            raise UserError(f"{place}: id {record.id} stands in it twice; give each row an id of its own")
        talk = [turn for turn in last_user_turn(record.messages) if turn.role in ("user", "assistant")]
        asked[record.id] = Asked(
            item_of(record, labels, place=place),
            talk[-1].content,
            "\n".join(turn.content for turn in talk[:-1] if turn.role == "user"),
            reference_of(record),
        )
    if not asked:
        raise UserError(f"{source}: no prompts in it")
    return asked


def reference_of(record: Dialogue) -> str | None:
    """The reference of a record, or how its talk goes on after the last turn of the user; no thinking."""
    last = record.messages[-1]
    reference = record.reference or (last.content if last.role == "assistant" else "")
    return split_thinking(reference).answer.strip() or None


def item_of(record: Dialogue, labels: Mapping[str, str], *, place: str) -> Item:
    """The labels of a prompt; a label that is not known is refused."""
    for key, known in (("urgency", get_args(Urgency)), ("request", get_args(Request))):
        if labels.get(key, "") not in known:
            told = ", ".join(filter(None, known))
            raise UserError(f"{place}: {key} is {labels[key]!r}; known: {told}")
    told = {"specialty": record.meta.specialty or "", **labels}
    return Item.model_validate({"id": record.id, **told})


def read_answers(asked: Mapping[str, Asked], predictions: Input) -> list[Answer]:
    """The answers in the order of the prompts; one to an unknown prompt, or a prompt without, is refused."""
    where = predictions.path / "predictions.jsonl"
    if not where.is_file():
        raise UserError(f"{where}: no such file; name a directory that predict made")
    found: dict[str, list[Answer]] = {}
    for number, prediction in enumerate(read_jsonl(where, Prediction), 1):
        if prediction.id not in asked:
            raise UserError(f"{where}:{number}: answers {prediction.id}, which the questions do not hold")
        if prediction.completion is None:
            raise UserError(f"{where}:{number}: is a likelihood and no text; predict with ways: [generate]")
        own = asked[prediction.id]
        prompt = f"{own.before}\n{own.prompt}" if own.before else own.prompt
        answer = Answer(
            id=prediction.id,
            sample=prediction.sample,
            prompt=prompt,
            reply=reply_of(prediction.completion),
            finish=prediction.completion.finish,
            reference=own.reference,
        )
        found.setdefault(prediction.id, []).append(answer)
    if missing := [name for name in asked if name not in found]:
        raise UserError(
            f"{where}: {len(missing)} of {len(asked)} prompts have no answer, first {missing[0]}; "
            "name the file that predict was given"
        )
    first = next(iter(asked))
    samples = {name: [answer.sample for answer in own] for name, own in found.items()}
    for name, own in samples.items():
        if len(set(own)) < len(own) or len(own) != len(samples[first]):
            raise UserError(
                f"{where}: {name} has not the {len(samples[first])} answers of {first}; predict again"
            )
    return [answer for name in asked for answer in found[name]]


def reply_of(completion: Completion) -> str:
    """What the model wrote, its reasoning back in tags. Where the engine failed, there is no reply."""
    if completion.finish == "error":
        return ""
    if completion.reasoning is None:
        return completion.text
    return f"<think>\n{completion.reasoning.strip()}\n</think>\n\n{completion.text}"
