"""Contacts of the campaigns: who was contacted, by lot, and what came of it.

A contact moves nobody: who ordered would have ordered without it, so the truth of responses (province/responses.py) holds with the contacts.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import MONEY
from crm_spark.province.bundles import OFFERS, Bundle, bundle_at
from crm_spark.province.campaigns import CHANNEL_COSTS, POLICIES, running
from crm_spark.province.numbers import customer_id, whose
from crm_spark.province.services import order_day
from crm_spark.province.spells import holds, spell_start
from crm_spark.province.world import Province

_KEY = ("subscriber", "t", "campaign_number")
_SENT = {"sent": 0.45, "reached": 0.5, "refused": 0.04, "accepted": 0.01}
_SPOKEN = {"reached": 0.55, "refused": 0.35, "accepted": 0.1}
_SPOKEN_ON = ("hall", "outbound")
_FROM_HOUR, _HOURS, _DAYS = 9, 11, 28
_CLERKS, _AGENTS = 6, 40  # of a hall; of the phone centre of a city


def contact_history(lives: DataFrame, province: Province) -> DataFrame:
    """One row per contact; pushed channels reach who has consented, and nobody is offered what is held already."""
    drawn = _contacted(lives, province).withColumns(_offered(province)).where(~_held(province))
    told = drawn.withColumns(_ordered(province)).withColumn("outcome", _outcome(province))
    return told.select(
        *whose(province), customer_id(province, F.col("person")).alias("cust_id"), _moment(province).alias("contacted_at"),
        "channel", "campaign", F.col("policy").alias("policy_code"), "outcome", _clerk(province).alias("clerk"), _cost().alias("cost"),
    )  # fmt: skip


def _contacted(lives: DataFrame, province: Province) -> DataFrame:
    """Who is drawn in a month of a campaign, of those who were there before the month and did not leave in it."""
    there = lives.where(~F.col("is_closed") & (F.col("t") > F.col("activation_t")))
    drawn = there.join(F.broadcast(running(lives, province)), on="month", how="inner").where(province.dice.happens(F.col("reach"), "contacted", *_KEY))
    channel = F.get("channels", province.dice.below(F.size("channels"), "contact channel", *_KEY))
    return drawn.withColumn("channel", channel).where(F.col("has_consented") | (F.col("channel") == "hall"))


def _offered(province: Province) -> dict[str, Column]:
    """The bundle that suits, or any policy of the campaign; null where it offers nothing."""
    suits = _next_bundle(province).policy
    any_one = F.get("policies", province.dice.below(F.size("policies"), "policy offered", *_KEY))
    return {"policy": F.when(F.array_contains("policies", suits), suits).otherwise(any_one)}


def _held(province: Province) -> Column:
    """True if the service that the policy is about was held before the month, or a bundle runs where one is offered."""
    in_bundle = F.col("policy").isin(*OFFERS) & bundle_at(province, F.col("t")).runs
    before = {s: holds(province, s, F.col("t") - 1) for s in _services().values() if s != "newspaper"} | {"newspaper": F.col("newspaper_before")}
    return F.coalesce(_by_policy({p: before[s] for p, s in _services().items()}), in_bundle, F.lit(False))


def _ordered(province: Province) -> dict[str, Column]:
    """Whether the contact ends in the order that the month brings (a bundle begins with the next), and the latest day for it to be made on."""
    starts = {s: spell_start(province, s) for s in _services().values() if s != "newspaper"}
    starts["newspaper"] = F.when(F.col("holds_newspaper"), F.col("newspaper_since"))
    begins = _by_policy({p: starts[s] == F.col("t") for p, s in _services().items()})
    service = _by_policy({p: F.lit(s) for p, s in _services().items()})
    bundle = _next_bundle(province)
    signs = bundle.runs & (bundle.start == F.col("t") + 1) & (bundle.policy == F.col("policy"))
    latest = F.when(service.isNotNull(), order_day(province, F.col("t"), service))
    return {"orders": F.coalesce(begins, signs, F.lit(False)), "latest_day": F.coalesce(latest, F.lit(_DAYS - 1))}


def _next_bundle(province: Province) -> Bundle:
    return bundle_at(province, F.col("t") + 1)


def _services() -> dict[str, str]:
    """Policy -> the service it is about."""
    return {code: p.service for code, p in POLICIES.items() if p.service}


def _by_policy(values: Mapping[str, Column]) -> Column:
    """The value of the row's policy; null of another."""
    chosen = F.lit(None)
    for code, value in values.items():
        chosen = F.when(F.col("policy") == code, value).otherwise(chosen)
    return chosen


def _outcome(province: Province) -> Column:
    """A greeting is sent or reaches; an offer may be refused, accepted, ordered."""
    dice, reached = province.dice, F.lit("reached")
    spoken = F.col("channel").isin(*_SPOKEN_ON)
    answer = F.when(spoken, dice.pick(_SPOKEN, "answer to offer", *_KEY)).otherwise(dice.pick(_SENT, "answer to message", *_KEY))
    greeting = F.when(spoken | dice.happens(0.5, "greeting read", *_KEY), reached).otherwise("sent")
    return F.when(F.col("policy").isNull(), greeting).when(F.col("orders"), "ordered").otherwise(answer)


def _moment(province: Province) -> Column:
    """A second of the hours in which one may be contacted, no later than the day of the order that follows."""
    day = province.dice.below(F.col("latest_day") + 1, "contact day", *_KEY)
    second = province.dice.below(_HOURS * 3600, "contact second", *_KEY)
    return F.date_add("first_day", day).cast("timestamp_ntz") + F.make_dt_interval(hours=F.lit(_FROM_HOUR), secs=second)


def _clerk(province: Province) -> Column:
    """Who made it: a clerk of the subscriber's hall, an agent on the telephone, else nobody."""
    dice = province.dice
    hall = F.concat("city", F.lit("_H"), F.lpad(F.col("hall").cast("string"), 2, "0"), F.lit("-C"), dice.below(_CLERKS, "clerk", *_KEY).cast("string"))
    agent = F.concat(F.substring("city", 1, 2), F.lit("-A"), F.lpad(dice.below(_AGENTS, "agent", *_KEY).cast("string"), 2, "0"))
    return F.when(F.col("channel") == "hall", hall).when(F.col("channel") == "outbound", agent)


def _cost() -> Column:
    costs = F.create_map(*[F.lit(x) for pair in CHANNEL_COSTS.items() for x in pair])
    return F.element_at(costs, F.col("channel")).cast(MONEY)
