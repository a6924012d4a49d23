"""Class 0/1 bundles: who takes them signs one after the other, with a gap between them."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.province.chance import log_odds, logistic
from crm_spark.province.world import Province

TERMS = (12, 12, 12, 18, 24)
_LONGEST_GAP = 14
_LONG_AGO = 600  # months: keeps positions in the cycle positive


@dataclass(frozen=True)
class Offer:
    """What a bundle of a policy is."""

    bundle_class: int
    prepaid_yuan: int
    gifted_yuan: int
    monthly_subsidy_yuan: float = 0.0


OFFERS = {
    "PREPAY_100_GET_260": Offer(0, 100, 160),
    "PREPAY_300_GET_360": Offer(0, 300, 60),
    "PREPAY_500_GET_700": Offer(0, 500, 200),
    "GIFT_PHONE_24M": Offer(1, 0, 0, 18.0),
    "FAMILY_NET": Offer(1, 0, 0, 1.5),
    "VPN_GROUP": Offer(1, 0, 0, 2.0),
}


@dataclass(frozen=True)
class Bundle:
    """A subscriber's bundle at the end of a month; positions are months of the province."""

    runs: Column
    just_ended: Column  # within the three months before
    start: Column
    term: Column
    months_left: Column
    policy: Column


def bundle_at(province: Province, when: Column) -> Bundle:
    """The bundle at the end of the month `when`, or the one that ran before it."""
    dice, policy = province.dice, _policy(province)
    drawn = F.element_at(F.array(*map(F.lit, TERMS)), dice.below(len(TERMS), "bundle term", "subscriber") + 1)
    term = F.when(policy == "GIFT_PHONE_24M", 24).otherwise(drawn)
    cycle = term + dice.below(_LONGEST_GAP, "bundle gap", "subscriber") + 1
    phase = dice.below(cycle, "bundle phase", "subscriber")
    position = (when + phase + _LONG_AGO) % cycle
    start = when - position
    takes = _takes_bundles(province) & (start >= F.col("activation_t"))
    return Bundle(
        runs=takes & (position < term),
        just_ended=takes & (position >= term) & (position < term + 3),
        start=start,
        term=term,
        months_left=term - 1 - position,
        policy=policy,
    )


def offer(policy: Column, name: str) -> Column:
    """A number of the policy's offer, by field name; null for no policy."""
    known = F.create_map(*[F.lit(x) for p, o in OFFERS.items() for x in (p, float(getattr(o, name)))])
    return F.element_at(known, policy)


def _takes_bundles(province: Province) -> Column:
    odds = log_odds(province.config.behaviour.bundle_share) + F.col("loyalty") * 0.5 + (F.col("is_postpaid").cast("int") - 0.4) * 0.5
    return province.dice.happens(logistic(odds), "takes bundles", "subscriber")


def _policy(province: Province) -> Column:
    """Which offer: family circle and VPN first, then a handset, else prepayment by what is spent."""
    share = province.dice.uniform("policy", "subscriber")
    prepay = (
        F.when(F.col("rental_yuan") >= 58, F.lit("PREPAY_500_GET_700"))
        .when(F.col("rental_yuan") >= 28, F.lit("PREPAY_300_GET_360"))
        .otherwise(F.lit("PREPAY_100_GET_260"))
    )
    return (
        F.when((F.col("family") == 1) & (share < 0.35), F.lit("FAMILY_NET"))
        .when((F.col("vpn") == 1) & (share < 0.55), F.lit("VPN_GROUP"))
        .when(share > 0.8, F.lit("GIFT_PHONE_24M"))
        .otherwise(prepay)
    )
