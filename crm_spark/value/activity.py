"""Composite activity per service (综合活跃度): how active a user of the service is, among all who use it."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import MICRO, exact_sum, rounded
from crm_spark.tables.score import SERVICE_INDEX


def build_service_index(view: DataFrame, weights: Mapping[str, float]) -> DataFrame:
    """`score.service_index`: one row per subscriber, service and month in which the service is held or used.

    Each measure x of use (days, uses, volume, fee) counts x / (x + m), where m is the mean of those who have any of it in the month: half of
    its points at the mean, more and more slowly above. `activity` is 100 x their weighted mean, 0 for who holds the service and leaves it
    alone. A measure that nobody of the service has is left out, and the others share its weight; null if none is left. domain.md, section 5,
    names the index; the formula is ours.
    """
    states = view.select("city", "month", "user_id", F.explode("services").alias("service", "state"))
    uses = states.select("city", "month", "user_id", "service", *[F.col(f"state.{c}").alias(c) for c in ("is_held", "held_months", *weights)])
    means = uses.groupBy("month", "service").agg(*[_mean_of_users(c).alias(f"mean_{c}") for c in weights])
    compared = uses.join(F.broadcast(means), on=["month", "service"], how="left")
    return SERVICE_INDEX.conform(compared.withColumn("activity", rounded(_activity(weights))).select(*SERVICE_INDEX.columns))


def _mean_of_users(measure: str) -> Column:
    """Mean of the measure over those who have any; null if nobody has."""
    used = F.when(F.col(measure) > 0, F.col(measure).cast("double"))
    return exact_sum(used, MICRO) / F.count(used)


def _activity(weights: Mapping[str, float]) -> Column:
    points = {c: F.coalesce(F.col(c).cast("double"), F.lit(0.0)) for c in weights}
    counted = [F.when(F.col(f"mean_{c}") > 0, points[c] / (points[c] + F.col(f"mean_{c}")) * weight) for c, weight in weights.items()]
    asked = [F.when(F.col(f"mean_{c}") > 0, weight).otherwise(0.0) for c, weight in weights.items()]
    return 100 * F.try_divide(sum((F.coalesce(c, F.lit(0.0)) for c in counted), F.lit(0.0)), sum(asked, F.lit(0.0)))
