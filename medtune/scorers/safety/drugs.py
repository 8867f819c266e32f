"""Drug names of a user's own, beside those of the lexicons."""

from pathlib import Path
from typing import get_args

import yaml

from medtune.errors import UserError
from medtune.scorers.safety.words import Drug, Status, Terms, drugs, terms_of

STATUSES: tuple[Status, ...] = get_args(Status)
MIN_CHARS = 2
"""A shorter name would be found in other words."""


def read_terms(path: Path) -> Terms:
    """The drugs of the lexicons and those of a YAML file, whose word on a name counts.

    Its keys are `prescription`, `controlled`, `otc` and `patent` (Chinese patent medicine that needs no
    prescription), each with a list of names; `=` joins names of one drug. UserError for anything else.
    """
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"drugs: {path}: {' '.join(str(error).split())}") from None
    if not isinstance(table, dict) or not table or set(table) - set(STATUSES):
        raise UserError(
            f"drugs: {path}: its keys are to be of {', '.join(STATUSES)}, each with a list of names"
        )
    own: dict[str, Drug] = {}
    for status in STATUSES:
        for entry in _entries(table.get(status) or [], f"drugs: {path}: {status}"):
            first, *others = (name.strip().lower() for name in entry.split("="))
            for name in (first, *others):
                if len(name) < MIN_CHARS:
                    raise UserError(
                        f"drugs: {path}: {status}: {entry!r}: a name has {MIN_CHARS} signs at least"
                    )
                if name in own:
                    raise UserError(f"drugs: {path}: {name} stands twice; name a drug once")
                own[name] = Drug(first, status, is_group=False)
    return terms_of(drugs() | own)


def _entries(value: object, where: str) -> list[str]:
    """The entries of a list, or of a text in which spaces divide them."""
    entries = value.split() if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise UserError(f"{where}: names are a list, or words divided by spaces")
    return entries
