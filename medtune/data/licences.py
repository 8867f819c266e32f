"""Licences of data in words: what each asks of who publishes a model trained on it, and what a mix asks."""

import re
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter

from medtune.data.facts import UNKNOWN
from medtune.lexicon import read_table
from medtune.records import Phrase
from medtune.reports.phrases import phrase

Duty = Literal["no_derivatives", "no_commerce", "share_alike", "limits", "attribution"]
DUTIES: tuple[Duty, ...] = ("no_derivatives", "no_commerce", "share_alike", "limits", "attribution")
"""What a licence may ask, the strictest first."""
OTHER_SPELLINGS = re.compile(r"^(?:the-)|-(?:licen[cs]e|international|unported|only|or-later|deed)(?=-|$)")


class Terms(BaseModel):
    """A licence of the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    commercial: bool
    attribution: bool
    share_alike: bool
    derivatives: bool
    limits: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def duties(self) -> tuple[Duty, ...]:
        """What it asks, the strictest first."""
        asks: dict[Duty, bool] = {
            "no_derivatives": not self.derivatives,
            "no_commerce": not self.commercial,
            "share_alike": self.share_alike,
            "limits": self.limits,
            "attribution": self.attribution,
        }
        return tuple(duty for duty in DUTIES if asks[duty])


TABLE: TypeAdapter[dict[str, Terms]] = TypeAdapter(dict[str, Terms])


@cache
def read_terms() -> dict[str, Terms]:
    """Every licence by its names."""
    table = TABLE.validate_python(read_table("licences"))
    return {name: terms for key, terms in table.items() for name in (key, *terms.aliases)}


def find_terms(licence: str) -> Terms | None:
    """The licence that goes by this name, None for one that is not in the table."""
    name = re.sub(r"[\s_,()-]+", "-", licence.strip().lower()).strip("-")
    short = OTHER_SPELLINGS.sub("", name)
    known = read_terms()
    return known.get(name) or known.get(short) or known.get(re.sub(r"-(?:v|version-)?(?=\d)", "-", short))


def say_terms(terms: Terms | None) -> Phrase:
    """What follows from a licence, in a sentence."""
    if terms is None:
        return phrase("licence_unknown")
    first = phrase("licence_commerce" if terms.commercial else "licence_no_commerce")
    rest = [phrase(f"licence_{duty}") for duty in terms.duties if duty != "no_commerce"]
    return list_phrases([first, *rest])


class Mixed(NamedTuple):
    """What a set of several licences asks."""

    verdict: Phrase
    warnings: list[Phrase]


def mix_licences(records: Mapping[str, int]) -> Mixed:
    """What follows for all records together, by their number by licence: the strictest wins."""
    found = {licence: find_terms(licence) for licence in records}
    known = {terms.title: terms for terms in found.values() if terms}
    by_duty = {
        duty: [title for title, terms in sorted(known.items()) if duty in terms.duties] for duty in DUTIES
    }
    asked = [
        phrase("licence_by", duty=phrase(f"licence_{duty}"), titles=", ".join(titles))
        for duty, titles in by_duty.items()
        if titles
    ]
    warnings: list[Phrase] = []
    unknown = sorted(licence for licence, terms in found.items() if terms is None)
    if unknown:
        count = sum(records[licence] for licence in unknown)
        names = list_phrases([name_licence(licence) for licence in unknown], between="and_then")
        warnings.append(phrase("warn_licence_unknown", count=count, names=names))
    sharers = by_duty["share_alike"]
    asked_of_all = {duty for duty, titles in by_duty.items() if titles}
    if len(sharers) > 1 or any(asked_of_all - set(known[title].duties) for title in sharers):
        warnings.append(phrase("warn_share_alike", titles=", ".join(sharers)))
    if not known:
        return Mixed(phrase("mix_unknown"), warnings)
    verdict = phrase("mix_asks", duties=list_phrases(asked)) if asked else phrase("mix_free")
    return Mixed(verdict, warnings)


def list_phrases(parts: Sequence[Phrase], *, between: str = "and_also") -> Phrase:
    """The phrases as one, apart by semicolons, or by commas for `and_then`."""
    return reduce(lambda one, other: phrase(between, one=one, other=other), parts)


def name_licence(name: str) -> Phrase:
    """The licence's usual name."""
    terms = find_terms(name)
    is_stated = name not in ("", UNKNOWN)
    return phrase("name", text=terms.title if terms else name) if is_stated else phrase("licence_none")
