"""Rows of one key: equal ones are one row and some duplicates; rows that contradict one another are all refused."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.ingest.columnar import FILE_MONTH
from crm_spark.ingest.conform import REASONS
from crm_spark.ingest.fields import UNKNOWN_CITY
from crm_spark.ingest.files import ORDER, PATH
from crm_spark.tables.contract import Table

PART, VERDICT = "crm__part", "crm__verdict"
ADDRESS = (PART, FILE_MONTH, PATH, ORDER)  # one row of one mapping
DUPLICATE, CONFLICT = "duplicate", "conflict"
_HASH = "crm__key_hash"
_LOADED = -1  # the part of rows that the table has already


def shared_keys(rows: DataFrame, table: Table) -> DataFrame:
    """Hashes of the keys that more than one good row has: normally none, found by one aggregate over 8-byte hashes."""
    return _good(rows, table).groupBy(_HASH).agg(F.count(F.lit(1)).alias("rows")).where(F.col("rows") > 1).select(_HASH)


def verdicts(rows: DataFrame, table: Table, shared: DataFrame) -> DataFrame:
    """The address of every row to be left out, and why. Of equal rows the first file's first stays.

    The key is taken without the city: a subscriber registered in two cities at once is a contradiction.
    """
    suspects = _good(rows, table).join(shared, on=_HASH, how="left_semi")
    same_key = Window.partitionBy(*_key(table))
    content = F.struct(*table.columns)
    judged = suspects.select(
        *ADDRESS,
        F.count(F.lit(1)).over(same_key).alias("rows"),
        F.min(content).over(same_key).eqNullSafe(F.max(content).over(same_key)).alias("equal"),
        F.row_number().over(same_key.orderBy(PATH, ORDER, PART)).alias("place"),
    )
    verdict = F.when(~F.col("equal"), CONFLICT).when(F.col("place") > 1, DUPLICATE)
    return judged.where(F.col("rows") > 1).select(*ADDRESS, verdict.alias(VERDICT)).where(F.col(VERDICT).isNotNull())


def as_loaded(rows: DataFrame) -> DataFrame:
    """Rows that the table has already, as staged ones that come before all others."""
    place = {PART: F.lit(_LOADED), FILE_MONTH: F.col("month"), PATH: F.lit(""), ORDER: F.lit(0).cast("bigint")}
    return rows.withColumns({**place, REASONS: F.lit(None).cast("array<string>")})


def contradicted(found: DataFrame) -> DataFrame:
    """Of the rows to be left out those that the table has already: further rows contradict them."""
    return found.where((F.col(PART) == _LOADED) & (F.col(VERDICT) == CONFLICT))


def good_rows(rows: DataFrame, table: Table, keys: DataFrame) -> DataFrame:
    """The good rows that have one of these keys (`key_hash`, as raw.quarantine tells it)."""
    return _good(rows, table).join(keys.withColumnRenamed("key_hash", _HASH), on=_HASH, how="left_semi")


def key_hash(table: Table) -> Column:
    """Hash of the key without the city."""
    return F.xxhash64(*_key(table))


def with_verdicts(rows: DataFrame, found: DataFrame | None) -> DataFrame:
    """The rows with `crm__verdict`: null, duplicate or conflict."""
    if found is None:
        return rows.withColumn(VERDICT, F.lit(None).cast("string"))
    return rows.join(found, on=list(ADDRESS), how="left")


def is_loaded() -> Column:
    """True for the rows that enter the table."""
    return F.col(REASONS).isNull() & F.col(VERDICT).isNull()


def is_refused() -> Column:
    """True for bad rows and for those that contradict another."""
    return F.col(REASONS).isNotNull() | F.col(VERDICT).eqNullSafe(CONFLICT)


def in_scope(cities: Sequence[str] | None) -> Column:
    """True for the rows of the run's cities; a refused row without a usable city may be any city's, so it is every run's."""
    if not cities:
        return F.lit(True)
    return F.col("city").isin(*cities) | (is_refused() & (F.col("city") == UNKNOWN_CITY))


def _good(rows: DataFrame, table: Table) -> DataFrame:
    return rows.where(F.col(REASONS).isNull()).withColumn(_HASH, key_hash(table))


def _key(table: Table) -> list[str]:
    return [c for c in table.key if c != "city"]
