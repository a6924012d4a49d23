"""Columns and small field makers that many contracts share."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.columns import MONEY
from crm_spark.tables.contract import Field

CITY = Field("city", T.StringType(), "Registered city at month end, `[A-Z0-9_]+`; _ALL if the operator has none, _UNKNOWN where missing.")
MONTH = Field("month", T.StringType(), "Month, yyyy-MM.")
USER_ID = Field("user_id", T.StringType(), "Pseudonym of the subscriber: HMAC(key, sub|operator|subscriber id).", pseudonym="subscriber")
KEY = ("city", "month", "user_id")
EVERYWHERE = "_ALL"  # the city of rows that belong to no single one


def text(name: str, comment: str, valid: str | None = None) -> Field:
    """A text column."""
    return Field(name, T.StringType(), comment, valid=valid)


def number(name: str, comment: str, valid: str | None = None) -> Field:
    """A DOUBLE column."""
    return Field(name, T.DoubleType(), comment, valid=valid)


def count(name: str, comment: str) -> Field:
    """A non-negative BIGINT column."""
    return Field(name, T.LongType(), comment, valid=f"{name} >= 0")


def whole(name: str, comment: str, valid: str | None = None) -> Field:
    """An INT column."""
    return Field(name, T.IntegerType(), comment, valid=valid)


def amount(name: str, comment: str) -> Field:
    """A non-negative number with a unit in its name (minutes, MB)."""
    return Field(name, T.DoubleType(), comment, valid=f"{name} >= 0")


def money(name: str, comment: str, valid: str | None = "") -> Field:
    """A DECIMAL(18,2) column in yuan (or the operator's currency); not negative unless said otherwise."""
    return Field(name, MONEY, comment, valid=f"{name} >= 0" if valid == "" else valid)


def truth(name: str, comment: str) -> Field:
    """A BOOLEAN column."""
    return Field(name, T.BooleanType(), comment)


def day(name: str, comment: str, valid: str | None = None) -> Field:
    """A DATE column."""
    return Field(name, T.DateType(), comment, valid=valid)
