"""The shape of a subscriber's voice contact circle (交往圈)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import rounded, share
from crm_spark.customer.calls import MonthsTold, zero_if_told
from crm_spark.tables.common import KEY
from crm_spark.tables.middle import CONTACT_CIRCLE

_NANO = 1_000_000_000
_SHARES = (
    ("reciprocity_share", "peers_both_ways", "peers"),
    ("top1_peer_share", "top1_calls", "peer_calls"),
    ("top3_peer_share", "top3_calls", "peer_calls"),
    ("on_net_call_share", "on_net_calls", "calls_with_known_net"),
    ("nocturnal_call_share", "night_calls", "calls"),
    ("weekend_call_share", "weekend_calls", "calls"),
)


def build_contact_circle(totals: DataFrame, told: MonthsTold) -> DataFrame:
    """One row per row of `call_totals`; a silent subscriber has 0 peers and null shares.

    A withheld number is no peer: its calls count in the on-net, nocturnal and weekend shares and in the top province only.
    """
    shape = totals.select(
        *KEY, zero_if_told("peers", "peers", told), zero_if_told("vpn_peers", "vpn_peers", told), "top_long_distance_province",
        rounded(_entropy(F.col("peer_calls"), F.col("calls_ln_calls") / F.lit(_NANO))).alias("peer_entropy"),
        *[rounded(share(F.col(part), F.col(whole))).alias(name) for name, part, whole in _SHARES],
        rounded(share(F.col("peer_calls"), F.col("peers"))).alias("calls_per_peer"),
        rounded(share(F.col("vpn_peer_calls"), F.col("vpn_peers"))).alias("vpn_calls_per_peer"),
    )  # fmt: skip
    return CONTACT_CIRCLE.conform(shape)


def _entropy(calls: Column, calls_ln_calls: Column) -> Column:
    """-sum(p ln p) with p = c / N, which is ln N - sum(c ln c) / N; null without calls."""
    return F.when(calls > 0, F.greatest(F.ln(calls) - calls_ln_calls / calls, F.lit(0.0)))
