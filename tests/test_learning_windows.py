"""Windows and labels: what happened after the as-of month, and nothing of it in a feature."""

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from crm_spark.config.models import Algorithm, Features, Gate, Label, ModelSpec, Windows, load_models
from crm_spark.config.sources import extension_fields, load_source
from crm_spark.learning.features import candidate_features
from crm_spark.learning.windows import (
    asked_together,
    label_months,
    label_rows,
    months_to_read,
    performance_months,
    sample_of_customers,
    training_rows,
    unseen_cities,
)
from crm_spark.tables.mart import CUSTOMER_VIEW, CUSTOMER_VIEW_LABELS
from crm_spark.tables.raw import OUTCOME

CONF = Path(__file__).resolve().parents[1] / "conf"
VIEW = "city string, month string, user_id string, split_bucket int, status string, minutes double"
SEEN = ("2024-11", "2024-12", "2025-01", "2025-02", "2025-03")
SPECS = [(p.parent.name, n) for p in sorted((CONF / "sources").glob("*/source.yml")) for n in load_models(CONF, p.parent.name)]


def rows_of_one(one, *told, **more):
    return label_rows([one], *told, **more)


def spec(value="bool_or(NOT p.present)", gap=1, performance=2, population="status = 'active'", outcome=None, **changes):
    label = Label("left", outcome=outcome) if outcome else Label("left", value=value)
    grades = {"default": {"high": 50.0, "low": 0.0}}
    windows = Windows(2, gap, performance)
    return replace(ModelSpec("m", "?", population, label, windows, (Algorithm("tree"),), grades, Gate(0.6, 1.1, 0.1)), **changes)


def values(labels):
    return {(r["user_id"], r["month"]): r["value"] for r in labels.collect()}


class TestMonths:
    def test_churn_of_march_learns_from_november_and_december(self):
        assert label_months(spec(), "2025-03", SEEN) == ("2024-11", "2024-12")
        assert performance_months(spec(), "2024-12") == ("2025-02", "2025-03")
        assert months_to_read(spec(), ("2024-11", "2024-12")) == ("2024-11", "2024-12", "2025-01", "2025-02", "2025-03")

    def test_a_month_counts_only_if_its_whole_performance_window_may_be_read(self):
        assert label_months(spec(), "2025-03", [m for m in SEEN if m != "2025-02"]) == ()
        assert label_months(spec(gap=0, performance=1), "2025-03", [m for m in SEEN if m != "2025-02"]) == ("2024-11", "2024-12")

    def test_the_future_of_the_run_is_never_used(self):
        assert label_months(spec(), "2025-02", SEEN) == ("2024-11",)

    def test_the_observation_window_must_lie_within_what_the_source_has(self):
        assert label_months(spec(), "2025-03", SEEN, first_month="2024-11") == ("2024-12",)
        assert label_months(replace(spec(), as_of_months=1), "2025-03", SEEN) == ("2024-12",)

    def test_a_delivered_label_needs_no_later_month(self):
        assert label_months(spec(outcome="left_network", as_of_months=1), "2025-03", SEEN) == ("2025-03",)


class TestLabels:
    @pytest.fixture
    def view(self, frame):
        rows = [
            ("A", "2024-12", "stays", 1, "active", 100.0), ("A", "2025-01", "stays", 1, "active", 90.0),
            ("A", "2025-02", "stays", 1, "active", 80.0), ("A", "2025-03", "stays", 1, "active", 10.0),
            ("A", "2024-12", "leaves", 1, "active", 100.0), ("A", "2025-01", "leaves", 1, "active", 5.0), ("A", "2025-02", "leaves", 1, "active", 5.0),
            ("A", "2024-12", "gone", 1, "active", 100.0),
            ("A", "2024-12", "moves", 1, "active", 100.0), ("B", "2025-02", "moves", 1, "active", 90.0), ("B", "2025-03", "moves", 1, "active", 90.0),
            ("A", "2024-12", "suspended", 1, "suspended", 0.0), ("A", "2025-02", "comes_later", 1, "active", 50.0),
        ]  # fmt: skip
        return frame(VIEW, *rows)

    def test_everybody_of_the_population_gets_a_label_and_nobody_else(self, view):
        labels = rows_of_one(spec(), view, "2025-03", SEEN, first_month="2024-11")
        assert labels.columns == list(CUSTOMER_VIEW_LABELS.columns)
        assert values(labels) == {("stays", "2024-12"): 0, ("leaves", "2024-12"): 1, ("gone", "2024-12"): 1, ("moves", "2024-12"): 0}
        told = labels.select("city", "label", "window_id", "known_month").distinct().collect()
        assert [tuple(r) for r in told] == [("A", "left", "o2g1p2", "2025-03")]

    def test_a_condition_compares_the_as_of_row_with_every_performance_month(self, view):
        steady = spec("bool_and(p.present AND p.minutes >= 0.8 * o.minutes)")
        assert values(rows_of_one(steady, view, "2025-03", SEEN, "2024-11")) == {
            ("stays", "2024-12"): 0, ("leaves", "2024-12"): 0, ("gone", "2024-12"): 0, ("moves", "2024-12"): 1,
        }  # fmt: skip
        fallen = spec("avg(coalesce(p.minutes, 0)) < 0.5 * any_value(o.minutes)")
        assert values(rows_of_one(fallen, view, "2025-03", SEEN, "2024-11")) == {
            ("stays", "2024-12"): 1, ("leaves", "2024-12"): 1, ("gone", "2024-12"): 1, ("moves", "2024-12"): 0,
        }  # fmt: skip

    def test_the_gap_month_is_not_looked_at(self, view):
        ever_low = spec("bool_or(p.minutes < 20)")
        before = values(rows_of_one(ever_low, view.where("month != '2025-01'"), "2025-03", SEEN, "2024-11"))
        assert before == values(rows_of_one(ever_low, view, "2025-03", SEEN, "2024-11"))

    def test_each_as_of_month_looks_at_its_own_months_though_windows_overlap(self, frame):
        minutes = {"late": (90.0, 90.0, 90.0, 10.0), "early": (90.0, 10.0, 90.0, 90.0), "both": (90.0, 90.0, 10.0, 90.0)}
        months = ("2024-12", "2025-01", "2025-02", "2025-03")
        rows = [("A", month, user, 1, "active", used) for user, told in minutes.items() for month, used in zip(months, told, strict=True)]
        ever_low = spec("bool_or(p.minutes < 20)", gap=0, as_of_months=2)
        labels = rows_of_one(ever_low, frame(VIEW, *rows), "2025-03", months)
        assert values(labels) == {
            ("late", "2024-12"): 0, ("late", "2025-01"): 1, ("early", "2024-12"): 1, ("early", "2025-01"): 0, ("both", "2024-12"): 1, ("both", "2025-01"): 1,
        }  # fmt: skip
        assert {(r["month"], r["known_month"]) for r in labels.collect()} == {("2024-12", "2025-02"), ("2025-01", "2025-03")}

    def test_why_a_customer_left_is_told_of_those_who_have_closed_and_are_gone(self, frame):
        as_of, later = "2024-12", ("2025-01", "2025-02")
        users = ("dear", "owes", "untold", "stays", "moves", "too_late")
        view = [("A", as_of, u, 1, "active", 9.0) for u in users] + [("B", m, u, 1, "active", 9.0) for u in ("stays", "moves") for m in later]
        register = [
            ("A", "2025-01", "dear", "closed", "competitive"), ("A", "2025-02", "owes", "closed", "involuntary"), ("A", "2025-02", "untold", "closed", None),
            ("A", "2025-01", "stays", "suspended", "competitive"), ("A", "2025-01", "moves", "closed", "natural"), ("A", "2025-03", "too_late", "closed", "natural"),
        ]  # fmt: skip
        exits = frame("city string, month string, user_id string, status string, exit_kind string", *register)
        kinds = ("natural", "involuntary", "competitive", "service_failure")
        asked = [spec(gap=0, label=Label(kind, value=f"bool_or(p.exit_kind = '{kind}')")) for kind in kinds]
        assert asked_together([*asked, spec(), spec(outcome="told")]) == [tuple(asked), (spec(),), (spec(outcome="told"),)]
        labels = label_rows(asked, frame(VIEW, *view), "2025-02", (as_of, *later), exits=exits)
        assert labels.count() == len(kinds) * len(users) and labels.select("window_id", "known_month").distinct().collect() == [("o2g0p2", "2025-02")]
        assert {(r.user_id, r.label) for r in labels.where("value = 1").collect()} == {("dear", "competitive"), ("owes", "involuntary")}

    def test_a_city_whose_later_files_have_not_come_has_not_left_and_one_that_was_merged_is_followed(self, frame):
        """C came to D; of B there is nobody in February, whose files are missing."""
        as_of, later = "2024-12", ("2025-01", "2025-02")
        rows = [(city, as_of, f"{city}{i}", 1, "active", 9.0) for city in "ABC" for i in range(3)]
        rows += [(now, m, f"{city}{i}", 1, "active", 9.0) for city, now in ("AA", "BB", "CD") for m in later for i in range(2) if (now, m) != ("B", "2025-02")]
        asked, view = spec(gap=0), frame(VIEW, *rows)
        there = {(r.city, r.month) for r in view.select("city", "month").distinct().collect()}
        unseen = unseen_cities(asked, (as_of,), view, there)
        assert unseen == {("B", as_of): "2025-02"}
        labels = values(rows_of_one(asked, view, "2025-02", (as_of, *later), unseen=unseen))
        assert labels == {(f"{city}{i}", as_of): float(i == 2) for city in "AC" for i in range(3)}

    def test_without_a_label_month_there_are_no_rows(self, view):
        assert rows_of_one(spec(), view, "2024-12", SEEN).collect() == []

    def test_delivered_labels_keep_the_month_they_became_known_and_later_ones_wait(self, view, frame):
        told = [("A", "2025-02", u, label, v, known) for u, label, v, known in (
            ("stays", "left_network", 0.0, "2025-02"), ("leaves", "left_network", 1.0, "2025-03"), ("comes_later", "left_network", 1.0, "2025-04"),
            ("stays", "another", 1.0, "2025-02"),
        )]  # fmt: skip
        outcomes = frame(", ".join(f"{f.name} {f.sql_type}" for f in OUTCOME.fields), *told)
        delivered = spec(outcome="left_network", as_of_months=1)
        labels = rows_of_one(delivered, view, "2025-03", [m for m in SEEN if m <= "2025-02"], outcomes=outcomes)
        rows = {(r["user_id"], r["value"], r["known_month"], r["window_id"]) for r in labels.collect()}
        assert rows == {("stays", 0.0, "2025-02", "delivered"), ("leaves", 1.0, "2025-03", "delivered")}

    def test_another_future_changes_labels_and_no_feature(self, view):
        """The leak test: rows after the as-of month are turned upside down; what is learnt from stays, what is learnt changes."""
        later = F.col("month") > "2024-12"
        other = view.withColumn("minutes", F.when(later, -F.col("minutes")).otherwise(F.col("minutes"))).where(~later | (F.col("user_id") != "stays"))
        steady = spec("bool_and(p.present AND p.minutes >= 0.8 * o.minutes)")
        first, second = (
            training_rows(steady, v.where("month = '2024-12'"), rows_of_one(steady, v, "2025-03", SEEN, "2024-11"), "2025-03").collect() for v in (view, other)
        )
        features = {r["user_id"]: (r["city"], r["month"], r["split_bucket"], r["status"], r["minutes"]) for r in first}
        assert features == {r["user_id"]: (r["city"], r["month"], r["split_bucket"], r["status"], r["minutes"]) for r in second}
        assert {r["user_id"]: r["label_value"] for r in first} != {r["user_id"]: r["label_value"] for r in second}

    def test_a_label_that_is_known_only_after_the_run_is_not_learnt_from(self, view):
        labels = rows_of_one(spec(), view, "2025-03", SEEN, "2024-11")
        assert training_rows(spec(), view, labels, "2025-02").collect() == []
        assert training_rows(spec(), view, labels, "2025-03").count() == 4


@pytest.mark.parametrize(("source", "model"), SPECS, ids=lambda x: x)
def test_every_expression_of_every_spec_fits_the_view_of_its_source(frame, source, model):
    """Population, label and added features are analysed against the contract; a misspelt column fails here."""
    view = CUSTOMER_VIEW.with_fields(extension_fields(load_source(CONF, source)))
    empty = frame(view.struct)
    found = load_models(CONF, source)[model]
    months = ("2024-10", "2024-11", "2024-12", "2025-01", "2025-02", "2025-03")
    labels = rows_of_one(found, empty, "2025-03", months, outcomes=frame(OUTCOME.struct))
    assert set(labels.columns) == set(CUSTOMER_VIEW_LABELS.columns)
    names = candidate_features(empty, found.features).names
    assert set(found.features.add) <= set(names) and not {"user_id", "split_bucket", "month", "person_id", "household_id"} & set(names)


def test_a_feature_list_with_an_unknown_column_is_refused(frame):
    from crm_spark.errors import ConfigError

    with pytest.raises(ConfigError, match="no column 'minuts' \\(did you mean 'minutes'"):
        candidate_features(frame(VIEW), Features(exclude=("minuts",)))


def test_a_month_without_minutes_is_not_one_of_staying_tied(frame):
    who = "city string, month string, user_id string, status string, is_active boolean"
    schema = f"{who}, total_minutes double, total_minutes_mean_3m double"
    used = {"tied": (100.0, 90.0, 95.0), "silent": (100.0, None, 95.0), "less": (100.0, 79.0, 95.0)}
    months = ("2025-01", "2025-02", "2025-03")
    months_used = [(user, *month) for user, known in used.items() for month in zip(months, known, strict=True)]
    rows = [("A", month, user, "active", True, minutes, 100.0) for user, month, minutes in months_used]
    stickiness = replace(load_models(CONF, "province")["stickiness"], as_of_months=1)
    labels = rows_of_one(stickiness, frame(schema, *rows), "2025-03", months)
    assert values(labels) == {("tied", "2025-01"): 1, ("silent", "2025-01"): 0, ("less", "2025-01"): 0}


def test_a_sample_is_of_customers_the_same_ones_in_every_month(spark):
    user, month = F.concat(F.lit("u"), F.col("id") % 2000), F.when(F.col("id") < 2000, "2025-01").otherwise("2025-02")
    rows = spark.range(4000).select(user.alias("user_id"), month.alias("month"))
    drawn = sample_of_customers(rows, 0.3).collect()
    by_month = {m: {r.user_id for r in drawn if r.month == m} for m in ("2025-01", "2025-02")}
    assert by_month["2025-01"] == by_month["2025-02"]
    assert abs(len(by_month["2025-01"]) - 600) < 4 * (2000 * 0.3 * 0.7) ** 0.5
    assert sample_of_customers(rows, 1.0).count() == 4000
