"""A raw table, as untidy as tables are, to a champion with drivers: what each column becomes, and that scores, reasons and MLflow agree."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import Observation
from pyspark.sql import functions as F

from crm_spark.config.models import MlflowConfig
from crm_spark.config.table_models import HoldOut, TableLabel, TableSpec
from crm_spark.errors import ConfigError
from crm_spark.learning.drivers import explainer_of_json
from crm_spark.learning.recorded import EXPLAINER, as_trained
from crm_spark.learning.registry import Registry
from crm_spark.learning.scored import scored_table
from crm_spark.learning.search import auc_on_the_same_rows, fit_table
from crm_spark.learning.table import KEY, LABEL, PART, in_parts, labelled, positive_of, profiled
from crm_spark.learning.trainer import UntrainableError

ROWS = 900
SPEC = TableSpec("untidy", "Will it?", TableLabel("Has left?"), key=("id",), boosting_rounds=8, algorithms=("gbt", "logistic"), groups={"plan": "plan"})
SCHEMA = (
    "id string, `Has left?` string, minutes string, `change.of minutes` double, fee string, joined string, town string, plan string, "
    "empty double, constant int, `minutes again` string, person string, X1 boolean, tags array<string>, wild double"
)


def untidy():
    """Those whose minutes fall much for their level leave; towns are many, some rare; every sixth customer does the opposite."""
    chance = random.Random(3)
    for i in range(ROWS):
        level, change = math.exp(chance.uniform(0, 6)), chance.uniform(-100, 100)
        town = "tiny" if i % 300 == 0 else f"Town {chance.randrange(20)}"
        left = (change / (level + 1) < -0.3) != (i % 6 == 0)
        minutes = "unknown" if i % 11 == 0 else f"{level:.2f}"
        wild = (math.nan, math.inf, -math.inf, 1.0, 2.0)[i % 5]
        yield (
            f"c{i}", "Yes" if left else "no", minutes, change, f"${1000 + i % 7:,}.50", f"2024-01-{1 + i % 28:02d}", town,
            (None, "a", "b")[i % 3], None, 7, minutes, f"person {i}", chance.random() < 0.5, ["x"], wild,
        )  # fmt: skip


@pytest.fixture(scope="module")
def table(spark):
    return spark.createDataFrame(list(untidy()), SCHEMA).persist()


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def fitted(table, told):
    return fit_table(table, SPEC, told.append)


def test_every_column_becomes_what_it_is_and_the_useless_are_told(table):
    columns = profiled(labelled(table, SPEC), SPEC, ROWS)
    kinds = {s.column: s.kind for s in columns.sources}
    assert kinds == {
        "minutes": "number", "change.of minutes": "number", "fee": "number", "joined": "date", "town": "text", "plan": "text",
        "X1": "number", "wild": "number",
    }  # fmt: skip
    assert columns.dropped == {
        "empty": "no value in training", "constant": "one value in training", "minutes again": "the same as minutes",
        "person": "another value in every row, as a key has", "tags": "a array<string> is no number, truth value, date or text",
    }  # fmt: skip
    of = {s.column: columns.profiles[s.id] for s in columns.numbers}
    assert of["wild"].filled == pytest.approx(0.4) and (of["wild"].low, of["wild"].high) == (1, 2)
    assert (of["fee"].low, of["fee"].high) == (1000.5, 1006.5)


@pytest.mark.slow
def test_a_champion_finds_what_is_planted_by_a_feature_it_made_itself(fitted, told):
    assert fitted.metrics["test_auc"] > 0.75  # a sixth of the labels is turned round: the best there is has about .83
    assert next(iter(fitted.importances)) == "change.of minutes against the level of minutes"
    assert any("chosen:" in line for line in told)


@pytest.mark.slow
def test_labels_of_the_held_out_turned_round_change_nothing_but_the_measures(table, fitted):
    parts = labelled(table, SPEC).select("id", F.col("_held").alias("held"))
    turned = F.when(F.col("held"), F.when(F.col("Has left?") == "no", "Yes").otherwise("no")).otherwise(F.col("Has left?"))
    other = fit_table(table.join(parts, "id").withColumn("Has left?", turned).drop("held"), SPEC, lambda _: None)
    assert [(t.recipe.name, t.validation) for t in other.tried] == [(t.recipe.name, t.validation) for t in fitted.tried]
    assert other.metrics["test_auc"] == pytest.approx(1 - fitted.metrics["test_auc"], abs=1e-6)


@pytest.mark.slow
def test_drivers_add_up_to_the_score_of_the_pipeline_for_rows_never_seen(table, fitted):
    """The pipeline's own trees and lines on one side, what each driver adds on the other."""
    known = table.where("pmod(xxhash64(id), 9) = 0")
    strange = known.withColumns({"town": F.lit("never seen"), "minutes": F.lit(None).cast("string"), "wild": F.lit(math.nan)})
    for rows in (known, strange):
        pipeline_says = {r["id"]: float(r["probability"][1]) for r in fitted.pipeline.transform(rows).select("id", "probability").collect()}
        told = scored_table(rows, fitted.spec, fitted.pipeline, fitted.explainer).collect()
        assert len(told) == len(pipeline_says) > 50
        for row in told:
            p = pipeline_says[row["id"]]
            assert row["base"] + sum(d["effect"] for d in row["drivers"]) + row["rest"] == pytest.approx(math.log(p / (1 - p)), abs=1e-9)
            assert (row["probability"], row["score"]) == pytest.approx((p, 100 * p), abs=1e-12)
            assert len(row["drivers"]) == 3
            sizes = [abs(d["effect"]) for d in row["drivers"]]
            assert sizes == sorted(sizes, reverse=True)
            assert row["grade"] == ("likely" if row["score"] >= fitted.spec.grades["likely"] else "unlikely")


@pytest.mark.slow
def test_likely_is_who_is_twice_as_likely_as_the_mean_or_more_likely_than_not(table, fitted):
    held = labelled(table, SPEC)
    rate = held.where("NOT _held").agg(F.mean(LABEL)).first()[0]
    assert rate > 0.25 and fitted.spec.grades == {"likely": 50, "unlikely": 0}
    rare = fit_table(table.where("`Has left?` = 'no' OR pmod(xxhash64(id), 8) = 0"), replace(SPEC, algorithms=("tree",)), lambda _: None)
    learnt = [sum(n) for n in zip(rare.sizes["train"], rare.sizes["validation"], strict=True)]
    assert learnt[1] / learnt[0] < 0.2 and rare.spec.grades["likely"] == pytest.approx(200 * learnt[1] / learnt[0], abs=0.006)


@pytest.mark.slow
def test_its_groups_are_judged_one_by_one(table, fitted):
    held = labelled(table, SPEC).where("_held").select("id", "plan", LABEL)
    scored = fitted.pipeline.transform(table).select("id", "probability").join(held, "id").collect()
    for plan in ("a", "b"):
        mine = [r for r in scored if r["plan"] == plan]
        (group,) = [g for g in fitted.groups if (g.by, g.level) == ("plan", plan)]
        assert (group.customers, group.positives) == (len(mine), sum(r[LABEL] for r in mine))
        assert group.told == pytest.approx(np.mean([r["probability"][1] for r in mine]), abs=1e-4)
    assert len(fitted.groups) == 2  # a missing plan is no group


@pytest.mark.slow
def test_a_newcomer_is_judged_beside_the_champion_on_the_rows_that_neither_learnt_from(table, fitted):
    assert auc_on_the_same_rows(fitted, fitted.pipeline) == fitted.metrics["test_auc"]
    worse = fit_table(table, replace(SPEC, exclude=("minutes", "change.of minutes"), algorithms=("tree",)), lambda _: None)
    assert auc_on_the_same_rows(worse, fitted.pipeline) == fitted.metrics["test_auc"] > worse.metrics["test_auc"]


@pytest.mark.slow
def test_the_registered_champion_scores_and_explains_as_the_fitted_one(table, fitted, spark, tmp_path):
    store = Registry(MlflowConfig(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"), "test"))
    version = store.record(as_trained(fitted), spark, {}, (), {}, {EXPLAINER: fitted.explainer.as_json()})
    explained = explainer_of_json(store.text("untidy", version, EXPLAINER))
    ids = table.where("id IN ('c1', 'c2', 'c11')")
    there = scored_table(ids, SPEC, store.champion("untidy").pipeline, explained).orderBy("id").collect()
    here = scored_table(ids, SPEC, fitted.pipeline, fitted.explainer).orderBy("id").collect()
    assert np.allclose([r["score"] for r in there], [r["score"] for r in here])
    assert [[d["driver"] for d in r["drivers"]] for r in there] == [[d["driver"] for d in r["drivers"]] for r in here]


@pytest.mark.parametrize(
    ("values", "positive", "ones"),
    [
        (("yes", "no", "no"), None, 1),
        (("-1", "1", "-1"), None, 1),
        (("true", "false", "true"), None, 2),
        (("0", "1", None), None, 1),
        (("2", "1", "1"), None, 1),
        (("1", "1.0", "0", "0.0"), None, 2),
        (("1", "1.0", "0", "0.0"), "1.0", 2),
        (("gone", "here", "here"), "Gone", 1),
        (("a", "b", "c"), "b", 1),
        (("+", "-", "-"), "+", 1),
        (("churned", "none", "none", None), None, 1),
        (("-", "left", "left"), "-", 1),
        (("yes", "no", "unknown", "none", r"\N"), None, 1),
        ((*[f"r{i // 2}" for i in range(300)], "rare"), "rare", 1),
    ],
)
def test_the_label_is_known_by_its_words_or_by_what_the_spec_says(frame, values, positive, ones):
    rows = frame("k int, y string", *enumerate(values))
    spec = TableSpec("t", "?", TableLabel("y", positive), key=("k",))
    assert labelled(rows, spec).agg(F.sum(LABEL)).first()[0] == ones


@pytest.mark.parametrize(
    ("values", "label", "told"),
    [
        (("a", "b"), TableLabel("y"), "say which one is asked for by `positive`"),
        (("1", "1.0"), TableLabel("y"), "1 values beside words for a missing one, two are wanted"),
        (("yes", "yes"), TableLabel("y"), "1 values beside words for a missing one, two are wanted"),
        (("churned", "unknown", "unknown"), TableLabel("y"), "is 'churned' or 'unknown', a word for a missing value"),
        (("churned", "unknown", None), TableLabel("y", "churned"), "is 'churned' or 'unknown', a word for a missing value"),
        (("yes", "no"), TableLabel("y", "gone"), "is never 'gone'"),
        (("yes", "no"), TableLabel("z"), "no column 'z'"),
    ],
)
def test_a_label_that_is_none_is_refused_with_the_mend(frame, values, label, told):
    with pytest.raises(ConfigError, match=told):
        labelled(frame("k int, y string", *enumerate(values)), TableSpec("t", "?", label, key=("k",)))


def test_rows_whose_label_is_missing_are_left_out(frame):
    for kind, values in {"boolean": (True, False, None, True), "string": ("yes", "no", r"\N", "yes"), "double": (1.0, 0.0, float("nan"), 1.0)}.items():
        rows = labelled(frame(f"k int, y {kind}", *enumerate(values)), TableSpec("t", "?", TableLabel("y"), key=("k",)))
        assert rows.agg(F.count(LABEL), F.sum(LABEL)).first() == (3, 2)


def test_the_rows_tell_which_value_is_asked_for(frame):
    rows = frame("k int, y string", (1, "1"), (2, "2"))
    assert positive_of(labelled(rows, TableSpec("t", "?", TableLabel("y"), key=("k",)))) == "2"
    assert positive_of(labelled(rows, TableSpec("t", "?", TableLabel("y", "1"), key=("k",)))) == "1"


def test_a_column_of_a_name_that_scoring_needs_is_refused(frame):
    with pytest.raises(ConfigError, match="rename the column 'Probability'"):
        labelled(frame("k int, y string, Probability double", (1, "yes", 0.1)), TableSpec("t", "?", TableLabel("y"), key=("k",)))


def test_a_column_that_scores_could_not_carry_is_refused_before_a_model_is_made_of_it(frame):
    rows = frame("k int, y string, Rest double", (1, "yes", 0.1), (2, "no", 0.2))
    labelled(rows, TableSpec("t", "?", TableLabel("y"), key=("k",)))
    with pytest.raises(ConfigError, match="t: rename the column 'Rest', or name a `key`"):
        labelled(rows, TableSpec("t", "?", TableLabel("y")))


def test_a_hold_out_of_one_class_cannot_judge(frame):
    rows = frame("k int, y string", *[(i, "yes" if i == 0 else "no") for i in range(40)])
    with pytest.raises(UntrainableError, match="only one value"):
        fit_table(rows, TableSpec("t", "?", TableLabel("y"), key=("k",)), lambda _: None)


def test_folds_part_all_rows_and_no_key_is_on_both_sides(spark):
    keys = spark.range(600).selectExpr("id", "id % 200 AS k", "CAST(id % 2 AS string) AS y")
    held = []
    for fold in range(5):
        spec = TableSpec("t", "?", TableLabel("y"), key=("k",), hold_out=HoldOut(0.2, fold))
        rows = in_parts(labelled(keys, spec), 0.2).select("k", PART).distinct().collect()
        assert len(rows) == 200  # each key in one part
        held.append({r["k"] for r in rows if r[PART] == "hold_out"})
    assert sum(map(len, held)) == len(set.union(*held)) == 200


def test_equal_rows_stay_together_whatever_numbers_them_or_is_left_out(frame):
    rows = frame("_c0 int, x int, read_on int, y string", (0, 7, 1, "yes"), (1, 7, 2, "yes"), (2, 8, 3, "no"))
    keys = labelled(rows, TableSpec("t", "?", TableLabel("y"), exclude=("read_on",))).orderBy("_c0").select(KEY).collect()
    assert keys[0] == keys[1] != keys[2]


def test_texts_of_which_no_level_is_held_by_ten_cannot_be_learnt_from(frame):
    rows = frame("k int, shop string, y string", *[(i, f"shop {i // 3}", "yes" if i % 2 else "no") for i in range(90)])
    with pytest.raises(UntrainableError, match="no level of a text is held by 10 rows"):
        fit_table(rows, TableSpec("t", "?", TableLabel("y"), key=("k",)), lambda _: None)


def test_a_line_takes_nothing_for_larger_than_what_it_learnt_from(spark, frame):
    """A bill in cents, or a row of nines, would outweigh all else. In a session that has observed something, as that of `make_province`."""
    spark.range(3).observe(Observation("rows"), F.count(F.lit(1)).alias("n")).collect()
    chance = random.Random(5)
    rows = [(i, x, "yes" if chance.random() < 0.2 + 0.006 * x else "no") for i, x in enumerate(chance.uniform(0, 100) for _ in range(400))]
    spec = TableSpec("t", "?", TableLabel("y"), key=("k",), algorithms=("logistic",))
    found = fit_table(frame("k int, x double, y string", *rows), spec, lambda _: None)
    strange = frame("k int, x double", (1, 1e4), (2, 1e9), (3, 50.0))
    large, larger, usual = [r["probability"][1] for r in found.pipeline.transform(strange).orderBy("k").collect()]
    assert large == larger > usual and large < 0.99


MONTHS = [f"2024-{m:02d}" for m in range(1, 11) for _ in range(m)]  # 55 rows, month m has m


@pytest.mark.parametrize(
    ("share", "since"),
    [(0.3, "2024-09"), (0.2, "2024-10"), (0.05, "2024-10"), (0.5, "2024-08")],  # 19, 10, 10 and 27 rows: the nearest to 16.5, 11, 2.75 and 27.5
)
@pytest.mark.parametrize("kind", ["month", "day", "number", "date"])
def test_the_newest_judge_and_those_of_one_time_stay_together(frame, share, since, kind):
    written = {"month": lambda m: m, "day": lambda m: f"3/{m[5:]}/{m[:4]}", "number": lambda m: m.replace("-", ""), "date": lambda m: m}[kind]
    rows = frame("k int, y string, at string", *[(i, "yes" if i % 2 else "no", written(m)) for i, m in enumerate(MONTHS)], (99, "yes", None))
    if kind == "date":
        rows = rows.withColumn("at", F.to_date(F.concat("at", F.lit("-15"))))
    spec = TableSpec("t", "?", TableLabel("y"), key=("k",), hold_out=HoldOut(share, time="at"))
    held = {r["k"] for r in in_parts(labelled(rows, spec), 0.2).where(F.col(PART) == "hold_out").collect()}
    assert held == {i for i, m in enumerate(MONTHS) if m >= since}
    assert "at" not in {s.column for s in profiled(labelled(rows, spec), spec, 56).sources}


def test_rows_of_the_gap_before_the_hold_out_do_not_learn(frame):
    days = [f"2024-01-{d:02d}" for d in range(1, 32)]
    rows = frame("k int, y string, at string", *[(i, "yes" if i % 2 else "no", day) for i, day in enumerate(days)], (99, "yes", None))
    spec = TableSpec("t", "?", TableLabel("y"), key=("k",), hold_out=HoldOut(8 / 31, time="at", gap=7))
    parts = {r["k"]: r[PART] for r in in_parts(labelled(rows, spec), 0.2).collect()}
    judge = {k for k, part in parts.items() if part == "hold_out"}
    assert judge == set(range(23, 31))  # from 2024-01-24 on
    assert set(parts) - judge == {*range(16), 99}  # to 2024-01-16: a label that takes seven days is known on the 23rd
    with pytest.raises(ValueError, match="only with time"):
        HoldOut(gap=7)


@pytest.mark.parametrize(("at", "told"), [("2024-01", "has not two values"), (None, "neither days, months"), ("soon", "neither days, months nor numbers")])
def test_a_time_that_parts_nothing_is_refused(frame, at, told):
    rows = frame("k int, y string, at string", (1, "yes", at), (2, "no", at))
    with pytest.raises(ConfigError, match=f"t: hold_out: time: 'at' .*{told}"):
        labelled(rows, TableSpec("t", "?", TableLabel("y"), key=("k",), hold_out=HoldOut(time="at")))


def test_days_of_a_sorted_table_are_read_by_rows_from_all_of_it(frame, monkeypatch):
    """Those that come first could have the month first."""
    monkeypatch.setattr("crm_spark.learning.table.MOST_PROFILED", 60)
    days = [f"{d}/{m}/2024" for d in range(1, 29) for m in range(1, 13)]
    rows = frame("k int, y string, at string", *[(i, "yes" if i % 2 else "no", day) for i, day in enumerate(days)])
    spec = TableSpec("t", "?", TableLabel("y"), key=("k",), hold_out=HoldOut(0.25, time="at"))
    held = {days[r["k"]] for r in labelled(rows, spec).where("_held").collect()}
    assert held == {day for day in days if int(day.split("/")[1]) >= 10}
