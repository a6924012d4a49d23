"""Migration: from which group to which customers went between two months (domain.md, section 6)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.columns import share


def migration(now: DataFrame, before: DataFrame, month: str, month_before: str) -> DataFrame:
    """Rows of score.segment_migration from the segments of two months: one per city, segmentation, group before and group now.

    Who was no customer before, or is none now, has no group there. A customer counts in the city of now, who left in the city of before.
    Only segmentations that both months have are compared. The share is of the group before in the city.
    """
    both = now.select("segmentation").distinct().join(before.select("segmentation").distinct(), on="segmentation", how="inner")
    sides = [_side(rows.join(F.broadcast(both), on="segmentation", how="left_semi"), side) for rows, side in ((now, "now"), (before, "before"))]
    moves = sides[0].join(sides[1], on=["user_id", "segmentation"], how="full_outer")
    groups = {"group_before": "number_before", "group_name_before": "name_before", "group_number": "number_now", "group_name": "name_now"}
    city = F.coalesce("city_now", "city_before").alias("city")
    counted = moves.groupBy(city, "segmentation", *[F.col(own).alias(name) for name, own in groups.items()]).agg(F.count("*").alias("customers"))
    return counted.select("*", F.lit(month).alias("month"), F.lit(month_before).alias("month_before"), _share_of_group().alias("share"))


def _side(segments: DataFrame, side: str) -> DataFrame:
    named = {"city": "city", "group_number": "number", "group_name": "name"}
    return segments.select("user_id", "segmentation", *[F.col(c).alias(f"{name}_{side}") for c, name in named.items()])


def _share_of_group() -> Column:
    return share(F.col("customers"), F.sum("customers").over(Window.partitionBy("city", "segmentation", "group_before")))
