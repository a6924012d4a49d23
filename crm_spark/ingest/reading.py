"""One cell read as one contract type: strictly, without ever stopping the batch.

Text must be written plainly: no thousands separator, decimal comma, exponent, percent sign, NaN or zone. What a mapping's SQL
has already typed is only checked for range and decimals. A value is only meaningful where no problem holds.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.ingest.identity import trimmed
from crm_spark.ingest.reasons import Reason

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_WHOLE = r"^[+-]?\d+(\.0*)?$"
_DAY = r"^\d{4}-\d{2}-\d{2}$"
_TIME = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"
_WIDE = T.DecimalType(38, 6)
_WHOLE_TYPES = (T.IntegerType, T.LongType, T.ShortType, T.ByteType)
_FLOATS = (T.DoubleType, T.FloatType)
_INFINITIES = (float("inf"), float("-inf"))
_NO_NUMBER, _NO_WHOLE, _NO_RANGE = "not a number", "not a whole number", "out of range"
_PLAIN: dict[type[T.DataType], tuple[str, str]] = {  # how text must be written, and what is told otherwise
    **dict.fromkeys((*_FLOATS, T.DecimalType), (_NUMBER, _NO_NUMBER)),
    **dict.fromkeys(_WHOLE_TYPES, (_WHOLE, _NO_WHOLE)),
    T.DateType: (_DAY, "not a date (yyyy-MM-dd)"),
    T.TimestampNTZType: (_TIME, "not a time (yyyy-MM-dd HH:mm:ss)"),
    T.BooleanType: (r"^[A-Za-z01]+$", "not true or false"),
}


def read(cell: Column, given: T.DataType, wanted: T.DataType) -> Column:
    """The cell as the wanted type; null where that cannot be."""
    if isinstance(given, T.StringType) and isinstance(wanted, _WHOLE_TYPES):
        return F.coalesce(cell.try_cast(wanted), cell.try_cast(_WIDE).try_cast(wanted))  # 12.0 is whole
    return cell if given == wanted else cell.try_cast(wanted)


def problems(cell: Column, value: Column, given: T.DataType, wanted: T.DataType, decimals: int | None = None) -> list[Reason]:
    """Why the cell, read as `value`, is refused; `decimals` are accepted before rounding (default: those of the type)."""
    if isinstance(given, T.StringType):
        return _text_problems(cell, value, wanted, decimals)
    return _typed_problems(cell, value, given, wanted, decimals)


def read_money(cell: Column, given: T.DataType) -> Column:
    """An amount at the source's own scale for the reconciliation; null where it is none."""
    if not isinstance(given, T.StringType):
        return cell.try_cast(_WIDE)
    written = trimmed(cell)
    return F.when(written.rlike(_NUMBER), written.try_cast(_WIDE))


def _text_problems(cell: Column, value: Column, wanted: T.DataType, decimals: int | None) -> list[Reason]:
    if isinstance(wanted, T.StringType):
        return []
    shape, rule = _PLAIN.get(type(wanted), (".*", f"not {wanted.simpleString()}"))
    plain = cell.rlike(shape)
    if not isinstance(wanted, (T.NumericType,)):
        return [(cell.isNotNull() & (~plain | value.isNull()), rule)]
    found = [(~plain, rule), (_unusable(value, wanted) & plain, _NO_RANGE)]
    if isinstance(wanted, T.DecimalType):
        places = wanted.scale if decimals is None else decimals
        found.append((cell.rlike(rf"^[+-]?\d*\.\d{{{places}}}\d*[1-9]\d*$"), f"more than {places} decimals"))
    return found


def _typed_problems(cell: Column, value: Column, given: T.DataType, wanted: T.DataType, decimals: int | None) -> list[Reason]:
    found: list[Reason] = []
    if isinstance(given, _FLOATS):
        found.append((F.isnan(cell) | cell.isin(*_INFINITIES), _NO_NUMBER))
    if given != wanted:
        found.append((cell.isNotNull() & value.isNull(), _NO_RANGE))
    if isinstance(wanted, _WHOLE_TYPES) and isinstance(given, (*_FLOATS, T.DecimalType)):
        found.append((cell != F.floor(cell), _NO_WHOLE))
    if isinstance(wanted, T.DecimalType) and isinstance(given, T.NumericType):
        places = wanted.scale if decimals is None else decimals
        exact = cell.try_cast(_WIDE)
        found.append((exact != F.round(exact, places), f"more than {places} decimals"))
    return found


def _unusable(value: Column, wanted: T.DataType) -> Column:
    return value.isNull() | value.isin(*_INFINITIES) if isinstance(wanted, _FLOATS) else value.isNull()
