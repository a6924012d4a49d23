"""Value-added services held and used (增值统一汇总)."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import MICRO, exact_sum
from crm_spark.customer.exact import zero_where_told
from crm_spark.customer.term import runs_at_month_end
from crm_spark.months import full_months
from crm_spark.tables.middle import VAS_SUMMARY

_SERVICE = ("city", "month", "user_id", "service")
_TOLD = ("is_held", "uses", "mb", "active_days", "fee_yuan")


def build_vas_summary(subscriptions: DataFrame, usage: DataFrame) -> DataFrame:
    """One row per subscriber, service and month in which the service is held at month end or used, by one shuffle.

    Use is 0 for a service held but not used, and `is_held` false for one used but not held, where the month tells use
    or orders at all; else null. An order that has ended by month end, without use, leaves no row.
    """
    both = _orders(subscriptions).unionByName(_use(usage), allowMissingColumns=True)
    services = both.groupBy("month", "user_id", "service").agg(
        *[F.min(c).alias(c) for c in ("city", "held_since")],
        *[F.max(c).alias(c) for c in ("is_held", "is_used", "active_days")],
        *[F.sum(c).alias(c) for c in ("uses", "fee_yuan")],
        exact_sum(F.col("mb"), MICRO).alias("mb"),
    )
    kept = zero_where_told(services, both, {c: c for c in _TOLD}).where((F.col("is_held") == 1) | (F.col("is_used") == 1))
    held_months = F.when(F.col("is_held") == 1, full_months(F.col("held_since"), F.col("month")))
    return VAS_SUMMARY.conform(kept.withColumn("held_months", held_months).select(*VAS_SUMMARY.columns))


def _orders(subscriptions: DataFrame) -> DataFrame:
    """Orders with whether they run at month end, and since when."""
    runs = runs_at_month_end()
    return subscriptions.select(*_SERVICE, runs.cast("int").alias("is_held"), F.when(runs, F.col("started_on")).alias("held_since"))


def _use(usage: DataFrame) -> DataFrame:
    return usage.select(*_SERVICE, F.lit(1).alias("is_used"), *_TOLD[1:])
