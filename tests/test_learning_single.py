"""The AUC of each feature alone against pairs counted one by one, and the alarm on one that tells what came after."""

from dataclasses import replace

import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from crm_spark.config.models import Gate
from crm_spark.learning.card import model_card
from crm_spark.learning.gate import missed
from crm_spark.learning.single import MOST, single_aucs, telling
from tests.learning_support import fitted

#      level  number  flat  label
ROWS = [(0.0, 1.0, 7.0, 1), (1.0, 2.0, 7.0, 1), (1.0, 2.0, 7.0, 0), (2.0, 3.0, 7.0, 0), (0.0, 4.0, 7.0, 0), (2.0, 1.0, 7.0, 1), (2.0, 5.0, 7.0, 1)]


@pytest.fixture(scope="module")
def leaking(learning_rows):
    """Learnt from rows that tell by a date of leaving who has left, and nothing else of them."""
    return fitted(learning_rows.withColumn("minutes", F.when(F.col("label_value") == 1, F.lit(5.0))))


def vectors(rows):
    return rows.withColumn("v", array_to_vector(F.col("v")))


def area(values, labels):
    pairs = [(p > n) + (p == n) / 2 for p, y in zip(values, labels, strict=True) if y for n, z in zip(values, labels, strict=True) if not z]
    return max(sum(pairs) / len(pairs), 1 - sum(pairs) / len(pairs))


def test_each_feature_alone_is_worth_the_pairs_that_it_orders(spark):
    rows = vectors(spark.createDataFrame([(float(y), values) for *values, y in ROWS], "y double, v array<double>"))
    levels, numbers, _, labels = zip(*ROWS, strict=True)
    shares = [sum(y for k, y in zip(levels, labels, strict=True) if k == level) / levels.count(level) for level in levels]
    found = single_aucs(rows, "y", "v", ["level", "number", "flat"], ["level"])
    assert found == pytest.approx({"level": area(shares, labels), "number": area(numbers, labels), "flat": 0.5})
    assert list(telling(found, 0.5)) == sorted({"level", "number"}, key=lambda name: -found[name])


def test_of_many_rows_as_many_of_either_class_say_the_same(spark):
    many, rare = 20 * MOST, 100
    rows = spark.range(many).select((F.col("id") < rare).cast("double").alias("y"), F.array(((F.col("id") + 1) % 200).cast("double")).alias("v"))
    # of 200 values each is had equally often by those without the label, and 1 to 100 by those with it: (x - 1 + 1/2) / 200 of the pairs
    expected = sum((x + 0.5) / 200 for x in range(1, 101)) / 100
    assert single_aucs(vectors(rows), "y", "v", ["x"])["x"] == pytest.approx(max(expected, 1 - expected), abs=0.01)


def test_a_feature_that_tells_what_came_after_raises_the_alarm_and_the_model_waits(leaking):
    alarm, *_ = missed(leaking)
    assert leaking.alone["minutes"] == pytest.approx(1)
    assert alarm.startswith("'minutes' alone has an AUC of 1.0000, above 0.95")
    assert "minutes&#x27; alone has an AUC" in model_card(leaking, {}, missed(leaking), {})


def test_a_bar_of_one_trusts_it(leaking):
    trusting = replace(leaking.spec, gate=replace(leaking.spec.gate, single_auc=1.0))
    assert missed(replace(leaking, prepared=replace(leaking.prepared, spec=trusting))) == ()


def test_nothing_alone_tells_much_in_rows_without_a_leak(learnt):
    assert telling(learnt.alone, 0.95) == {} and set(learnt.alone) == set(learnt.prepared.features.names)
    assert missed(learnt) == ()


def test_the_bar_is_an_auc():
    with pytest.raises(ValueError, match="single_auc"):
        Gate(0.6, 1.2, 0.05, single_auc=0.4)
