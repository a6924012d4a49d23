"""Calls become daily partials per peer, and these the month's minutes by kind (语音统一汇总)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import rounded
from crm_spark.customer.exact import MILLISECONDS_A_MINUTE, exact_sum, zero_where_told
from crm_spark.tables.common import KEY
from crm_spark.tables.middle import VOICE_DAILY, VOICE_MINUTES, VOICE_SUMMARY
from crm_spark.tables.raw import CALL_KINDS, ROAMING_KINDS

NIGHT_STARTS, NIGHT_ENDS = 23, 6  # hours, the end excluded
_MINUTES = tuple(f.name for f in VOICE_MINUTES)
_LONG_DISTANCE = CALL_KINDS[1:]


def build_voice_daily(cdr: DataFrame) -> DataFrame:
    """One row per subscriber, peer and day with calls, by one shuffle; withheld numbers share the row of the null peer.

    Minutes are an integer sum of seconds over 60. A sum is null when none of its calls tells the attribute (unmapped is not zero).
    The peer's province is a key because a maximum of texts would make Spark sort the calls instead of hashing them (1.8 times the CPU).
    """
    keys = ("city", "month", "day", "user_id", "peer_id", "peer_province")
    minutes = [(F.sum(F.col("seconds") * is_kind) / F.lit(60)).alias(name) for name, is_kind in _minute_kinds().items()]
    counts = [F.sum(is_kind).alias(name) for name, is_kind in _call_kinds().items()]
    fee = F.sum(F.when(_long_distance_out() == 1, F.col("fee_yuan"))).alias("long_distance_fee_yuan")
    return VOICE_DAILY.conform(cdr.groupBy(*keys).agg(*counts, *minutes, fee))


def build_voice_summary(daily: DataFrame, basic: DataFrame) -> DataFrame:
    """One row per subscriber of `basic` and month: zeros for a silent one, null for what no call of the month tells.

    The city is the registered one of `basic`, wherever the calls were filed.
    """
    sums = basic.select(*KEY).join(_sums(daily), on=["month", "user_id"], how="left")
    filled = zero_where_told(sums, daily, {c: c for c in (*_MINUTES, "calls_out", "calls_in")} | {"voice_active_days": "day"})
    return VOICE_SUMMARY.conform(filled.withColumn("long_distance_unit_price_yuan", _unit_price()).drop("long_distance_fee_yuan"))


def _sums(daily: DataFrame) -> DataFrame:
    minutes = [exact_sum(F.col(c), MILLISECONDS_A_MINUTE).alias(c) for c in _MINUTES]
    sums = [F.sum(c).alias(c) for c in ("calls_out", "calls_in", "long_distance_fee_yuan")]
    days = F.expr("bit_count(bit_or(shiftleft(1, dayofmonth(day) - 1)))").alias("voice_active_days")  # no distinct: a bit a day
    return daily.groupBy("month", "user_id").agg(*minutes, *sums, days)


def _unit_price() -> Column:
    minutes = F.col("long_distance_minutes")
    return rounded(F.when(minutes > 0, F.col("long_distance_fee_yuan").cast("double") / minutes))


def _call_kinds() -> dict[str, Column]:
    hour = F.hour("started_at")
    return {
        "calls_out": _is("direction", "out"),
        "calls_in": _is("direction", "in"),
        "on_net_calls": F.col("is_on_net").cast("int"),
        "night_calls": ((hour >= NIGHT_STARTS) | (hour < NIGHT_ENDS)).cast("int"),
        "weekend_calls": F.dayofweek("started_at").isin(1, 7).cast("int"),
        "vpn_calls": F.col("is_vpn").cast("int"),
    }


def _minute_kinds() -> dict[str, Column]:
    """1, 0 or null per call and kind of minutes; a product is null as soon as one of its attributes is not told."""
    out, into = _is("direction", "out"), _is("direction", "in")
    vpn, on_net = F.col("is_vpn").cast("int"), F.col("is_on_net").cast("int")
    outgoing = {f"{kind}_out_minutes": out * _is("call_kind", kind) for kind in CALL_KINDS}
    incoming = {f"{kind}_in_minutes": into * _is("call_kind", kind) for kind in CALL_KINDS if kind != "local_long_distance"}
    roaming = {f"{kind}_roaming_minutes": _is("roaming_kind", kind) for kind in ROAMING_KINDS if kind != "none"}
    return {
        **outgoing, **incoming, **roaming,
        "vpn_minutes": vpn, "vpn_roaming_minutes": vpn * (F.lit(1) - _is("roaming_kind", "none")),
        "on_net_minutes": on_net, "off_net_minutes": F.lit(1) - on_net,
        "long_distance_minutes": _long_distance_out(),
        "out_minutes": out, "in_minutes": into, "total_minutes": F.lit(1),
    }


def _long_distance_out() -> Column:
    return _is("direction", "out") * F.col("call_kind").isin(*_LONG_DISTANCE).cast("int")


def _is(column: str, value: str) -> Column:
    return (F.col(column) == value).cast("int")
