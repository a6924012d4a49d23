"""Which class of an axis a customer's value is in, by native comparisons."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import cast

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.decisions.compile import Axis, Cut
from crm_spark.decisions.unary import Value

_MOST_WHOLE = 2**31  # an INT literal; beyond, a decimal is as exact


def class_of(axis: Axis, data_type: T.DataType) -> Column:
    """The class of a value: a balanced tree of comparisons, NULL told first."""
    value = F.col(f"`{axis.column}`")
    is_fraction = isinstance(data_type, (T.DoubleType, T.FloatType))
    is_null = value.isNull() | F.isnan(value) if is_fraction else value.isNull()
    return F.when(is_null, F.lit(axis.null_class)).otherwise(_tree(value, axis.segments, axis.cuts, _literal_maker(data_type)))


def _tree(value: Column, segments: tuple[int, ...], cuts: tuple[Cut, ...], literal: Callable[[Value], Column]) -> Column:
    if not cuts:
        return F.lit(segments[0])
    middle = len(cuts) // 2
    cut = cuts[middle]
    is_left = value <= literal(cut.point) if cut.included else value < literal(cut.point)
    left = _tree(value, segments[: middle + 1], cuts[:middle], literal)
    return F.when(is_left, left).otherwise(_tree(value, segments[middle + 1 :], cuts[middle + 1 :], literal))


def _literal_maker(data_type: T.DataType) -> Callable[[Value], Column]:
    """Doubles are compared as doubles, whole numbers as such where the point is whole, all else as exact decimals."""
    if isinstance(data_type, (T.DoubleType, T.FloatType)):
        return lambda point: F.lit(float(cast(Decimal, point)))
    if isinstance(data_type, T.IntegralType):
        return lambda point: F.lit(_whole(cast(Decimal, point)))
    return F.lit


def _whole(point: Decimal) -> int | Decimal:
    return int(point) if point == point.to_integral_value() and abs(point) < _MOST_WHOLE else point
