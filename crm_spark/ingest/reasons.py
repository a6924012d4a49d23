"""Reasons why a row is refused: `field: rule`, never the value."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

Reason = tuple[Column, str]  # holds for a bad row; what is told


def told(reasons: Sequence[Reason]) -> Column:
    """The texts of all conditions that hold, as an array; null when none does. A condition that is null does not hold."""
    nothing = F.lit(None).cast("array<string>")
    if not reasons:
        return nothing
    some = _any([F.coalesce(condition, F.lit(False)) for condition, _ in reasons])
    return F.when(some, F.array_compact(F.array(*[F.when(condition, F.lit(text)) for condition, text in reasons])))


def _any(conditions: Sequence[Column]) -> Column:
    """True where one of them is; halved again and again, for Spark Connect takes no expression that nests a hundred deep."""
    middle = len(conditions) // 2
    return _any(conditions[:middle]) | _any(conditions[middle:]) if middle else conditions[0]
