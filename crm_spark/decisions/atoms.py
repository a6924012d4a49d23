"""Which class of an axis a customer's value is in, by native comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_FLOOR, Context, Decimal
from typing import cast

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.decisions.compile import Axis, Cut
from crm_spark.decisions.unary import Value

MOST_BRANCHES = 50  # more than that, on every input of a matrix, would be more code than Java compiles
_BITS: dict[type[T.DataType], int] = {T.ByteType: 8, T.ShortType: 16, T.IntegerType: 32, T.LongType: 64}
_EXACT = Context(prec=1_200)  # digits of any double, and of a literal moved to any scale
Literal = Callable[[Value], Column]


def class_of(axis: Axis, data_type: T.DataType) -> Column:
    """The class of a value: a balanced tree of comparisons, where that would be long a search in a list of cuts; NULL told first."""
    value = F.col(f"`{axis.column}`")
    is_fraction = isinstance(data_type, (T.DoubleType, T.FloatType))
    is_null = value.isNull() | F.isnan(value) if is_fraction else value.isNull()
    of_value = _tree if len(axis.cuts) <= MOST_BRANCHES else _searched
    cuts = _placed(axis.cuts, data_type)
    return F.when(is_null, F.lit(axis.null_class)).otherwise(of_value(value, axis.segments, cuts, _literal_maker(data_type)))


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


def _placed(cuts: Sequence[Cut], data_type: T.DataType) -> Sequence[Cut]:
    """The cuts where the column's type has them, in the same order: between the values that it can hold nothing needs to be parted."""
    if isinstance(data_type, (T.DoubleType, T.FloatType)):
        return _rounded(cuts, np.float32 if isinstance(data_type, T.FloatType) else np.float64)
    if isinstance(data_type, T.DecimalType):
        most = Decimal((0, (9,) * data_type.precision, -data_type.scale))
        return [_within(cut, -most, most, data_type.scale) for cut in cuts]
    if isinstance(data_type, T.IntegralType):
        beyond = 2 ** (_BITS[type(data_type)] - 1)
        return [_within(cut, Decimal(-beyond), Decimal(beyond - 1), 0) for cut in cuts]
    return cuts


def _rounded(cuts: Sequence[Cut], to: type[np.floating]) -> list[Cut]:
    """A point is the fraction nearest to it, as 0.1 is for a planner; of several with the same one only the nearest, the others lie beside it."""
    fractions = {point: Decimal(float(to(point))) for point in {cast(Decimal, cut.point) for cut in cuts}}
    nearest: dict[Decimal, Decimal] = {}
    for point, fraction in sorted(fractions.items()):
        if fraction not in nearest or abs(_EXACT.subtract(point, fraction)) < abs(_EXACT.subtract(nearest[fraction], fraction)):
            nearest[fraction] = point
    placed = []
    for cut in cuts:
        point = cast(Decimal, cut.point)
        meant = nearest[fractions[point]]
        placed.append(Cut(fractions[point], cut.included if point == meant else point > meant))
    return placed


def _within(cut: Cut, least: Decimal, most: Decimal, scale: int) -> Cut:
    """The cut behind the last value of `scale` decimals that lies left of it."""
    point = cast(Decimal, cut.point)
    last = point.quantize(Decimal((0, (1,), -scale)), ROUND_FLOOR, _EXACT)
    if last < least:
        return Cut(least, included=False)
    return Cut(min(last, most), included=cut.included or last != point or last > most)


def _literal_maker(data_type: T.DataType) -> Literal:
    """Points as values of the column's type, so that they are compared as what they are."""
    if isinstance(data_type, (T.DoubleType, T.FloatType)):
        return lambda point: F.lit(float(cast(Decimal, point))).cast(data_type)
    if isinstance(data_type, T.IntegralType):
        return lambda point: F.lit(int(cast(Decimal, point))).cast(data_type)
    return lambda point: F.lit(point).cast(data_type)
