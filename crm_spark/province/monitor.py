"""How services did day by day, from the orders and the use that are delivered."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.months import first_day, last_day
from crm_spark.province.numbers import day_text
from crm_spark.province.services import service_subscription, vas_usage
from crm_spark.province.world import Province, looked_up, small_frame, trouble_in

_KEY = ["month", "city", "service"]
_FAILURES, _MORE_IN_TROUBLE = 0.004, 8.0  # a use, in quiet months; how much more per unit of a city's trouble
_UNEVEN = 0.1  # how much days differ


def service_monitor(lives: DataFrame, province: Province) -> DataFrame:
    """One row per service and day: users who hold it that day, how many of them used it, failures; summed up over the cities.

    On the last day users are the orders that run at month end; over the month the active add up, about, to the days of use; never more of them than users,
    though some surf who have not ordered mobile internet.
    """
    dated = _users(lives, province).join(_used(lives, province), on=_KEY, how="left")
    key = (F.xxhash64("city", "service"), F.col("serial"))
    active = F.floor(F.coalesce("days_used", F.lit(0)) / F.col("days") * (1 + _UNEVEN * province.dice.bell("active users", *key)) + 0.5)
    rate = _FAILURES * (1 + _MORE_IN_TROUBLE * F.col("trouble"))
    counted = dated.withColumn("active", F.least(active, F.col("users")))
    failures = F.floor(F.col("active") * rate + province.dice.uniform("failures", *key))
    each = counted.select("month", "service", "date", "users", "active", failures.alias("failures"))
    summed = each.groupBy("month", "service", "date").agg(*[F.sum(c).alias(c) for c in ("users", "active", "failures")])
    return summed.select("month", F.col("service").alias("service_code"), day_text(F.col("date")).alias("day"), "users", "active", "failures")


def _users(lives: DataFrame, province: Province) -> DataFrame:
    """Users on each day: orders that began by then and have not ended, summed up from the days on which they change."""
    orders = service_subscription(lives, province).withColumnsRenamed({"region": "city", "service_code": "service"})
    begins = F.when(_month_of("order_date") == F.col("month"), _day_of("order_date")).otherwise(1)
    both = F.array(F.struct(begins.alias("day"), F.lit(1).alias("step")), F.struct((_day_of("cancel_date") + 1).alias("day"), F.lit(-1).alias("step")))
    steps = orders.select(*_KEY, F.inline(both)).where("day IS NOT NULL").groupBy(*_KEY, "day").agg(F.sum("step").alias("step"))
    services = steps.select(*_KEY).distinct()
    days = looked_up(services, _days(lives, province), "month", "city")
    counted = Window.partitionBy(*_KEY).orderBy("day").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return days.join(steps, on=[*_KEY, "day"], how="left").withColumn("users", F.sum(F.coalesce("step", F.lit(0))).over(counted))


def _used(lives: DataFrame, province: Province) -> DataFrame:
    """Days of use in the month, of all users together."""
    use = vas_usage(lives, province)
    return use.groupBy("month", F.col("region").alias("city"), F.col("service_code").alias("service")).agg(F.sum("days").alias("days_used"))


def _days(lives: DataFrame, province: Province) -> DataFrame:
    """One row per month, city and day."""
    rows = [
        (month, city, trouble_in(city, month, province.config.troubles), first_day(month), last_day(month).day)
        for month in province.config.months for city in province.config.cities
    ]  # fmt: skip
    months = small_frame(lives.sparkSession, rows, "month string, city string, trouble double, first_day date, days int")
    each = months.withColumn("day", F.explode(F.sequence(F.lit(1), F.col("days"))))
    date = F.date_add("first_day", F.col("day") - 1)
    return each.withColumns({"date": date, "serial": F.unix_date(date)})


def _month_of(column: str) -> Column:
    return F.concat_ws("-", F.substring(column, 1, 4), F.substring(column, 5, 2))


def _day_of(column: str) -> Column:
    return F.substring(column, 7, 2).cast("int")
