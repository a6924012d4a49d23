"""What moves a subscriber in a month: moods, complaints, arrears, bundles, handset, services held.

One row per subscriber and month lived. Each value is a function of (subscriber, month) alone; what happens because of
them (leaving, collapses, orders) stands in `events`.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.province.bundles import bundle_at
from crm_spark.province.chance import Dice, logistic, slot, within
from crm_spark.province.spells import holds
from crm_spark.province.world import AHEAD, REMEMBERED, WARM_UP, Province, calendar, looked_up

MOOD_MONTHS, CASH_MONTHS, TREND_MONTHS = 7.0, 4.0, 6.0  # how slowly they wander
OLD_HANDSET_MONTHS = 24
GENERATIONS = ("2g", "3g", "4g", "5g")
_MOST_COMPLAINTS = 6
_SERVICES = {"mailbox": "mailbox_139", "secretary": "chinese_secretary", "music_club": "wireless_music"}


def drivers(people: DataFrame, province: Province) -> DataFrame:
    """Every driver of `config.province.DRIVERS` per subscriber and month lived, seen at the end of the month before."""
    return driven(_months_lived(people, province), province)


def driven(lived: DataFrame, province: Province) -> DataFrame:
    """`lived` (traits and calendar of a subscriber's month `t`) with every driver."""
    felt = lived.withColumns(_moods(province)).withColumns(_troubles(province))
    return felt.withColumns({**_memory(), **_tenure(), **_drifts(province), **_belongings(province), **_traits()})


def calendar_at(people: DataFrame, province: Province) -> DataFrame:
    """`people` (traits and `t`) with the calendar of the month in their city."""
    return looked_up(people, calendar(people.sparkSession, province), "t", "city_index")


def handset_at(province: Province, when: Column) -> dict[str, Column]:
    """The handset in use: months of age and generation (0 is 2G); people replace it every 18 to 54 months."""
    dice = province.dice
    every = dice.below(37, "handset life", "subscriber") + 18
    since = when + dice.below(54, "handset phase", "subscriber") + 240
    number = F.floor(since / every)
    chance = dice.bell("handset", "subscriber", number) * 0.7
    liking = F.col("income") * 0.35 + F.col("web_taste") * 0.25 - (F.col("age") - 38) / 30 + chance
    return {
        "handset_months": (since % every).cast("int"),
        "generation": slot(0.5 + liking / 5, (0.3, 0.12, 0.3, 0.28)),
    }


def trend(dice: Dice, when: Column, of: str = "talk") -> Column:
    """The slow drift of a subscriber's use."""
    return dice.drift(f"{of} trend", TREND_MONTHS, "subscriber", when)


def _months_lived(people: DataFrame, province: Province) -> DataFrame:
    """From activation, or the warm-up, to some months after the last."""
    first = F.greatest(F.col("activation_t"), F.lit(-WARM_UP).cast("long"))
    lived = people.withColumn("t", F.explode(F.sequence(first, F.lit(province.last + AHEAD).cast("long"))))
    return calendar_at(lived, province)


def _moods(province: Province) -> dict[str, Column]:
    """Mood of the month and of those before it, high is bad. Nobody sees it: it shows in complaints, log-ins, late payment, leaving."""
    wandering = {k: province.dice.drift("mood", MOOD_MONTHS, "subscriber", F.col("t") - k) for k in range(REMEMBERED + 1)}
    moods = {f"mood_{k}": within(mood + F.col(f"trouble_{k}") * 0.6, -3.0, 3.0) for k, mood in wandering.items()}
    return {**moods, **handset_at(province, F.col("t"))}


def _troubles(province: Province) -> dict[str, Column]:
    return {
        **{f"complaints_{k}": _complaints(province, k) for k in range(REMEMBERED + 1)},
        **{f"owes_{k}": _owes(province, k) for k in (0, 1)},
    }


def _complaints(province: Province, before: int) -> Column:
    """Complaints in a month: a geometric number, the more the worse the mood."""
    rate = F.exp(F.col(f"mood_{before}") * 0.9 + F.col(f"trouble_{before}") * 0.8) * province.config.behaviour.complaint_rate
    drawn = F.ln(province.dice.uniform("complaints", "subscriber", F.col("t") - before)) / F.ln(rate / (1 + rate))
    return F.least(F.floor(drawn), F.lit(_MOST_COMPLAINTS)).cast("int")


def _owes(province: Province, before: int) -> Column:
    """1 if the subscriber is in arrears at the end of the month: money comes and goes, and the angry pay late."""
    when = F.col("t") - before
    cash = province.dice.drift("cash", CASH_MONTHS, "subscriber", when) - F.col("income") * 0.5
    odds = province.config.behaviour.arrears + cash * 1.1 + F.col(f"mood_{before}") * 0.4
    return province.dice.happens(logistic(odds), "arrears", "subscriber", when).cast("int")


def _memory() -> dict[str, Column]:
    """What the months before left: complaints of three, arrears of one. Before the activation there is nothing to remember."""
    lived = F.col("t") - F.col("activation_t")
    counted = [F.when(lived >= k, F.col(f"complaints_{k}")).otherwise(0) for k in range(1, REMEMBERED + 1)]
    return {
        "complaints": F.least(sum(counted[1:], counted[0]), F.lit(3)),
        "arrears": F.when(lived >= 1, F.col("owes_1")).otherwise(0),
        "mood": F.col("mood_1"),
        "trouble": F.col("trouble_0"),
        "complaints_now": F.col("complaints_0"),
        "owes": F.col("owes_0"),
        "mood_now": F.col("mood_0"),
    }


def _tenure() -> dict[str, Column]:
    months = F.col("t") - F.col("activation_t")
    bands = {"newcomer": (0, 4), "first_year": (5, 12), "second_year": (13, 24), "settled": (25, 10_000)}
    return {"tenure": months, **{name: months.between(low, high).cast("int") for name, (low, high) in bands.items()}}


def _drifts(province: Province) -> dict[str, Column]:
    """How far use has fallen in the three months before."""
    dice, t = province.dice, F.col("t")
    return {
        "fall": trend(dice, t - 4) - trend(dice, t - 1),
        "data_fall": trend(dice, t - 4, "data") - trend(dice, t - 1, "data"),
    }


def _belongings(province: Province) -> dict[str, Column]:
    before = F.col("t") - 1
    bundle = bundle_at(province, before)
    services = {driver: holds(province, service, before).cast("int") for driver, service in _SERVICES.items()}
    young = holds(province, "ring_back_tone", before) & ~holds(province, "ring_back_tone", before - 6)
    return {
        "in_bundle": bundle.runs.cast("int"),
        "bundle_ending": (bundle.runs & (bundle.months_left <= 1)).cast("int"),
        "bundle_ended": bundle.just_ended.cast("int"),
        "old_handset": (F.col("handset_months") > OLD_HANDSET_MONTHS).cast("int"),
        "feature_phone": (F.col("generation") == 0).cast("int"),
        "festival": (F.col("season_long_distance") > 1.2).cast("int"),
        "tone_young": young.cast("int"),
        **services,
    }


def _traits() -> dict[str, Column]:
    """Traits in the scale of drivers: about -2 to 2, or 0 and 1."""
    return {
        "young": within((F.lit(36) - F.col("age")) / 10, -2.0, 2.0),
        "middle_age": F.col("age").between(28, 50).cast("int"),
        "educated": (F.col("education_index") >= 3).cast("int"),
        "postpaid": F.col("is_postpaid").cast("int"),
        "agent_joined": (F.col("joined_by") == "agent").cast("int"),
        "student": (F.col("archetype") == "student").cast("int"),
        "migrant": (F.col("type_peers_abroad") == "migrant").cast("int"),
        "traveller": (F.col("type_trips_inter_province") > 0.3).cast("int"),
        "night_life": (F.col("type_night_share") > 0.25).cast("int"),
        "price_level": (F.ln("long_distance_price_yuan") - F.ln(F.lit(0.2))) / 0.3,
    }
