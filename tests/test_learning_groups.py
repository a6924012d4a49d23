"""Measures by month and group against customers counted one by one, and the gate that looks at them."""

from dataclasses import replace

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from crm_spark.config.models import Gate, ModelSpec, Stability, Windows
from crm_spark.config.table_models import TableLabel, TableSpec
from crm_spark.errors import ConfigError
from crm_spark.learning.card import model_card
from crm_spark.learning.checks import failing_groups_named, refuse_bad_groups
from crm_spark.learning.files import table_version
from crm_spark.learning.gate import gate_failures
from crm_spark.learning.groups import Group, as_csv, of_kind, unstable
from crm_spark.learning.search import fit_table
from tests.learning_support import SPEC, fitted

GOOD = Group("city", "A", 1000, 200, told=0.2, chosen=0.1, found=0.3, auc=0.7, auc_error=0.02)


@pytest.fixture(scope="module")
def held_out(learnt, learning_rows):
    """(city, plan, bucket, probability, label) of the held-out, scored one by one."""
    scored = learnt.pipeline.transform(learning_rows.where("split_bucket < 30"))
    return [
        (r["city"], r["plan"], r["split_bucket"], round(float(r["probability"][1]), 4), r["label_value"])
        for r in scored.select("city", "plan", "split_bucket", "probability", "label_value").collect()
    ]


def of(trained, by, level):
    (found,) = [g for g in trained.groups if (g.by, g.level) == (by, level)]
    return found


@pytest.mark.parametrize(("by", "level"), [("city", "A"), ("city", "B"), ("plan", "plan1"), ("odd", "odd")])
def test_a_group_is_measured_as_if_its_customers_were_counted_one_by_one(learnt, held_out, by, level):
    mine = [(p, y) for city, plan, bucket, p, y in held_out if level in (city, plan, "odd" if bucket % 2 else None)]
    found = of(learnt, by, level)
    assert (found.customers, found.positives) == (len(mine), sum(y for _, y in mine))
    assert found.rate == pytest.approx(sum(y for _, y in mine) / len(mine))
    assert found.told == pytest.approx(sum(p for p, _ in mine) / len(mine))
    pairs = [(p > q) + (p == q) / 2 for p, y in mine if y for q, z in mine if not z]
    assert found.auc == pytest.approx(sum(pairs) / len(pairs))


def test_the_top_tenth_is_of_all_and_its_parts_add_up(learnt, held_out):
    cities = [g for g in learnt.groups if g.by == "city"]
    assert sum(g.chosen * g.customers for g in cities) == pytest.approx(len(held_out) / 10)
    scores = sorted((p for *_, p, _ in held_out), reverse=True)
    edge = scores[len(held_out) // 10 - 1]
    tied = (len(held_out) / 10 - sum(p > edge for p in scores)) / scores.count(edge)  # a tie is shared out
    for city in "AB":
        mine = [(p, y) for c, _, _, p, y in held_out if c == city]
        weights = [1.0 if p > edge else tied if p == edge else 0.0 for p, _ in mine]
        assert of(learnt, "city", city).chosen == pytest.approx(sum(weights) / len(mine))
        found = sum(w for w, (_, y) in zip(weights, mine, strict=True) if y) / sum(y for _, y in mine)
        assert of(learnt, "city", city).found == pytest.approx(found)


def test_who_has_no_value_is_in_no_group(learnt):
    assert {g.level for g in learnt.groups if g.by == "odd"} == {"odd"}


def test_every_held_out_month_is_measured_and_only_the_judging_one_by_group(learning_rows):
    months = ["2024-10", "2024-11", "2024-12"]
    rows = learning_rows.withColumn("month", F.explode(F.array(*map(F.lit, months))))
    trained = fitted(rows, replace(SPEC, windows=Windows(1, 0, 1), time_split_positives=10))
    assert trained.prepared.split.test_months == ("2024-12",)
    assert [(g.level, g.customers) for g in of_kind(trained.groups, "month")] == [(m, 180) for m in months]
    assert sum(g.customers for g in trained.groups if g.by == "city") == 180


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ()),
        ({"auc": 0.55}, ()),  # .05 under the bar, but three standard errors are .06
        ({"auc": 0.5}, ("in city A AUC 0.5000 is more than 0.1 below the 0.7000 of all (1,000 customers, 200 with the label)",)),
        ({"told": 0.3}, ()),
        ({"told": 0.35}, ("in city A 35.0% are told to have the label and 20.0% have it, more than 10.0% beside (1,000 customers, 200 with the label)",)),
        ({"told": 0.05}, ("in city A 5.0% are told to have the label and 20.0% have it, more than 10.0% beside (1,000 customers, 200 with the label)",)),
        ({"auc": 0.1, "positives": 49}, ()),  # too small to judge
        ({"auc": 0.1, "positives": 951, "told": 0.95}, ()),  # too few without the label
        ({"auc": 0.1, "by": "gender"}, ()),  # not watched
    ],
)
def test_the_gate_names_the_group_that_is_off_and_leaves_chance_and_small_groups_alone(changes, told):
    assert unstable([replace(GOOD, **changes)], Stability(), ("city", "segment"), auc=0.7) == told


def test_an_unstable_group_is_one_more_missed_bar():
    measured = {"test_auc": 0.7, "test_lift_10": 2.0, "test_calibration_error": 0.01}
    gate = Gate(0.65, 1.6, 0.03)
    assert gate_failures(measured, gate, [GOOD], ("city",)) == ()
    (reason,) = gate_failures(measured, gate, [replace(GOOD, auc=0.4)], ("city",))
    assert reason.startswith("in city A AUC 0.4000")
    assert gate_failures(measured, replace(gate, stability=Stability(auc=0.5)), [replace(GOOD, auc=0.4)], ("city",)) == ()


def test_the_gate_watches_city_and_segments_that_are_groups_or_those_it_is_told():
    assert Stability().watched(SPEC.groups) == ("city",)
    assert Stability(by=("plan",)).watched(SPEC.groups) == ("plan",)
    with pytest.raises(ValueError, match=r"'plam' is not in groups.*plan"):
        replace(SPEC, gate=Gate(0.7, 1.2, 0.3, stability=Stability(by=("plam",))))
    assert Stability().watched(ModelSpec.__dataclass_fields__["groups"].default_factory()) == ("city", "segment", "brand")


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ({"town": "towm"}, r"mine: groups\.town: .*towm"),
        ({"one": "substr(id, 2)"}, r"mine: groups\.one: 'id' names one customer"),
        ({"one": "user_id"}, r"mine: groups\.one: 'user_id' names one customer"),
    ],
)
def test_a_group_that_is_no_sql_or_made_of_a_key_is_refused(frame, groups, told):
    with pytest.raises(ConfigError, match=told):
        refuse_bad_groups(frame("id string, user_id string, town string"), groups, ("id",), "mine")


def test_a_group_whose_sql_fails_over_a_text_file_is_named(frame):
    """Text files are text: Spark takes the text for a whole number as soon as it is compared with one."""
    rows = frame("id string, fee string, left string", *[(f"c{i}", f"{i}.5", "yes" if i % 2 else "no") for i in range(200)])
    groups = {"parity": "right(id, 1)", "dear": "if(fee > 9, 'dear', 'cheap')"}
    spec = TableSpec("mine", "?", TableLabel("left"), groups=groups)
    with pytest.raises(ConfigError, match=r"mine: groups\.dear: fails over the rows .CAST_INVALID_INPUT.; .*try_cast") as refused:
        fit_table(rows, spec, lambda _: None)
    assert len(refused.value.problems) == 1 and "0.5" not in str(refused.value)


def test_a_failure_that_is_no_group_s_stays_what_it_is(frame):
    rows = frame("id string, fee string", ("c1", "1.5"))
    with pytest.raises(PySparkException, match="cannot be cast"), failing_groups_named(rows, {"fee": "fee"}, "mine"):
        rows.selectExpr("CAST(fee AS int)").collect()


def test_the_card_tells_every_group_and_which_are_too_small(learnt):
    card = model_card(learnt, {}, (), {})
    city = of(learnt, "city", "A")
    assert "By city (watched by the gate)" in card and "By plan<" in card
    row = f"<td>A</td><td>{city.customers:,.0f}</td><td>{city.rate:.1%}</td>"
    assert (row + "<td>too small to judge</td>" in card) == city.is_small(50)
    assert city.is_small(50)  # fewer than fifty of ninety leave
    strict = replace(learnt, prepared=replace(learnt.prepared, spec=replace(SPEC, gate=Gate(0.7, 1.2, 0.3, stability=Stability(least=5)))))
    assert f"{row}<td>{city.told:.1%}</td><td>{city.chosen:.1%}</td><td>{city.found:.1%}</td>" in model_card(strict, {}, (), {})


def test_the_file_of_groups_has_a_line_for_each(learnt):
    head, *lines = as_csv(learnt.groups).splitlines()
    assert head == "by,level,customers,positives,told,chosen,found,auc,auc_error,rate"
    assert len(lines) == len(learnt.groups) == 1 + 2 + 3 + 1  # a month, cities, plans, the odd


def test_a_delta_table_has_a_number_for_its_version_and_other_files_tell_how_many_and_how_large_they_are(spark, tmp_path):
    delta, text = str(tmp_path / "delta"), tmp_path / "text (1)" / "a=1"
    for _ in range(2):
        spark.range(2).write.format("delta").mode("append").save(delta)
    assert table_version(spark, delta) == 1
    text.mkdir(parents=True)
    (text / "one.csv").write_text("a,b\n")
    one = table_version(spark, str(text.parent))
    assert one.startswith("1 file of 4 bytes, changed 2")
    (text / "other.csv").write_text("x" * 2000)
    assert table_version(spark, str(text.parent)).startswith("2 files of 2,004 bytes, changed 2")
