"""Small Column functions that every layer shares."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

MONEY = T.DecimalType(18, 2)
HOLD_OUT_BELOW = 30  # split_bucket 0-29 is held out for good: it chooses no model and shapes no group
MICRO = 1_000_000
DIGITS = 6  # numbers that reach a digest are rounded to this


def share(part: Column, whole: Column) -> Column:
    """`part / whole` as a double in [0, 1]; null where there is no whole."""
    return F.when(whole > 0, part.cast("double") / whole.cast("double"))


def clip(value: Column, low: float, high: float) -> Column:
    """`value` held within [low, high]; null of null."""
    return F.when(value.isNotNull(), F.greatest(F.lit(low), F.least(F.lit(high), value)))


def rounded(value: Column) -> Column:
    """A double at the digits that enter a digest; NaN becomes null, -0.0 becomes 0.0.

    Arithmetic instead of `round`, which goes through the number's text and costs a hundred times more on a wide view.
    """
    number = F.nanvl(value.cast("double"), F.lit(None).cast("double"))
    return F.rint(number * F.lit(10.0**DIGITS)) / F.lit(10.0**DIGITS) + F.lit(0.0)


def exact_sum(value: Column, unit: int) -> Column:
    """The sum of doubles counted in whole 1/`unit`; null if no value is there.

    Doubles added in another order give another last digit; integers do not, so the sum does not depend on partitioning.
    """
    return F.sum(F.rint(value * F.lit(unit)).cast("long")) / F.lit(unit)


def null_safe_mean(values: Sequence[Column]) -> Column:
    """The mean of the values that are there; null when none is."""
    numbers = [v.cast("double") for v in values]
    count = sum((v.isNotNull().cast("int") for v in numbers), F.lit(0))
    total = sum((F.coalesce(v, F.lit(0.0)) for v in numbers), F.lit(0.0))
    return F.when(count > 0, total / count)


def slope(values: Sequence[Column]) -> Column:
    """Least-squares slope per step over equally spaced values, oldest first; null unless all are there."""
    centre = (len(values) - 1) / 2
    spread = sum((i - centre) ** 2 for i in range(len(values)))
    return sum(((i - centre) * v.cast("double") for i, v in enumerate(values)), F.lit(0.0)) / F.lit(spread)
