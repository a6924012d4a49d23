"""Rows of the driver as frames: every kind of value comes back as it was given, and reading them takes no job."""

from datetime import UTC, date, datetime
from decimal import Decimal

from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.frames import literal_frame

SCHEMA = (
    "text string, whole int, large bigint, money decimal(18,2), day date, local timestamp_ntz, yes boolean, share double, "
    "weights map<string,double>, commits array<struct<table:string,version:bigint,cities:array<string>>>"
)
FULL = (
    "杭州", 7, 2**40, Decimal("10.50"), date(2024, 2, 29), datetime(2024, 3, 1, 8, 30), False, 3,
    {"a": 1.0}, [("raw.billing", 3, ["A"]), ("mart.customer_view", 4, None)],
)  # fmt: skip


def test_values_come_back_as_they_were_given(spark):
    full, empty = literal_frame(spark, [FULL, (None,) * len(FULL)], SCHEMA).collect()
    assert [tuple(map(tuple, v)) if isinstance(v, list) else v for v in full] == [*FULL[:-1], (("raw.billing", 3, ["A"]), ("mart.customer_view", 4, None))]
    assert set(empty) == {None}


def test_a_time_with_a_zone_is_that_moment(spark):
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert literal_frame(spark, [(noon,)], "at timestamp").select(F.unix_timestamp("at")).first()[0] == noon.timestamp()


def test_no_rows_keep_the_schema(spark):
    frame = literal_frame(spark, [], SCHEMA)
    assert frame.count() == 0 and frame.schema == T.StructType.fromDDL(SCHEMA)


def test_reading_them_takes_no_job(spark):
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("literal", "")
    try:
        assert literal_frame(spark, [(1,), (2,)], "n int").collect() == [(1,), (2,)]
        assert literal_frame(spark, [], "n int").collect() == []
        assert tracker.getJobIdsForGroup("literal") == []
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
