"""Means and trends over a subscriber's last months."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from crm_spark.columns import null_safe_mean, slope
from crm_spark.tables.mart import MEASURES

HISTORY_MONTHS = 9  # three quarters
RECENT_MONTHS = 3


def with_history(monthly: DataFrame) -> DataFrame:
    """`monthly` (one row per subscriber and month, with every measure) plus what the months up to the row's own say.

    A month without a row or a value is left out of a mean; a trend needs all three months. A subscriber has one row a month,
    so the frames are short; they go by calendar month, not by row, and end with the row's own month.
    """
    numbered = monthly.withColumns({"month_number": month_number(F.col("month")), "measures": F.struct(*MEASURES)})
    remembered = numbered.withColumns(
        {
            "measures_1": F.first("measures").over(_months_back(1, 1)),
            "measures_2": F.first("measures").over(_months_back(2, 2)),
            "return_rate_3q": F.avg("return_rate").over(_months_back(HISTORY_MONTHS - 1, 0)),
            "return_rate_3q_min": F.min("return_rate").over(_months_back(HISTORY_MONTHS - 1, 0)),
            "arrears_months_3q": F.sum((F.col("arrears_yuan") > 0).cast("int")).over(_months_back(HISTORY_MONTHS - 1, 0)).cast("int"),
            "history_months": F.count(F.lit(1)).over(_months_back(HISTORY_MONTHS - 1, 0)),
            "return_rate_prior_3m": F.avg("return_rate").over(_months_back(RECENT_MONTHS, 1)),
            "arpu_prior_3m_yuan": F.avg(F.col("arpu_yuan").cast("double")).over(_months_back(RECENT_MONTHS, 1)),
        }
    )
    means = {f"{m}_mean_3m": null_safe_mean(_last_three(m)) for m in MEASURES}
    trends = {f"{m}_trend_3m": slope(_last_three(m)) for m in MEASURES}
    return remembered.withColumns(means | trends).drop("measures", "measures_1", "measures_2", "month_number")


def month_number(month: Column) -> Column:
    """Months since year 0: neighbours differ by 1 across a year's end too."""
    return F.substring(month, 1, 4).cast("int") * 12 + F.substring(month, 6, 2).cast("int")


def _last_three(measure: str) -> list[Column]:
    """The measure two months ago, one month ago and now."""
    return [F.col("measures_2")[measure], F.col("measures_1")[measure], F.col(measure)]


def _months_back(first: int, last: int) -> WindowSpec:
    return Window.partitionBy("user_id").orderBy("month_number").rangeBetween(-first, -last)
