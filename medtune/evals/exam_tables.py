"""The tables of an exam report, one way of answering at a time."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from medtune.evals.exam import PARSED, STATUSES, Item, chance_of
from medtune.records import Cell, Estimate, Phrase, Score, Table, Way
from medtune.reports.phrases import phrase, say_p
from medtune.scorers.stats import average, chi_square_shares, chi_square_uniform, wilson


class Marked(NamedTuple):
    """An item with the score of one way."""

    item: Item
    score: Score

    @property
    def letter(self) -> str | None:
        """The answered letter, None when none of the item's letters was given."""
        answer = self.score.answer
        return answer if answer is not None and answer in set(self.item.labels) else None


def name_way(way: Way) -> Phrase:
    """The way's name for readers."""
    return phrase(f"way_{way}")


def group(marked: Iterable[Marked]) -> dict[str, list[Marked]]:
    """The items by subject, subjects sorted."""
    subjects: dict[str, list[Marked]] = {}
    for mark in marked:
        subjects.setdefault(mark.item.subject, []).append(mark)
    return {subject: subjects[subject] for subject in sorted(subjects)}


def rate(marked: Sequence[Marked]) -> Estimate:
    """The share of right answers."""
    return wilson(sum(mark.score.value == 1 for mark in marked), len(marked))


def measure(way: Way, marked: Sequence[Marked]) -> dict[str, Estimate]:
    """The way's metrics by name."""
    subjects = {subject: rate(part) for subject, part in group(marked).items()}
    metrics = {f"{way}.accuracy": rate(marked), f"{way}.macro": average(list(subjects.values()))}
    metrics |= {f"{way}.accuracy.{subject}": value for subject, value in subjects.items()}
    if way == "generate":
        read = [mark for mark in marked if mark.score.answer is not None]
        metrics["generate.unparsed"] = wilson(len(marked) - len(read), len(marked))
        if read:
            metrics["generate.accuracy_parsed"] = rate(read)
    return metrics


def tabulate(way: Way, marked: Sequence[Marked]) -> list[Table]:
    """The way's tables, accuracy first."""
    single = [mark for mark in marked if not mark.item.is_multiple]
    subjects = group(single)
    tables = [tabulate_accuracy(way, marked)]
    if len(single) < len(marked):
        tables.append(tabulate_kinds(way, marked))
    if way == "generate":
        tables.append(tabulate_statuses(marked))
    if single:
        tables += [tabulate_options(way, single, num_left_out=len(marked) - len(single))]
        tables += [tabulate_confusion(way, single, num_left_out=len(marked) - len(single))]
    if len(subjects) > 1:
        tables += [tabulate_options_by_subject(way, subjects)]
        tables += [tabulate_confusion(way, part, subject=subject) for subject, part in subjects.items()]
    return tables


def tabulate_accuracy(way: Way, marked: Sequence[Marked]) -> Table:
    """Accuracy by subject, of all items (micro) and the mean over subjects (macro)."""
    subjects = group(marked)
    metrics = measure(way, marked)
    rows: list[tuple[Cell, ...]] = [(subject, metrics[f"{way}.accuracy.{subject}"]) for subject in subjects]
    rows += [
        (phrase("row_micro"), metrics[f"{way}.accuracy"]),
        (phrase("row_macro"), metrics[f"{way}.macro"]),
    ]
    chance = sum(chance_of(mark.item) for mark in marked) / len(marked)
    clusters = len({mark.item.cluster for mark in marked})
    notes = [phrase("note_accuracy", chance=chance)]
    if clusters < len(marked):
        notes.append(phrase("note_clusters", clusters=clusters, n=len(marked)))
    return Table(
        name=f"{way}_accuracy",
        title=phrase("title_accuracy", way=name_way(way)),
        columns=(phrase("column_subject"), phrase("column_accuracy")),
        rows=tuple(rows),
        notes=tuple(notes),
        chart="intervals",
        reference=chance,
        section=name_way(way),
    )


def tabulate_kinds(way: Way, marked: Sequence[Marked]) -> Table:
    """Single- and multi-answer items apart; the latter count as right only when the whole set is."""
    multiple = [mark for mark in marked if mark.item.is_multiple]
    single = [mark for mark in marked if not mark.item.is_multiple]
    rows: list[tuple[Cell, ...]] = [(phrase("row_multiple"), rate(multiple))]
    return Table(
        name=f"{way}_kinds",
        title=phrase("title_kinds"),
        columns=(phrase("column_kind"), phrase("column_accuracy")),
        rows=((phrase("row_single"), rate(single)), *rows) if single else tuple(rows),
        section=name_way(way),
    )


def tabulate_statuses(marked: Sequence[Marked]) -> Table:
    """How the free answers could be read; every status counts against all n."""
    counts = Counter(mark.score.note or "none" for mark in marked)
    n, parsed = len(marked), [mark for mark in marked if mark.score.answer is not None]
    rows: list[tuple[Cell, ...]] = [
        (phrase(f"status_{status}"), wilson(counts[status], n))
        for status in STATUSES
        if counts[status] or status in PARSED
    ]
    notes = [phrase("note_unparsed", count=n - len(parsed), n=n)]
    if parsed:
        right = rate(parsed)
        notes.append(phrase("note_parsed", value=right.value, count=right.count or 0, n=right.n))
    return Table(
        name="generate_statuses",
        title=phrase("title_statuses"),
        columns=(phrase("column_status"), phrase("column_share")),
        rows=tuple(rows),
        notes=tuple(notes),
        section=name_way("generate"),
    )


def letters_of(marked: Iterable[Marked]) -> list[str]:
    """Every letter that is an option somewhere, in order."""
    return sorted({letter for mark in marked for letter in mark.item.labels})


def tabulate_options(way: Way, single: Sequence[Marked], *, num_left_out: int) -> Table:
    """Accuracy by right letter, how often each letter was answered, and whether either is more than noise."""
    letters = letters_of(single)
    predicted = Counter(mark.letter for mark in single)
    rows: list[tuple[Cell, ...]] = []
    rates: list[Estimate | None] = []
    for letter in letters:
        of_gold = [mark for mark in single if mark.item.gold == letter]
        of_answer = [mark for mark in single if mark.letter == letter]
        rates.append(rate(of_gold) if of_gold else None)
        precision = rate(of_answer) if of_answer else None
        rows.append((letter, len(of_gold), rates[-1], predicted[letter], precision))
    answered = [mark.item for mark in single if mark.letter]
    expected = [sum(1 / len(item.labels) for item in answered if letter in item.labels) for letter in letters]
    even = chi_square_uniform([predicted[letter] for letter in letters], expected)
    key = chi_square_uniform(
        [sum(mark.item.gold == letter for mark in single) for letter in letters],
        [
            sum(1 / len(mark.item.labels) for mark in single if letter in mark.item.labels)
            for letter in letters
        ],
    )
    favourite = max(letters, key=lambda letter: (predicted[letter], -ord(letter)))
    spread = "note_letters_uneven" if even.p < 0.05 else "note_letters_even"
    notes = [
        phrase(
            spread,
            chi=even.statistic,
            freedom=even.freedom,
            p=say_p(even.p),
            letter=favourite,
            key=say_p(key.p),
        ),
        say_heterogeneity([rate for rate in rates if rate]),
    ]
    if num_left_out:
        notes.append(phrase("note_multiple_left_out", count=num_left_out))
    columns = ("column_letter", "column_gold", "column_recall", "column_answered", "column_precision")
    return Table(
        name=f"{way}_options",
        title=phrase("title_options"),
        columns=tuple(phrase(column) for column in columns),
        rows=tuple(rows),
        notes=tuple(notes),
        section=name_way(way),
    )


def say_heterogeneity(rates: Sequence[Estimate]) -> Phrase:
    """Whether accuracies by letter differ by more than chance."""
    test = chi_square_shares([rate.count or 0 for rate in rates], [rate.n for rate in rates])
    return phrase("note_options_differ" if test.p < 0.05 else "note_options_alike", p=say_p(test.p))


def tabulate_options_by_subject(way: Way, subjects: Mapping[str, Sequence[Marked]]) -> Table:
    """Accuracy by right letter within each subject."""
    letters = letters_of(mark for part in subjects.values() for mark in part)
    rows: list[tuple[Cell, ...]] = []
    for subject, part in subjects.items():
        by_letter = [[mark for mark in part if mark.item.gold == letter] for letter in letters]
        rates = [rate(marks) if marks else None for marks in by_letter]
        told = [one for one in rates if one]
        p = chi_square_shares([one.count or 0 for one in told], [one.n for one in told]).p
        rows.append((subject, *rates, p))
    return Table(
        name=f"{way}_options_by_subject",
        title=phrase("title_options_by_subject"),
        columns=(
            phrase("column_subject"),
            *(phrase("column_option", letter=letter) for letter in letters),
            phrase("column_p_options"),
        ),
        rows=tuple(rows),
        notes=(phrase("note_p_options"),),
        section=name_way(way),
        is_detail=True,
    )


def tabulate_confusion(
    way: Way, single: Sequence[Marked], *, subject: str | None = None, num_left_out: int = 0
) -> Table:
    """Right letter by answered letter, with a column for answers without one; rows sum to their items."""
    letters = letters_of(single)
    pairs = Counter((mark.item.gold, mark.letter) for mark in single)
    rows = tuple((gold, *(pairs[gold, answer] for answer in (*letters, None))) for gold in letters)
    return Table(
        name=f"{way}_confusion" + (f"_{subject}" if subject is not None else ""),
        title=phrase("title_confusion_of", subject=subject)
        if subject is not None
        else phrase("title_confusion"),
        columns=(
            phrase("column_confusion"),
            *(phrase("column_letter_is", letter=letter) for letter in letters),
            phrase("column_unparsed"),
        ),
        rows=rows,
        notes=(phrase("note_multiple_left_out", count=num_left_out),) if num_left_out else (),
        chart="heatmap",
        section=name_way(way),
        is_detail=subject is not None,
    )


def tabulate_baselines(items: Sequence[Item]) -> Table:
    """What guessing and always answering the commonest letter would reach."""
    chance = sum(chance_of(item) for item in items) / len(items)
    golds = Counter(item.gold for item in items if not item.is_multiple)
    rows: list[tuple[Cell, ...]] = [(phrase("row_random"), phrase("share", value=chance))]
    if golds:
        letter = min(golds, key=lambda gold: (-golds[gold], gold))
        share = phrase("share_of", value=golds[letter] / len(items), count=golds[letter], n=len(items))
        rows.append((phrase("row_constant", letter=letter), share))
    return Table(
        name="baselines",
        title=phrase("title_baselines"),
        columns=(phrase("column_baseline"), phrase("column_accuracy")),
        rows=tuple(rows),
        section=phrase("section_exam"),
    )
