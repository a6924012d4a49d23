"""AHP against published vectors (leader and car criteria) and first principles."""

from fractions import Fraction
from pathlib import Path

import pytest

from crm_spark.config.ahp import judgement_matrix, weigh
from crm_spark.config.value import load_value
from crm_spark.errors import ConfigError

CONF = Path(__file__).resolve().parents[1] / "conf"
LEADER = [[1, 4, 3, 7], ["1/4", 1, "1/3", 3], ["1/3", 3, 1, 5], ["1/7", "1/3", "1/5", 1]]
CAR = [[1, 3, 7, 3], ["1/3", 1, 9, 1], ["1/7", "1/9", 1, "1/7"], ["1/3", 1, 7, 1]]


@pytest.mark.parametrize(
    ("judgements", "weights", "ratio"),
    [(LEADER, [0.5476, 0.1266, 0.2699, 0.0559], 0.0439), (CAR, [0.5101, 0.2344, 0.0405, 0.2151], 0.0738)],
    ids=["leader criteria", "car criteria"],
)
def test_published_judgements_give_their_published_weights_and_consistency(judgements, weights, ratio):
    found = weigh("abcd", judgements)
    assert [round(w, 4) for w in found.weights.values()] == weights
    assert round(found.consistency_ratio, 4) == ratio


def test_the_upper_triangle_alone_says_the_same_as_the_full_matrix():
    assert judgement_matrix("abcd", [[4, 3, 7], ["1/3", 3], [5]]) == judgement_matrix("abcd", LEADER)


def test_fractions_are_exact():
    assert judgement_matrix("ab", [["1/3"]]) == ((1, Fraction(1, 3)), (3, 1))


def test_judgements_that_agree_give_back_the_weights_they_were_made_from():
    true = [Fraction(6, 10), Fraction(3, 10), Fraction(1, 10)]
    found = weigh("abc", [[str(a / b) for b in true] for a in true])
    assert list(found.weights.values()) == pytest.approx([0.6, 0.3, 0.1])
    assert found.consistency_ratio == pytest.approx(0, abs=1e-9)


def test_the_revised_table_of_random_indices_gives_a_larger_ratio_for_four_parts():
    assert weigh("abcd", LEADER, "revised").consistency_ratio == pytest.approx(weigh("abcd", LEADER).consistency_ratio * 0.90 / 0.89)


def test_a_circle_of_judgements_is_refused_with_its_ratio_and_a_judgement_to_look_at():
    with pytest.raises(ConfigError) as error:
        weigh(["price", "service", "reach"], [[1, 3, "1/5"], ["1/3", 1, 3], [5, "1/3", 1]])
    assert "consistency ratio 1.58, at most 0.1" in str(error.value)
    assert "look first at 'price' against 'service': it says 3 times as important" in str(error.value)


def test_the_eigenvalue_of_the_circle_is_the_published_one():
    assert round(weigh("abc", [[3, "1/5"], [3]], limit=2).eigenvalue, 5) == 4.83804


def test_the_judgement_to_look_at_is_the_one_that_was_turned_round():
    honest = {"a": 8, "b": 4, "c": 2, "d": 1}
    matrix = [[str(Fraction(x, y)) for y in honest.values()] for x in honest.values()]
    matrix[1][3], matrix[3][1] = "1/4", "4"  # b against d was 4
    with pytest.raises(ConfigError, match=r"look first at 'b' against 'd': it says 0\.25 times"):
        weigh(list(honest), matrix)


@pytest.mark.parametrize(
    ("judgements", "told"),
    [
        ([[1, 3], ["1/2", 1]], "'a' against 'b' is 3 but back 1/2; write 1/3 there"),
        ([[1, 3], [0.3333, 1]], "write 1/3 there"),
        ([[0]], "'a' against 'b' is 0"),
        ([[1, -3], ["-1/3", 1]], "greater than zero"),
        ([[2, 3], ["1/3", 1]], "'a' against 'a' is 2; a part against itself is 1"),
        ([["lots"]], "'lots' is not a number or a fraction"),
        ([["1/0"]], "'1/0' is not a number"),
        ([[1, 2, 3]], "2 parts need 2 rows of 2 judgements, or the upper triangle"),
    ],
)
def test_what_is_no_judgement_matrix_is_refused_in_words(judgements, told):
    with pytest.raises(ConfigError) as error:
        weigh("ab", judgements)
    assert told in str(error.value)


def value_yml(folder: Path, **changes: object) -> Path:
    text = (CONF / "value.yml").read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    (folder / "value.yml").write_text(text)
    return folder


def test_leaf_weights_are_products_down_the_tree_and_sum_to_one():
    weights = load_value(CONF, "none").weights()
    # value 3:1, direct 2:1, current 1:2 -> return rate 3/4 * 2/3 * 1/3
    assert weights["return_rate"] == pytest.approx(3 / 4 * 2 / 3 * 1 / 3)
    assert weights["arpu_prior_3m"] == pytest.approx(3 / 4 * 1 / 3 * 2 / 3)
    assert weights["loyalty"] == pytest.approx(1 / 4 * 1 / 2)
    assert sum(weights.values()) == pytest.approx(1)


def test_contradicting_judgements_stop_the_load_with_file_and_criterion(tmp_path):
    conf = value_yml(tmp_path, circle=("[[2, 3], [2]]", '[[2, "1/7"], [5]]'))
    with pytest.raises(ConfigError, match=r"value\.yml: criteria\.influence: the judgements contradict one another"):
        load_value(conf, "none")


def test_every_fault_of_the_hierarchy_is_told_at_once(tmp_path):
    conf = value_yml(tmp_path, typo=("parts: [loyalty, influence]", "parts: [loyalty, influense]"), grades=("mid: 0.90", "mid: 0.20"))
    with pytest.raises(ConfigError) as error:
        load_value(conf, "none")
    told = str(error.value)
    assert "criteria.indirect.parts: 'influense' is no criterion and no leaf (did you mean 'influence'?)" in told
    assert "'corporate_group' belongs to no criterion below 'value'" in told
    assert "grades: the shares where the grades end must rise" in told


def test_a_source_lays_its_own_currency_over_the_scale(tmp_path):
    conf = value_yml(tmp_path)
    (conf / "sources" / "abroad").mkdir(parents=True)
    (conf / "sources" / "abroad" / "value.yml").write_text("leaves: {arpu: {ceiling: 80}}\n")
    assert load_value(conf, "abroad").leaves["arpu"].ceiling == 80
    assert load_value(conf, "abroad").leaves["loyalty"] == load_value(conf, "none").leaves["loyalty"]
