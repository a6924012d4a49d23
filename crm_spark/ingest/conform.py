"""Rows of a source become rows of a contract: read, checked, pseudonymous, every reason of a bad row told.

A bad row never changes a good one: each row is judged by itself, natively, and nothing throws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.sources import HANDLED_APART, MADE_AT_THE_DOOR, MappingConfig, identifiers
from crm_spark.ingest.columnar import FILE_MONTH
from crm_spark.ingest.identity import normalised_number, trimmed
from crm_spark.ingest.lines import LINE
from crm_spark.ingest.pseudonym import PseudonymKey, number_id, person_id, split_bucket, subscriber_id
from crm_spark.ingest.reading import read_money, read_text, read_typed
from crm_spark.ingest.reasons import Reason, told
from crm_spark.ingest.rows import BROKEN, IS_HEADER, PLACE
from crm_spark.months import month_of
from crm_spark.tables.contract import Field, Table

ALL_CITIES, UNKNOWN_CITY = "_ALL", "_UNKNOWN"
REASONS, MONEY = "crm__reasons", "crm__money"
_CITY_CODE = "^[A-Z0-9_]+$"
_PLAIN_NUMBER = "msisdn"  # the vault's number itself: normalised, not hashed
_CARRIED = (*PLACE, LINE, IS_HEADER, BROKEN)


@dataclass(frozen=True)
class Door:
    """What the door knows besides the mapping: whose rows these are, the key, and the month of a file that holds all months."""

    operator: str
    key: PseudonymKey
    month: str | None = None


@dataclass(frozen=True)
class _Judged:
    """A contract column's value over the raw values, and what may be wrong with it."""

    name: str
    value: Column
    reasons: tuple[Reason, ...] = ()


def conform(rows: DataFrame, mapping: MappingConfig, table: Table, door: Door) -> DataFrame:
    """One row per row of the source: the contract's columns, its place, its money, and `crm__reasons`, null for a good row.

    Identifiers are pseudonyms in good and bad rows alike; a bad row has the city _UNKNOWN if its own is unusable.
    """
    dated = rows.withColumn(FILE_MONTH, F.lit(door.month)) if door.month else rows
    raw = _raw(dated, _expressions(mapping, table, door))
    fields = [f for f in table.fields if f.name not in HANDLED_APART]
    judged = [*_city_and_month(raw), *(_judged(raw, f, mapping) for f in fields)]
    flags = [reason for j in judged for reason in j.reasons]
    typed = raw.select(
        *_CARRIED,
        *[j.value.alias(j.name) for j in judged],
        _money(raw).alias(MONEY),
        *[F.coalesce(condition, F.lit(False)).alias(f"crm__bad_{i}") for i, (condition, _) in enumerate(flags)],
    )
    reasons = [(F.col(f"crm__bad_{i}"), text) for i, (_, text) in enumerate(flags)] + list(_rules(fields, table, mapping))
    marked = typed.withColumn(REASONS, F.coalesce(F.col(BROKEN), told(reasons)))
    return marked.select("city", "month", *[_finished(f, door).alias(f.name) for f in fields], *PLACE, _line(raw), IS_HEADER, MONEY, REASONS)


def _expressions(mapping: MappingConfig, table: Table, door: Door) -> dict[str, str]:
    """SQL per field, placeholders filled in; what the door makes itself comes from its base field."""
    apart = {"city": mapping.city, "month": mapping.month, "money": mapping.money}
    given = {**mapping.columns, **{name: sql for name, sql in apart.items() if sql is not None}}
    made = {"split_bucket": given.get("user_id"), _PLAIN_NUMBER: given.get("number_id"), "key_version": f"'{door.key.version}'"}
    filled = {name: sql for name, sql in made.items() if name in table.columns and sql is not None} | given
    return {name: mapping.filled(sql, door.month or "") for name, sql in filled.items()}


def _raw(rows: DataFrame, expressions: dict[str, str]) -> DataFrame:
    """Raw values as `crm__raw_<field>`, and `crm__lost_<field>` where SQL made nothing of columns that were all there."""
    bare = rows.select(*_CARRIED, *[F.expr(sql).alias(f"crm__raw_{name}") for name, sql in expressions.items()])
    typed = [name for name in expressions if not _is_text(bare, name)]
    sources = {c.lower(): c for c in rows.columns if not c.startswith("crm__")}
    lost = {}
    for name in typed:
        inputs = [F.col(f"`{sources[word]}`").isNotNull() for word in sorted(identifiers(expressions[name]) & set(sources))]
        lost[name] = F.expr(expressions[name]).isNull() & F.lit(True) if inputs else F.lit(False)
        for there in inputs:
            lost[name] = lost[name] & there
    return rows.select(
        *_CARRIED,
        *[F.expr(sql).alias(f"crm__raw_{name}") for name, sql in expressions.items()],
        *[condition.alias(f"crm__lost_{name}") for name, condition in lost.items()],
    )
