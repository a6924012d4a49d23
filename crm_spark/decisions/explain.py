"""Explaining a decision to a planner: the rules' reasons, with the customer's own values filled in."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.decisions.table import WHY

UNKNOWN = "unknown"


def reason(hits: Column, placeholders: Mapping[str, T.DataType]) -> Column:
    """The `why` texts of a matrix's hits, joined by semicolons, each `{column}` replaced by its value; null where none says why."""
    texts = F.filter(F.transform(hits, lambda hit: F.try_element_at(hit["outputs"], F.lit(WHY))), lambda text: text.isNotNull())
    return filled(F.nullif(F.array_join(texts, "; "), F.lit("")), placeholders)


def filled(text: Column, placeholders: Mapping[str, T.DataType]) -> Column:
    """A text in which each `{column}` is replaced by its value."""
    for column, data_type in placeholders.items():
        text = F.replace(text, F.lit(f"{{{column}}}"), F.coalesce(shown(column, data_type), F.lit(UNKNOWN)))
    return text


def shown(column: str, data_type: T.DataType) -> Column:
    """A value as a planner writes it: fractions with at most two decimals; NaN is null."""
    value = F.col(f"`{column}`")
    if isinstance(data_type, T.FractionalType):
        return F.regexp_replace(value.try_cast("decimal(38,2)").cast("string"), r"\.?0+$", "")
    return value.cast("string")


def exactly(column: str, data_type: T.DataType) -> Column:
    """A value as text with all its digits; NaN is null."""
    value = F.col(f"`{column}`")
    return F.when(~F.isnan(value), value.cast("string")) if isinstance(data_type, (T.DoubleType, T.FloatType)) else value.cast("string")
