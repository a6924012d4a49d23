"""The linter: what it finds, and that it finds nothing that is not there."""

import shutil
from dataclasses import replace
from datetime import date
from itertools import product

import pytest

from crm_spark.config.decisions import DecisionSettings, DerivedSpec
from crm_spark.decisions.__main__ import main
from crm_spark.decisions.lint import lint
from crm_spark.decisions.table import MatrixSet
from crm_spark.errors import ConfigError
from tests.decision_support import CONF, planners_folder, read_matrices, shipped, table, write_matrix

DAY = date(2025, 3, 31)
SHARE = "table (r1): on_net_call_share is a share between 0 and 1, the cell says"
PERCENT = "table (r1): return_rate goes from 0 to 100, the cell says"
XY = {"x": "number", "y": "number"}


def found(*matrices, policies=None):
    return [str(f) for f in lint(MatrixSet(matrices, policies or {}, DecisionSettings()), [DAY])]


def test_a_rule_that_others_cover_together_never_answers():
    covered = table("FIRST", XY, {"x": "< 5"}, {"x": "[5..9]"}, {"x": "[2..7]", "y": "> 0"}, default={"give": "0"})
    assert found(covered) == ["error: table (r3): never answers: r1, r2 come before it wherever it fires; for example x = 2, y > 0"]


def test_a_rule_that_answers_somewhere_is_left_alone():
    assert found(table("FIRST", XY, {"x": "< 5"}, {"x": "[5..9]"}, {"x": "[2..7], null", "y": "> 0"}, default={"give": "0"})) == []
    assert found(table("RULE ORDER", XY, {"x": "< 5"}, {"x": "< 3"})) == []


def test_of_a_matrix_without_a_grid_pairs_of_rules_are_looked_at(monkeypatch):
    monkeypatch.setattr("crm_spark.decisions.compile.MOST_CELLS", 1)
    told = "have too many end points to look for gaps, and for rules that several others hide together"
    rules = {"x": "< 5"}, {"x": "[5..9]"}, {"x": "[2..7]", "y": "> 0"}, {"x": "< 3", "y": "> 1"}, {"y": "null"}
    assert found(table("FIRST", XY, *rules)) == [
        "error: table (r4): never answers: r1 comes before it wherever it fires; for example x = 2, y > 1",
        f"warning: table (r5): and 4 more {told}; for example y without a value",
    ]
    assert found(table("RULE ORDER", XY, *rules)) == [], "all rules that fire answer"
    ranked = replace(table("PRIORITY", {"x": "number"}, {"x": "< 3"}, {"x": "< 5"}), output_values={"give": ("2", "1")})
    assert found(ranked) == [
        "error: table (r1): never answers: r2 comes before it wherever it fires; for example x < 3",
        f"warning: table (r2): and 1 more {told}; for example x = 3",
    ]


@pytest.mark.parametrize("hit_policy", ["FIRST", "RULE ORDER", "ANY"])
def test_a_rule_that_no_value_can_meet_never_fires(hit_policy):
    told = "error: table (r1): never fires: no value meets its conditions; no customer can fall in"
    assert told in found(table(hit_policy, XY, {"x": "not(< 5, >= 5, null)"}, {"x": "< 3"}, {"x": "[3..9]", "y": "> 0"}, default={"give": "0"}))


def test_by_priority_a_rule_of_a_lower_rank_may_never_answer():
    ranked = replace(table("PRIORITY", {"x": "number"}, {"x": "< 3"}, {"x": "< 5"}, {"x": "-"}), output_values={"give": ("2", "1", "3")})
    assert found(ranked) == ["error: table (r1): never answers: r2 come before it wherever it fires; for example x < 3"]


def test_gaps_are_counted_over_what_a_customer_can_be():
    text = {"s": "string", "x": "number"}
    gappy = replace(table("FIRST", text, {"s": "high", "x": ">= 0"}, {"s": "low", "x": "> 7"}), allowed={"s": ("high", "low")})
    # s: high, low, NULL; x: from 0 to 7, above, NULL. The rules take (high, both) and (low, above).
    assert found(gappy) == [
        "warning: table (r1, r2): 6 of 9 kinds of customers meet no rule, and there is no default; the rows named miss the example by least; "
        "for example s without a value, x without a value"
    ]
    assert found(replace(gappy, hit_policy="RULE ORDER")) == [], "a list may be empty"
    whole = table("FIRST", {"b": "boolean"}, {"b": "true, false"}, {"b": "null"})
    assert found(whole) == []


def test_gaps_of_the_published_example():
    """Four boxes over unbounded numbers: 255 atoms, 140 of them in none (here with classes of atoms, and NULL apart)."""
    boxes = [((0, 4), (0, 2)), ((1, 3), (5, 6)), ((2, 5), (1, 4)), ((6, 7), (0, 3))]
    matrix = table("ANY", XY, *({"x": f"[{a}..{b}]", "y": f"[{c}..{d}]"} for (a, b), (c, d) in boxes))
    (told,) = found(replace(matrix, outputs={}))
    halves = [i / 2 for i in range(-1, 20)]
    alike = {}  # points that lie in the same boxes' sides are of one kind
    for x, y in product(halves, halves):
        if x >= 0 and y >= 0:
            sides = tuple(a <= x <= b for (a, b), _ in boxes), tuple(c <= y <= d for _, (c, d) in boxes)
            alike[sides] = any(p and q for p, q in zip(*sides, strict=True))
    across, along = {s for s, _ in alike}, {t for _, t in alike}
    kinds = (len(across) + 1) * (len(along) + 1)  # NULL is a kind of its own
    outside_x, outside_y = (False,) * 4 in across, (False,) * 4 in along
    kinds -= (len(along) + 1) * outside_x + (len(across) + 1 - outside_x) * outside_y  # NULL and what lies outside every box are not told apart
    assert told.startswith(f"warning: table (r1, r2, r3): {kinds - sum(alike.values())} of {kinds} kinds of customers meet no rule")


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        ("on_net_call_share", "> 86", f"error: {SHARE} 86; no customer can fall in"),
        ("on_net_call_share", "[0.2..86]", f"error: {SHARE} 86; for example on_net_call_share = 0.2"),
        ("on_net_call_share", "<= 30, null", f"error: {SHARE} 30; for example on_net_call_share < 30"),
        ("on_net_call_share", "> 0.86", None),
        ("on_net_call_share", "[0..1]", None),
        ("return_rate", "> 0.86", f"warning: {PERCENT} 0.86 (is a share meant?); for example return_rate > 0.86"),
        ("return_rate", "(0.86..1]", f"warning: {PERCENT} 0.86 (is a share meant?); for example return_rate = 1"),
        ("return_rate", "[0..0.3), (86..100]", f"warning: {PERCENT} 0.3 (is a share meant?); for example return_rate = 0"),
        ("return_rate", "not([.5..1])", f"warning: {PERCENT} 0.5 (is a share meant?); for example return_rate < 0.5"),
        ("return_rate", "> 86", None),
        ("return_rate", "[0.5..100], 0, 1", None),
        ("return_rate", "> 8600", f"error: {PERCENT} 8600; no customer can fall in"),
        ("return_rate", "[86..8600]", f"error: {PERCENT} 8600; for example return_rate = 86"),
        ("churn_score", "> 320", "error: table (r1): churn_score goes from 0 to 100, the cell says 320; no customer can fall in"),
        ("return_rate_trend_3m", "> 320", None),
        ("ext_contract_value", "> 320", None),
    ],
)
def test_units_that_are_mixed_up(column, cell, told):
    assert found(table("RULE ORDER", {column: "number"}, {column: cell})) == ([told] if told else [])


def test_policies_that_are_out_of_date_or_never_proposed():
    old, new, idle = (p for p in list(shipped().policies.values())[:3])
    policies = {"OLD": replace(old, valid_to=date(2025, 2, 28)), "NEW": replace(new, valid_to=DAY), "IDLE": replace(idle, valid_to=DAY)}
    matrix = table("RULE ORDER", {"x": "number"}, {"x": "> 1"}, {"x": "> 2"}, {"x": "> 3"})
    proposing = [replace(r, outputs={"candidates": c}) for r, c in zip(matrix.rules, ("OLD", "OLD,NEW", "NEW"), strict=True)]
    assert found(replace(matrix, rules=tuple(proposing)), policies=policies) == [
        "error: table (r1): proposes nothing that is valid on 2025-03-31: OLD expired; for example x = 2",
        "warning: table (r2): proposes OLD expired (on 2025-03-31); for example x = 3",
        f"warning: policies (IDLE): no rule of any table proposes it (goal {idle.goal}); no customer can fall in",
    ]


def test_policies_of_a_default_are_looked_at_as_those_of_a_rule():
    old = next(iter(shipped().policies.values()))
    policies = {"OLD": replace(old, valid_to=date(2025, 2, 28))}
    told = "proposes nothing that is valid on 2025-03-31: OLD expired"
    some = table("FIRST", {"x": "number"}, {"x": "> 1"}, default={"candidates": "OLD"})
    assert found(some, policies=policies) == [f"error: table (default): {told}; for example x = 1"]
    nobody = table("FIRST", {"x": "number"}, {"x": "> 1"}, {"x": "<= 1, null"}, default={"candidates": "OLD"})
    assert found(nobody, policies=policies) == ["warning: table (default): proposes OLD expired (on 2025-03-31); no customer can fall in"]
    unknown = table("FIRST", {"x": "number"}, {"x": "> 1"}, default={"candidates": "NEW"})
    assert found(unknown) == ["error: table (default): proposes NEW, which the policies do not have; for example x = 1"]


def test_an_unknown_policy_of_a_default_is_refused_by_name(tmp_path):
    folder = planners_folder(tmp_path)
    yml = "question: q\ngoal: retention\nhit_policy: FIRST\ninputs: {value: number}\noutputs: {main_policy: policy}\ndefault: {main_policy: PREPAY_100_GET_206}\n"
    write_matrix(folder, "retention", "rule,value,main_policy\na,> 1,PREPAY_100_GET_260\n", yml)
    with pytest.raises(ConfigError, match=r"retention.yml: default.main_policy: unknown policy 'PREPAY_100_GET_206'"):
        read_matrices(folder)


def test_a_wording_with_a_placeholder_would_reach_the_customer_as_it_stands():
    policy = replace(next(iter(shipped().policies.values())), wording="{tenure_mnths} months with us, {name}: thank you", valid_to=DAY)
    matrix = table("FIRST", {"x": "number"}, {"x": "> 1"}, {"x": "> 0"})
    proposing = replace(matrix, rules=(matrix.rules[0], replace(matrix.rules[1], outputs={"candidates": "P"})), default=matrix.rules[0])
    told = "error: policies (P): the wording says {name}, {tenure_mnths}, and it is said word for word: nothing is filled in"
    assert found(proposing, policies={"P": policy}) == [f"{told}; for example x = 1"]
    assert found(proposing, policies={"P": replace(policy, wording="Thank you }")})[0].startswith("error: policies (P): the wording says },")


def test_rules_that_the_allowed_values_cannot_meet_are_told():
    status = {"status": "string", "x": "number"}
    matrix = table("RULE ORDER", status, {"status": "not(active, closed)"}, {"status": "active"}, {"status": "null", "x": "> 1"})
    told = "warning: table (r1): never fires as long as status is one of active, closed, or without a value; no customer can fall in"
    assert found(replace(matrix, allowed={"status": ("active", "closed")})) == [told]
    assert found(replace(matrix, allowed={"status": ("active", "closed", "suspended")})) == []
    assert found(matrix) == []
    ordered = table("RULE ORDER", {"s": "string"}, {"s": '> "m"'}, {"s": '< "m"'})
    (told,) = found(replace(ordered, allowed={"s": ("a", "b")}))
    assert told == "warning: table (r1): never fires as long as s is one of a, b, or without a value; no customer can fall in"


def test_a_rule_that_the_allowed_values_leave_nothing_for_is_told():
    matrix = table("FIRST", {"s": "string"}, {"s": "high, null"}, {"s": "low"}, {"s": "-"})
    assert found(matrix) == []
    assert found(replace(matrix, allowed={"s": ("high", "low")})) == [
        "warning: table (r3): never answers a customer as there can be: r1, r2 come before it for each; for example s = high"
    ]


@pytest.mark.parametrize(
    ("column", "is_told"), [("total_minutes_trend_3m", True), ("ext_balance", True), ("made", True), ("arpu_yuan_mean_3m", True), ("total_minutes", False)]
)
def test_gaps_below_0_are_found_where_a_number_may_be_negative(column, is_told):
    matrix = replace(table("FIRST", {column: "number"}, {column: "[0..5)"}, {column: ">= 5, null"}), derived={"made": DerivedSpec("a - b", "number")})
    told = "warning: table (r1, r2): 1 of 3 kinds of customers meet no rule, and there is no default; the rows named miss the example by least"
    assert found(matrix) == ([f"{told}; for example {column} < 0"] if is_told else [])


@pytest.mark.parametrize(("cells", "example"), [(("high", "low"), None), (("high", "not(low)"), "s = high"), (('< "m"', '> "f"'), 's in ("f".."m")')])
def test_rules_that_may_not_fire_together_are_named_with_a_customer_of_both(cells, example):
    matrix = table("UNIQUE", {"s": "string"}, {"s": cells[0]}, {"s": cells[1]}, {"s": "null"}, default={"give": "0"})
    told = f"error: table (r1, r2): fire together, which hit_policy UNIQUE forbids; for example {example}"
    assert found(matrix) == ([told] if example else [])

GAP = "kinds of customers meet no rule, and there is no default; the rows named miss the example by least"
MONTHS, GIGABYTES = {"tenure_months": 0}, {"data_gigabytes": 2}


@pytest.mark.parametrize(
    ("column", "scales", "cells", "told"),
    [
        ("tenure_months", MONTHS, ("[0..11]", ">= 12"), None),
        ("tenure_months", MONTHS, ("[0..11.5)", "> 11.5"), None),
        ("tenure_months", MONTHS, ("[0..11]", ">= 13"), "tenure_months in (11..13)"),
        ("tenure_months", MONTHS, ("< 11.2", "> 11.8"), None),
        ("tenure_months", {}, ("[0..11]", ">= 12"), "tenure_months in (11..12)"),
        ("data_gigabytes", GIGABYTES, ("[0..99.99]", ">= 100"), None),
        ("data_gigabytes", GIGABYTES, ("[0..99.98]", ">= 100"), "data_gigabytes in (99.98..100)"),
        ("data_gigabytes", GIGABYTES, ("< -5", ">= 0"), None),
        ("data_gigabytes", GIGABYTES, ("< -5", ">= 0.01"), "data_gigabytes in (-5..0.01)"),
        ("data_gigabytes", GIGABYTES, ("< -5", "> 0.01"), "data_gigabytes = 0.01"),
        ("return_rate_3q", {}, ("[0..86]", "(86..100]"), None),
        ("return_rate_3q", {}, ("[0..86]", "(86..100)"), "return_rate_3q = 100"),
        ("weekend_call_share", {}, ("[0..0.5)", "[0.5..1]"), None),
        ("weekend_call_share", {}, ("[0..0.5)", "[0.5..0.9]"), "weekend_call_share > 0.9"),
        ("data_gigabytes_trend_3m", {}, ("< -5", ">= 0"), "data_gigabytes_trend_3m = -5"),
        ("ext_lines", {"ext_lines": 0}, ("< -5", "> -5"), "ext_lines = -5"),
        ("ext_lines", {"ext_lines": 0}, ("< -4", "> -5"), None),
    ],
)
def test_gaps_are_values_that_the_column_can_hold_and_a_customer_can_have(column, scales, cells, told):
    matrix = replace(table("FIRST", {column: "number"}, *({column: cell} for cell in cells), {column: "null"}), scales=scales)
    if told is None:
        assert [f for f in found(matrix) if GAP in f] == []
    else:
        assert [f.partition("; for example ")[2] for f in found(matrix) if GAP in f] == [told]


def test_between_one_day_and_the_next_there_is_no_gap():
    days = {"bundle_ends_on": "date"}
    rules = [{"bundle_ends_on": cell} for cell in ("<= 2025-03-31", ">= 2025-04-01", "null")]
    assert found(table("FIRST", days, *rules)) == []
    rules[1] = {"bundle_ends_on": ">= 2025-04-02"}
    assert found(table("FIRST", days, *rules))[0].endswith("for example bundle_ends_on in (2025-03-31..2025-04-02)")


@pytest.mark.parametrize(
    ("column", "scales", "cells", "example"),
    [
        ("tenure_months", MONTHS, ("< 12", "> 11"), None),
        ("tenure_months", MONTHS, ("<= 12", "> 11"), "tenure_months = 12"),
        ("tenure_months", {}, ("< 12", "> 11"), "tenure_months in (11..12)"),
        ("data_gigabytes", GIGABYTES, ("< 100", "> 99.99"), None),
        ("data_gigabytes", GIGABYTES, ("<= 3", "[-5..-1], 3"), "data_gigabytes = 3"),
        ("data_gigabytes", GIGABYTES, ("< 3", "[-5..-1]"), "data_gigabytes = -5"),
        ("return_rate", {}, (">= 100", "> 86"), "return_rate = 100"),
        ("return_rate", {}, ("> 100", "> 86"), "return_rate > 100"),
    ],
)
def test_rules_fire_together_where_the_column_can_hold_a_value_of_both(column, scales, cells, example):
    """Also one that no customer can have: dirty data may."""
    matrix = replace(table("UNIQUE", {column: "number"}, *({column: cell} for cell in cells), default={"give": "0"}), scales=scales)
    told = f"error: table (r1, r2): fire together, which hit_policy UNIQUE forbids; for example {example}"
    assert [f for f in found(matrix) if "fire together" in f] == ([told] if example else [])


@pytest.mark.parametrize(
    ("column", "scales", "cell", "values"),
    [
        ("return_rate", {}, "< 0", "a number from 0 to 100"),
        ("return_rate", {}, "> 100", "a number from 0 to 100"),
        ("weekend_call_share", {}, "> 1", "a number from 0 to 1"),
        ("tenure_months", MONTHS, "(11..12)", "a whole number from 0 on"),
        ("tenure_months", MONTHS, "11.5", "a whole number from 0 on"),
        ("data_gigabytes", GIGABYTES, "(9.98..9.99), < 0", "a number from 0 on in steps of 0.01"),
        ("ext_lines", {"ext_lines": 0}, "(-2..-1)", "a whole number"),
        ("ext_fee", {"ext_fee": 1}, "0.15", "a number in steps of 0.1"),
        ("tenure_months", MONTHS, "(11..12], null", None),
        ("tenure_months", MONTHS, "(11..12), null", None),
        ("tenure_months", {}, "(11..12)", None),
        ("return_rate_trend_3m", {}, "< 0", None),
    ],
)
def test_a_rule_that_only_values_meet_which_no_customer_can_have_never_fires(column, scales, cell, values):
    told = f"warning: table (r1): never fires: no customer can meet its cell of {column}, which is {values}; no customer can fall in"
    matrix = replace(table("RULE ORDER", {column: "number", "x": "number"}, {column: cell, "x": "> 5"}, {"x": "> 7"}), scales=scales)
    assert found(matrix) == ([told] if values else [])


def test_an_example_says_nothing_of_a_column_where_it_may_be_anybody():
    cells = [{"tenure_months": "11"}, {"tenure_months": "12"}, {"data_gigabytes": "> 5"}, {"data_gigabytes": "> 7"}]
    matrix = replace(table("UNIQUE", {"tenure_months": "number", "data_gigabytes": "number"}, *cells, default={"give": "0"}), scales=MONTHS)
    assert found(matrix)[-1] == "error: table (r3, r4): fire together, which hit_policy UNIQUE forbids; for example data_gigabytes > 7"


def test_a_rule_between_two_days_never_fires():
    told = "never fires: no customer can meet its cell of bundle_ends_on, which is a day"
    (warning,) = found(table("RULE ORDER", {"bundle_ends_on": "date"}, {"bundle_ends_on": "(2025-03-31..2025-04-01)"}))
    assert warning == f"warning: table (r1): {told}; no customer can fall in"


def test_of_a_matrix_without_a_grid_a_rule_is_hidden_by_what_the_column_can_hold(monkeypatch):
    monkeypatch.setattr("crm_spark.decisions.compile.MOST_CELLS", 1)
    rules = {"tenure_months": "12"}, {"tenure_months": "(11..13)"}, {"tenure_months": "> 1"}
    matrix = table("FIRST", {"tenure_months": "number"}, *rules)
    never = "error: table (r2): never answers: r1 comes before it wherever it fires; for example tenure_months = 12"
    assert never not in found(matrix)
    assert never in found(replace(matrix, scales=MONTHS))


def test_a_table_that_asks_for_null_alone_has_no_end_points():
    assert found(table("FIRST", {"x": "number"}, {"x": "null"}, {"x": "not(null)"})) == []


def test_the_shipped_matrices_have_no_error(capsys):
    assert not [f for f in lint(shipped(), [DAY]) if f.severity == "error"]
    assert main(["lint", "--conf-dir", str(CONF), "--env", "demo", "--month", "2025-03"]) == 0
    assert "0 errors" in capsys.readouterr().out


def test_on_the_command_line_an_error_ends_with_2(tmp_path, capsys):
    for part in (CONF, CONF.parent / "mlflow"):
        shutil.copytree(part, tmp_path / part.name)
    sheet = tmp_path / "conf" / "matrices" / "priority.csv"
    lines = sheet.read_text(encoding="utf-8").splitlines()
    cells = lines[1].split(",", 1)[1]
    sheet.write_text("\n".join([*lines, f"again,{cells}"]), encoding="utf-8")
    assert main(["lint", "--conf-dir", str(tmp_path / "conf"), "--env", "demo", "--month", "2025-03"]) == 2
    assert "error: priority (again): never answers" in capsys.readouterr().out
