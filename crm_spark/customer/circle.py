"""The shape of a subscriber's voice contact circle (交往圈)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.columns import rounded, share
from crm_spark.customer.exact import MILLISECONDS_A_MINUTE, zero_where_told
from crm_spark.tables.common import KEY
from crm_spark.tables.middle import CONTACT_CIRCLE

_SUBSCRIBER = ("month", "user_id")
_COUNTERS = ("calls", "on_net_calls", "calls_with_known_net", "night_calls", "weekend_calls")
_PEER_COUNTERS = ("peers", "peers_both_ways", "vpn_peers", "vpn_peer_calls")
_TOP = 3
_NANO = 1_000_000_000


def build_contact_circle(daily: DataFrame, basic: DataFrame) -> DataFrame:
    """One row per subscriber of `basic` and month; a silent one has 0 peers and null shares.

    A withheld number is no peer: its calls count in the on-net, nocturnal and weekend shares and in the top province only.
    Entropy and top shares need no list of peers: how many peers have 1, 2, 3, ... calls says all, and stays short for a
    number that calls half a million others. Shuffles: peers, that distribution, subscribers.
    """
    circle = _shape(_totals(_distribution(daily)))
    joined = basic.select(*KEY).join(circle, on=list(_SUBSCRIBER), how="left")
    return CONTACT_CIRCLE.conform(zero_where_told(joined, daily, {"peers": "peer_id", "vpn_peers": "vpn_calls"}))


def _distribution(daily: DataFrame) -> DataFrame:
    """One row per subscriber, month and number of calls with a peer, and one per province called: both in one shuffle."""
    called = daily.where(F.col("long_distance_minutes") > 0)
    milliseconds = F.rint(F.col("long_distance_minutes") * MILLISECONDS_A_MINUTE).cast("long")
    provinces = called.select(*_SUBSCRIBER, "peer_province", milliseconds.alias("long_distance"))
    both = _peers(daily).unionByName(provinces, allowMissingColumns=True)
    sums = [F.sum(c).alias(c) for c in (*_COUNTERS, *_PEER_COUNTERS, "long_distance")]
    return both.groupBy(*_SUBSCRIBER, "peer_calls", "peer_province").agg(*sums)


def _peers(daily: DataFrame) -> DataFrame:
    """One row per subscriber, month and peer: its calls, and what it adds to the circle (null for withheld numbers)."""
    calls = F.col("calls_out") + F.col("calls_in")
    counted = ("calls_out", "calls_in", "on_net_calls", "night_calls", "weekend_calls", "vpn_calls")
    peers = daily.groupBy(*_SUBSCRIBER, "peer_id").agg(
        *[F.sum(c).alias(c) for c in counted], F.sum(F.when(F.col("on_net_calls").isNotNull(), calls)).alias("calls_with_known_net")
    )
    known = F.col("peer_id").isNotNull()
    both_ways = (F.col("calls_out") > 0) & (F.col("calls_in") > 0)
    of_peer = {
        "peer_calls": calls, "peers": F.lit(1), "peers_both_ways": both_ways.cast("int"),
        "vpn_peers": (F.col("vpn_calls") > 0).cast("int"), "vpn_peer_calls": F.col("vpn_calls"),
    }
    return peers.withColumn("calls", calls).select(*_SUBSCRIBER, *_COUNTERS, *[F.when(known, v).alias(c) for c, v in of_peer.items()])


def _totals(distribution: DataFrame) -> DataFrame:
    """One row per subscriber and month: all sums, and the province with most outgoing long distance (ties by name)."""
    busier = Window.partitionBy(*_SUBSCRIBER).orderBy(F.col("peer_calls").desc_nulls_last(), "peer_province")
    before = F.coalesce(F.sum("peers").over(busier.rowsBetween(Window.unboundedPreceding, -1)), F.lit(0))
    among_top = F.greatest(F.least(F.col("peers"), F.lit(_TOP) - before), F.lit(0))
    calls_ln_calls = F.rint(F.col("peer_calls") * F.ln("peer_calls") * F.lit(_NANO)).cast("long")  # integers: exact in any order
    most = F.min(F.when(F.col("peer_province").isNotNull(), F.struct((-F.col("long_distance")).alias("less"), "peer_province")))
    return distribution.withColumn("among_top", among_top).groupBy(*_SUBSCRIBER).agg(
        *[F.sum(c).alias(c) for c in (*_COUNTERS, *_PEER_COUNTERS)],
        F.sum(F.col("peers") * F.col("peer_calls")).alias("peer_calls"),
        F.sum(F.col("peers") * calls_ln_calls).alias("calls_ln_calls"),
        F.max("peer_calls").alias("top1_calls"),
        F.sum(F.col("among_top") * F.col("peer_calls")).alias("top3_calls"),
        most["peer_province"].alias("top_long_distance_province"),
    )


def _shape(totals: DataFrame) -> DataFrame:
    shares = (
        ("reciprocity_share", "peers_both_ways", "peers"),
        ("top1_peer_share", "top1_calls", "peer_calls"),
        ("top3_peer_share", "top3_calls", "peer_calls"),
        ("on_net_call_share", "on_net_calls", "calls_with_known_net"),
        ("nocturnal_call_share", "night_calls", "calls"),
        ("weekend_call_share", "weekend_calls", "calls"),
    )
    return totals.select(
        *_SUBSCRIBER, "peers", "vpn_peers", "top_long_distance_province",
        rounded(_entropy(F.col("peer_calls"), F.col("calls_ln_calls") / F.lit(_NANO))).alias("peer_entropy"),
        *[rounded(share(F.col(part), F.col(whole))).alias(name) for name, part, whole in shares],
        rounded(share(F.col("peer_calls"), F.col("peers"))).alias("calls_per_peer"),
        rounded(share(F.col("vpn_peer_calls"), F.col("vpn_peers"))).alias("vpn_calls_per_peer"),
    )


def _entropy(calls: Column, calls_ln_calls: Column) -> Column:
    """-sum(p ln p) with p = c / N, which is ln N - sum(c ln c) / N; null without calls."""
    return F.when(calls > 0, F.greatest(F.ln(calls) - calls_ln_calls / calls, F.lit(0.0)))
