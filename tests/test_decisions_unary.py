"""What a planner may write into a cell, and what is refused with which words."""

from datetime import date
from decimal import Decimal

import pytest

from crm_spark.decisions.unary import Anything, Between, CellError, Equal, NoneOf, OneOf, parse_cell, points_of

D = Decimal


@pytest.mark.parametrize("cell", ["-", "", "   ", " - "])
def test_a_dash_or_nothing_matches_anything(cell):
    assert all(parse_cell(cell, kind) == Anything() for kind in ("number", "string", "boolean", "date"))


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("12", "number", D(12)),
        ("-0.50", "number", D("-0.5")),
        ("+3", "number", D(3)),
        (".5", "number", D("0.5")),
        ("-.25", "number", D("-0.25")),
        ("0.1", "number", D("0.1")),
        ("mid-high", "string", "mid-high"),
        ('"mid-high"', "string", "mid-high"),
        ("浙江 移动", "string", "浙江 移动"),
        ("incoming from other provinces", "string", "incoming from other provinces"),
        ('"migrant worker, mid-range"', "string", "migrant worker, mid-range"),
        ('"say ""yes"""', "string", 'say "yes"'),
        ('"-"', "string", "-"),
        ('"null"', "string", "null"),
        ("true", "string", "true"),
        ("12", "string", "12"),
        ('""', "string", ""),
        ("true", "boolean", True),
        ("FALSE", "boolean", False),
        ("= 5", "number", D(5)),
        ("= high", "string", "high"),
        ("2025-03-31", "date", date(2025, 3, 31)),
        ('date("2025-03-31")', "date", date(2025, 3, 31)),
        ("null", "number", None),
        ("NULL", "string", None),
        ("null", "boolean", None),
        ("= null", "date", None),
    ],
)
def test_a_literal_is_read_as_the_columns_type(cell, kind, value):
    assert parse_cell(cell, kind) == Equal(value)


def test_numbers_are_exact():
    test = parse_cell("0.1000000000000000055511151231257827", "number")
    assert test == Equal(D("0.1000000000000000055511151231257827")) and test != Equal(D("0.1"))


@pytest.mark.parametrize(
    ("cell", "low", "low_included", "high", "high_included"),
    [
        ("< 12", None, False, D(12), False),
        ("<=12", None, False, D(12), True),
        ("> 12", D(12), False, None, False),
        (">= -1.5", D("-1.5"), True, None, False),
        ("[86..100]", D(86), True, D(100), True),
        ("(86..100]", D(86), False, D(100), True),
        ("[100..150)", D(100), True, D(150), False),
        ("(1..2)", D(1), False, D(2), False),
        ("]1..2[", D(1), False, D(2), False),
        ("]1..2]", D(1), False, D(2), True),
        ("[1..2[", D(1), True, D(2), False),
        ("[ -2.5 .. 0.5 ]", D("-2.5"), True, D("0.5"), True),
        ("[5..5]", D(5), True, D(5), True),
        ("[.5...75)", D("0.5"), True, D("0.75"), False),
        ("> .5", D("0.5"), False, None, False),
    ],
)
def test_comparisons_and_ranges_are_intervals_whatever_the_brackets(cell, low, low_included, high, high_included):
    assert parse_cell(cell, "number") == Between(low, low_included, high, high_included)


def test_dates_have_ranges_too():
    assert parse_cell('[2025-01-01..date("2025-03-31"))', "date") == Between(date(2025, 1, 1), True, date(2025, 3, 31), False)
    assert parse_cell("< 2025-01-01", "date") == Between(None, False, date(2025, 1, 1), False)


@pytest.mark.parametrize(
    ("cell", "low", "low_included", "high", "high_included"),
    [
        ('< "b"', None, False, "b", False),
        ('>="b"', "b", True, None, False),
        ('["a".."f")', "a", True, "f", False),
        (']"a, or so".."f"]', "a, or so", False, "f", True),
    ],
)
def test_texts_in_quotes_have_an_order(cell, low, low_included, high, high_included):
    assert parse_cell(cell, "string") == Between(low, low_included, high, high_included)


def test_a_list_is_any_of_its_parts():
    assert parse_cell('high, "mid-high", null', "string") == OneOf((Equal("high"), Equal("mid-high"), Equal(None)))
    assert parse_cell("< 0, [5..7), 9", "number") == OneOf(
        (Between(None, False, D(0), False), Between(D(5), True, D(7), False), Equal(D(9)))
    )
    assert parse_cell("]1..2[, ]3..4[", "number") == OneOf((Between(D(1), False, D(2), False), Between(D(3), False, D(4), False)))


def test_not_is_none_of_its_parts():
    assert parse_cell("not(low)", "string") == NoneOf((Equal("low"),))
    assert parse_cell("not( low, null )", "string") == NoneOf((Equal("low"), Equal(None)))
    assert parse_cell("not([1..5], > 9)", "number") == NoneOf((Between(D(1), True, D(5), True), Between(D(9), False, None, False)))
    assert parse_cell("!= 3", "number") == parse_cell("not(3)", "number")
    assert parse_cell("not(not(true))", "boolean") == NoneOf((NoneOf((Equal(True),)),))


def test_a_text_that_begins_with_not_is_a_text():
    assert parse_cell("not_anomalous", "string") == Equal("not_anomalous")


def test_the_points_of_a_cell_are_its_end_points():
    assert points_of(parse_cell("not([1..5), null), 9", "number")) == {D(1), D(5), D(9)}
    assert points_of(parse_cell("-", "number")) == frozenset()


@pytest.mark.parametrize(
    ("cell", "kind", "told"),
    [
        ("[3..1]", "number", "starts at 3, after its end 1"),
        ('[1.."b"]', "number", "'\"b\"' is not a number"),
        ("[null..null]", "number", "null cannot bound a range"),
        ("[1..null]", "number", "null cannot bound a range"),
        ("(5..5]", "number", "holds nothing"),
        ("[1..]", "number", "a value is missing"),
        ("[1..5", "number", "the range is not closed"),
        ("[1,5]", "number", "'..' is missing"),
        ("1..5", "number", "'..5' is left over; a range needs brackets"),
        ("< 5 > 3", "number", "'> 3' is left over"),
        ("[1..5] x", "number", "'x' is left over"),
        ("1,000", "number", "'000' is not a number"),
        ("007", "number", "'007' is not a number"),
        ("1e3", "number", "'1e3' is not a number"),
        (".", "number", "'.' is not a number"),
        ("5.", "number", "'5.' is not a number"),
        ("nan", "number", "'nan' is not a number"),
        ("１２", "number", "'１２' is not a number"),
        ("abc", "number", "'abc' is not a number"),
        ('"12"', "number", "'\"12\"' is not a number"),
        ("true", "number", "'true' is not a number"),
        ("1" * 39, "number", "more than 38 digits"),
        ("< null", "number", "null has no order"),
        ("1, -", "number", "a value is missing"),
        ("1,", "number", "a value is missing"),
        ("<", "number", "a value is missing"),
        ("not(1", "number", "')' is missing"),
        ("not()", "number", "a value is missing"),
        ("< high", "string", "a text that is compared stands in quotes"),
        ("[a..b]", "string", "a text that is compared stands in quotes"),
        ('["b".."a"]', "string", "starts at b, after its end a"),
        ('< "b" > "a"', "string", "'> \"a\"' is left over"),
        ("a (b)", "string", "quote a text that holds a comma, bracket or quote"),
        ('a "b"', "string", "quote a text that holds a comma, bracket or quote"),
        ('"open', "string", "a value is missing"),
        ("high，mid-high", "string", "full-width sign ，"),
        ("“high”", "string", "full-width sign"),
        ("yes", "boolean", "'yes' is not true or false"),
        ("> true", "boolean", "needs a number, a date or a text"),
        ("[true..false]", "boolean", "a range needs a number, a date or a text"),
        ("2025-02-30", "date", "not a day of the calendar"),
        ("2025-3-1", "date", "is not a date"),
        ("31.03.2025", "date", "is not a date"),
        ('"2025-03-31"', "date", "is not a date"),
        ('date("2025-03-31")', "number", "is not a number"),
        ('date("2025-03-31")', "string", "is not a text"),
    ],
)
def test_a_malformed_cell_is_refused_with_the_reason(cell, kind, told):
    with pytest.raises(CellError) as error:
        parse_cell(cell, kind)
    assert told in str(error.value)
