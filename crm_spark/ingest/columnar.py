"""Parquet files and catalog tables as rows, with the place of each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.ingest.files import BLOCK, ORDER, PATH, Intake
from crm_spark.ingest.lines import multiset_hash
from crm_spark.ingest.listing import Layout

FILE_MONTH = "crm__month"
_MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"


def columnar_schema(intake: Intake, layout: Layout, months: Iterable[str]) -> T.StructType:
    """Columns of these months' files, or of the catalog table."""
    patterns = layout.patterns(months)
    if layout.file.format == "parquet":
        return intake.parquet_schema(patterns)
    return intake.table(patterns[0]).drop(PATH, BLOCK, ORDER).schema


def read_columnar(intake: Intake, layout: Layout, months: Sequence[str], schema: T.StructType) -> DataFrame:
    """The rows of these months: the source's columns, file (or table) and row number; a sliced table also has its month.

    Of a sliced table the rows that say no month come, too, with the month null.
    """
    if layout.file.format == "parquet":
        return intake.parquet(layout.patterns(months), schema)
    rows = reduce(DataFrame.unionByName, [intake.table(name).select(*schema.names, PATH, BLOCK, ORDER) for name in layout.patterns(months)])
    if layout.month_sql is None:
        return rows
    month = F.expr(layout.month_sql)
    says_one = F.coalesce(month.rlike(_MONTH), F.lit(False))
    return rows.where(month.isin(*months) | ~says_one).withColumn(FILE_MONTH, F.when(says_one, month))


def survey_columnar(rows: DataFrame, schema: T.StructType) -> DataFrame:
    """One row per file (and month of a sliced table): rows, and a fingerprint of the multiset of rows."""
    keys = [PATH, *(c for c in (FILE_MONTH,) if c in rows.columns)]
    return rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("lines"), *multiset_hash(F.xxhash64(*_hashable(schema))))


def _hashable(schema: T.StructType) -> list[Column]:
    """Maps have no hash; their JSON has."""
    named = {f.name: F.col(f"`{f.name}`") for f in schema.fields}
    return [F.to_json(named[f.name]) if "map<" in f.dataType.simpleString() else named[f.name] for f in schema.fields]
