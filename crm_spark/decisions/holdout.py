"""Control groups and exploration by keyed hash: who is never contacted, who is left out of a campaign, who gets an offer at random."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.config.choosing import Campaign, Holdout

STAGE = "holdout"
TARGET, HELD_OUT, EXPLORE = "target", "holdout", "explore"
UNIVERSAL = "universal"
_HEX, _BITS = 13, 52


def uniform(salt: str, *parts: str | Column) -> Column:
    """A number in [0, 1) that only the salt and the parts decide: 52 bits of their SHA-256."""
    text = F.concat_ws("|", F.lit(salt), *(part if isinstance(part, Column) else F.lit(part) for part in parts))
    return F.conv(F.substring(F.sha2(text, 256), 1, _HEX), 16, 10).cast("double") / F.lit(2.0**_BITS)


def is_universal(person: Column, day: date, holdout: Holdout) -> Column:
    """True for the persons who are not contacted in the calendar year of `day`, whatever else changes."""
    return uniform(holdout.salt, UNIVERSAL, str(day.year), person) < holdout.universal_share


def explores(person: Column, month: str, holdout: Holdout) -> Column:
    """True for the persons who get one of their offers at random this month."""
    return uniform(holdout.salt, EXPLORE, month, person) < holdout.explore_share


def control_groups(candidates: DataFrame, campaigns: Mapping[str, Campaign], holdout: Holdout) -> DataFrame:
    """One row per person with `controls`: the campaigns from which it is left out.

    `candidates` have person_id, stratum and policy_id, a row per policy that could be offered. Of each campaign the same share of every
    stratum is left out, to one person: those of the lowest hash. A person with several numbers belongs to the lowest of their strata.
    """
    shares = {name: campaign for name, campaign in campaigns.items() if campaign.control_share > 0}
    names = [F.when(F.col("policy_id").isin(*c.policies), F.lit(name)) for name, c in shares.items()]
    eligible = candidates.select("person_id", "stratum", F.explode(F.array_compact(F.array(*names).cast("array<string>"))).alias("campaign"))
    persons = eligible.groupBy("campaign", "person_id").agg(F.min("stratum").alias("stratum"))
    drawn = persons.withColumn("drawn", uniform(holdout.salt, "control", F.col("campaign"), F.col("person_id")))
    whole = Window.partitionBy("campaign", "stratum")
    place = F.row_number().over(whole.orderBy("drawn", "person_id"))
    share = F.coalesce(*[F.when(F.col("campaign") == name, F.lit(c.control_share)) for name, c in shares.items()], F.lit(0.0))
    ranked = drawn.withColumns({"place": place, "wanted": F.round(F.count("*").over(whole) * share)})
    return ranked.where(F.col("place") <= F.col("wanted")).groupBy("person_id").agg(F.sort_array(F.collect_set("campaign")).alias("controls"))
