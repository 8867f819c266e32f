"""The reports of a mix: what each set gave, or how like a choice its control is."""

from typing import get_args

from medtune.artifact import Counts, digest_of
from medtune.curate.config import MixConfig
from medtune.curate.control import Level
from medtune.records import Cell, Phrase, Report, Table
from medtune.reports.phrases import phrase


def report_on_sets(config: MixConfig, counts: Counts) -> Report:
    """What each set gave, beside what was asked of it."""
    sets: dict[str, Counts] = counts["sets"]
    unit = "tokens" if config.budget_tokens else "records"
    whole = {key: sum(own[key] for own in sets.values()) for key in ("records", "tokens", "repeated")}
    asked = sum(own.share or 0 for own in config.sets.values())
    columns = ["column_set", "column_records", "column_tokens", "column_repeated", "column_set_share"]
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            *(own[key] for key in whole),
            round(own["share"] / asked, 4) if "share" in own else None,
            round(own[unit] / whole[unit], 4),
        )
        for name, own in sets.items()
    ]
    rows.append((phrase("row_sum"), *whole.values(), None, 1.0))
    table = Table(
        name="sets",
        title=phrase("title_mix_sets"),
        columns=(*(phrase(column) for column in columns), phrase("column_set_got")),
        rows=tuple(rows),
        notes=(phrase("note_mix_shares"),),
    )
    told = {"n": whole["records"], "sets": len(sets)}
    verdict = (
        phrase("verdict_mix_tokens", **told, tokens=whole["tokens"])
        if config.budget_tokens
        else phrase("verdict_mix", **told)
    )
    return report_of("title_mix", config, n=whole["records"], verdict=verdict, tables=(table,))


def report_on_control(config: MixConfig, counts: Counts) -> Report:
    """How much the control holds, and how like the choice its records are."""
    told = {"n": counts["chosen"], "like": counts["like_records"], "both": counts["in_both"]}
    verdict = (
        phrase("verdict_control_tokens", **told, tokens=counts["tokens"], like_tokens=counts["like_tokens"])
        if config.tokenizer
        else phrase("verdict_control", **told)
    )
    tables = (tabulate_matches(counts),) if config.match else ()
    return report_of("title_control", config, n=counts["chosen"], verdict=verdict, tables=tables)


def tabulate_matches(counts: Counts) -> Table:
    """How many records stand for one of the choice, by how like it they are."""
    return Table(
        name="matches",
        title=phrase("title_control_matches"),
        columns=(phrase("column_match"), phrase("column_records"), phrase("column_share")),
        rows=tuple(
            (phrase(f"match_{level}"), counts[level], round(counts[level] / counts["chosen"], 4))
            for level in get_args(Level)
        ),
    )


def report_of(title: str, config: MixConfig, *, n: int, verdict: Phrase, tables: tuple[Table, ...]) -> Report:
    """The report of a mix."""
    sources = (*config.files, *([config.like] if config.like else []), *config.decontaminate)
    return Report(
        task="mix",
        n=n,
        title=phrase(title, n=n),
        verdict=(verdict,),
        metrics={},
        tables=tables,
        provenance={str(source): digest_of(source)[:16] for source in sources},
    )
