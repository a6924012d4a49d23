"""Which class of an axis a customer's value is in, by native comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import cast

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.decisions.compile import Axis, Cut
from crm_spark.decisions.unary import Value

MOST_BRANCHES = 50  # more than that, on every input of a matrix, would be more code than Java compiles
_MOST_WHOLE = 2**31  # an INT literal; beyond, a decimal is as exact
Literal = Callable[[Value], Column]


def class_of(axis: Axis, data_type: T.DataType) -> Column:
    """The class of a value: a balanced tree of comparisons, where that would be long a search in a list of cuts; NULL told first."""
    value = F.col(f"`{axis.column}`")
    is_fraction = isinstance(data_type, (T.DoubleType, T.FloatType))
    is_null = value.isNull() | F.isnan(value) if is_fraction else value.isNull()
    of_value = _tree if len(axis.cuts) <= MOST_BRANCHES else _searched
    return F.when(is_null, F.lit(axis.null_class)).otherwise(of_value(value, axis.segments, axis.cuts, _literal_maker(data_type)))


def _searched(value: Column, segments: tuple[int, ...], cuts: Sequence[Cut], literal: Literal) -> Column:
    """The segment behind as many cuts as lie left of the value: found by halves, as `left + step` cuts do or do not."""
    points, included = F.array(*(literal(cut.point) for cut in cuts)), F.array(*(F.lit(cut.included) for cut in cuts))
    steps = F.array(*(F.lit(1 << bit) for bit in reversed(range(len(cuts).bit_length()))))

    def further(left: Column, step: Column) -> Column:
        last = left + step - 1  # beyond the end there is no cut, and what is compared with it is null
        point = F.get(points, last)
        return F.when(F.when(F.get(included, last), value > point).otherwise(value >= point), left + step).otherwise(left)

    return F.get(F.array(*map(F.lit, segments)), F.aggregate(steps, F.lit(0), further))


def _tree(value: Column, segments: tuple[int, ...], cuts: Sequence[Cut], literal: Literal) -> Column:
    if not cuts:
        return F.lit(segments[0])
    middle = len(cuts) // 2
    cut = cuts[middle]
    is_left = value <= literal(cut.point) if cut.included else value < literal(cut.point)
    left = _tree(value, segments[: middle + 1], cuts[:middle], literal)
    return F.when(is_left, left).otherwise(_tree(value, segments[middle + 1 :], cuts[middle + 1 :], literal))


def _literal_maker(data_type: T.DataType) -> Literal:
    """Doubles are compared as doubles, whole numbers as such where the point is whole, all else as exact decimals."""
    if isinstance(data_type, (T.DoubleType, T.FloatType)):
        return lambda point: F.lit(float(cast(Decimal, point)))
    if isinstance(data_type, T.IntegralType):
        return lambda point: F.lit(_whole(cast(Decimal, point)))
    return F.lit


def _whole(point: Decimal) -> int | Decimal:
    return int(point) if point == point.to_integral_value() and abs(point) < _MOST_WHOLE else point
