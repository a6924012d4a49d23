"""Texts as shares with the label, level by level, against sums by hand; a level that is rare, or was never seen, of texts of different size."""

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import functions as F

from crm_spark.learning.encode import RAREST, SMOOTHING, encodings, filled_statement, indexer, learning_statement, scoring_statement
from crm_spark.learning.table import FOLD, FOLDS, LABEL, Source

LONG, SHORT = Source("_x0", "town", "text", "town"), Source("_x1", "plan", "text", "plan")
TOWNS, ROWS = 15, 450


def customers():
    """Fifteen towns of thirty; two plans, and three customers with a plan that is too rare to be a level."""
    for i in range(ROWS):
        yield i % FOLDS, float(i % 3 == 0), f"town {i % TOWNS}", "rare" if i < 3 else "ab"[i % 2]


@pytest.fixture(scope="module")
def encoded(spark):
    clean = spark.createDataFrame(list(customers()), f"{FOLD} int, {LABEL} double, _x0 string, _x1 string")
    found = encodings(clean, [LONG, SHORT])
    strange = spark.createDataFrame([(0, 0.0, "never seen", "never seen"), (1, 1.0, "town 1", "b")], clean.schema)

    def through(rows, statement):
        stages = [SQLTransformer(statement=filled_statement(found)), indexer(found), SQLTransformer(statement=statement)]
        sizes = [F.expr(e.size_sql) for e in found]
        return [tuple(r) for r in PipelineModel(stages=stages).transform(rows).select("_x0", "_x1", FOLD, "_x0_share", "_x1_share", *sizes).collect()]

    return through(clean, learning_statement(found)), through(strange, scoring_statement(found))


def share(rows):
    """Smoothed to the share of all."""
    prior = sum(label for _, label, *_ in customers()) / ROWS
    return (sum(label for _, label, *_ in rows) + SMOOTHING * prior) / (len(rows) + SMOOTHING)


def test_of_many_levels_a_row_is_told_by_the_other_folds_and_of_few_by_all(encoded):
    learnt, _ = encoded
    for town, plan, fold, by_town, by_plan, *_ in learnt:
        others = [c for c in customers() if c[2] == town and c[0] != fold]
        prior = [c for c in customers() if c[0] != fold]
        expected = (sum(c[1] for c in others) + SMOOTHING * sum(c[1] for c in prior) / len(prior)) / (len(others) + SMOOTHING)
        assert by_town == pytest.approx(expected, abs=1e-5)
        alike = [c for c in customers() if (c[3] if c[3] in "ab" else "rare") == plan]
        assert by_plan == pytest.approx(share(alike), abs=1e-5)
    assert sum(plan == "rare" for _, plan, *_ in learnt) == 3 < RAREST


def test_what_was_never_seen_counts_as_what_is_rare(encoded):
    _, ((_, _, _, new_town, new_plan, *_), (_, _, _, _, known_plan, *_)) = encoded
    assert new_town == pytest.approx(share([]), abs=1e-5)
    assert new_plan == pytest.approx(share([c for c in customers() if c[3] == "rare"]), abs=1e-5)
    assert known_plan == pytest.approx(share([c for c in customers() if c[3] == "b"]), abs=1e-5)


def test_the_size_of_a_level_is_the_share_of_rows_that_have_it(encoded):
    learnt, ((*_, new_town, new_plan), (*_, known_town, known_plan)) = encoded
    plans = [c[3] for c in customers()]
    assert [size for *_, size, _ in learnt] == pytest.approx([1 / TOWNS] * ROWS, abs=1e-6)
    assert new_town == new_plan == 0
    assert known_town == pytest.approx(1 / TOWNS, abs=1e-6) and known_plan == pytest.approx(plans.count("b") / ROWS, abs=1e-6)
