"""The shape of a subscriber's voice contact circle (交往圈)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.columns import rounded, share
from crm_spark.customer.exact import MILLISECONDS_A_MINUTE, exact_sum, zero_where_told
from crm_spark.tables.common import KEY
from crm_spark.tables.middle import CONTACT_CIRCLE

_SUBSCRIBER = ("month", "user_id")
_NANO = 1_000_000_000
_BREADTH = ("peers", "vpn_peers")


def build_contact_circle(daily: DataFrame, basic: DataFrame) -> DataFrame:
    """One row per subscriber of `basic` and month; a silent one has 0 peers and null shares.

    Calls are summed per peer first (one shuffle), then per subscriber (a second one, of peers, not of calls).
    A withheld number is no peer: its calls count in the on-net, nocturnal and weekend shares and in the top province only.
    """
    circle = _shape(_totals(_marks(_peers(daily))))
    told = basic.select(*KEY).join(circle, on=list(_SUBSCRIBER), how="left")
    return CONTACT_CIRCLE.conform(zero_where_told(told, circle, _BREADTH))


def _peers(daily: DataFrame) -> DataFrame:
    """One row per subscriber, month and peer."""
    calls = F.col("calls_out") + F.col("calls_in")
    return daily.groupBy(*_SUBSCRIBER, "peer_id").agg(
        F.max("peer_province").alias("peer_province"),
        *[F.sum(c).alias(c) for c in ("calls_out", "calls_in", "on_net_calls", "night_calls", "weekend_calls", "vpn_calls")],
        F.sum(F.when(F.col("on_net_calls").isNotNull(), calls)).alias("calls_with_known_net"),
        exact_sum(F.col("long_distance_minutes"), MILLISECONDS_A_MINUTE).alias("long_distance_minutes"),
    ).withColumn("calls", calls)


def _marks(peers: DataFrame) -> DataFrame:
    """What each peer adds to the circle: columns that only need summing; 0 or null from the withheld numbers."""
    known = F.col("peer_id").isNotNull()
    by_calls = Window.partitionBy(*_SUBSCRIBER).orderBy(known.desc(), F.desc("calls"), "peer_id")
    ranked = peers.withColumn("peer_rank", F.row_number().over(by_calls))
    calls = F.when(known, F.col("calls"))
    vpn_calls = F.when(known, F.col("vpn_calls"))
    return ranked.select(
        *_SUBSCRIBER, "peer_province", "long_distance_minutes",
        "calls", "on_net_calls", "calls_with_known_net", "night_calls", "weekend_calls",
        F.when(known, 1).alias("peers"), calls.alias("peer_calls"),
        F.round(calls * F.ln(calls) * F.lit(_NANO)).cast("long").alias("calls_ln_calls"),
        F.when(known, ((F.col("calls_out") > 0) & (F.col("calls_in") > 0)).cast("int")).alias("peers_both_ways"),
        F.when(F.col("peer_rank") == 1, calls).alias("top1_calls"), F.when(F.col("peer_rank") <= 3, calls).alias("top3_calls"),
        (vpn_calls > 0).cast("int").alias("vpn_peers"), vpn_calls.alias("vpn_peer_calls"),
    )


def _totals(marks: DataFrame) -> DataFrame:
    """One row per subscriber and month: all sums, and the province with most long distance (ties by name).

    Both steps lie on the partitioning by subscriber that ranking the peers has made: no further shuffle.
    """
    summed = [c for c in marks.columns if c not in (*_SUBSCRIBER, "peer_province")]
    by_province = marks.groupBy(*_SUBSCRIBER, "peer_province").agg(
        *[F.sum(c).alias(c) for c in summed if c != "long_distance_minutes"],
        exact_sum(F.col("long_distance_minutes"), MILLISECONDS_A_MINUTE).alias("long_distance_minutes"),
    )
    called = (F.col("long_distance_minutes") > 0) & F.col("peer_province").isNotNull()
    most = F.min(F.when(called, F.struct((-F.col("long_distance_minutes")).alias("less"), "peer_province")))
    return by_province.groupBy(*_SUBSCRIBER).agg(*[F.sum(c).alias(c) for c in summed], most["peer_province"].alias("province"))


def _shape(totals: DataFrame) -> DataFrame:
    calls = F.col("peer_calls")
    return totals.select(
        *_SUBSCRIBER, *_BREADTH,
        rounded(_ratio(calls, F.col("peers"))).alias("calls_per_peer"),
        F.col("province").alias("top_long_distance_province"),
        rounded(_entropy(calls, F.col("calls_ln_calls") / F.lit(_NANO))).alias("peer_entropy"),
        *[rounded(share(F.col(part), F.col(whole))).alias(name) for name, part, whole in (
            ("reciprocity_share", "peers_both_ways", "peers"),
            ("top1_peer_share", "top1_calls", "peer_calls"), ("top3_peer_share", "top3_calls", "peer_calls"),
            ("on_net_call_share", "on_net_calls", "calls_with_known_net"),
            ("nocturnal_call_share", "night_calls", "calls"), ("weekend_call_share", "weekend_calls", "calls"))],
        rounded(_ratio(F.col("vpn_peer_calls"), F.col("vpn_peers"))).alias("vpn_calls_per_peer"),
    )


def _entropy(calls: Column, calls_ln_calls: Column) -> Column:
    """-sum(p ln p) with p = c / N equals ln N - sum(c ln c) / N: one pass, no share per peer."""
    return F.when(calls > 0, F.greatest(F.ln(calls) - calls_ln_calls / calls, F.lit(0.0)))


def _ratio(part: Column, whole: Column) -> Column:
    return F.when(whole > 0, part.cast("double") / whole)
