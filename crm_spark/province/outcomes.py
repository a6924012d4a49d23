"""What the operator finds out afterwards, where it is asked for: which numbers were used for fraud, who took a cheaper tariff; and the truth of it."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.province.cards import is_fraud, surge
from crm_spark.province.events import drawn, further_services
from crm_spark.province.numbers import subscriber_id, whose
from crm_spark.province.world import Province

PRICE_OFFER = "price_offer"


def outcome(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber, month and label, once it is known.

    `fraud`: the fraud desk's verdict on a month, a month later. `took_price_offer`: of who was offered a cheaper tariff in the month after,
    whether it was taken. The last month's are not known yet.
    """
    of_customers = lives.where(~F.col("is_closed")).withColumns(surge(province))
    judged = of_customers.where(F.col("t") < province.last).select(
        *whose(province), F.lit("fraud").alias("label"), is_fraud(province).cast("int").alias("value"), _month(1).alias("known_month"),
    )  # fmt: skip
    offered = of_customers.where(is_offered(province)).withColumns({"known_month": F.col("month"), "month": _month(-1)})
    answered = offered.select(
        *whose(province), F.lit("took_price_offer").alias("label"), drawn(province, PRICE_OFFER).cast("int").alias("value"), "known_month",
    )  # fmt: skip
    return judged.unionByName(answered)


def true_further(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and month: the kind of number, whether it is used for fraud; of the price offer and of each service `chance_`,
    `at_risk_` (offered, or not held before) and `drew_`."""
    at_risk = {PRICE_OFFER: is_offered(province), **{s: F.coalesce(F.col(f"from_{s}") >= F.col("t"), F.lit(True)) for s in further_services(province)}}
    return lives.withColumns(surge(province)).select(
        "month", subscriber_id(province, F.col("subscriber")).alias("subscriber_id"),
        "card", is_fraud(province).alias("is_fraud"), "is_closed",
        *[asked.alias(f"at_risk_{name}") for name, asked in at_risk.items()],
        *[f"chance_{name}" for name in at_risk], *[drawn(province, name).alias(f"drew_{name}") for name in at_risk],
    )  # fmt: skip


def is_offered(province: Province) -> Column:
    """True for who is offered a cheaper tariff in the month: a share of those who were there the month before, by lot."""
    was_there = (F.col("t") >= 1) & (F.col("t") > F.col("activation_t"))
    return was_there & province.dice.happens(province.config.further.price_offers.share, "price offered", "subscriber", "t")


def _month(after: int) -> Column:
    """The month so many months after the row's."""
    return F.date_format(F.add_months("first_day", after), "yyyy-MM")
