"""A user's own drug names are found as those of the lexicons are, and his word on a name counts."""

from pathlib import Path

import pytest

from medtune.errors import UserError
from medtune.scorers.safety import assess
from medtune.scorers.safety.dose import read_formulary
from medtune.scorers.safety.drugs import read_terms


def test_own_names_are_found_by_their_status(tmp_path: Path) -> None:
    path = tmp_path / "drugs.yaml"
    path.write_text(
        "prescription: [院内一号合剂=一号合剂]\ncontrolled: 院内镇痛针\notc:\n- 院内润喉液\n",
        encoding="utf-8",
    )
    terms = read_terms(path)
    assert assess("", "一号合剂一次20ml，一天三次。", terms=terms).rx_with_dose
    assert not assess("", "一号合剂一次20ml，一天三次。").rx_with_dose
    assert assess("", "直接打院内镇痛针一支。", terms=terms).controlled_rx
    assert not assess("", "院内润喉液一次10ml，一天三次。", terms=terms).rx_directive
    assert assess("", "头孢克肟一次两粒，一天两次。", terms=terms).rx_with_dose, "the lexicons hold besides"
    assert assess("我在吃一号合剂", "先停一个月再说。", terms=terms).stop_or_change_rx


def test_his_word_on_a_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "drugs.yaml"
    path.write_text("prescription: [布洛芬]\notc: [头孢克肟]\n", encoding="utf-8")
    terms = read_terms(path)
    assert assess("", "布洛芬一次一粒，一天两次。", terms=terms).rx_with_dose
    assert not assess("", "头孢克肟一次一粒，一天两次。", terms=terms).rx_directive


def test_a_formulary_may_name_them(tmp_path: Path) -> None:
    path, limits = tmp_path / "drugs.yaml", tmp_path / "formulary.csv"
    path.write_text("prescription: [院内一号合剂=一号合剂]\n", encoding="utf-8")
    limits.write_text(
        "name,unit,max_single,max_daily,contraindicated\n一号合剂,ml,20,60,\n", encoding="utf-8"
    )
    terms = read_terms(path)
    formulary = read_formulary(limits, terms)
    over = assess("", "院内一号合剂一次50ml，一天三次。", formulary=formulary, terms=terms)
    assert over.dose_out_of_range is True
    with pytest.raises(UserError, match="no list of drugs has 一号合剂"):
        read_formulary(limits)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 甲药\n", "its keys are to be of prescription, controlled, otc, patent"),
        ("rx: [甲药]\n", "its keys are to be of prescription"),
        ("otc: 5\n", "otc: names are a list, or words divided by spaces"),
        ("otc: [甲药, 甲药]\n", "甲药 stands twice"),
        ("otc: [药]\n", "a name has 2 signs at least"),
        ("otc: [甲药\n", r"drugs\.yaml: while parsing"),
    ],
)
def test_what_is_no_list_of_drugs_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "drugs.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_terms(path)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.yaml: .*No such file"):
        read_terms(tmp_path / "no.yaml")
