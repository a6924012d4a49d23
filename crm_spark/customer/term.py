"""Terms of orders and contracts: `started_on` to `ended_on`, both included; an open start or end is null."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.months import month_end


def runs_at_month_end() -> Column:
    """True if the term covers the last day of its row's month; never null."""
    end = month_end(F.col("month"))
    started = F.coalesce(F.col("started_on") <= end, F.lit(True))
    return started & F.coalesce(F.col("ended_on") >= end, F.lit(True))


def months_left(last_day: Column, month: Column) -> Column:
    """Whole months from the end of `month` to `last_day`; null of null.

    Both at a month's end are whole months (29 February to 31 May is 3), else days decide (31 January to 30 March is 1).
    """
    return F.floor(F.months_between(last_day, month_end(month))).cast("int")
