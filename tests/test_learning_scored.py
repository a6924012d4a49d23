"""Which tables a champion can score: what is not there, or would clash, is told before any row is read."""

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer

from crm_spark.config.table_models import TableLabel, TableSpec
from crm_spark.errors import ConfigError
from crm_spark.learning.__main__ import _incomparable, _spec_text
from crm_spark.learning.scored import scored_table

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
    assert _incomparable(keyed, _spec_text(keyed)) is None
    assert "another label" in _incomparable(keyed, _spec_text(other))
    bare = TableSpec("m", "?", TableLabel("y"))
    assert "without a key" in _incomparable(bare, _spec_text(bare))
