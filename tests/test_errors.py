"""What is told of an error that a library raised: one line, and nothing that could be a customer's number."""

import pytest
from pyspark.errors import PySparkException

from crm_spark.errors import one_line


def test_a_value_that_spark_quotes_is_not_told_if_it_is_as_long_as_a_phone_number(spark):
    with pytest.raises(PySparkException) as raised:
        spark.sql("SELECT CAST('13900001234x' AS int) AS i").collect()
    told = one_line(raised.value)
    assert told.startswith("[CAST_INVALID_INPUT] The value '(a long number)x' of the type") and "\n" not in told


def test_an_error_without_words_tells_its_kind():
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("\n line 2024-03 of 1,000\nstack")) == "line 2024-03 of 1,000"
