"""Words found in one pass, in whatever order they were learnt."""

from medtune.scorers.automaton import build_automaton, by_branch, flat

WORDS = ["头痛", "头", "头晕目眩", "发热", "发", "hiv", "头痛粉", "腹痛"]


def test_the_fullest_branch_comes_first_and_no_word_is_lost() -> None:
    order = by_branch(map(flat, WORDS))
    assert sorted(order) == sorted(map(flat, WORDS))
    heads = [code[:3] for code in order]
    assert [heads.index(flat(sign)[:3]) for sign in ("头", "发", "hiv", "腹")] == [0, 4, 6, 7]


def test_matches_do_not_depend_on_the_order() -> None:
    text = flat("头痛粉治头痛，发热腹痛 hiv")
    one, other = (build_automaton({word: word for word in words}) for words in (WORDS, WORDS[::-1]))
    assert list(one.iter(text)) == list(other.iter(text))
    assert [word for _, word in one.iter_long(text)] == ["头痛粉", "头痛", "发热", "腹痛", "hiv"]
