"""Calls one by one, for the months that come as call records."""

from __future__ import annotations

from itertools import accumulate

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.province.bills import INTERNATIONAL_PRICE, PRICES, ROAMING_PRICES
from crm_spark.province.numbers import whose
from crm_spark.province.peers import is_on_net, partner_met, peer_number, peer_province, rank
from crm_spark.province.skew import with_skew
from crm_spark.province.use import CALL_NOISE, DISTANCES, ROAMING, mean_minutes
from crm_spark.province.world import Province, days_of_week, looked_up

SKEW = 2.0  # how much calls favour the first peers
_NIGHT_FROM, _NIGHT_HOURS, _DAY_FROM, _DAY_HOURS = 23, 7, 6, 17
_CARRIED = (
    "month", "subscriber", "t", "first_day", "on_net_share", "night_share", "weekend_share", "vpn_share", "local_price_yuan",
    "long_distance_price_yuan", "mean_minutes", "type_peers_abroad", "hall", "city",
    *(f"roaming_{r}_share" for r in ROAMING),
)  # fmt: skip


def voice_cdr(lives: DataFrame, province: Province) -> DataFrame:
    """One row per call of a subscriber, as calls of the month by distance and direction say."""
    delivered = lives.where(F.col("month").isin(*province.config.call_months)).withColumn("mean_minutes", mean_minutes(province.dice))
    dated = looked_up(_calls(delivered), days_of_week(lives.sparkSession, province), "month")
    placed = dated.withColumns(_peers(province)).withColumns(_kinds(province)).withColumns(_circumstances(province))
    calls = placed.select(
        *whose(province), "peer_number",
        _start(province).alias("start_time"), "seconds", "direction", "call_kind", "roaming_kind", "is_vpn", "is_on_net", "peer_province",
        F.concat(F.substring("city", 1, 2), F.lit("-"), F.lpad((F.col("hall") * 8 + F.col("cell")).cast("string"), 4, "0")).alias("cell"),
        _fee().cast("decimal(18,4)").alias("fee"),
    )  # fmt: skip
    return with_skew(calls, lives, province) if province.config.skew_share else calls


def _calls(lives: DataFrame) -> DataFrame:
    """A row per call: its number among the subscriber's calls of the distance, and the counts of that distance."""
    blocks = lives.select(*_CARRIED, F.explode(F.array(*[_block(d) for d in DISTANCES])).alias("block"))
    some = blocks.where(F.col("block.outgoing") + F.col("block.incoming") > 0).select(*_CARRIED, "block.*")
    return some.withColumn("call", F.explode(F.sequence(F.lit(0), F.col("outgoing") + F.col("incoming") - 1)))


def _block(distance: str) -> Column:
    far = F.col("calls_out_local_long_distance") if distance == "local" else F.lit(0)
    return F.struct(
        F.lit(distance).alias("distance"),
        (F.col(f"calls_out_{distance}") + far).cast("int").alias("outgoing"),
        far.cast("int").alias("long_distance"),
        F.col(f"calls_incoming_{distance}").cast("int").alias("incoming"),
        F.col(f"peers_{distance}").cast("int").alias("peers"),
    )


def _key() -> tuple[Column | str, ...]:
    return ("subscriber", "t", F.xxhash64("distance"), "call")


def _peers(province: Province) -> dict[str, Column]:
    """Outgoing calls are spread evenly among the calls (Bresenham), so that peers are met both ways."""
    total = F.col("outgoing") + F.col("incoming")
    before, after = (F.floor((F.col("call") + k) * F.col("outgoing") / total) for k in (0, 1))
    return {
        "tie": rank(province.dice.uniform("rank", *_key()), F.col("peers"), F.col("call"), SKEW),
        "direction": F.when(after > before, "out").otherwise("in"),
        "outgoing_before": before,
    }


def _kinds(province: Province) -> dict[str, Column]:
    dice = province.dice
    is_out = F.col("direction") == "out"
    far = is_out & (F.col("outgoing_before") < F.col("long_distance"))
    at = {d: F.col("distance") == d for d in DISTANCES}
    inside = F.when(at["local"], partner_met(province))
    return {
        "inside": inside,
        "is_on_net": is_on_net(province, at["local"], "subscriber", "tie", F.xxhash64("distance")),
        "call_kind": F.when(at["local"] & far, "local_long_distance").otherwise(F.col("distance")),
        "is_vpn": at["local"] & ~far & dice.happens(F.col("vpn_share"), "peer in vpn", "subscriber", "tie"),
        "peer_province": peer_province(province, F.col("distance"), F.col("tie")),
    }


def _circumstances(province: Province) -> dict[str, Column]:
    dice = province.dice
    length = F.greatest(1 + dice.bell("length", *_key()) * CALL_NOISE, F.lit(0.05))
    seconds = F.floor(length * F.col("mean_minutes") * 60 + 0.5).cast("int")
    return {
        "peer_number": peer_number(province, F.col("distance"), F.col("tie"), F.col("inside"), F.col("is_on_net")),
        "seconds": F.least(F.greatest(seconds, F.lit(1)), F.lit(7200)),
        "roaming_kind": _roaming(dice.uniform("roams", *_key())),
        "cell": dice.below(8, "cell", "subscriber", "call"),
    }


def _roaming(share: Column) -> Column:
    """Where the subscriber was, by the month's shares end to end."""
    bounds = accumulate((F.col(f"roaming_{name}_share") for name in ROAMING), lambda reached, more: reached + more)
    near, far, abroad = bounds
    return F.when(share < near, ROAMING[0]).when(share < far, ROAMING[1]).when(share < abroad, ROAMING[2]).otherwise("none")


def _start(province: Province) -> Column:
    """Day by the share of weekends, hour by the share of nights."""
    dice = province.dice
    is_weekend = dice.happens(F.col("weekend_share"), "weekend", *_key())
    days = F.when(is_weekend, F.col("weekend_days")).otherwise(F.col("week_days"))
    day = F.element_at(days, dice.below(F.size(days), "day", *_key()) + 1)
    night = (_NIGHT_FROM + dice.below(_NIGHT_HOURS, "night hour", *_key())) % 24
    by_day = _DAY_FROM + F.floor((dice.uniform("hour 1", *_key()) + dice.uniform("hour 2", *_key())) / 2 * _DAY_HOURS)
    hour = F.when(dice.happens(F.col("night_share"), "night call", *_key()), night).otherwise(by_day)
    second = dice.below(3600, "second", *_key())
    return F.date_add("first_day", day - 1).cast("timestamp_ntz") + F.make_dt_interval(hours=hour, secs=second)


def _fee() -> Column:
    """Who calls pays; long distance by its own price wherever the subscriber is, other calls with a surcharge while roaming."""
    minutes = F.col("seconds") / 60.0
    own = F.when(F.col("call_kind") == "international", INTERNATIONAL_PRICE)
    for cell, factor in PRICES.items():
        own = own.when(F.col("call_kind") == cell.removeprefix("out_"), F.col("long_distance_price_yuan") * factor)
    surcharge = F.lit(0.0)
    for kind, price in ROAMING_PRICES.items():
        surcharge = F.when(F.col("roaming_kind") == kind, price).otherwise(surcharge)
    is_out = F.col("direction") == "out"
    local = F.when(is_out, F.col("local_price_yuan")).otherwise(0.0) + surcharge
    return F.when(is_out, F.coalesce(own, local)).otherwise(surcharge) * minutes
