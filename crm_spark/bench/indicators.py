"""The stage that makes the widest table: calls to `call_indicators`, with cells on a map."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.bench.data import calls_of
from crm_spark.bench.stage import Place, Work, save, save_again
from crm_spark.customer.indicators import build_call_indicators
from crm_spark.tables.indicators import CALL_INDICATORS

READ = ("month", "user_id", "peer_id", "started_at", "seconds", "direction", "cell_id")


def call_indicators(spark: SparkSession, size: int, place: Place) -> Work:
    """Against reading the columns used and writing the wide table as it is."""
    calls, register = calls_of(spark, size, place.conf, place.out / "data")
    out = str(place.tables(size) / CALL_INDICATORS.name)
    sites = _sites(calls).localCheckpoint()

    def run() -> None:
        save(build_call_indicators(calls, register, sites), CALL_INDICATORS, out)

    def floor() -> None:
        calls.select(*READ).write.format("noop").mode("overwrite").save()
        save_again(spark, CALL_INDICATORS, out)

    def rows_out() -> int:
        return spark.read.format("delta").load(out).count()

    return Work(run, floor, calls.count(), rows_out)


def _sites(calls: DataFrame) -> DataFrame:
    """A place for each cell, spread over a degree."""
    degrees = [((F.xxhash64(F.lit(axis), "cell_id") % 1000) / 2000 + middle).alias(axis) for axis, middle in (("latitude", 30), ("longitude", 120))]
    return calls.select("month", "cell_id").distinct().select(F.lit("everywhere").alias("city"), "month", "cell_id", *degrees)
