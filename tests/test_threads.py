"""Work side by side: results in order, the caller's Spark properties, and nothing new after a failure."""

import time

import pytest

from crm_spark.threads import at_once


def test_results_come_in_the_order_of_the_items(spark):
    def slowest_first(number):
        time.sleep(0.2 / (number + 1))
        return number * number

    assert at_once(spark, slowest_first, range(5)) == [0, 1, 4, 9, 16]


def test_the_job_group_of_the_caller_is_that_of_all(spark):
    context = spark.sparkContext
    context.setLocalProperty("spark.jobGroup.id", "the caller's")
    try:
        assert set(at_once(spark, lambda _: context.getLocalProperty("spark.jobGroup.id"), range(3))) == {"the caller's"}
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)


def test_after_a_failure_nothing_new_begins_and_the_failure_is_told(spark):
    begun = []

    def work(number):
        begun.append(number)
        if number == 1:
            raise ValueError("the second fails")
        time.sleep(1.0)

    with pytest.raises(ValueError, match="the second fails"):
        at_once(spark, work, range(8))
    assert len(begun) < 5
