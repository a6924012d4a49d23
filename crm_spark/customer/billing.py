"""The bill, and what the operator keeps of it."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import clip, rounded
from crm_spark.tables.middle import BILLING_SUMMARY


def build_billing_summary(billing: DataFrame) -> DataFrame:
    """One row per bill; a subscriber without a bill has none: a month without a bill is not a month of zero."""
    return BILLING_SUMMARY.conform(billing.withColumn("return_rate", return_rate()))


def return_rate() -> Column:
    """100 x clip((revenue - subsidy - gift) / revenue, 0, 1) (回报率; domain.md §4).

    Null without revenue, and where neither subsidy nor gift is told: nobody then knows what was given back.
    """
    revenue = F.col("revenue_yuan").cast("double")
    given = [F.coalesce(F.col(c).cast("double"), F.lit(0.0)) for c in ("subsidy_yuan", "gift_yuan")]
    told = F.coalesce("subsidy_yuan", "gift_yuan").isNotNull()
    kept = F.when(told & (revenue > 0), (revenue - given[0] - given[1]) / revenue)
    return rounded(F.lit(100.0) * clip(kept, 0.0, 1.0))
