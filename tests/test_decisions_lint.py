"""The linter: what it finds, and that it finds nothing that is not there."""

import shutil
from dataclasses import replace
from datetime import date
from itertools import product

import pytest

from crm_spark.config.decisions import DecisionSettings
from crm_spark.decisions.__main__ import main
from crm_spark.decisions.lint import lint
from crm_spark.decisions.table import MatrixSet
from tests.decision_support import CONF, shipped, table

DAY = date(2025, 3, 31)
XY = {"x": "number", "y": "number"}


def found(*matrices, policies=None):
    return [str(f) for f in lint(MatrixSet(matrices, policies or {}, DecisionSettings()), DAY)]


def test_a_rule_that_others_cover_together_never_answers():
    covered = table("FIRST", XY, {"x": "< 5"}, {"x": "[5..9]"}, {"x": "[2..7]", "y": "> 0"}, default={"give": "0"})
    assert found(covered) == ["error: table (r3): never answers: r1, r2 come before it wherever it fires; for example x = 2, y > 0"]


def test_a_rule_that_answers_somewhere_is_left_alone():
    assert found(table("FIRST", XY, {"x": "< 5"}, {"x": "[5..9]"}, {"x": "[2..7], null", "y": "> 0"}, default={"give": "0"})) == []
    assert found(table("RULE ORDER", XY, {"x": "< 5"}, {"x": "< 3"})) == []


def test_of_a_matrix_without_a_grid_pairs_of_rules_are_looked_at(monkeypatch):
    monkeypatch.setattr("crm_spark.decisions.compile.MOST_CELLS", 1)
    told = "warning: table: has too many end points to look for gaps, and for rules that several others hide together"
    rules = {"x": "< 5"}, {"x": "[5..9]"}, {"x": "[2..7]", "y": "> 0"}, {"x": "< 3", "y": "> 1"}, {"y": "null"}
    assert found(table("FIRST", XY, *rules)) == ["error: table (r4): never answers: r1 comes before it wherever it fires", told]
    assert found(table("RULE ORDER", XY, *rules)) == [], "all rules that fire answer"
    ranked = replace(table("PRIORITY", {"x": "number"}, {"x": "< 3"}, {"x": "< 5"}), output_values={"give": ("2", "1")})
    assert found(ranked) == ["error: table (r1): never answers: r2 comes before it wherever it fires", told]


@pytest.mark.parametrize("hit_policy", ["FIRST", "RULE ORDER", "ANY"])
def test_a_rule_that_no_value_can_meet_never_fires(hit_policy):
    told = "error: table (r1): never fires: no value meets its conditions"
    assert told in found(table(hit_policy, XY, {"x": "not(< 5, >= 5, null)"}, {"x": "< 3"}, {"x": "[3..9]", "y": "> 0"}, default={"give": "0"}))


def test_by_priority_a_rule_of_a_lower_rank_may_never_answer():
    ranked = replace(table("PRIORITY", {"x": "number"}, {"x": "< 3"}, {"x": "< 5"}, {"x": "-"}), output_values={"give": ("2", "1", "3")})
    assert found(ranked) == ["error: table (r1): never answers: r2 come before it wherever it fires; for example x < 3"]


def test_gaps_are_counted_over_what_a_customer_can_be():
    text = {"s": "string", "x": "number"}
    gappy = replace(table("FIRST", text, {"s": "high", "x": ">= 0"}, {"s": "low", "x": "> 7"}), allowed={"s": ("high", "low")})
    # s: high, low, NULL; x: from 0 to 7, above, NULL. The rules take (high, both) and (low, above).
    assert found(gappy) == ["warning: table: 6 of 9 kinds of customers meet no rule, and there is no default; for example s without a value, x without a value"]
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
    assert told.startswith(f"warning: table: {kinds - sum(alike.values())} of {kinds} kinds of customers meet no rule")


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        ("on_net_call_share", "> 86", "error: table (r1): on_net_call_share is a share between 0 and 1, the cell says 86"),
        ("return_rate", "> 0.86", "warning: table (r1): return_rate goes from 0 to 100, the cell says 0.86: is a share meant?"),
        ("on_net_call_share", "> 0.86", None),
        ("return_rate", "> 86", None),
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
        "error: table (r1): proposes nothing that is valid on 2025-03-31: OLD expired",
        "warning: table (r2): proposes OLD expired (on 2025-03-31)",
        f"warning: {idle.goal}: no rule of any table proposes the policy IDLE",
    ]


def test_the_shipped_matrices_have_no_error(capsys):
    assert not [f for f in lint(shipped(), DAY) if f.severity == "error"]
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
