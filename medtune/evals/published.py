"""Scores rebuilt from a published confusion matrix, so that its figures can be recomputed and compared."""

from collections.abc import Sequence
from typing import NamedTuple

from medtune.errors import UserError
from medtune.evals.exam import Item
from medtune.records import Score, Way, content_id


class Rebuilt(NamedTuple):
    """Scores with the items that they belong to."""

    scores: list[Score]
    items: list[Item]


def scores_from_matrix(
    matrix: Sequence[Sequence[int]], *, subject: str, stated_n: int, way: Way = "generate"
) -> Rebuilt:
    """One score and item for each count of a square matrix, rows = right letter, columns = answered letter.

    Rows may carry one column more, the unparsed answers. A matrix that does not add up to `stated_n` is
    refused: some systems leave unparsed answers out of it.
    """
    size, total = len(matrix), sum(sum(row) for row in matrix)
    labels = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:size]
    if any(len(row) not in (size, size + 1) or min(row) < 0 for row in matrix):
        raise UserError(
            f"{subject}: a row of the matrix does not hold {size} counts, or one more for unparsed answers"
        )
    if total != stated_n:
        raise UserError(
            f"{subject}: the matrix holds {total} answers, {stated_n} are stated; add the unparsed column"
        )
    rebuilt = Rebuilt([], [])
    for gold, row in zip(labels, matrix, strict=True):
        for answer, count in zip((*labels, None), (*row, 0)[: size + 1], strict=True):
            for number in range(count):
                name = content_id("published", subject, gold, answer, number)
                right, note = float(answer == gold), "ok" if answer else "none"
                rebuilt.scores.append(
                    Score(
                        id=name,
                        scorer=way,
                        value=right,
                        answer=answer,
                        gold=gold,
                        note=note if way == "generate" else None,
                    )
                )
                rebuilt.items.append(
                    Item(id=name, subject=subject, cluster=name, is_multiple=False, labels=labels, gold=gold)
                )
    return rebuilt
