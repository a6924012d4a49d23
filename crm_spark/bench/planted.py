"""Rows whose chances are known: every driver of a synthetic province beside the label that was drawn by it."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.province import DRIVERS, load_province
from crm_spark.province.drivers import drivers
from crm_spark.province.events import chance, drawn
from crm_spark.province.traits import subscribers
from crm_spark.province.world import Province

LABEL, CHANCE, KEY = "happened", "chance", "subscriber"


def planted_rows(spark: SparkSession, conf_dir: Path, size: int, seed: int, response: str) -> DataFrame:
    """One row per subscriber and month lived: KEY, the drivers, CHANCE (logistic in drivers and their products), and LABEL, drawn by it."""
    province = Province(load_province(conf_dir), seed, size)
    lived = drivers(subscribers(spark, province), province).where(F.col("t").between(0, province.last))
    known = lived.withColumn(f"chance_{response}", chance(province.config.responses[response]))
    return known.select(KEY, *DRIVERS, F.col(f"chance_{response}").alias(CHANCE), drawn(province, response).cast("int").alias(LABEL))
