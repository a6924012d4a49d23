"""Parquet files and catalog tables as rows, with the place of each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.ingest.lines import BLOCK, ORDER, PATH, multiset_hash
from crm_spark.ingest.listing import Layout

FILE_MONTH = "crm__month"


def columnar_schema(spark: SparkSession, layout: Layout, months: Iterable[str]) -> T.StructType:
    """Columns of these months' files, or of the catalog table; files of a month that contradict one another fail."""
    patterns = layout.patterns(months)
    if layout.file.format == "table":
        return spark.table(patterns[0]).schema
    return spark.read.option("mergeSchema", "true").parquet(*patterns).schema


def read_columnar(spark: SparkSession, layout: Layout, months: Sequence[str], schema: T.StructType) -> DataFrame:
    """The rows of these months: the source's columns, file (or table) and row number; a sliced table also has its month."""
    if layout.file.format == "table":
        return _tables(spark, layout, months, schema)
    rows = spark.read.schema(schema).parquet(*layout.patterns(months))
    place = (F.col("_metadata.file_path").alias(PATH), F.col("_metadata.row_index").alias(ORDER))
    return rows.select("*", *place).withColumn(BLOCK, F.lit(0).cast("bigint"))


def survey_columnar(rows: DataFrame, schema: T.StructType) -> DataFrame:
    """One row per file (and month of a sliced table): rows, and a fingerprint of the multiset of rows."""
    keys = [PATH, *(c for c in (FILE_MONTH,) if c in rows.columns)]
    return rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("lines"), *multiset_hash(F.xxhash64(*_hashable(schema))))


def _hashable(schema: T.StructType) -> list[Column]:
    """Maps have no hash; their JSON has."""
    return [F.to_json(_named(f)) if "map<" in f.dataType.simpleString() else _named(f) for f in schema.fields]


def _named(field: T.StructField) -> Column:
    return F.col(f"`{field.name}`")


def _tables(spark: SparkSession, layout: Layout, months: Sequence[str], schema: T.StructType) -> DataFrame:
    frames = []
    for name in layout.patterns(months):
        rows = spark.table(name).select(*map(_named, schema.fields))
        place = {PATH: F.lit(name), BLOCK: F.lit(0).cast("bigint"), ORDER: F.monotonically_increasing_id()}
        if layout.month_sql:
            place[FILE_MONTH] = F.expr(layout.month_sql)
        placed = rows.withColumns(place)
        frames.append(placed.where(F.col(FILE_MONTH).isin(*months)) if layout.month_sql else placed)
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.unionByName(frame)
    return whole
