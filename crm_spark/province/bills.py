"""The bill: minutes times prices, data, services and rental; what was given back; what was paid."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import MONEY
from crm_spark.province.bundles import bundle_at, offer
from crm_spark.province.chance import Dice, whole_near
from crm_spark.province.numbers import whose
from crm_spark.province.services import held_fees
from crm_spark.province.world import Province

INTERNATIONAL_PRICE = 1.5  # yuan a minute
PRICES = {"out_local_long_distance": 0.8, "out_intra_province": 0.9, "out_inter_province": 1.0}  # of the subscriber's own price
ROAMING_PRICES = {"intra_province": 0.15, "inter_province": 0.35, "international": 1.8}
_MOST_GIVEN = 0.4  # of the revenue
_RECHARGES = (10, 20, 30, 50, 100)
_ITEMS = ("local_fee", "ld_fee", "roaming_fee", "data_fee", "vas_fee", "rental")


def billing(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and month."""
    items = lives.withColumns({name: column.cast(MONEY) for name, column in _items(province).items()})
    total = sum((F.col(c) for c in _ITEMS), F.lit(0).cast(MONEY)).cast(MONEY)
    discounted = items.withColumn("discount", (total * _discount(province.dice)).cast(MONEY))
    billed = discounted.withColumn("total", (total - F.col("discount")).cast(MONEY))
    paid = billed.withColumns(_given(province)).withColumns(_payments(province.dice))
    return paid.select(
        *whose(province), "total", *_ITEMS, "discount",
        *[F.col(c).cast(MONEY) for c in ("subsidy", "gift", "cost", "paid", "owed")], "payments", _points().alias("points"),
    )  # fmt: skip


def long_distance_fee() -> Column:
    """Charge of the month's outgoing long distance, in yuan."""
    own = sum((F.col(f"minutes_{cell}") * factor for cell, factor in PRICES.items()), F.lit(0.0))
    return own * F.col("long_distance_price_yuan") + F.col("minutes_out_international") * INTERNATIONAL_PRICE


def _items(province: Province) -> dict[str, Column]:
    roaming = sum((F.col(f"roaming_{kind}_share") * price for kind, price in ROAMING_PRICES.items()), F.lit(0.0))
    has_package = F.col("holds_mobile_internet")
    running = F.when(F.col("is_suspended"), 0.3).otherwise(1.0) * F.col("part_of_month")
    return {
        "local_fee": F.col("minutes_out_local") * F.col("local_price_yuan"),
        "ld_fee": long_distance_fee(),
        "roaming_fee": F.col("minutes") * roaming,
        "data_fee": F.pow("data_volume_mb", F.lit(0.48)) * F.when(has_package, 0.9).otherwise(0.5),
        "vas_fee": held_fees() * running,
        "rental": F.col("rental_yuan") * running,
    }


def _discount(dice: Dice) -> Column:
    return F.when(dice.happens(0.3, "discount", "subscriber"), dice.uniform("discount share", "subscriber", "t") * 0.08).otherwise(0.0)


def _given(province: Province) -> dict[str, Column]:
    """Gifted credit and subsidies of the running bundle, at most a part of the revenue; small gifts to some without a bundle."""
    dice, bundle = province.dice, bundle_at(province, F.col("t"))
    most = F.col("total").cast("double") * _MOST_GIVEN
    monthly = offer(bundle.policy, "gifted_yuan") / bundle.term
    small = F.when(dice.happens(0.3, "gifts", "subscriber"), F.col("total").cast("double") * dice.uniform("gift", "subscriber", "t") * 0.25)
    return {
        "gift": F.least(F.when(bundle.runs, monthly).otherwise(F.coalesce(small, F.lit(0.0))), most * 0.6),
        "subsidy": F.least(F.when(bundle.runs, offer(bundle.policy, "monthly_subsidy_yuan")).otherwise(0.0), most * 0.4),
        "cost": F.col("total").cast("double") * 0.1 + 4 + F.col("complaints_now") * 6,
    }


def _points() -> Column:
    """Loyalty points grow with what is spent and, for two years, with tenure."""
    return F.floor(F.col("total").cast("double") * F.least(F.col("t") - F.col("activation_t") + 1, F.lit(24)) * 0.5)


def _payments(dice: Dice) -> dict[str, Column]:
    """Postpaid pay the bill, prepaid recharge in round amounts; who is in arrears pays nothing and owes part of the bill."""
    total, owes = F.col("total").cast("double"), F.col("owes") == 1
    amount = F.element_at(F.array(*map(F.lit, _RECHARGES)), dice.below(len(_RECHARGES), "recharge", "subscriber") + 1)
    recharges = whole_near(total / amount, dice.uniform("recharges", "subscriber", "t"))
    payments = F.when(owes, 0).when(F.col("is_postpaid"), 1).otherwise(recharges)
    return {
        "payments": payments,
        "paid": F.when(owes, 0.0).when(F.col("is_postpaid"), total).otherwise((recharges * amount).cast("double")),
        "owed": F.when(owes, total * (0.4 + dice.uniform("owed", "subscriber", "t"))).otherwise(0.0),
    }
