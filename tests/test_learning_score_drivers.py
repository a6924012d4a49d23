"""Score drivers of the month's models: by hand on a printed tree with levels, and against the model's own margin on customers."""

from types import SimpleNamespace

import pytest

from crm_spark.learning.score_drivers import effects_of, score_drivers_of_json, with_drivers, words_of
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.learning.trees import trees_of
from tests.learning_support import SPEC

# Three leaves of a tree: 10, 30 and 60 customers end there, of whom 9, 6 and 6 have the label.
PRINTED = """DecisionTreeClassificationModel: uid=DT_1, depth=2, numNodes=5, numClasses=2, numFeatures=2
  If (feature 0 in {1.0,2.0})
   If (feature 1 <= 10.5)
    Predict: 1.0
   Else (feature 1 > 10.5)
    Predict: 0.0
  Else (feature 0 not in {1.0,2.0})
   Predict: 0.0
"""
COUNTS = [{"tree": 0, "leaf": leaf, "rows": rows, "positives": positives} for leaf, rows, positives in ((0.0, 10, 9.0), (1.0, 30, 6.0), (2.0, 60, 6.0))]


@pytest.fixture(scope="module")
def by_hand():
    return effects_of(trees_of(SimpleNamespace(toDebugString=PRINTED), with_levels=True), ["plan", "minutes"], COUNTS, boosted=False)


def test_each_step_is_credited_to_what_was_asked_there(by_hand):
    """Of all 21 % have the label, of those with the plan (40 customers) 37.5 %: the plan adds .165 there and takes .11 elsewhere; then
    few minutes add .525, many take .175."""
    assert by_hand.effects == {"plan": {0: pytest.approx((0.165, 0.165, -0.11))}, "minutes": {0: pytest.approx((0.525, -0.175, 0.0))}}
    assert score_drivers_of_json(by_hand.as_json()) == by_hand


def test_the_greatest_come_first_in_words_and_what_adds_nothing_is_not_told(spark, by_hand):
    rows = spark.range(6).selectExpr("id % 3 AS id", "IF(id < 3, 'known', 'other') AS model", "array(CAST(id % 3 AS int)) AS leaves")
    told = with_drivers(rows, {"known": by_hand}).orderBy("model", "id").collect()
    assert [row["drivers"] for row in told] == [
        ["raised by minutes", "raised by plan"],
        ["lowered by minutes", "raised by plan"],
        ["lowered by plan"],
        None, None, None,
    ]  # fmt: skip


def test_names_are_read_as_words():
    assert words_of("tenure_months") == "tenure months" and words_of("total_minutes_trend_3m") == "trend of total minutes over three months"


def test_effects_add_up_to_the_margin_of_the_model_from_customer_to_customer(learning_rows, learnt):
    """Of any two customers the margins differ as the sums of all effects do: the average is the same for both."""
    raw = learnt.pipeline.transform(learning_rows.where("minutes IS NOT NULL")).limit(40)
    model = learnt.pipeline.stages[-1]
    rows = model.transform(raw.drop("rawPrediction", "probability", "prediction"), {model.leafCol: "leaf"}).collect()
    sums = [sum(e[t][int(row["leaf"][t])] for e in learnt.drivers.effects.values() for t in e) for row in rows]
    margins = [row["rawPrediction"][1] for row in rows]
    assert len({round(m, 6) for m in margins}) > 3
    assert [s - sums[0] for s in sums] == pytest.approx([m - margins[0] for m in margins], abs=1e-4)


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
