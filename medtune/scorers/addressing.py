"""Whether an answer speaks of what the patient complains of, to the people meant, and as a doctor would."""

from typing import NamedTuple

from medtune.scorers.complaints import read_lexicon, read_matter
from medtune.scorers.relevance import other_people
from medtune.scorers.safety.clauses import read_clauses
from medtune.scorers.safety.form import find_patient_voice
from medtune.scorers.safety.terms import find_terms, narrow
from medtune.scorers.safety.words import shipped_terms

SURE = 0.3
"""From this degree of `other_people` on they are told. On five public sets 1 to 5 % of the real answers reach
it and 8 to 27 % of those to other questions; it is what a pregnancy spoken of twice, unasked, comes to."""

NOBODY = "nobody"
"""What the lexicon calls words that look like a group and are none."""


class Addressed(NamedTuple):
    """What an answer takes up of its question."""

    complaint_recall: float | None
    """Share of the diseases and symptoms that the question names which the answer names too, by any of their
    names; None where the question names none."""
    other_people: tuple[str, ...]
    """Groups of people that the answer speaks to and the question does not name, such as `pregnant`."""
    patient_voice: tuple[int, int] | None
    """Where the answer goes on in the patient's words."""


def read_addressed(question: str, answer: str) -> Addressed:
    """What an answer without its thinking takes up of its question. That something is denied is not read."""
    asked, told = read_matter(question.lower()), read_matter(answer.lower())
    concepts = read_lexicon().concepts
    wanted = [number for number in asked.concepts if concepts[number].is_matter]
    recall = sum(number in told.concepts for number in wanted) / len(wanted) if wanted else None
    is_other = other_people(asked.groups, told.groups) >= SURE
    others = sorted(told.groups.keys() - asked.groups.keys() - {NOBODY}) if is_other else ()
    flags = find_terms(read_clauses(narrow(answer)).text, shipped_terms())[2]
    voice = find_patient_voice(answer, flags)
    return Addressed(recall, tuple(others), (voice.start, voice.end) if voice else None)
