"""Zeros that are told apart from nothing told."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_SILENT = "_if_silent"


def zero_where_told(frame: DataFrame, source: DataFrame, columns: Mapping[str, str]) -> DataFrame:
    """`frame` with nulls made 0 in months where `source` tells anything: `columns` gives the source's column for each of the frame's.

    A subscriber without calls has 0 VPN minutes only if the operator tells VPN calls at all; else the column stays null.
    """
    told = source.groupBy("month").agg(*[F.min(F.when(F.col(s).isNotNull(), 0)).alias(c + _SILENT) for c, s in columns.items()])
    filled = {c: F.coalesce(c, c + _SILENT) for c in columns}
    return frame.join(F.broadcast(told), on="month", how="left").withColumns(filled).drop(*told.columns[1:])
