"""Sums that come out the same on any cluster, and zeros that are told apart from nothing told."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

MICRO = 1_000_000
_SILENT = "_if_silent"


def exact_sum(value: Column, unit: int) -> Column:
    """The sum of doubles counted in whole 1/`unit`; null if no value is there.

    Doubles added in another order give another last digit; integers do not, so the sum does not depend on partitioning.
    """
    return F.sum(F.rint(value * F.lit(unit)).cast("long")) / F.lit(unit)


def zero_where_told(frame: DataFrame, source: DataFrame, columns: Mapping[str, str]) -> DataFrame:
    """`frame` with nulls made 0 in months where `source` tells anything: `columns` gives the source's column for each of the frame's.

    A subscriber without calls has 0 VPN minutes only if the operator tells VPN calls at all; else the column stays null.
    """
    told = source.groupBy("month").agg(*[F.min(F.when(F.col(s).isNotNull(), 0)).alias(c + _SILENT) for c, s in columns.items()])
    filled = {c: F.coalesce(c, c + _SILENT) for c in columns}
    return frame.join(F.broadcast(told), on="month", how="left").withColumns(filled).drop(*told.columns[1:])
