"""Drift by hand: the published index, its noise, counts per bin on literal customers, the rule, and what the jobs tell of it."""

import json
import logging
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import functions as F

from crm_spark.config.models import Label, Retrain
from crm_spark.errors import RefusedModelError
from crm_spark.learning.drift import (
    FEATURE,
    LABEL,
    SCORE,
    Bins,
    Reference,
    Shift,
    Watched,
    feature_counts,
    label_shift,
    psi,
    psi_noise,
    reference,
    reference_of_json,
    retrain_reason,
    score_counts,
    score_shift,
    shifts,
)  # fmt: skip
from crm_spark.learning.measures import score_table
from crm_spark.learning.registry import Champion
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.learning.split import Count
from crm_spark.learning.table_drift import reference_of_scores
from crm_spark.tables.mart import CUSTOMER_VIEW, CUSTOMER_VIEW_LABELS
from crm_spark.tables.ops import MODEL_DRIFT
from crm_spark.tables.score import MODEL_SCORE
from tests.learning_support import SPEC, customers
from tests.tiny import load_job

PREPARATION = "SELECT *, coalesce(minutes, -1e9D) AS `f_minutes`, coalesce(plan, '(missing)') AS `f_plan` FROM __THIS__"
MINUTES = Bins((10.0, 20.0), (), (0.25, 0.25, 0.25, 0.25), weight=0.8)
PLAN = Bins((), ("a", "b"), (0.5, 0.25, 0.25), weight=0.2)
KNOWN = Reference(("2024-12",), 400, {"minutes": MINUTES, "plan": PLAN}, Bins((50.0,), (), (0.0, 0.5, 0.5)), 40.0, 1000, 0.1)
VIEW = "user_id string, minutes double, plan string"
PEOPLE = (("u1", None, "a"), ("u2", 10.0, "a"), ("u3", 10.5, "b"), ("u4", 99.0, "c"), ("u5", 20.0, None), ("u6", 3.0, "a"))


@pytest.fixture(scope="module")
def pipeline(spark):
    return PipelineModel(stages=[SQLTransformer(statement=PREPARATION)])


@pytest.mark.parametrize(
    ("expected", "actual", "published"),
    [((0.5, 0.5), (0.6, 0.4), 0.0405465), ((0.5, 0.5), (0.7, 0.3), 0.1694596), ((0.2, 0.3, 0.5), (0.25, 0.35, 0.4), 0.0411791)],
)
def test_the_index_is_the_published_one(expected, actual, published):
    assert psi(expected, actual) == pytest.approx(published, abs=1e-7)
    assert psi(actual, expected) == pytest.approx(published, abs=1e-7)


def test_its_noise_is_what_two_samples_of_one_population_show():
    dice, shares, n, m, draws = np.random.default_rng(4), [0.1, 0.2, 0.3, 0.15, 0.25], 2000, 3000, 4000
    found = np.array([psi(dice.multinomial(m, shares) / m, dice.multinomial(n, shares) / n) for _ in range(draws)])
    mean, quantile = psi_noise(5, n, m)
    assert found.mean() == pytest.approx(mean, rel=0.05)
    assert np.mean(found > quantile) == pytest.approx(0.05, abs=0.012)
    assert psi_noise(1, n, m) == (0.0, 0.0)


def test_customers_are_counted_per_bin_missing_first_and_up_to_an_edge(frame, pipeline):
    (counts,) = feature_counts(frame(VIEW, *PEOPLE), [(pipeline, "true", KNOWN.features)])
    assert counts == {"minutes": (1, 2, 2, 1), "plan": (3, 1, 2)}


def test_each_model_counts_its_own_population_in_the_same_pass(frame, pipeline):
    few, none, all_of_them = feature_counts(
        frame(VIEW, *PEOPLE), [(pipeline, "plan = 'a'", {"minutes": MINUTES}), (pipeline, "true", {}), (pipeline, "true", {"plan": PLAN})]
    )
    assert (few, none, all_of_them) == ({"minutes": (1, 2, 0, 0)}, {}, {"plan": (3, 1, 2)})


def test_scores_are_counted_by_model(frame):
    scores = frame("model string, score double", ("leaves", 10.0), ("leaves", 80.0), ("leaves", 50.0), ("stays", 5.0), ("unwatched", 1.0))
    bins = {"leaves": Bins((50.0,), (), ()), "stays": Bins((1.0, 2.0), (), ())}
    assert score_counts(scores, bins) == {"leaves": ((0, 2, 1), 140 / 3), "stays": ((0, 0, 0, 1), 5.0)}


def test_a_month_is_told_against_the_months_a_model_learnt_from(frame, pipeline):
    view = frame(VIEW, *PEOPLE)
    scores = view.select(F.lit("leaves").alias("model"), F.when(F.col("user_id") < "u5", 90.0).otherwise(30.0).alias("score"))
    found = shifts(view, scores, {"leaves": Watched(Scorer(replace(SPEC, population="true"), pipeline, "3"), KNOWN)})["leaves"]
    score, minutes, plan = found
    assert (score.kind, score.mean, score.reference_mean, score.bins, score.customers) == (SCORE, 70.0, 40.0, 2, 6)
    assert score.psi == pytest.approx((2 / 6 - 0.5) * math.log(2 / 3) + (4 / 6 - 0.5) * math.log(4 / 3))
    of_minutes = [(c / 6 - 0.25) * math.log(c / 6 / 0.25) for c in (1, 2, 2, 1)]
    assert minutes.psi == pytest.approx(sum(of_minutes)) and minutes.by_chance == pytest.approx(3 * (1 / 6 + 1 / 400))
    assert (plan.subject, plan.weight, plan.reference_customers) == ("plan", 0.2, 400)


def test_an_empty_bin_counts_as_half_a_customer(frame, pipeline):
    only_a = frame(VIEW, *[(f"u{i}", 15.0, "a") for i in range(10)])
    watched = {"leaves": Watched(Scorer(replace(SPEC, population="true"), pipeline, "3"), replace(KNOWN, features={"plan": PLAN}))}
    _, plan = shifts(only_a, only_a.select(F.lit("leaves").alias("model"), F.lit(1.0).alias("score")), watched)["leaves"]
    assert plan.psi == pytest.approx((1 - 0.5) * math.log(1 / 0.5) + 2 * (0.05 - 0.25) * math.log(0.05 / 0.25))


def test_of_very_many_customers_a_sample_has_its_features_counted_and_all_their_scores(spark, pipeline, monkeypatch):
    monkeypatch.setattr("crm_spark.learning.drift.COUNTED", 500)
    many = spark.range(2000).select(F.concat(F.lit("u"), "id").alias("user_id"), F.col("id").cast("double").alias("minutes"), F.lit("a").alias("plan"))
    watched = {"leaves": Watched(Scorer(replace(SPEC, population="true"), pipeline, "3"), KNOWN)}
    score, minutes, plan = shifts(many, many.select(F.lit("leaves").alias("model"), F.lit(1.0).alias("score")), watched)["leaves"]
    assert score.customers == 2000 and 400 < minutes.customers == plan.customers < 600


def test_a_label_that_has_arrived_is_two_shares():
    found = label_shift("left", Count(500, 100), KNOWN)
    assert (found.kind, found.mean, found.reference_mean, found.bins) == (LABEL, 0.2, 0.1, 2)
    assert found.psi == pytest.approx(0.1 * math.log(2) - 0.1 * math.log(0.8 / 0.9))


def shift(kind, subject, psi, weight=None, noise=0.01, mean=None, known=None):
    return Shift(kind, subject, 10, 100, 100, psi, noise / 2, noise, weight, mean, known)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([shift(SCORE, "score", 0.24)], None),
        ([shift(SCORE, "score", 0.3)], "its score has PSI 0.30, by chance 0.005"),
        ([shift(SCORE, "score", 0.3, noise=0.31)], None),  # so few customers that chance may bring as much
        ([shift(FEATURE, "arpu", 0.3, 0.1)], None),  # it carries no more than a tenth
        ([shift(FEATURE, "age", 0.3, 0.02), shift(FEATURE, "arpu", 0.4, 0.1)], "features that carry 12% of it have drifted: arpu 0.40, age 0.30"),
        ([shift(LABEL, "left", 0.05, mean=0.14, known=0.1)], None),
        ([shift(LABEL, "left", 0.05, mean=0.04, known=0.1)], "4.0% have the label left where 10.0% had it"),
        ([shift(LABEL, "left", 0.05, noise=0.06, mean=0.04, known=0.1)], None),
    ],
)
def test_the_rule_asks_for_a_new_model_only_beyond_its_bars_and_beyond_chance(found, told):
    assert retrain_reason(found, Retrain()) == told


@pytest.fixture(scope="module")
def known(learnt, learning_rows):
    return reference(learnt, learning_rows)


def watching(learnt, known):
    return {"leaves": Watched(Scorer(SPEC, learnt.pipeline, "1"), known)}


class TestReference:
    def test_it_holds_shares_of_the_held_out_and_no_customer(self, learnt, known):
        assert set(known.features) == set(learnt.importances) and known.customers == 180
        for bins in (*known.features.values(), known.score):
            assert len(bins.shares) == bins.count <= 20 and math.fsum(bins.shares) == pytest.approx(1)
            assert all(float(f"{edge:.4g}") == edge for edge in bins.edges)
        assert known.features["minutes"].weight == learnt.importances["minutes"]
        left = [c[-1] for c in customers()]
        assert (known.label_customers, known.label_rate) == (600, pytest.approx(sum(left) / 600))
        assert "u00" not in known.as_json() and reference_of_json(known.as_json()) == known

    def test_the_customers_it_was_made_of_have_not_drifted(self, learnt, known, learning_rows):
        held = learning_rows.where("split_bucket < 30")
        found = shifts(held, model_scores(held, [Scorer(SPEC, learnt.pipeline, "1")]), watching(learnt, known))["leaves"]
        assert {s.subject: s.psi for s in found} == pytest.approx(dict.fromkeys(['score', *known.features], 0.0), abs=1e-12)
        assert found[0].mean == pytest.approx(found[0].reference_mean, abs=1e-6)

    def test_halved_minutes_are_seen_and_ask_for_a_new_model(self, learnt, known, learning_rows):
        later = learning_rows.withColumn("minutes", F.col("minutes") / 2)
        found = shifts(later, model_scores(later, [Scorer(SPEC, learnt.pipeline, "1")]), watching(learnt, known))["leaves"]
        drifted = {s.subject for s in found if s.is_beyond(0.25)}
        assert "minutes" in drifted and "noise" not in drifted and found[0].mean > found[0].reference_mean
        assert "minutes" in retrain_reason(found, Retrain())


class TestJobs:
    @pytest.fixture
    def job(self, spark, learning_rows, learnt):
        """A job that scored 2025-03, of customers whose minutes have halved; the labels of 2025-02 have arrived."""
        later = learning_rows.withColumns({"minutes": F.col("minutes") / 2, "month": F.lit("2025-03")})
        labels = learning_rows.select(
            "city", F.lit("2025-02").alias("month"), "user_id", F.lit("left").alias("label"), F.lit("o1g0p1").alias("window_id"),
            F.lit("2025-03").alias("known_month"), F.lit(1.0).alias("value"),
        )  # fmt: skip
        tables = {CUSTOMER_VIEW.name: later, MODEL_SCORE.name: model_scores(later, [Scorer(SPEC, learnt.pipeline, "1")]), CUSTOMER_VIEW_LABELS.name: labels}
        told, kept = [], []
        return SimpleNamespace(
            spark=spark, run_id="r1", month="2025-03", cities=None, told=told, kept=kept, log=logging.getLogger("test"),
            config=SimpleNamespace(models={"leaves": SPEC}), cover=lambda *t: told.append(t), append=lambda f, t: kept.append((f, t)),
            seen=SimpleNamespace(cities=lambda *_: {"A", "B"}),
            months_of=lambda table: ("2025-01", "2025-02", "2025-03"), read=lambda table, *_, **__: tables[table.name],
        )  # fmt: skip

    def test_drift_is_kept_and_told(self, job, learnt, known):
        registry = SimpleNamespace(find_text=lambda *_: known.as_json())
        load_job("score_models").tell_drift(job, registry, [Scorer(SPEC, learnt.pipeline, "1")])
        ((frame, table),) = job.kept
        kept = {(r["kind"], r["subject"]): r for r in table.conform(frame).collect()}
        assert table is MODEL_DRIFT and set(kept) == {(SCORE, "score"), (LABEL, "left"), *((FEATURE, n) for n in known.features)}
        assert kept[LABEL, "left"]["mean"] == 1.0 and kept[LABEL, "left"]["customers"] == 600
        ((kind, model, status, reason),) = job.told
        assert (kind, model, status) == ("drift", "leaves", "partial") and reason == f"retrain version 1: {kept[SCORE, 'score']['retrain']}"
        assert "features that carry" in reason and "100.0% have the label left" in reason

    def test_as_long_as_a_city_is_not_scored_drift_is_told_of_those_that_are_and_asks_for_nothing(self, job, learnt, known):
        job.seen = SimpleNamespace(cities=lambda table, _: {"A"} if table is MODEL_SCORE else {"A", "B", "_ALL"})
        job.cities = ("A",)
        load_job("score_models").tell_drift(job, SimpleNamespace(find_text=lambda *_: known.as_json()), [Scorer(SPEC, learnt.pipeline, "1")])
        ((frame, table),) = job.kept
        kept = table.conform(frame).collect()
        assert {tuple(r["cities"]) for r in kept} == {("A",)} and {r["retrain"] for r in kept} == {None}
        assert max(r["psi"] for r in kept if r["kind"] == FEATURE) > 0.25, "it is told all the same"
        assert job.told == [("drift", "leaves", "used", "asks for nothing while only A are scored")]

    def test_a_label_that_is_delivered_late_is_found_in_the_month_of_which_it_is_known(self, job, learnt, known):
        spec = replace(SPEC, label=Label("left", outcome="left"), as_of_months=3)
        late = job.read(CUSTOMER_VIEW_LABELS).withColumn("window_id", F.lit(spec.window_id))
        of_before, told = late.where("city = 'A'").withColumn("month", F.lit("2025-01")), job.read
        job.read = lambda table, *_, **__: late.union(of_before) if table is CUSTOMER_VIEW_LABELS else told(table)
        registry = SimpleNamespace(find_text=lambda *_: replace(known, months=("2024-12",)).as_json())
        load_job("score_models").tell_drift(job, registry, [Scorer(spec, learnt.pipeline, "1")])
        (row,) = job.kept[0][1].conform(job.kept[0][0]).where(F.col("kind") == LABEL).collect()
        assert (row["customers"], row["mean"]) == (600, 1.0)

    def test_a_version_without_a_reference_is_told(self, job, learnt):
        load_job("score_models").tell_drift(job, SimpleNamespace(find_text=lambda *_: None), [Scorer(SPEC, learnt.pipeline, "1")])
        assert job.told == [("drift", "leaves", "skipped", "version 1 was trained without drift_reference.json")] and not job.kept

    def test_training_by_drift_takes_what_was_asked_for_last_of_the_champion(self, job, frame, caplog):
        """What the month itself has told waits for the next one, so that the month run again is scored by the same version; one city asks for nothing."""
        told = "month string, recorded_at int, kind string, model string, model_version string, retrain string, cities array<string>"
        kept = frame(
            told,
            ("2025-01", 1, SCORE, "leaves", "1", "old drift", None), ("2025-02", 2, SCORE, "leaves", "1", "asked", None),
            ("2025-02", 3, SCORE, "leaves", "1", None, None), ("2025-03", 4, SCORE, "leaves", "1", "of this month", None),
            ("2025-02", 4, SCORE, "stays", "4", "drift", None), ("2025-04", 5, SCORE, "stays", "4", None, None),
            ("2025-02", 5, SCORE, "stays", "4", None, ["A"]), ("2025-02", 4, SCORE, "stays", "3", "drift of another", None),
        )  # fmt: skip
        job.catalog = SimpleNamespace(exists=lambda _: True, read=lambda _: kept)
        training = load_job("train_models")
        asked = training._asked_by_drift(job)
        assert asked == {("leaves", "1"): None, ("stays", "4"): "drift", ("stays", "3"): "drift of another"}

        def scorer(model, version):
            if model == "damaged":
                raise RefusedModelError("not what was recorded")
            return Champion(model, version, None)

        line = {"leaves": ("1",), "stays": ("3", "4"), "new": (), "damaged": ("1",)}.get
        champions = SimpleNamespace(champions=line, alias=lambda model, _: next(reversed(line(model)), None), learnt_later=lambda *_: [], scorer=scorer)
        champions.version = lambda *_: SimpleNamespace(tags={"cities": "A B"})

        def wanted(*cities):
            specs = (replace(SPEC, name=name) for name in ("leaves", "stays", "new", "damaged"))
            return [spec.name for spec in specs if training._is_wanted(job, champions, spec, "drifted", asked, {*cities})]

        assert wanted("A", "B") == wanted("B") == ["stays", "new", "damaged"]
        with caplog.at_level(logging.INFO):
            assert wanted("A", "C") == ["leaves", "stays", "new", "damaged"]
        assert "leaves is trained again, because version 1 has learnt nothing of C" in caplog.text


def test_the_scores_of_a_hold_out_are_a_reference_in_tenths_and_each_score_is_on_one_side_of_an_edge(frame):
    scores = [i % 40 / 40 for i in range(400)]
    table = score_table(np.array(sorted(set(scores))), np.full(40, 10.0), np.full(40, 2.0))
    known = reference_of_scores(table, Count(1000, 200))
    assert known.score.shares == pytest.approx((0.0, *[0.1] * 10)) and not {100 * s for s in scores} & set(known.score.edges)
    rows = frame("model string, score double", *[("m", 100 * s + 0.0004) for s in scores])  # what rounding took away
    customers, mean = score_counts(rows, {"m": known.score})["m"]
    same = score_shift(known, customers, mean)
    assert same.psi == pytest.approx(0, abs=1e-9) and (same.mean, same.reference_mean) == pytest.approx((48.75, 48.75), abs=1e-3)
    assert retrain_reason([same], Retrain()) is None and (known.label_rate, known.customers) == (0.2, 400)
    halved = score_shift(known, *score_counts(rows.withColumn("score", F.col("score") / 2), {"m": known.score})["m"])
    assert "its score has PSI" in retrain_reason([halved], Retrain())


def test_one_score_for_everybody_is_a_reference_too():
    known = reference_of_scores(score_table(np.array([0.3]), np.array([50]), np.array([10])), Count(50, 10))
    assert known.score.shares == (0.0, 1.0, 0.0) and known.mean_score == pytest.approx(30)


def test_a_reference_is_plain_numbers_and_names():
    assert json.loads(KNOWN.as_json())["features"]["plan"] == {"edges": [], "levels": ["a", "b"], "shares": [0.5, 0.25, 0.25], "weight": 0.2, "column": ""}
