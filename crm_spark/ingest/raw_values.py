"""A mapping's SQL over the source's columns: one raw value per field, before anything is read or checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.sources import MappingConfig, identifiers
from crm_spark.ingest.lines import LINE
from crm_spark.ingest.pseudonym import PseudonymKey
from crm_spark.ingest.rows import BROKEN, IS_HEADER, PLACE
from crm_spark.tables.contract import Table

CARRIED = (*PLACE, LINE, IS_HEADER, BROKEN)
PLAIN_NUMBER = "msisdn"  # the vault's number itself: normalised, not hashed
_COLUMN = re.compile(r"\w+|`[^`]+`")


def expressions(mapping: MappingConfig, table: Table, key: PseudonymKey, month: str) -> dict[str, str]:
    """SQL per field and of city, month and money; placeholders filled in. What the door makes itself comes from its base field."""
    apart = {"city": mapping.city, "month": mapping.month, "money": mapping.money}
    subscriber, number = mapping.columns.get("user_id"), mapping.columns.get("number_id")
    made = {"split_bucket": subscriber, PLAIN_NUMBER: number, "key_version": f"'{key.version}'"}
    given = {name: sql for name, sql in made.items() if name in table.columns} | mapping.columns | apart
    return {name: mapping.filled(sql, month) for name, sql in given.items() if sql is not None}


def raw_values(rows: DataFrame, sql: Mapping[str, str]) -> DataFrame:
    """The rows' places with each expression's value as `crm__raw_<name>`, of whatever type its SQL gives.

    `crm__fed_<name>` is true where all columns that the expression reads are there, so that nothing (null) means: could not be read.
    """
    columns = {c.lower(): c for c in rows.columns if not c.startswith("crm__")}
    values = [F.expr(text).alias(f"crm__raw_{name}") for name, text in sql.items()]
    fed = [_fed(text, columns).alias(f"crm__fed_{name}") for name, text in sql.items()]
    return rows.select(*CARRIED, *values, *fed)


def given_type(raw: DataFrame, name: str) -> T.DataType | None:
    """The type an expression gave, None if the field is not mapped."""
    return next((f.dataType for f in raw.schema.fields if f.name == f"crm__raw_{name}"), None)


def _fed(text: str, columns: Mapping[str, str]) -> Column:
    inputs = sorted(identifiers(text) & set(columns))
    if not inputs or _COLUMN.fullmatch(text.strip()):
        return F.lit(False)
    return reduce(and_, [F.col(f"`{columns[c]}`").isNotNull() for c in inputs])
