"""Skew of calls at a chosen rate, as real months have it: a subscriber with a great part of all calls, a number everybody calls, withheld numbers.

The calls of the others stay as they are but for their peers, so the same province with and without skew can be compared.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.province.numbers import msisdn, outside_number, subscriber_id
from crm_spark.province.peers import HOME_PROVINCE
from crm_spark.province.world import Province


def with_skew(calls: DataFrame, lives: DataFrame, province: Province) -> DataFrame:
    """`calls` and, for the share of all, calls of one subscriber with everybody; as large a share of the others has one and the same peer, or none.

    The busy subscriber is the one longest in the network, and so in every month.
    """
    share, row = province.config.skew_share, F.xxhash64(*calls.columns)
    both = F.when(province.dice.happens(share / (1 - share), "busy", row), F.array(F.lit(False), F.lit(True))).otherwise(F.array(F.lit(False)))
    doubled = calls.join(F.broadcast(_busy(lives)), how="cross").withColumn("is_busy", F.explode(both))
    mine = {**_of_the_busy(province), "peer_number": msisdn(province, F.col("subscriber"))}
    others = {"peer_number": _crowded(province, row)}
    told = {c: F.when(F.col("is_busy"), mine.get(c, F.col(c))).otherwise(others.get(c, F.col(c))) for c in mine}
    return doubled.select(*[told.get(c, F.col(c)).alias(c) for c in calls.columns])


def _busy(lives: DataFrame) -> DataFrame:
    """One row: who has been in the network longest and is there still."""
    there = lives.where((F.col("t") == F.lit(0)) & F.col("exit_t").isNull())
    first = there.agg(F.min(F.struct("activation_t", "subscriber", "city")).alias("first"))
    return first.select(F.col("first.subscriber").alias("busy"), F.col("first.city").alias("busy_city"))


def _of_the_busy(province: Province) -> dict[str, Column]:
    """The call seen from the other end."""
    return {
        "subscriber": F.col("busy"),
        "subscriber_id": subscriber_id(province, F.col("busy")),
        "region": F.col("busy_city"),
        "direction": F.when(F.col("direction") == "out", "in").otherwise("out"),
        "call_kind": F.lit("local"),
        "roaming_kind": F.lit("none"),
        "is_vpn": F.lit(False),
        "is_on_net": F.lit(True),
        "peer_province": F.lit(HOME_PROVINCE),
    }


def _crowded(province: Province, row: Column) -> Column:
    """The peer's number, that number which everybody calls, or none."""
    share, drawn = province.config.skew_share, province.dice.uniform("crowded", row)
    everybodys = outside_number(F.lit(True), province.dice.hash("everybody calls", F.lit(0)))
    return F.when(drawn < share, everybodys).when(drawn >= 2 * share, F.col("peer_number"))
