"""Value-added services: orders known at month end, and use."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import MONEY
from crm_spark.province.chance import Dice, to_digits
from crm_spark.province.events import further_services
from crm_spark.province.numbers import day_text, whose
from crm_spark.province.spells import HABITS, holds, spell_end, spell_start
from crm_spark.province.world import Province

NEWSPAPER_FEE, TONE_PRICE = 3.0, 2.0  # yuan
TONE, WEB = "ring_back_tone", "mobile_internet"
CHANNELS = {"hall": 0.3, "sms": 0.3, "hotline": 0.15, "app": 0.25}
_PLAIN = tuple(s for s in HABITS if s not in (TONE, WEB))


def with_services(lives: DataFrame, province: Province) -> DataFrame:
    """`lives` with what is held at month end (`holds_<service>`) and the tones bought and played in the month."""
    held = {f"holds_{s}": holds(province, s, F.col("t")) & ~F.col("is_closed") for s in HABITS}
    held |= {f"holds_{s}": F.coalesce(F.col(f"from_{s}") <= F.col("t"), F.lit(False)) & ~F.col("is_closed") for s in further_services(province)}
    held["holds_newspaper"] = F.col("holds_newspaper") & ~F.col("is_closed")
    return lives.withColumns(held).withColumns(_tones(province.dice))


def held_fees() -> Column:
    """Monthly fees of the services held, and the tones bought, in yuan; data is billed by volume."""
    monthly = sum((F.when(F.col(f"holds_{s}"), HABITS[s].fee_yuan).otherwise(0.0) for s in (TONE, *_PLAIN)), F.lit(0.0))
    return monthly + F.when(F.col("holds_newspaper"), NEWSPAPER_FEE).otherwise(0.0) + F.col("tones_bought") * TONE_PRICE


def service_subscription(lives: DataFrame, province: Province) -> DataFrame:
    """One row per order that runs at month end or ended in the month."""
    orders = [_order(province, s) for s in HABITS] + [_newspaper_order(), *map(_further_order, further_services(province))]
    rows = _exploded(lives, orders).where(F.col("row.start").isNotNull())
    placed = order_day(province, F.col("row.start"), F.col("row.service"))
    cancel_day = province.dice.below(27, "cancel day", "subscriber", F.col("row.start"), F.xxhash64("row.service"))
    return rows.select(
        *whose(province), F.col("row.service").alias("service_code"),
        day_text(_not_before_activation(_day_of(F.col("row.start"), placed))).alias("order_date"),
        day_text(F.when(F.col("row.ended"), F.date_add("first_day", cancel_day))).alias("cancel_date"),
        province.dice.pick(CHANNELS, "order channel", "subscriber", F.xxhash64("row.service")).alias("order_channel"),
    )  # fmt: skip


def order_day(province: Province, start: Column, service: Column) -> Column:
    """Days after the first of the month `start` on which the service is ordered, 0 to 26."""
    return province.dice.below(27, "order day", "subscriber", start, F.xxhash64(service))


def vas_usage(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber, service and month with use."""
    dice = province.dice
    uses = [_tone_use(), _web_use(dice), _newspaper_use(dice), *(_plain_use(dice, s) for s in (*_PLAIN, *further_services(province)))]
    rows = _exploded(lives, uses).where(F.col("row.days") > 0)
    return rows.select(
        *whose(province), F.col("row.service").alias("service_code"),
        F.col("row.uses").alias("use_count"), F.col("row.mb").alias("volume_mb"), F.col("row.days").alias("days"),
        F.col("row.fee").cast(MONEY).alias("fee"),
    )  # fmt: skip


def _exploded(lives: DataFrame, structs: list[Column]) -> DataFrame:
    return lives.withColumn("row", F.explode(F.array(*structs)))


def _tones(dice: Dice) -> dict[str, Column]:
    awake = F.col("tone_awake") & F.col(f"holds_{TONE}")
    bought = F.when(dice.happens(0.25, "second tone", "subscriber", "t"), 2).otherwise(1)
    days = F.least(F.floor(18.5 + 7 * dice.bell("tone days", "subscriber", "t")), F.lit(28)).cast("int")
    return {
        "tones_bought": F.when(awake & F.col("buys_tone"), bought).otherwise(0),
        "tone_days": F.when(awake, F.greatest(days, F.lit(1))).otherwise(0),
    }


def _order(province: Province, service: str) -> Column:
    """Start and end of an order that concerns the month, else nulls; one that ends is gone at the end of its last month."""
    start, end, t = spell_start(province, service), spell_end(province, service), F.col("t")
    ended = F.coalesce((end == t) | F.col("is_closed"), F.lit(False))
    concerns = (start < t) & (end >= t) | (start == t) & ~F.col("is_closed")
    return F.struct(F.lit(service).alias("service"), F.when(concerns, start).alias("start"), ended.alias("ended"))


def _newspaper_order() -> Column:
    dropped = F.col("newspaper_dropped")
    since = F.when(F.col("holds_newspaper") | dropped, F.col("newspaper_since"))
    return F.struct(F.lit("newspaper").alias("service"), since.alias("start"), dropped.alias("ended"))


def _further_order(service: str) -> Column:
    """Runs till the number is given up; the service is free, so no bill changes by it."""
    start = F.when(F.col(f"from_{service}") <= F.col("t"), F.greatest(F.col(f"from_{service}"), F.col("activation_t")))
    return F.struct(F.lit(service).alias("service"), start.alias("start"), F.col("is_closed").alias("ended"))


def _day_of(position: Column, day: Column) -> Column:
    """A day in the month at a position of the province."""
    months = (position - F.col("t")).cast("int")
    return F.date_add(F.add_months("first_day", months), day)


def _not_before_activation(day: Column) -> Column:
    activated = F.date_add(F.add_months("first_day", (F.col("activation_t") - F.col("t")).cast("int")), F.col("activation_day") - 1)
    return F.greatest(day, activated)


def _use(service: str, uses: Column, mb: Column, days: Column, fee: Column) -> Column:
    parts = {"uses": uses.cast("long"), "mb": mb.cast("double"), "days": days.cast("int"), "fee": fee.cast("double")}
    return F.struct(F.lit(service).alias("service"), *[column.alias(name) for name, column in parts.items()])


def _tone_use() -> Column:
    return _use(TONE, F.col("tones_bought"), F.lit(0.0), F.col("tone_days"), F.col("tones_bought") * TONE_PRICE)


def _web_use(dice: Dice) -> Column:
    sessions = F.greatest(F.floor(F.col("data_days") * (2 + 4 * dice.uniform("sessions", "subscriber"))), F.lit(1))
    return _use(WEB, sessions, F.col("data_volume_mb"), F.col("data_days"), F.lit(0.0))


def _newspaper_use(dice: Dice) -> Column:
    days = F.when(F.col("holds_newspaper"), 6 + dice.below(22, "newspaper days", "subscriber", "t")).otherwise(0)
    return _use("newspaper", days, F.lit(0.0), days, F.lit(0.0))


def _plain_use(dice: Dice, service: str) -> Column:
    """A held service is used in most months, and left alone in some."""
    used = F.col(f"holds_{service}") & dice.happens(0.75, f"{service} used", "subscriber", "t")
    days = F.when(used, 1 + dice.below(20, f"{service} days", "subscriber", "t")).otherwise(0)
    return _use(service, days * (1 + dice.below(3, f"{service} uses", "subscriber")), to_digits(days * 0.4, 2), days, F.lit(0.0))
