"""Which tables a champion can score: what is not there, or would clash, is told before any row is read."""

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer, VectorAssembler

from crm_spark.config.table_models import HoldOut, TableLabel, TableSpec
from crm_spark.errors import ConfigError
from crm_spark.learning.__main__ import _incomparable, _spec_text
from crm_spark.learning.calibrate import Calibration
from crm_spark.learning.drivers import Explainer, LinePart
from crm_spark.learning.members import LINE
from crm_spark.learning.scored import scored_table
from crm_spark.learning.search import RAW, SCORE

CLEAN = "SELECT *, `minutes of use` + 1 AS _x0 FROM __THIS__"


@pytest.mark.parametrize(
    ("schema", "key", "told"),
    [
        ("id int, `minutes of us` int", ("id",), "m: the champion learnt from 'minutes of use', which the table has not .did you mean 'minutes of us'"),
        ("ids int, `minutes of use` int", ("id",), "m: the table has no column 'id' .did you mean 'ids'"),
        ("Base int, `minutes of use` int", (), "m: rename the column 'Base', or name a `key`"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused_with_the_mend(spark, schema, key, told):
    table = spark.createDataFrame([], schema)
    with pytest.raises(ConfigError, match=told):
        scored_table(table, TableSpec("m", "?", TableLabel("y"), key=key), PipelineModel(stages=[SQLTransformer(statement=CLEAN)]), None)


def test_a_champion_is_compared_on_rows_that_a_key_has_kept_from_it():
    keyed, other = TableSpec("m", "?", TableLabel("y"), key=("id",)), TableSpec("m", "?", TableLabel("z"), key=("id",))
    assert _incomparable(keyed, None, _spec_text(keyed, None)) is None
    assert "another label" in _incomparable(keyed, None, _spec_text(other, None))
    bare = TableSpec("m", "?", TableLabel("y"))
    assert "without a key" in _incomparable(bare, None, _spec_text(bare, None))


def test_a_champion_of_a_table_parted_by_time_is_compared_if_all_it_learnt_is_older_than_what_judges():
    spec = TableSpec("m", "?", TableLabel("y"), key=("id",), hold_out=HoldOut(time="month"))
    assert _incomparable(spec, 9.0, _spec_text(spec, 9.0)) is None
    assert _incomparable(spec, 9.0, _spec_text(spec, 8.0)) is None
    assert "newer rows" in _incomparable(spec, 9.0, _spec_text(spec, 10.0))
    by_key = TableSpec("m", "?", TableLabel("y"), key=("id",))
    assert "another hold_out" in _incomparable(spec, 9.0, _spec_text(by_key, None))


def test_keys_and_columns_may_have_any_name(frame):
    rows = frame("`a.b ``c` string, `minutes.of call` double", ("k1", 1.5), ("k2", -2.0))
    statement = f"SELECT *, `minutes.of call` * 2D AS x, 0.25D AS {RAW}, 0.5D AS {SCORE} FROM __THIS__"
    pipeline = PipelineModel(stages=[SQLTransformer(statement=statement), VectorAssembler(inputCols=["x"], outputCol=LINE)])
    line = Explainer((LinePart(np.array([1.0]), 0.0, np.array([0.0]), np.array([0])),), ("minutes",), Calibration(), 0.0)
    told = scored_table(rows, TableSpec("m", "?", TableLabel("y"), key=("a.b `c",)), pipeline, line).collect()
    assert [(r["a.b `c"], r["score"], r["log_odds"], r["drivers"][0]["effect"]) for r in told] == [("k1", 50, 3, 3), ("k2", 50, -4, -4)]
