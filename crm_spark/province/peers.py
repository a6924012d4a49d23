"""Whom a subscriber calls: close ties inside the community, acquaintances outside it, and numbers that everybody calls.

Ties inside are symmetric: the n-th tie of a community is one mask for all of its numbers, and a number's partner is its own
position XOR the mask. Masks rise with n from the household (4 neighbours) outwards, so communities hold smaller ones.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.province.numbers import foreign_number, msisdn, outside_number
from crm_spark.province.traits import activation, community
from crm_spark.province.world import Province

INSIDE_SHARE, INSIDE_LIMIT = 0.6, 24  # of the local ties up to this rank
HUB_SHARE, HUBS = 0.04, 60  # numbers that everybody calls: hotlines, couriers, banks
HOME_PROVINCE = "Zhejiang"
MAIN_PROVINCE_SHARE = 0.72  # of the peers in other provinces, those in the main one


def rank(share: Column, distinct: Column, call: Column, skew: float) -> Column:
    """Which of `distinct` peers the n-th call (from 0) goes to: the first calls visit each peer once, the others favour low ranks."""
    return F.when(call < distinct, call).otherwise(F.floor(F.pow(share, F.lit(skew)) * distinct)).cast("long")


def partner(province: Province, subscriber: Column, tie: Column) -> Column:
    """The number of the community at a tie (rank from 0), as a subscriber; null when the tie leads outside."""
    other = _across(subscriber, tie)
    there = (other < province.numbers) & (activation(other, province) <= F.col("t"))
    return F.when(_leads_inside(province, subscriber, tie) & there, other)


def partner_met(province: Province) -> Column:
    """`partner` at the row's tie, of the ties inside that are met."""
    return F.when(_is_met(province), partner(province, F.col("subscriber"), F.col("tie")))


def is_on_net(province: Province, is_local: Column, *keys: Column | str) -> Column:
    """Ties inside that are met are on-net, of the others so many that all together come to the subscriber's share."""
    inside = is_local & _is_met(province) & _leads_inside(province, F.col("subscriber"), F.col("tie"))
    among_inside = is_local & (F.col("tie") < min(province.config.network.community - 1, INSIDE_LIMIT))
    left = (F.col("on_net_share") - INSIDE_SHARE) / (1 - INSIDE_SHARE)
    return inside | province.dice.happens(F.when(among_inside, left).otherwise(F.col("on_net_share")), "peer on net", *keys)


def _is_met(province: Province) -> Column:
    """Who has a lower on-net share than ties lead inside meets only so many of them."""
    return province.dice.happens(F.col("on_net_share") / INSIDE_SHARE, "tie met", "subscriber", "tie")


def _leads_inside(province: Province, subscriber: Column, tie: Column) -> Column:
    """True of a tie into the community, also where nobody has that number (any more, or yet)."""
    other = _across(subscriber, tie)
    pair = (F.least(subscriber, other), F.greatest(subscriber, other))
    near = (tie + 1 < province.config.network.community) & (tie < INSIDE_LIMIT)
    return near & province.dice.happens(INSIDE_SHARE, "tie", *pair)


def _across(subscriber: Column, tie: Column) -> Column:
    return subscriber.bitwiseXOR(tie + 1)


def peer_number(province: Province, distance: Column, tie: Column, inside: Column, on_net: Column) -> Column:
    """The peer's number; numbers outside the province's books stay the same from month to month."""
    dice = province.dice
    whose = dice.hash("peer", "subscriber", tie, F.xxhash64(distance))
    hub = dice.hash("hub", F.floor(F.pow(dice.uniform("which hub", "subscriber", tie), F.lit(3)) * HUBS))
    is_hub = (distance == "local") & dice.happens(HUB_SHARE, "is hub", "subscriber", tie)
    outside = outside_number(on_net, F.when(is_hub, hub).otherwise(whose))
    return F.when(inside.isNotNull(), msisdn(province, inside)).when(distance == "international", foreign_number(whose)).otherwise(outside)


def main_province(province: Province) -> Column:
    """The province in which most of a subscriber's peers of other provinces live."""
    return _by_circle(province, "main province", F.lit(0))


def peer_province(province: Province, distance: Column, tie: Column) -> Column:
    """Province of the peer's number; null abroad."""
    is_main = province.dice.happens(MAIN_PROVINCE_SHARE, "peer in main", "subscriber", tie)
    elsewhere = F.when(is_main, main_province(province)).otherwise(_by_circle(province, "peer province", tie))
    return F.when(distance == "inter_province", elsewhere).when(distance != "international", HOME_PROVINCE)


def _by_circle(province: Province, salt: str, tie: Column) -> Column:
    circles = province.config.peer_provinces
    drawn = F.lit(None).cast("string")
    for name, weights in circles.items():
        drawn = F.when(F.col("type_peers_abroad") == name, province.dice.pick(weights, salt, "subscriber", tie)).otherwise(drawn)
    return drawn


def community_of(province: Province) -> Column:
    """The subscriber's community, as the planted truth tells it."""
    return community(F.col("subscriber"), province)
