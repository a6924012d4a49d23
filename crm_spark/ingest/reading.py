"""One raw value read as one contract type: strictly, without ever stopping the batch.

Text must be written plainly: no thousands separator, decimal comma, exponent, percent sign, NaN or zone. What a mapping's SQL
has already typed is only checked for range and decimals.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.ingest.reasons import Reason

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_WHOLE = r"^[+-]?\d+(\.0*)?$"
_DAY = r"^\d{4}-\d{2}-\d{2}$"
_TIME = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"
_WIDE = T.DecimalType(38, 6)
_WHOLE_TYPES = (T.IntegerType, T.LongType, T.ShortType, T.ByteType)
_FLOATS = (T.DoubleType, T.FloatType)
_SHAPES: dict[type[T.DataType], tuple[str, str]] = {
    T.DoubleType: (_NUMBER, "not a number"), T.FloatType: (_NUMBER, "not a number"), T.DecimalType: (_NUMBER, "not a number"),
    T.IntegerType: (_WHOLE, "not a whole number"), T.LongType: (_WHOLE, "not a whole number"),
    T.DateType: (_DAY, "not a date (yyyy-MM-dd)"), T.TimestampNTZType: (_TIME, "not a time (yyyy-MM-dd HH:mm:ss)"),
    T.BooleanType: (r"^[A-Za-z01]+$", "not true or false"),
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """A value of the wanted type, null where it cannot be read; and why not, as (condition, rule)."""

    value: Column
    problems: tuple[Reason, ...]


def read_text(cell: Column, wanted: T.DataType, decimals: int | None = None) -> Reading:
    """Trimmed text as the wanted type; `decimals` are accepted before rounding (default: those of the type)."""
    if isinstance(wanted, T.StringType):
        return Reading(cell, ())
    shape, told = _SHAPES.get(type(wanted), (r".*", f"not a {wanted.simpleString()}"))
    plain = cell.rlike(shape)
    value = F.when(plain, _cast(cell, wanted))
    problems: list[Reason] = [(cell.isNotNull() & ~plain, told)]
    if isinstance(wanted, (T.DateType, T.TimestampNTZType, T.BooleanType)):
        problems = [(cell.isNotNull() & value.isNull(), told)]
    else:
        problems.append((plain & _unusable(value, wanted), "out of range"))
    if isinstance(wanted, T.DecimalType):
        places = wanted.scale if decimals is None else decimals
        problems.append((plain & cell.rlike(rf"\.\d{{{places}}}\d*[1-9]"), f"more than {places} decimals"))
    return Reading(value, tuple(problems))


def read_typed(value: Column, given: T.DataType, wanted: T.DataType, decimals: int | None = None) -> Reading:
    """A value that already has a type, as the wanted type."""
    cast = value.try_cast(wanted)
    problems: list[Reason] = [(value.isNotNull() & _unusable(cast, wanted), "out of range")]
    if isinstance(given, _FLOATS):
        problems = [(F.isnan(value) | value.isin(float("inf"), float("-inf")), "not a number"), *problems]
    if isinstance(wanted, _WHOLE_TYPES) and isinstance(given, (*_FLOATS, T.DecimalType)):
        problems.append((value != F.floor(value), "not a whole number"))
    if isinstance(wanted, T.DecimalType):
        places = wanted.scale if decimals is None else decimals
        exact = value.try_cast(_WIDE)
        problems.append((exact != F.round(exact, places), f"more than {places} decimals"))
    return Reading(cast, tuple(problems))


def read_money(value: Column, given: T.DataType) -> Column:
    """An amount at the source's own scale for the reconciliation; null where it is none."""
    if isinstance(given, T.StringType):
        return F.when(value.rlike(_NUMBER), value.try_cast(_WIDE))
    return value.try_cast(_WIDE)


def _cast(cell: Column, wanted: T.DataType) -> Column:
    whole = isinstance(wanted, _WHOLE_TYPES)
    return (cell.try_cast(_WIDE) if whole else cell).try_cast(wanted)


def _unusable(value: Column, wanted: T.DataType) -> Column:
    return value.isNull() | value.isin(float("inf"), float("-inf")) if isinstance(wanted, _FLOATS) else value.isNull()
