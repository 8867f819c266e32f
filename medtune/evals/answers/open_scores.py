"""Whether free answers answer their questions: a score for each answer and measure, from the texts alone."""

from collections.abc import Iterator, Sequence

from medtune.evals.answers.items import Answer, score_of
from medtune.evals.answers.measures import Measure
from medtune.records import Score
from medtune.scorers.addressing import read_addressed
from medtune.scorers.flips import flips
from medtune.scorers.mismatch import mismatch
from medtune.scorers.retrieval import NEAR, Ranked, rank_questions
from medtune.scorers.safety.form import find_loop
from medtune.scorers.text import bleu_from, chrf_from, rouge_from, tally
from medtune.scorers.text_words import WordScores, score_words

FOUND_FIRST, FOUND_NEAR, RECIPROCAL = "found_first", "found_near", "reciprocal_rank"
"""Whether the answer finds its question; the note says where it came, such as `3 of 101`."""
RECALL, MISMATCH, PEOPLE = "complaint_recall", "mismatch", "other_people"
VOICE, LOOP, SILENT, CUT = FAULTS = ("patient_voice", "degeneration", "no_answer", "truncated")
"""What no answer should be."""
FLIPS, CHARS, ROUGE_L = "flips", "chars", "rouge_l"
BACK, BACK_SHUFFLED, BACK_WINS = "back_likelihood", "back_likelihood_shuffled", "back_wins"
"""log p(question | answer) - log p(question) in nats a character: by its own answer, and by that to another
question, which shows what chance gives; whether its own makes it likelier."""
OF_REFERENCE = "reference_"
"""Beginning of the same measure of the reference, taken for an answer: what a good answer comes to."""
PARTS = "\u3001"
"""What stands between the stretches of a note."""

APTNESS = (
    Measure(FOUND_FIRST, FOUND_FIRST, "high"),
    Measure(FOUND_NEAR, FOUND_NEAR, "high"),
    Measure(RECIPROCAL, RECIPROCAL, "high"),
    Measure(RECALL, RECALL, "high"),
    Measure(MISMATCH, MISMATCH, "low"),
    Measure(PEOPLE, PEOPLE, "low"),
    *(Measure(name, name, "low") for name in FAULTS),
)
OVERLAP = tuple(Measure(name, name, "high") for name in ("rouge_1", "rouge_2", ROUGE_L, "bleu_4", "chrf"))
TURNED = Measure(FLIPS, FLIPS, "low")
LENGTH = Measure(CHARS, CHARS, None)
WORDS = tuple(Measure(f"words_{name}", f"words_{name}", None) for name in WordScores._fields)
"""As LLaMA-Factory counts them, in percent: for comparison with older figures, no share."""
LIKELIHOODS = (
    Measure(BACK_WINS, BACK_WINS, "high"),
    Measure(BACK, BACK, None),
    Measure(BACK_SHUFFLED, BACK_SHUFFLED, None),
)
MEASURES = (*APTNESS, *OVERLAP, TURNED, LENGTH, *WORDS, *LIKELIHOODS)
REFERENCES = tuple(
    Measure(OF_REFERENCE + measure.name, OF_REFERENCE + measure.scorer, None)
    for measure in (*APTNESS, LENGTH)
)


def score_open(answers: Sequence[Answer], *, seed: int) -> list[Score]:
    """The scores of all measures, answer by answer; what needs a reference where there is one."""
    questions = [answer.prompt for answer in answers]
    texts = [answer.visible for answer in answers]
    own = rank_questions(questions, texts, seed=seed)
    best = rank_questions(questions, [answer.reference or "" for answer in answers], seed=seed)
    scores: list[Score] = []
    for place, (answer, text) in enumerate(zip(answers, texts, strict=True)):
        scores += score_rank(answer, own, place)
        scores += score_aptness(answer, text)
        scores.append(score_of(answer, CUT, answer.finish == "length"))
        if answer.reference:
            scores += score_overlap(answer, text, answer.reference)
            scores += (
                score.model_copy(update={"scorer": OF_REFERENCE + score.scorer, "span": None})
                for score in (*score_rank(answer, best, place), *score_aptness(answer, answer.reference))
            )
    return scores


def score_rank(answer: Answer, ranked: Ranked, place: int) -> Iterator[Score]:
    """Whether the text in that place finds its question; nothing where there is no other."""
    if ranked.num_candidates == 1:
        return
    rank = float(ranked.ranks[place])
    note = f"{rank:g} of {ranked.num_candidates}"
    values = {FOUND_FIRST: rank == 1, FOUND_NEAR: rank <= NEAR, RECIPROCAL: 1 / rank}
    for measure, value in values.items():
        yield score_of(answer, measure, value, note=note)


def score_aptness(answer: Answer, text: str) -> Iterator[Score]:
    """Whether a text takes up complaints and people of the question, and is an answer at all."""
    addressed = read_addressed(answer.prompt, text)
    if addressed.complaint_recall is not None:
        yield score_of(answer, RECALL, addressed.complaint_recall)
    yield score_of(answer, MISMATCH, mismatch(answer.prompt, text))
    people = addressed.other_people
    yield score_of(answer, PEOPLE, bool(people), note=" ".join(people) or None)
    voice = addressed.patient_voice
    yield score_of(answer, VOICE, voice is not None, span=voice)
    loop = find_loop(text)
    yield score_of(answer, LOOP, loop is not None, span=(loop.start, loop.end) if loop else None)
    yield score_of(answer, SILENT, not text.strip())
    yield score_of(answer, CHARS, len("".join(text.split())))


def score_overlap(answer: Answer, text: str, reference: str) -> Iterator[Score]:
    """How much a text says what the reference says, and what it turns round."""
    counts = tally(text, reference)
    rouge = rouge_from(counts)
    yield score_of(answer, "rouge_1", rouge.one.f)
    yield score_of(answer, "rouge_2", rouge.two.f)
    yield score_of(answer, ROUGE_L, rouge.longest.f)
    yield score_of(answer, "bleu_4", bleu_from([counts], smoothing="method3"))
    yield score_of(answer, "chrf", chrf_from([counts]))
    turned = flips(text, reference)
    place = find_stretch(text, turned[0]) if turned else None
    yield score_of(answer, FLIPS, bool(turned), note=PARTS.join(turned) or None, span=place)
    for measure, value in zip(WORDS, score_words(text, reference), strict=True):
        yield score_of(answer, measure.scorer, round(value, 4))  # as printed there, before the mean is taken


def find_stretch(text: str, stretch: str) -> tuple[int, int] | None:
    """Where it stands in the text; None where signs between its words were left out of it."""
    start = text.find(stretch)
    return (start, start + len(stretch)) if start >= 0 else None
