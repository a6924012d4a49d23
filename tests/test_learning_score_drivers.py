"""Score drivers of the month's models: by hand on a printed tree with levels, and against the probability of every kind of model."""

import math
from types import SimpleNamespace

import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import functions as F

from crm_spark.learning.calibrate import Calibration
from crm_spark.learning.chances import probability_stages
from crm_spark.learning.score_drivers import effects_of, score_drivers, score_drivers_of_json, with_drivers, words_of
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.learning.split import TRAIN
from crm_spark.learning.trainer import fit_point
from crm_spark.learning.trees import trees_of
from tests.learning_support import SPEC

# Three leaves of a tree: 10, 30 and 60 customers end there, of whom 9, 6 and 6 have the label.
PRINTED = """DecisionTreeRegressionModel: uid=DT_1, depth=2, numNodes=5, numFeatures=2
  If (feature 0 in {1.0,2.0})
   If (feature 1 <= 10.5)
    Predict: 0.9
   Else (feature 1 > 10.5)
    Predict: 0.2
  Else (feature 0 not in {1.0,2.0})
   Predict: 0.1
"""
COUNTS = [{"tree": 0, "leaf": leaf, "rows": rows} for leaf, rows in ((0.0, 10), (1.0, 30), (2.0, 60))]
PLATT = Calibration("platt", 1.5, -0.2)
CHANCE = "1 / (1 + exp(0.2 - 1.5 * ln(array(9.0, 0.25, 1 / 9.0)[id % 3]))) AS probability"  # calibrated, of the odds in the three leaves


@pytest.fixture(scope="module")
def by_hand():
    return effects_of(trees_of(SimpleNamespace(toDebugString=PRINTED), with_levels=True), ["plan", "minutes"], COUNTS, boosted=False, calibration=PLATT)


def test_each_step_is_credited_to_what_was_asked_there(by_hand):
    """Of all 21 % have the label, of those with the plan (40 customers) 37.5 %: the plan adds .165 there and takes .11 elsewhere; then
    few minutes add .525, many take .175."""
    assert by_hand.effects == {"plan": {0: pytest.approx((0.165, 0.165, -0.11))}, "minutes": {0: pytest.approx((0.525, -0.175, 0.0))}}
    assert by_hand.average == pytest.approx(0.21)
    assert score_drivers_of_json(by_hand.as_json()) == by_hand
    assert score_drivers_of_json("[]") is None  # an earlier form


def test_effects_base_and_rest_are_the_calibrated_log_odds(spark, by_hand):
    rows = spark.range(3).selectExpr("'known' AS model", CHANCE, "array(CAST(id AS int)) AS leaves")
    for row, share in zip(with_drivers(rows, {"known": by_hand}).collect(), (0.9, 0.2, 0.1), strict=True):
        assert row["base"] == pytest.approx(1.5 * math.log(0.21 / 0.79) - 0.2, abs=1e-6)
        assert row["base"] + sum(row["effects"]) + row["rest"] == pytest.approx(1.5 * math.log(share / (1 - share)) - 0.2, abs=1e-5)


def test_drivers_that_do_not_come_to_the_score_are_not_told(spark, by_hand):
    rows = spark.range(2).selectExpr("'known' AS model", CHANCE, "array(CAST(id AS int)) AS leaves")
    wrong = rows.withColumn("probability", F.when(F.col("leaves")[0] == 0, F.col("probability")).otherwise(F.col("probability") + 0.001))
    sound, off = (row.asDict() for row in with_drivers(wrong, {"known": by_hand}).collect())
    assert sound["drivers"] and {off[name] for name in ("drivers", "effects", "base", "rest")} == {None}


def test_the_greatest_come_first_in_words_and_what_adds_nothing_is_not_told(spark, by_hand):
    rows = spark.range(6).selectExpr("id % 3 AS id", "IF(id < 3, 'known', 'other') AS model", CHANCE, "array(CAST(id % 3 AS int)) AS leaves")
    told = with_drivers(rows, {"known": by_hand}).orderBy("model", "id").collect()
    assert [row["drivers"] for row in told] == [
        ["raised by minutes", "raised by plan"],
        ["lowered by minutes", "raised by plan"],
        ["lowered by plan"],
        None, None, None,
    ]  # fmt: skip


def test_names_are_read_as_words():
    assert words_of("tenure_months") == "tenure months" and words_of("total_minutes_trend_3m") == "trend of total minutes over three months"
    assert words_of("dou_mb") == "data volume (MB)" and words_of("arpu_yuan_mean_3m") == "mean of ARPU (yuan) over three months"


@pytest.mark.parametrize("algorithm", ["gbt", "tree", "forest"])
@pytest.mark.parametrize("calibration", [Calibration(), PLATT])
def test_what_moved_a_score_adds_up_to_it(learning_rows, learnt, algorithm, calibration):
    """1 / (1 + exp(-(base + effects + rest))) is the probability, of each kind of model, calibrated or not."""
    prepared = learnt.prepared
    grid = {"maxDepth": 3, "minInstancesPerNode": 20} | {"gbt": {"maxIter": 3}, "forest": {"numTrees": 4}, "tree": {}}[algorithm]
    model = fit_point(prepared, algorithm, grid, (TRAIN,))
    learnt_from = prepared.frame.where(F.col("part") == TRAIN)
    drivers = score_drivers(model, prepared.features.names, learnt_from, calibration)
    pipeline = PipelineModel(stages=[*prepared.stages, *probability_stages(learning_rows, model, calibration)])
    rows = model_scores(learning_rows, [Scorer(SPEC, pipeline, "1", drivers)]).collect()
    assert len({r["probability"] for r in rows}) > 3
    for row in rows:
        log_odds = row["base"] + sum(row["effects"]) + row["rest"]
        assert row["probability"] == pytest.approx(1 / (1 + math.exp(-log_odds)), abs=2e-5)
        assert [effect > 0 for effect in row["effects"]] == [driver.startswith("raised") for driver in row["drivers"]]


def test_scores_carry_what_is_planted(learning_rows, learnt):
    """Those with few minutes leave: their score is raised by minutes first, that of the others lowered."""
    found = model_scores(learning_rows, [Scorer(SPEC, learnt.pipeline, "1", learnt.drivers)]).join(learning_rows.select("user_id", "minutes"), "user_id").collect()
    of_minutes = {"minutes", "double minutes"}
    for row in found:
        if not 25 < row["minutes"] < 35:
            how, what = row["drivers"][0].split(" by ")
            assert (how, what in of_minutes) == ("raised" if row["minutes"] < 30 else "lowered", True), row


def test_a_version_without_them_scores_the_same_and_tells_none(learning_rows, learnt):
    scorers = [Scorer(SPEC, learnt.pipeline, "1", drivers) for drivers in (None, learnt.drivers)]
    plain, told = ({r["user_id"]: r for r in model_scores(learning_rows, [scorer]).collect()} for scorer in scorers)
    assert {u: r["probability"] for u, r in plain.items()} == {u: r["probability"] for u, r in told.items()}
    assert {r["drivers"] for r in plain.values()} == {None}
