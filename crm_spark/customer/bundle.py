"""Class 0/1 bundles (0/1类捆绑) at month end."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.customer.term import months_left, runs_at_month_end
from crm_spark.tables.common import KEY
from crm_spark.tables.middle import BUNDLE_STATUS


def build_bundle_status(contracts: DataFrame, basic: DataFrame) -> DataFrame:
    """One row per subscriber of `basic` and month; without a running bundle false, no end and no policies.

    A bundle that runs without an end runs longest: `bundle_ends_on` is then null. An untold class leaves `has_bundle_...` null.
    """
    ends = F.max("ended_on")
    running = contracts.where(runs_at_month_end()).groupBy("month", "user_id").agg(
        F.bool_or(F.col("bundle_class") == 0).alias("has_bundle_0"),
        F.bool_or(F.col("bundle_class") == 1).alias("has_bundle_1"),
        F.when(F.count("ended_on") == F.count(F.lit(1)), ends).alias("bundle_ends_on"),
        F.sort_array(F.collect_set("policy_id")).alias("bundle_policies"),
        F.lit(True).alias("runs"),
    )
    status = basic.select(*KEY).join(running, on=["month", "user_id"], how="left")
    none = F.col("runs").isNull()
    filled = status.withColumns(
        {
            **{c: F.when(none, False).otherwise(F.col(c)) for c in ("has_bundle_0", "has_bundle_1")},
            "bundle_policies": F.when(none, F.array().cast("array<string>")).otherwise(F.col("bundle_policies")),
            "bundle_months_left": months_left(F.col("bundle_ends_on"), F.col("month")),
        }
    )
    return BUNDLE_STATUS.conform(filled.drop("runs"))
