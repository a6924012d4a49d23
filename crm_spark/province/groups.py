"""Corporate groups: who shares a virtual network in a community belongs to one, and account managers look after groups and key accounts."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import MONEY
from crm_spark.province.numbers import whose
from crm_spark.province.traits import community
from crm_spark.province.world import Province, cities, small_frame

INDUSTRIES = {"manufacturing": 0.34, "trade": 0.22, "construction": 0.12, "government": 0.08, "education": 0.08, "finance": 0.06, "IT": 0.1}
_ROLES = {"decision_maker": 0.05, "contact_person": 0.1, "member": 0.85}
_SKILLS = {"enterprise": 0.3, "public_sector": 0.2, "retail": 0.5}
_TIERS = {128: "gold", 88: "silver"}  # yuan of rental from which an account is a key account
_NUMBERS_PER_MANAGER = 2_000


def group_member(lives: DataFrame, province: Province) -> DataFrame:
    """One row per member of a group and month."""
    role = province.dice.pick(_ROLES, "role in group", "subscriber")
    return _members(lives, province).select(*whose(province), _group_id(), role.alias("member_role"))


def group_info(lives: DataFrame, province: Province) -> DataFrame:
    """One row per group and month: industry, members, contract revenue of the month, cost, credit, manager."""
    dice = province.dice
    groups = _members(lives, province).groupBy("month", "group", "city").agg(F.count(F.lit(1)).alias("size"), F.sum("rental_yuan").alias("rentals"))
    revenue = F.col("rentals") * (0.7 + 0.6 * dice.uniform("group revenue", "group"))
    return groups.select(
        "month", _group_id(), F.col("city").alias("region"),
        dice.pick(INDUSTRIES, "industry", "group").alias("industry"), "size",
        revenue.cast(MONEY).alias("contract_revenue"), (revenue * 0.3).cast(MONEY).alias("cost"),
        (1 + dice.below(5, "credit", "group")).alias("credit"), _manager_id(province, "group").alias("manager"),
    )  # fmt: skip


def key_account(lives: DataFrame, province: Province) -> DataFrame:
    """One row per key account and month: tier and manager."""
    tier = F.when(F.col("rental_yuan") >= max(_TIERS), _TIERS[max(_TIERS)]).when(F.col("rental_yuan") >= min(_TIERS), _TIERS[min(_TIERS)])
    known = lives.where(~F.col("is_closed")).withColumn("tier", tier).where(F.col("tier").isNotNull())
    return known.select(*whose(province), "tier", _manager_id(province, "subscriber").alias("manager"))


def account_manager(lives: DataFrame, province: Province) -> DataFrame:
    """One row per account manager and month."""
    spark, dice = lives.sparkSession, province.dice
    months = small_frame(spark, [(m,) for m in province.config.months], "month string")
    numbered = cities(spark, province).withColumn("number", F.explode(F.sequence(F.lit(0), F.lit(_managers(province) - 1))))
    key = (F.col("city_index"), F.col("number"))
    return numbered.join(F.broadcast(months), how="cross").select(
        "month", _manager(F.col("number")).alias("manager"), F.col("city").alias("region"),
        dice.pick(_SKILLS, "skill", *key).alias("skill"), (1 + dice.below(5, "manager grade", *key)).alias("grade"),
        (20 + 5 * dice.below(9, "portfolio", *key)).alias("portfolio_limit"), dice.below(40, "visits", *key).alias("visits"),
    )  # fmt: skip


def _members(lives: DataFrame, province: Province) -> DataFrame:
    return lives.where((F.col("vpn") == 1) & ~F.col("is_closed")).withColumn("group", community(F.col("subscriber"), province))


def _group_id() -> Column:
    return F.concat(F.lit("G"), F.lpad(F.col("group").cast("string"), 8, "0")).alias("group_id")


def _managers(province: Province) -> int:
    """Account managers of each city."""
    return 2 + province.numbers // _NUMBERS_PER_MANAGER


def _manager_id(province: Province, who: str) -> Column:
    return _manager(province.dice.below(_managers(province), "manager", who))


def _manager(number: Column) -> Column:
    return F.concat(F.substring("city", 1, 2), F.lit("-M"), F.lpad(number.cast("string"), 4, "0"))
