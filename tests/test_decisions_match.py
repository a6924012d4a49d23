"""A compiled matrix gives every customer what a reader of the table would: brute force, published cases, and the plan that runs."""

import math
import operator
from dataclasses import replace
from datetime import date
from decimal import Decimal, localcontext

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from crm_spark.decisions.compile import compile_matrix
from crm_spark.decisions.match import match, matrix_cells
from crm_spark.errors import ConfigError
from tests.decision_support import SLOW_OPERATORS, executed_plan, table

D = Decimal
KINDS = {"x": "number", "m": "number", "i": "number", "s": "string", "b": "boolean", "t": "date"}
SCHEMA = "row int, x double, m decimal(12,3), i bigint, s string, b boolean, t date"
NUMBERS = [D("-1"), D("0"), D("0.1"), D("0.5"), D("2.25"), D("7"), D("100")]
TEXTS = ["a", "mid-high", "é", "a b", "Z"]
DAYS = [date(2025, 1, 31), date(2025, 2, 1), date(2025, 3, 31)]
POINTS = {"x": NUMBERS, "m": NUMBERS, "i": NUMBERS, "s": TEXTS, "b": [True, False], "t": DAYS}
VALUES = {
    "x": [-2.0, -1.0, -0.0, 0.1, 0.3, 0.5, 2.25, 6.9, 7.0, 1e300, math.inf, -math.inf, math.nan, None],
    "m": [D("-1.001"), D("-1"), D("0"), D("0.1"), D("0.101"), D("0.5"), D("2.25"), D("7"), D("100"), D("100.001"), None],
    "i": [-1, 0, 1, 2, 3, 7, 8, 100, 2**40, None],
    "s": ["a", "A", "mid-high", "mid", "é", "a b", "Z", "", "zz", None],
    "b": [True, False, None],
    "t": [date(1999, 1, 1), *DAYS, date(2025, 2, 2), date(2030, 1, 1), None],
}

# --- an evaluator of its own: each cell is drawn as text together with what it means ---


def number_of(column, value):
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else value


def comparable(column, point):
    """Doubles are compared as doubles, all else exactly."""
    return float(point) if column == "x" else point


def written(point):
    return str(point).lower() if isinstance(point, (bool, Decimal)) else point.isoformat() if isinstance(point, date) else f'"{point}"'


@st.composite
def simple_cells(draw, column):
    """A literal, null, comparison or range: (text, predicate over a value that may be None)."""
    point = draw(st.sampled_from(POINTS[column]))
    at = comparable(column, point)
    shapes = ["literal", "null"] if column == "b" else ["literal", "null", "comparison", "range"]
    shape = draw(st.sampled_from(shapes))
    if shape == "null":
        return "null", lambda v: v is None
    if shape == "literal":
        return written(point), lambda v: v is not None and v == at
    if shape == "comparison":
        sign = draw(st.sampled_from(["<", "<=", ">", ">="]))
        holds = {"<": lambda v: v < at, "<=": lambda v: v <= at, ">": lambda v: v > at, ">=": lambda v: v >= at}[sign]
        return f"{sign} {written(point)}", lambda v: v is not None and holds(v)
    low, high = sorted([point, draw(st.sampled_from(POINTS[column]))])
    opening, closing = ("[", "]") if low == high else (draw(st.sampled_from("[(]")), draw(st.sampled_from("])[")))
    first, last = comparable(column, low), comparable(column, high)

    def inside(v):
        return v is not None and (v >= first if opening == "[" else v > first) and (v <= last if closing == "]" else v < last)

    return f"{opening}{written(low)}..{written(high)}{closing}", inside


@st.composite
def cells(draw, column):
    """Any cell."""
    shape = draw(st.sampled_from(["any", "any", "any", "simple", "simple", "list", "not"]))
    if shape == "any":
        return "-", lambda v: True
    parts = draw(st.lists(simple_cells(column), min_size=1, max_size=1 if shape == "simple" else 3))
    text = ", ".join(part for part, _ in parts)
    if shape == "not":
        return f"not({text})", lambda v: v is not None and not any(holds(v) for _, holds in parts)
    return text, lambda v: any(holds(v) for _, holds in parts)


@st.composite
def tables(draw):
    """(hit policy, rules); a rule is (text, predicate) per column."""
    columns = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=3, unique=True))
    rule = st.fixed_dictionaries({column: cells(column) for column in columns})
    return draw(st.sampled_from(["FIRST", "RULE ORDER"])), draw(st.lists(rule, min_size=1, max_size=6))


def fires(rule, row):
    return all(holds(number_of(column, row[column])) for column, (_, holds) in rule.items())


def by_hand(hit_policy, rules, row):
    numbers = [str(number) for number, rule in enumerate(rules, 1) if fires(rule, row)]
    return (numbers[:1] if hit_policy == "FIRST" else numbers) or ["none"]


rows = st.lists(st.fixed_dictionaries({column: st.sampled_from(values) for column, values in VALUES.items()}), min_size=60, max_size=60)


@pytest.mark.parametrize(("most_cells", "most_branches"), [(5_000_000, 50), (1, 0)], ids=["grid", "bits, values searched"])
@settings(max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(drawn=st.lists(tables(), min_size=14, max_size=14), values=rows)
def test_a_compiled_matrix_agrees_with_reading_the_table_rule_by_rule(spark, monkeypatch, most_cells, most_branches, drawn, values):
    monkeypatch.setattr("crm_spark.decisions.compile.MOST_CELLS", most_cells)
    monkeypatch.setattr("crm_spark.decisions.atoms.MOST_BRANCHES", most_branches)
    matched = spark.createDataFrame([(n, *(row[c] for c in KINDS)) for n, row in enumerate(values)], SCHEMA)
    for n, (hit_policy, rules) in enumerate(drawn):
        written_rules = [{column: text for column, (text, _) in rule.items()} for rule in rules]
        matched = match(matched, compile_matrix(table(hit_policy, KINDS, *written_rules, default={"give": "none"})), f"hits_{n}")
    for found in matched.collect():
        row = values[found["row"]]
        for n, (hit_policy, rules) in enumerate(drawn):
            given = [hit["outputs"]["give"] for hit in found[f"hits_{n}"]]
            assert given == by_hand(hit_policy, rules, row), (row, hit_policy, [{c: t for c, (t, _) in r.items()} for r in rules])


# --- published cases ---

APPROVAL = {"age": "number", "risk": "string", "affordable": "boolean"}
APPROVAL_RULES = (
    {"age": ">=18", "risk": '"Medium"', "affordable": "true"},
    {"age": ">=12", "risk": '"Medium"', "affordable": "true"},
    {"age": "<12", "risk": '"Low"', "affordable": "true"},
)


@pytest.mark.parametrize(("hit_policy", "expected"), [("FIRST", [["1"], ["2"], ["3"]]), ("RULE ORDER", [["1", "2"], ["2"], ["3"]])])
def test_cases_of_the_dmn_technology_compatibility_kit(frame, hit_policy, expected):
    """Tables 0108-first-hitpolicy and 0109-ruleOrder-hitpolicy of the DMN TCK (Apache-2.0), with their three cases each."""
    people = frame("age int, risk string, affordable boolean", (19, "Medium", True), (13, "Medium", True), (10, "Low", True))
    matched = match(people, compile_matrix(table(hit_policy, APPROVAL, *APPROVAL_RULES)))
    assert [[hit["outputs"]["give"] for hit in row["hits"]] for row in matched.orderBy("age").collect()] == expected[::-1]


def test_gaps_and_overlaps_of_the_published_example_by_atoms():
    """Four boxes over unbounded numbers: 17 x 15 atoms, 115 covered, 15 of them twice, by R1 and R3 only."""
    boxes = [("[0..4]", "[0..2]"), ("[1..3]", "[5..6]"), ("[2..5]", "[1..4]"), ("[6..7]", "[0..3]")]
    matrix = table("RULE ORDER", {"x": "number", "y": "number"}, *({"x": x, "y": y} for x, y in boxes))
    compiled = compile_matrix(matrix)
    across, along = (axis.atoms[:-1] for axis in compiled.axes)  # without NULL
    assert (len(across), len(along)) == (17, 15)
    outcome = dict(zip(compiled.cells.tolist(), compiled.outcome_of.tolist(), strict=True))
    firing = [compiled.hits(outcome.get(i * compiled.strides[0] + j, 0)) for i in across for j in along]
    assert sum(bool(rules) for rules in firing) == 115
    assert {tuple(r.name for r in rules) for rules in firing if len(rules) > 1} == {("r1", "r3")}
    assert sum(len(rules) > 1 for rules in firing) == 15


# --- how it is matched ---


def test_null_and_nan_match_only_anything_and_a_listed_null(frame):
    cells_of = ["null", "null, 5", "-", "not(5)", "not(null)", "< 9", "[0..9]", "!= 3"]
    compiled = compile_matrix(table("RULE ORDER", {"x": "number"}, *({"x": cell} for cell in cells_of)))
    found = match(frame("n int, x double", (1, None), (2, math.nan), (3, 5.0)), compiled).orderBy("n").collect()
    fired = [[int(hit["outputs"]["give"]) for hit in row["hits"]] for row in found]
    assert fired == [[1, 2, 3], [1, 2, 3], [2, 3, 5, 6, 7, 8]]


def test_decimals_are_compared_exactly_and_doubles_as_doubles(frame):
    compiled = compile_matrix(
        table("RULE ORDER", {"m": "number", "x": "number"}, {"m": "0.1"}, {"x": "0.1"}, {"m": "> 0.1"}, {"x": "> 0.3"})
    )
    near = D("0.1000000000000000000001")
    matched = match(frame("m decimal(38,22), x double", (D("0.1"), 0.1), (near, 0.1 + 0.2)), compiled).orderBy("m").collect()
    assert [[int(h["outputs"]["give"]) for h in row["hits"]] for row in matched] == [[1, 2], [3, 4]]


@pytest.mark.parametrize("most_branches", [50, 0], ids=["a tree", "a search"])
def test_a_float_column_has_the_tenth_that_a_planner_writes(monkeypatch, frame, most_branches):
    monkeypatch.setattr("crm_spark.decisions.atoms.MOST_BRANCHES", most_branches)
    compiled = compile_matrix(table("RULE ORDER", {"f": "number"}, {"f": "= 0.1"}, {"f": "< 0.1"}, {"f": "(0.1..0.3]"}))
    people = frame("n int, f float", (1, 0.1), (2, 0.3), (3, 0.0999), (4, 0.31))
    matched = match(people, compiled).orderBy("n").collect()
    assert [[int(hit["outputs"]["give"]) for hit in row["hits"]] for row in matched] == [[1], [3], [2], []]


TINY = D(10) ** -37


@pytest.mark.parametrize("most_branches", [50, 0], ids=["a tree", "a search"])
@pytest.mark.parametrize("data_type", ["decimal(18,2)", "decimal(38,0)", "int", "bigint", "double"])
def test_a_point_finer_or_larger_than_the_column_can_be_parts_it_all_the_same(monkeypatch, frame, data_type, most_branches):
    """Points of 37 decimals beside one of 30 digits: each value is compared with each point as the exact numbers they are."""
    monkeypatch.setattr("crm_spark.decisions.atoms.MOST_BRANCHES", most_branches)
    with localcontext(prec=80):
        points = [D(-(10**29)), D(2) - TINY, D(2), D(2) + TINY, D("2.5"), 3 - TINY, D(3), D(10**29)]
        cells = [f"{sign} {point:f}" for point in points for sign in ("<", "<=", ">", ">=", "=")]
        holds = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
        values = [-(2**31), -1, 1, 2, 3, 2**31 - 1]
        expected = [[holds[sign](D(v), D(point)) for sign, point in map(str.split, cells)] for v in values]
    compiled = compile_matrix(table("RULE ORDER", {"v": "number"}, *({"v": cell} for cell in cells)))
    convert = {"double": float, "int": int, "bigint": int}.get(data_type, D)
    matched = match(frame(f"v {data_type}", *((convert(v),) for v in values)), compiled).orderBy("v").collect()
    found = [{int(hit["outputs"]["give"]) for hit in row["hits"]} for row in matched]
    assert found == [{n for n, fires_here in enumerate(row, 1) if fires_here} for row in expected]


def test_without_a_hit_or_a_default_the_hits_are_empty(frame):
    compiled = compile_matrix(table("FIRST", {"x": "number"}, {"x": "> 5"}))
    assert match(frame("x double", (1.0,)), compiled).first()["hits"] == []


def test_a_matrix_without_rules_gives_its_default_and_needs_no_column(frame):
    compiled = compile_matrix(table("FIRST", {"x": "number"}, default={"give": "none"}))
    assert [h["rule"] for h in match(frame("other int", (1,)), compiled).first()["hits"]] == ["default"]


def test_the_default_stays_whichever_part_of_the_hits_is_asked_for(frame):
    compiled = compile_matrix(table("FIRST", {"x": "number"}, {"x": "> 5"}, default={"give": "none"}))
    matched = match(frame("x double", (1.0,), (9.0,)), compiled)
    assert sorted(row["rule"] for row in matched.select(F.get("hits", F.lit(0))["rule"].alias("rule")).collect()) == ["default", "r1"]
    given = matched.select(F.get("hits", F.lit(0))["outputs"]["give"].alias("give")).collect()
    assert sorted(row["give"] for row in given) == ["1", "none"]


def test_a_rule_without_a_test_fires_for_everybody(frame):
    compiled = compile_matrix(table("FIRST", {"x": "number"}, {"x": "-"}))
    assert [h["rule"] for h in match(frame("other int", (1,)), compiled).first()["hits"]] == ["r1"]


@pytest.mark.parametrize("most_cells", [5_000_000, 0], ids=["grid", "bits"])
@pytest.mark.parametrize(("kind", "cell"), [("number", "not(< 5, >= 5)"), ("boolean", "not(true, false)")])
def test_a_rule_that_no_value_meets_fires_for_nobody(monkeypatch, frame, most_cells, kind, cell):
    monkeypatch.setattr("crm_spark.decisions.compile.MOST_CELLS", most_cells)
    compiled = compile_matrix(table("FIRST", {"x": kind}, {"x": cell}, default={"give": "none"}))
    rows = {"number": [(1.0,), (5.0,), (None,)], "boolean": [(True,), (False,), (None,)]}[kind]
    matched = match(frame(f"x {'double' if kind == 'number' else kind}", *rows), compiled)
    assert [h["rule"] for row in matched.collect() for h in row["hits"]] == ["default"] * 3


def test_atoms_that_no_rule_tells_apart_are_one_class():
    (axis,) = compile_matrix(table("FIRST", {"x": "number"}, {"x": "1, 2, [3..4], (4..9]"}, {"x": "20"})).axes
    assert axis.classes == 3 and len(axis.cuts) < len(axis.atoms) - 2, "in, 20, and the rest with NULL"


def test_a_text_has_its_literals_all_other_texts_and_null():
    (axis,) = compile_matrix(table("FIRST", {"s": "string"}, {"s": "high"}, {"s": "low, mid"}, {"s": "not(high)"}, {"s": "null"})).axes
    assert axis.classes == 4, "high; low and mid; other; NULL"


def test_only_cells_in_which_a_rule_fires_are_kept(spark, frame):
    compiled = compile_matrix(table("FIRST", {"x": "number", "s": "string"}, {"x": "[0..1]", "s": "a"}, {"x": "5"}))
    cells_found = matrix_cells(compiled, frame("x int", (1,))).collect()
    assert len(cells_found) == 3, "(in the range, a), (5, a), (5, any other)"
    assert {tuple(h["rule"] for h in c["hits"]) for c in cells_found} == {("r1",), ("r2",)}
    assert {(c["matrix"], c["matrix_version"]) for c in cells_found} == {("table", "v1")}


LARGE = {f"c{i}": "number" for i in range(7)}
LARGE_RULES = [{f"c{i}": f"[{n}..{n + 1})"} for i in range(7) for n in range(10)]


def test_a_grid_beyond_five_million_cells_becomes_bits_unless_something_is_added_up():
    compiled = compile_matrix(table("RULE ORDER", LARGE, *LARGE_RULES))
    assert [mask.shape for mask in compiled.masks] == [(11, 2)] * 7 and len(compiled.cells) == len(LARGE_RULES) == 70
    added_up = replace(table("COLLECT", LARGE, *LARGE_RULES), aggregation="COUNT")
    with pytest.raises(ConfigError, match=r"its grid has 19,487,171 cells .* too many for aggregation COUNT"):
        compile_matrix(added_up)


def test_more_rules_than_a_word_has_bits_are_matched_by_the_last_bit_too(frame):
    """70 rules are two words of 63 bits; nobody, the first and the last of each word, and all at once."""
    compiled = {policy: compile_matrix(table(policy, LARGE, *LARGE_RULES, default={"give": "none"})) for policy in ("FIRST", "RULE ORDER")}
    rows = [{}, {"c0": 0.0}, {"c6": 2.0}, {"c6": 3.0}, {"c6": 9.5}, {f"c{i}": float(i) for i in range(7)}]
    people = frame("n int, " + ", ".join(f"c{i} double" for i in range(7)), *((n, *(row.get(f"c{i}") for i in range(7))) for n, row in enumerate(rows)))
    fired = [["none"], ["1"], ["63"], ["64"], ["70"], ["1", "12", "23", "34", "45", "56", "67"]]
    for policy, expected in (("RULE ORDER", fired), ("FIRST", [numbers[:1] for numbers in fired])):
        found = match(people, compiled[policy]).orderBy("n").collect()
        assert [[hit["outputs"]["give"] for hit in row["hits"]] for row in found] == expected
        assert match(people, compiled[policy]).columns == [*people.columns, "hits"]


def test_by_bits_the_best_by_rank_answers_first(monkeypatch, frame):
    monkeypatch.setattr("crm_spark.decisions.compile.MOST_CELLS", 1)
    rules = [{"x": "> 0"}, {"x": "> 1"}, {"x": "> 2"}]
    ranked = {policy: replace(table(policy, {"x": "number"}, *rules), output_values={"give": ("3", "1", "2")}) for policy in ("PRIORITY", "OUTPUT ORDER")}
    people = frame("x double", (1.5,), (3.0,))
    told = {policy: match(people, compile_matrix(matrix)).orderBy("x").collect() for policy, matrix in ranked.items()}
    given = {policy: [[hit["rule"] for hit in row["hits"]] for row in rows] for policy, rows in told.items()}
    assert given == {"PRIORITY": [["r1"], ["r3"]], "OUTPUT ORDER": [["r1", "r2"], ["r3", "r1", "r2"]]}


def test_by_bits_there_is_no_shuffle_and_at_most_one_broadcast(monkeypatch, frame):
    monkeypatch.setattr("crm_spark.decisions.compile.MOST_CELLS", 1)
    people = frame("x double", (1.5,), (3.0,))
    for policy, joins in (("FIRST", 1), ("RULE ORDER", 0)):
        plan = executed_plan(match(people, compile_matrix(table(policy, {"x": "number"}, {"x": "> 0"}, {"x": "> 1"}))))
        assert plan.count("BroadcastHashJoin") == plan.count("Exchange") == joins
        assert not [operator for operator in SLOW_OPERATORS if operator in plan]


def test_a_matrix_is_one_broadcast_equality_join_whatever_the_number_of_rules(frame):
    people = frame("x double, s string", *((float(i), "abc"[i % 3]) for i in range(50)))
    rules = [{"x": f"[{i % 15}..{i % 15 + 3}]", "s": f"{'abc'[i % 3]}, d{i % 7}"} for i in range(200)]
    plan = executed_plan(match(people, compile_matrix(table("FIRST", {"x": "number", "s": "string"}, *rules))))
    assert plan.count("BroadcastHashJoin") == 1
    assert plan.count("Exchange") == plan.count("BroadcastExchange") == 1, "no shuffle"
    assert not [operator for operator in SLOW_OPERATORS if operator in plan]
    end_points = 2 * 18 + 2 * 10  # two cuts an end point at most
    assert plan.count("CASE WHEN") <= end_points + 4 < len(rules)
