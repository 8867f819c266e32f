"""The data card: it adds up, speaks of licences and privacy, quotes no record, reads in both languages."""

import re
from pathlib import Path

import pytest

from medtune.data.card import card_from, write_card
from medtune.data.card_content import MAX_VALUES
from medtune.data.card_tables import name_source, name_value, size_rows
from medtune.data.clean import RULES
from medtune.data.licences import DUTIES, find_terms, mix_licences, read_terms, say_terms
from medtune.data.statistics import Clusters, DataStatistics, HeldSet, Origin, Tail, Tally
from medtune.lexicon import read_table
from medtune.records import Dialogue, Message, Meta, Phrase, Table
from medtune.reports.phrases import fill

SECRET = "我叫某某某，想问血压的事"
TAIL = "祝您早日康复，生活愉快"


def statistics(*licences: str, deidentified: bool = True) -> DataStatistics:
    tally = Tally()
    ways = [("心血管内科", "low"), ("儿科", "critical"), (None, None)]
    for number, licence in enumerate(licences or ("MIT",) * 8):
        specialty, risk = ways[number % 3]
        told = (
            Message(role="user", content=SECRET),
            Message(role="assistant", content="建议复查。" * (number + 1)),
        )
        meta = Meta.model_validate({"license": licence, "specialty": specialty, "risk": risk})
        tally.add(
            Dialogue(id=str(number), messages=told, meta=meta),
            ("train", "train", "valid", "gold")[number % 4],
        )
    kept = len(licences or "12345678")
    tally.rows = kept + 15
    tally.not_wanted = 4
    tally.dropped = {("clean", "too short"): 6, ("repeats", "duplicate"): 3, ("repeats", "near duplicate"): 2}
    tally.sources = [
        Origin(name="/home/somebody/a.csv", license="MIT", rows=kept + 15, kept=kept, not_wanted=4)
    ]
    tally.encodings = {"/home/somebody/a.csv": "gb18030"}
    tally.personal_data.update({"NAME": 5, "PHONE": 2})
    tally.exact_sizes.update({2: 1, 3: 1})
    tally.near_sizes.update({3: 1})
    tally.tails = [Tail(text=TAIL * 20, count=12)]
    tally.groups = kept
    tally.gold = HeldSet(records=2, pool=("valid", "test"))
    return tally.statistics(seed=42, deidentified=deidentified)


def table(seen: DataStatistics, name: str) -> Table:
    return next(table for table in card_from(seen).tables if table.name == name)


def said(seen: DataStatistics) -> str:
    card = card_from(seen)
    return " ".join(fill(one, "en") for one in (*card.warnings, *card.verdict, *card.details))


# ---- the funnel ----


def test_funnel_leads_from_rows_to_kept_step_by_step() -> None:
    rows = table(statistics(), "funnel").rows
    assert (rows[0][2], rows[-1][2]) == (23, 8)
    left = 23
    for row in rows[1:-1]:
        assert isinstance(row[2], int) and row[2] < 0
        left += row[2]
        assert row[3] == left
    assert left == 8
    assert "23 = 8 kept + 11 dropped + 4 not asked for" in said(statistics())


def test_traits_are_told_by_split_in_their_order_with_unknown_last() -> None:
    risk = table(statistics(), "risk")
    assert [fill(row[0], "en") if isinstance(row[0], Phrase) else row[0] for row in risk.rows] == [
        "low", "critical", "unknown",
    ]  # fmt: skip
    assert all(row[1] == sum(count for count in row[2:] if isinstance(count, int)) for row in risk.rows)


def test_many_values_are_told_together() -> None:
    seen = statistics()
    many = {f"科室{number}": {"train": number} for number in range(1, 61)}
    rows = table(seen.model_copy(update={"tallies": {"specialty": many}}), "specialty").rows
    assert len(rows) == MAX_VALUES + 1 and sum(int(str(row[1])) for row in rows) == sum(range(1, 61))
    assert isinstance(rows[-1][0], Phrase) and fill(rows[-1][0], "en") == "20 others"


def test_duplicate_sets_are_told_by_size() -> None:
    rows = size_rows(Clusters(sizes={2: 4, 3: 1, 8: 2, 500: 1}))
    assert [row[1] for row in rows] == [4, 1, 0, 2, 0, 0, 1]
    assert size_rows(Clusters(sizes={2: 1})) == [("2", 1)]


# ---- privacy ----


def test_card_quotes_no_record_and_no_folder(tmp_path: Path) -> None:
    write_card(statistics(), tmp_path)
    for name in ("card.html", "card.md", "card_zh.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert SECRET[:5] not in text and "建议复查" not in text and "somebody" not in text


def test_card_says_whether_deidentification_ran() -> None:
    ran, did_not = said(statistics()), said(statistics(deidentified=False))
    assert "7 pieces of personal data" in ran and "not all" in ran and "did not run" not in ran
    assert "De-identification did not run" in did_not and "pieces of personal data" not in did_not


def test_endings_are_shown_only_after_deidentification() -> None:
    (shown,), (hidden,) = (table(statistics(deidentified=ran), "tails").rows for ran in (True, False))
    assert str(shown[0]).startswith(TAIL) and str(shown[0]).endswith("…") and len(str(shown[0])) < 40
    assert isinstance(hidden[0], Phrase) and hidden[1] == 12


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/data/of/me/a.csv", "a.csv"),
        (r"C:\data\a.csv", "a.csv"),
        ("../data/", "data"),
        ("hf:owner/name@0123", "hf:owner/name@0123"),
        ("catalog:huatuo", "catalog:huatuo"),
    ],
)
def test_sources_are_named_without_their_folders(name: str, shown: str) -> None:
    assert name_source(name) == shown


# ---- licences ----


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("MIT", "MIT"),
        ("MIT License", "MIT"),
        ("apache-2.0", "Apache 2.0"),
        ("Apache License, Version 2.0", "Apache 2.0"),
        ("CC BY-NC-SA 4.0", "CC BY-NC-SA 4.0"),
        ("cc-by-nc-4.0 International", "CC BY-NC 4.0"),
        ("CC0-1.0", "CC0 1.0"),
        ("GPL-3.0-or-later", "GPL 3.0"),
        ("The Unlicense", "Unlicense"),
    ],
)
def test_licences_are_known_by_usual_spellings(written: str, title: str) -> None:
    terms = find_terms(written)
    assert terms is not None and terms.title == title


@pytest.mark.parametrize("written", ["", "unknown", "other", "Apache-2.0, research", "cc", "my own"])
def test_what_is_not_in_the_table_is_asked_for(written: str) -> None:
    assert find_terms(written) is None
    assert fill(say_terms(None), "en") == "ask the owner before publishing a model trained on it"


def test_names_of_licences_are_unique_and_each_says_what_follows() -> None:
    table = read_table("licences")
    names = [name for key, value in table.items() for name in (key, *value.get("aliases", []))]
    assert len(names) == len(set(names)) == len(read_terms())
    for terms in read_terms().values():
        text = fill(say_terms(terms), "zh")
        assert ("不得商用" in text) == (not terms.commercial) and ("署名" in text) == terms.attribution


def test_in_a_mix_the_strictest_wins_and_is_named() -> None:
    mixed = mix_licences({"MIT": 5, "cc-by-nc-4.0": 1, "cc0": 1})
    text = fill(mixed.verdict, "en")
    assert "no commercial use (CC BY-NC 4.0)" in text and "keep the notice (CC BY-NC 4.0, MIT)" in text
    assert "CC0" not in text and not mixed.warnings
    assert "ask for nothing" in fill(mix_licences({"cc0-1.0": 3}).verdict, "en")
    assert DUTIES[0] == "no_derivatives"


@pytest.mark.parametrize(
    ("licences", "is_warned"),
    [
        (["cc-by-sa-4.0", "mit"], False),
        (["cc-by-sa-4.0", "cc-by-nc-4.0"], True),
        (["cc-by-sa-4.0", "gpl-3.0"], True),
        (["cc-by-nc-sa-4.0", "cc-by-nc-4.0"], False),
    ],
)
def test_share_alike_that_cannot_be_kept_is_warned_of(licences: list[str], is_warned: bool) -> None:
    warnings = [fill(one, "en") for one in mix_licences(dict.fromkeys(licences, 1)).warnings]
    assert any("same licence" in warning for warning in warnings) == is_warned


def test_unknown_licences_are_counted_and_named() -> None:
    (warning,) = mix_licences({"MIT": 5, "unknown": 2, "my own": 3}).warnings
    assert fill(warning, "en").startswith("5 records have no known licence (my own, not stated)")


# ---- pages ----


def test_card_is_written_in_both_languages(tmp_path: Path) -> None:
    write_card(statistics("MIT", "cc-by-nc-4.0", "", "MIT"), tmp_path)
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert page.index("概要") < page.index("In short") and page.count("<svg") >= 8
    assert "no medical" not in page and "neither medical nor legal advice" in page
    chinese = (tmp_path / "card_zh.md").read_text(encoding="utf-8")
    assert "| 清洗 | 过短 | -6 |" in chinese and "心血管内科" in chinese
    english = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert "Cardiology" in english and not re.search("[\u4e00-\u9fff]", english.replace(TAIL * 2, "")[:2000])


def test_same_statistics_make_the_same_card_wherever_it_is_written(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_card(statistics(), tmp_path / name)
    for name in ("card.html", "card.md", "card_zh.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_rules_and_departments_read_in_both_languages() -> None:
    for kind, names in (("reason", RULES), ("specialty", read_table("specialties")["departments"])):
        assert [name for name in names if not isinstance(name_value(kind, name), Phrase)] == []
