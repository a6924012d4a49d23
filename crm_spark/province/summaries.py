"""Ready-made monthly summaries, for the months whose calls are no longer delivered.

Counts and minutes are the very numbers that calls are made from; shares over single calls get the noise that so many calls have.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.province.bills import long_distance_fee
from crm_spark.province.calls import SKEW
from crm_spark.province.chance import Dice, to_digits, whole_near, within
from crm_spark.province.numbers import whose
from crm_spark.province.peers import HOME_PROVINCE, MAIN_PROVINCE_SHARE, main_province
from crm_spark.province.use import CELLS, DISTANCES, ROAMING
from crm_spark.province.world import Province

_LONG_DISTANCE = ("out_local_long_distance", "out_intra_province", "out_inter_province", "out_international")
_DAYS = 30.4
_BOTH_WAYS = 0.62  # how much the calls with a peer stay on one side, against chance


def voice_summary(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and month before the call months."""
    dice = province.dice
    months = _before_calls(lives, province)
    minutes = {**_minutes_by_cell(), **_minutes_by_trait(dice)}
    unit_price = F.when(_long_distance() > 0, long_distance_fee() / _long_distance())
    return months.select(
        *whose(province),
        *[to_digits(column, 3).alias(name) for name, column in minutes.items()],
        _calls("out").alias("calls_out"), _calls("in").alias("calls_in"),
        _active_days(dice).alias("active_days"), to_digits(unit_price, 4).alias("ld_unit_price"),
    )  # fmt: skip


def contact_circle(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and month before the call months; shares are null without calls."""
    dice = province.dice
    months = _before_calls(lives, province).withColumn("peers", sum((F.col(f"peers_{d}") for d in DISTANCES), F.lit(0)))
    vpn_peers = whole_near(F.col("peers_local") * F.col("vpn_share"), dice.uniform("vpn peers", "subscriber", "t"))
    with_vpn = months.withColumn("vpn_peers", vpn_peers)
    return with_vpn.select(
        *whose(province), "peers",
        _depth("peers").alias("calls_per_peer"),
        _top_province(province).alias("top_ld_province"),
        *[F.when(F.col("calls") > 0, to_digits(column, 6)).alias(name) for name, column in _shares(dice).items()],
        "vpn_peers", F.when(F.col("vpn_peers") > 0, _depth("peers")).alias("vpn_calls_per_peer"),
    )  # fmt: skip


def _before_calls(lives: DataFrame, province: Province) -> DataFrame:
    return lives.where(~F.col("month").isin(*province.config.call_months)) if province.config.call_months else lives


def _minutes_by_cell() -> dict[str, Column]:
    names = {"incoming_local": "local_in", "incoming_intra_province": "intra_province_in",
             "incoming_inter_province": "inter_province_in", "incoming_international": "international_in"}  # fmt: skip
    short = {cell: names.get(cell, f"{cell.removeprefix('out_')}_out") for cell in CELLS}
    return {f"{name}_minutes": F.col(f"minutes_{cell}") for cell, name in short.items()}


def _minutes_by_trait(dice: Dice) -> dict[str, Column]:
    """Parts of all minutes by the month's shares; what roams and runs inside the VPN at once is chance."""
    total = F.col("minutes")
    roaming = {f"{r}_roaming_minutes": total * F.col(f"roaming_{r}_share") for r in ROAMING}
    in_local = F.col("minutes_out_local") + F.col("minutes_incoming_local")
    vpn = in_local * _sampled(dice, F.col("vpn_share"), "vpn minutes", F.col("peers_local"))
    all_roaming = sum((F.col(f"roaming_{r}_share") for r in ROAMING), F.lit(0.0))
    on_net = total * _on_net(dice)
    out = sum((F.col(f"minutes_{c}") for c, (direction, _, _) in CELLS.items() if direction == "out"), F.lit(0.0))
    return {
        **roaming,
        "vpn_minutes": vpn,
        "vpn_roaming_minutes": vpn * all_roaming,
        "on_net_minutes": on_net,
        "off_net_minutes": total - on_net,
        "long_distance_minutes": _long_distance(),
        "out_minutes": out,
        "in_minutes": total - out,
        "total_minutes": total,
    }


def _depth(peers: str) -> Column:
    return F.when(F.col(peers) > 0, to_digits(F.col("calls") / F.col(peers), 6))


def _long_distance() -> Column:
    return sum((F.col(f"minutes_{c}") for c in _LONG_DISTANCE), F.lit(0.0))


def _calls(direction: str) -> Column:
    return sum((F.col(f"calls_{c}") for c, (d, _, _) in CELLS.items() if d == direction), F.lit(0)).cast("long")


def _active_days(dice: Dice) -> Column:
    """Days hit by so many calls thrown at the days of a month."""
    calls = F.col("calls").cast("double")
    expected = _DAYS * (1 - F.pow(F.lit(1 - 1 / _DAYS), calls))
    drawn = F.floor(expected + dice.bell("active days", "subscriber", "t") * F.sqrt(expected) * 0.35 + 0.5)
    return F.greatest(F.least(drawn, F.lit(28), calls), F.least(calls, F.lit(1))).cast("int")


def _on_net(dice: Dice) -> Column:
    """Ties inside the community are on-net; the others by the subscriber's share."""
    return _sampled(dice, F.col("on_net_share"), "on-net calls", F.col("peers_local") + F.col("peers_inter_province"))


def _sampled(dice: Dice, chance: Column, salt: str, count: Column) -> Column:
    """The share that `count` draws with this chance come to, about; 0 and 1 stay."""
    noise = F.sqrt(chance * (1 - chance) / F.greatest(count, F.lit(1))) * dice.bell(salt, "subscriber", "t")
    return within(chance + noise, 0.0, 1.0)


def _shares(dice: Dice) -> dict[str, Column]:
    calls, peers = F.col("calls").cast("double"), F.col("peers").cast("double")
    repeated = 1 - peers / calls  # share of calls that choose their peer by the skew
    top1 = 1 / calls + repeated * F.pow(peers, F.lit(-1 / SKEW))
    top3 = F.least(peers, F.lit(3)) / calls + repeated * F.least(F.pow(3 / peers, F.lit(1 / SKEW)), F.lit(1.0))
    once = 1 - F.pow(F.lit(0.5), (calls / peers - 1) * _BOTH_WAYS)
    return {
        "peer_entropy": F.greatest(F.ln(peers) - repeated * 0.31 * F.least(F.ln(peers), F.lit(1.0)), F.lit(0.0)),
        "reciprocity_share": _sampled(dice, within(once, 0.0, 1.0), "reciprocity", peers),
        "top1_peer_share": F.greatest(_sampled(dice, within(top1, 0.0, 1.0), "top 1", calls), 1 / peers),
        "top3_peer_share": F.greatest(_sampled(dice, within(top3, 0.0, 1.0), "top 3", calls), F.least(3 / peers, F.lit(1.0))),
        "on_net_call_share": _on_net(dice),
        "nocturnal_call_share": _sampled(dice, F.col("night_share"), "night calls", calls),
        "weekend_call_share": _sampled(dice, F.col("weekend_share"), "weekend calls", calls),
    }


def _top_province(province: Province) -> Column:
    """The province with most long distance: the home one, the main one of the subscriber, or by chance another."""
    home = F.col("minutes_out_local_long_distance") + F.col("minutes_out_intra_province")
    away = F.col("minutes_out_inter_province")
    main = F.when(province.dice.happens(0.92, "main on top", "subscriber", "t"), main_province(province)).otherwise(F.lit("Shanghai"))
    return F.when((home > 0) & (home >= away * MAIN_PROVINCE_SHARE), HOME_PROVINCE).when(away > 0, main)
