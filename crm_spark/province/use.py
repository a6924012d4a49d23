"""How much a subscriber uses the phone in a month: whole calls by direction and distance, minutes, peers, data.

The calls of the last months and the summaries of the months before are both made from these numbers, so their levels agree.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.province.cards import surge, surge_calls, surged_share
from crm_spark.province.chance import Dice, to_digits, whole_near, within
from crm_spark.province.drivers import handset_at, trend
from crm_spark.province.traits import with_traits
from crm_spark.province.world import Province

# cell -> (direction, distance, season); local long distance stays within the circle of local peers
CELLS = {
    "out_local": ("out", "local", "season_local"),
    "out_local_long_distance": ("out", "local", "season_local"),
    "out_intra_province": ("out", "intra_province", "season_long_distance"),
    "out_inter_province": ("out", "inter_province", "season_long_distance"),
    "out_international": ("out", "international", "season_long_distance"),
    "incoming_local": ("in", "local", "season_local"),
    "incoming_intra_province": ("in", "intra_province", "season_long_distance"),
    "incoming_inter_province": ("in", "inter_province", "season_long_distance"),
    "incoming_international": ("in", "international", "season_long_distance"),
}
DISTANCES = ("local", "intra_province", "inter_province", "international")
ROAMING = ("intra_province", "inter_province", "international")
CALL_NOISE = 0.45  # coefficient of variation of the length of a call
FADING = {0: 0.65, 1: 0.45, 2: 0.32, 3: 0.2, 4: 0.1}  # share of use lost that many months before leaving, of who fades
_SHORT_OF_PEERS = 0.55  # peers grow slower than calls


def use(lives: DataFrame, province: Province) -> DataFrame:
    """`lives` with the month's use: calls per cell, minutes per cell, peers per distance, shares, data volume."""
    whole = with_traits(lives, province).withColumns(_standing(province)).withColumns(_activity(province)).withColumns(_calls(province))
    counted = whole.withColumns(_totals(province)).withColumns({**_shape(province), **_data(province)})
    kept = [*lives.columns, "is_suspended", "is_closed", "part_of_month", "activity", "data_volume_mb", "data_days", *_kept_columns()]
    return counted.withColumn("data_days", _data_days(province.dice)).select(*kept)


def calls_at(distance: str) -> Column:
    """Calls of the month over a distance, both directions."""
    return sum((F.col(f"calls_{c}") for c, (_, d, _) in CELLS.items() if d == distance), F.lit(0))


def _kept_columns() -> list[str]:
    return [
        *[f"calls_{c}" for c in CELLS],
        *[f"minutes_{c}" for c in CELLS],
        *[f"peers_{d}" for d in DISTANCES],
        *[f"roaming_{r}_share" for r in ROAMING],
        "calls", "minutes", "on_net_share", "night_share", "weekend_share", "vpn_share",
    ]  # fmt: skip


def _standing(province: Province) -> dict[str, Column]:
    """Whether the subscription is closed or suspended, and what part of the month it ran."""
    dice = province.dice
    suspended = (F.col("owes") == 1) & dice.happens(province.config.network.suspended_share, "suspended", "subscriber", "t")
    joined_part = (F.lit(31) - F.col("activation_day")) / 30.0
    closed = F.col("t") == F.coalesce("exit_t", F.lit(-1))
    return {
        "is_closed": closed,
        "is_suspended": suspended & ~closed,
        "part_of_month": F.when(F.col("t") == F.col("activation_t"), joined_part).otherwise(1.0),
        **handset_at(province, F.col("t")),
        **surge(province),
    }


def _activity(province: Province) -> dict[str, Column]:
    """What the month makes of the subscriber's ordinary use, as a factor; incoming use falls less than outgoing."""
    dice, behaviour = province.dice, province.config.behaviour
    spread = behaviour.loose_noise - (behaviour.loose_noise - behaviour.steady_noise) * F.col("chance_steadiness")
    swings = F.exp(
        trend(dice, F.col("t")) * behaviour.trend_spread + dice.bell("month", "subscriber", "t") * spread - spread * spread / 2
    )
    factor = swings * _fading(province) * _collapsing(province) * F.col("part_of_month") * F.when(F.col("is_suspended"), 0.2).otherwise(1.0)
    rival = F.greatest(F.col("second_sim"), F.lit(0.0)) * 0.12
    return {"activity": within(factor * (1 - rival), 0.0, 6.0)}


def _fading(province: Province) -> Column:
    """Many who leave use the phone less and less in the months before; others go from one day to the next."""
    dice = province.dice
    left = F.col("exit_t") - F.col("t")
    fades = dice.happens(province.config.behaviour.fading_share, "fades", "subscriber")
    strength = F.when(fades, 0.6 + 0.8 * dice.uniform("fading", "subscriber")).otherwise(0.0)
    lost = sum((F.when(left == k, share).otherwise(0.0) for k, share in FADING.items()), F.lit(0.0))
    last_days = F.when(left == 0, 0.2 + 0.6 * dice.uniform("last days", "subscriber")).otherwise(1.0)
    return F.when(F.col("exit_t").isNull(), 1.0).otherwise(within(1 - lost * strength, 0.05, 1.0) * last_days)


def _collapsing(province: Province) -> Column:
    """A collapse of use announces itself to some."""
    dice, depth = province.dice, province.config.behaviour.collapse_depth
    left = within(depth * F.exp(dice.bell("collapse depth", "subscriber") * 0.5), 0.03, 0.6)
    told = dice.happens(0.6, "collapse told", "subscriber")
    before = F.when(told & (F.col("collapse_in") == 1), 0.72).when(told & (F.col("collapse_in") == 2), 0.85).otherwise(1.0)
    return F.when(F.col("in_collapse"), left).otherwise(before)


def _calls(province: Province) -> dict[str, Column]:
    """Whole calls per cell; the fraction is rounded by chance, so rare kinds come and go as real calls do."""
    dice = province.dice
    found = {}
    for cell, (direction, _, season) in CELLS.items():
        activity = F.col("activity") if direction == "out" else F.pow("activity", F.lit(0.8))
        expected = F.col(f"type_{cell}") * F.col("level") * activity * F.col(season)
        calls = whole_near(expected, dice.uniform(f"calls {cell}", "subscriber", "t"))
        found[f"calls_{cell}"] = calls + surge_calls(province, cell) if province.cards and direction == "out" else calls
    return found


def _totals(province: Province) -> dict[str, Column]:
    return {
        "calls": sum((F.col(f"calls_{c}") for c in CELLS), F.lit(0)),
        **{f"at_{d}": calls_at(d) for d in DISTANCES},
        "mean_minutes": mean_minutes(province.dice),
        "reach": F.pow(F.greatest(F.col("level") * F.pow("activity", F.lit(_SHORT_OF_PEERS)), F.lit(0.05)), F.lit(0.25)),
    }


def _shape(province: Province) -> dict[str, Column]:
    dice = province.dice
    minutes = {f"minutes_{c}": _minutes(dice, c) for c in CELLS}
    on_net = dice.bell("on-net", "subscriber") * 0.07
    return {
        **minutes,
        "minutes": sum(minutes.values(), F.lit(0.0)),
        **{f"peers_{d}": _peers(dice, d) for d in DISTANCES},
        **{f"roaming_{r}_share": _roaming(dice, r) for r in ROAMING},
        "on_net_share": within(F.col("type_on_net_share") + on_net - F.col("second_sim") * 0.04, 0.1, 0.98),
        "night_share": _night(dice),
        "weekend_share": within(F.col("type_weekend_share") + dice.bell("weekend", "subscriber") * 0.05, 0.05, 0.7),
        "vpn_share": F.when(F.col("vpn") == 1, F.col("type_vpn_share")).otherwise(0.0),
        **_surged(province),
    }


def _surged(province: Province) -> dict[str, Column]:
    """Shares that a surge changes, in place of the ordinary ones."""
    if not province.cards:
        return {}
    away = surged_share(province, _roaming(province.dice, "inter_province"), "roaming_share")
    return {"roaming_inter_province_share": away, "night_share": surged_share(province, _night(province.dice), "night_share")}


def _night(dice: Dice) -> Column:
    return within(F.col("type_night_share") * F.exp(dice.bell("night", "subscriber") * 0.3), 0.0, 0.8)


def _minutes(dice: Dice, cell: str) -> Column:
    """Minutes of the cell's calls: their number times the mean length, with what is left of the noise of single calls."""
    calls = F.col(f"calls_{cell}")
    noise = 1 + dice.bell(f"minutes {cell}", "subscriber", "t") * CALL_NOISE / F.sqrt(F.greatest(calls, F.lit(1)))
    seconds = calls * within(noise, 0.15, 3.0) * F.col("mean_minutes") * 60
    return F.floor(seconds + 0.5) / 60.0


def mean_minutes(dice: Dice) -> Column:
    """How long the subscriber's calls are on average, in minutes."""
    return F.col("type_minutes_per_call") * F.exp(dice.bell("call length", "subscriber") * 0.2)


def _peers(dice: Dice, distance: str) -> Column:
    """Distinct peers over a distance: at least one, at most one a call."""
    calls = F.col(f"at_{distance}")
    wide = F.exp(dice.bell(f"peers {distance}", "subscriber") * 0.35 + dice.bell(f"peers now {distance}", "subscriber", "t") * 0.12)
    usual = calls / F.col("type_calls_per_peer") * wide / F.col("reach")
    drawn = whole_near(usual, dice.uniform(f"peers up {distance}", "subscriber", "t"))
    return F.when(calls > 0, F.greatest(F.least(drawn, calls), F.lit(1))).otherwise(0).cast("int")


def _roaming(dice: Dice, kind: str) -> Column:
    """Share of the month's calls made or taken while roaming; 0 in a month without a trip."""
    chance = F.col(f"type_trips_{kind}") * F.col("season_roaming")
    share = 0.1 + 0.35 * dice.uniform(f"roaming share {kind}", "subscriber", "t")
    return F.when(dice.happens(chance, f"trip {kind}", "subscriber", "t"), share).otherwise(0.0)


def _data(province: Province) -> dict[str, Column]:
    """Data volume of who uses data at all; 0 when silent. Who will fall silent uses less before."""
    dice, behaviour = province.dice, province.config.behaviour
    spread = behaviour.steady_data_noise + (behaviour.swinging_data_noise - behaviour.steady_data_noise) * F.col("chance_web_swing")
    usual = F.col("type_data_mb") * F.exp(F.col("data_level") * 0.6 - 0.2) * F.when(F.col("generation") == 0, 0.06).otherwise(1.0)
    month = trend(dice, F.col("t"), "data") * 0.3 + dice.bell("data month", "subscriber", "t") * spread - spread * spread / 2
    ending = F.when(F.col("web_silence_in") == 1, 0.55).when(F.col("web_silence_in") == 2, 0.75).otherwise(1.0)
    volume = usual * F.exp(month) * ending * F.col("season_data") * F.col("part_of_month") * _presence()
    return {"data_volume_mb": F.when(F.col("web_silent"), 0.0).otherwise(to_digits(volume, 2))}


def _data_days(dice: Dice) -> Column:
    """Days with data, 1 to 28; 0 without volume."""
    expected = 31 * (1 - F.exp(-F.pow(F.col("data_volume_mb") / 30, F.lit(0.6)) / 3)) * F.col("part_of_month")
    drawn = F.floor(expected + dice.bell("data days", "subscriber", "t") + 0.5)
    return F.when(F.col("data_volume_mb") > 0, within(drawn, 1, 28)).otherwise(0).cast("int")


def _presence() -> Column:
    """Who leaves or collapses takes the data along."""
    return F.pow(F.least(F.col("activity"), F.lit(1.0)), F.lit(0.5))
