"""Rows of a source become rows of a contract: read, checked, pseudonymous, every reason of a bad row told.

A bad row never changes a good one: each row is judged by itself, natively, and nothing throws. The steps are projections of
their own (raw values, cells, values, flags) so that no expression is evaluated twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.sources import MappingConfig
from crm_spark.frames import with_columns
from crm_spark.ingest.columnar import FILE_MONTH
from crm_spark.ingest.fields import FieldReader, readers
from crm_spark.ingest.lines import LINE
from crm_spark.ingest.pseudonym import PseudonymKey, household_id, number_id, person_id, split_bucket, subscriber_id
from crm_spark.ingest.raw_values import CARRIED, expressions, given_type, raw_values
from crm_spark.ingest.reading import read_money
from crm_spark.ingest.reasons import Reason, told
from crm_spark.ingest.rows import BROKEN, IS_HEADER, PLACE
from crm_spark.months import month_of
from crm_spark.tables.contract import Field, Table

REASONS, MONEY = "crm__reasons", "crm__money"


@dataclass(frozen=True)
class Door:
    """What the door knows besides the mapping: whose rows these are, the key, and the month of a file that holds all months."""

    operator: str
    key: PseudonymKey
    month: str | None = None


class _Flag(NamedTuple):
    field: str
    name: str
    holds: Column
    rule: str


def conform(rows: DataFrame, mapping: MappingConfig, table: Table, door: Door) -> DataFrame:
    """One row per row of the source: the contract's columns, its place, its money, and `crm__reasons`, null for a good row; a bad one has its line.

    Identifiers are pseudonyms in good and bad rows alike; a bad row has the city _UNKNOWN if its own is unusable.
    """
    dated = rows.withColumn(FILE_MONTH, F.lit(door.month)) if door.month else rows
    raw = raw_values(dated, expressions(mapping, table, door.key, door.month or ""))
    fields = readers(raw, table, mapping)
    flags = [_Flag(r.field.name, f"crm__bad_{i}_{r.field.name}", *reason) for r in fields for i, reason in enumerate(r.problems)]
    flagged = with_columns(_values(raw, fields, table, mapping), {f.name: F.coalesce(f.holds, F.lit(False)) for f in flags})
    reasons = [(F.col(f.name), f"{f.field}: {f.rule}") for f in flags] + list(_rules(fields, flags, table, mapping))
    judged = flagged.withColumn(REASONS, F.coalesce(F.col(BROKEN), told(reasons)))
    finished = [_finished(f, door).alias(f.name) for f in table.fields]
    line = F.when(F.col(REASONS).isNotNull(), line_text(judged)).alias(LINE)
    return judged.select(*finished, *PLACE, line, IS_HEADER, MONEY, REASONS)


def line_text(rows: DataFrame) -> Column:
    """The line as delivered; of a columnar source, the row as JSON."""
    return F.col(LINE) if isinstance(rows.schema[LINE].dataType, T.StringType) else F.to_json(LINE)


def _values(raw: DataFrame, fields: Sequence[FieldReader], table: Table, mapping: MappingConfig) -> DataFrame:
    """Cells, typed values and money; the day of an event follows from its start."""
    mapped = [r for r in fields if r.given is not None]
    fed = [f"crm__fed_{r.field.name}" for r in mapped]
    cells = raw.select(*CARRIED, *fed, _money(raw).alias(MONEY), *[r.cell.alias(f"crm__cell_{r.field.name}") for r in mapped])
    values = cells.select("*", *[r.value.alias(r.field.name) for r in fields])
    event = "started_at" in table.columns and "day" in table.columns and "day" not in mapping.columns
    return values.withColumn("day", F.col("started_at").cast("date")) if event else values


def _rules(fields: Sequence[FieldReader], flags: Sequence[_Flag], table: Table, mapping: MappingConfig) -> Iterator[Reason]:
    """Validity rules over the typed row (identifiers as the operator writes them), told of values that could be read.

    An event belongs to the month of its start.
    """
    for field in (r.field for r in fields):
        rule = mapping.validity.get(field.name, field.valid)
        if rule:
            unread = [F.col(f.name) for f in flags if f.field == field.name]
            yield reduce(lambda broken, flag: broken & ~flag, unread, ~F.expr(rule)), f"{field.name}: breaks {rule}"
    if {"day", "started_at"} <= set(table.columns) and mapping.month is None:
        yield month_of(F.col("day")) != F.col("month"), "month: not the file's month"


def _money(raw: DataFrame) -> Column:
    given = given_type(raw, "money")
    return F.lit(None).cast("decimal(38,6)") if given is None else read_money(F.col("crm__raw_money"), given)


def _finished(field: Field, door: Door) -> Column:
    value = F.col(field.name)
    if field.pseudonym == "subscriber":
        return subscriber_id(door.key, door.operator, value)
    if field.pseudonym == "person":
        return person_id(door.key, door.operator, value)
    if field.pseudonym == "household":
        return household_id(door.key, door.operator, value)
    if field.pseudonym == "number":
        return number_id(door.key, value)
    return split_bucket(door.key, value) if field.pseudonym == "bucket" else value
