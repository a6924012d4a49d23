"""What a candidate matrix set would change against a published month: small tables, whatever the number of customers.

Money is that of the one offer chosen for each customer, as choosing reckons it: the net value, and what contact and subsidy are expected to
cost. Each side is reckoned by its own choosing.yml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.report.facts import Row, rows_of
from crm_spark.tables.common import KEY

SIDES = ("before", "after")
NO_RULE = "no rule proposes anything"
NO_OFFER = "no offer"
MOST_FLOWS, MOST_GROUPS, MOST_REASONS = 30, 40, 40


@dataclass(frozen=True)
class Side:
    """One of the two decisions, by contract: recommendations, exclusions of all stages, choices."""

    recommended: DataFrame
    excluded: DataFrame
    chosen: DataFrame


def compared(before: Side, after: Side, index: DataFrame) -> DataFrame:
    """One row per customer of either side: segment, grade, and of each side its offers, the one that is chosen with its money, and why there is none."""
    group = F.try_element_at("groups", F.lit("customer_group")).alias("segment")
    known = index.select(*KEY, "value_grade", group)
    joined = _side("before", before).join(_side("after", after), on=list(KEY), how="full").join(known, on=list(KEY), how="left")
    named = [F.coalesce(name, F.lit("none")).alias(name) for name in ("value_grade", "segment")]
    return joined.select(*KEY, *named, *(column for side in SIDES for column in _side_columns(side)))


def totals(customers: DataFrame) -> Row:
    """One row over all."""
    return rows_of(customers.agg(*_measures()))[0]


def by(customers: DataFrame, group: str) -> list[Row]:
    """One row per city, segment or value_grade, largest first."""
    counted = customers.groupBy(group).agg(*_measures())
    return rows_of(counted.orderBy(F.desc("customers"), group).limit(MOST_GROUPS))


def reach(customers: DataFrame, names: Mapping[str, str]) -> list[Row]:
    """One row per goal and policy: customers it is chosen for before and after, largest change first; and customers who may have it."""
    sides = [_offers_of(customers, side) for side in SIDES]
    chosen = [F.count_if((F.col("side") == side) & F.col("is_chosen")).alias(side) for side in SIDES]
    offered = [F.count_if(F.col("side") == side).alias(f"offered_{side}") for side in SIDES]
    counted = reduce(DataFrame.unionByName, sides).groupBy("goal", "policy").agg(*chosen, *offered).withColumn("change", F.expr("after - before"))
    order = ("goal", F.desc(F.abs("change")), F.desc(F.abs(F.expr("offered_after - offered_before"))), F.desc("before"), "policy")
    return [{**row, "name": names.get(str(row["policy"]), "")} for row in rows_of(counted.orderBy(*order))]


def flows(customers: DataFrame) -> list[Row]:
    """Customers for whom another offer is chosen: from which to which, most first."""
    ends = {"from": F.coalesce("chosen_before", F.lit(NO_OFFER)), "to": F.coalesce("chosen_after", F.lit(NO_OFFER))}
    moved = customers.where(_moved()).groupBy(*(column.alias(name) for name, column in ends.items())).agg(F.count("*").alias("customers"))
    return rows_of(moved.orderBy(F.desc("customers"), "from", "to").limit(MOST_FLOWS))


def channels(customers: DataFrame) -> list[Row]:
    """One row per channel: customers whose offer goes out by it."""
    return _by_side(customers, "channel")


def without_offer(customers: DataFrame) -> list[Row]:
    """One row per set of reasons: customers who are left with no offer."""
    return _by_side(customers, "why_none")[:MOST_REASONS]


def _by_side(customers: DataFrame, what: str) -> list[Row]:
    sides = [customers.select(F.col(f"{what}_{side}").alias(what), F.lit(side).alias("side")) for side in SIDES]
    counts = [F.count_if(F.col("side") == side).alias(side) for side in SIDES]
    counted = reduce(DataFrame.unionByName, sides).where(F.col(what).isNotNull()).groupBy(what).agg(*counts)
    return rows_of(counted.orderBy(F.desc("after"), what))


def _offers_of(customers: DataFrame, side: str) -> DataFrame:
    offers = customers.select(F.explode(f"offers_{side}").alias("o"), F.col(f"chosen_{side}").alias("chosen"))
    is_chosen = F.col("o.policy_id").eqNullSafe(F.col("chosen")).alias("is_chosen")
    return offers.select("o.goal", F.col("o.policy_id").alias("policy"), is_chosen, F.lit(side).alias("side"))


def _side(name: str, side: Side) -> DataFrame:
    """One row per customer of a side, what stands in its tables."""
    reasons = side.excluded.groupBy(*KEY).agg(F.concat_ws(", ", F.sort_array(F.collect_set("reason"))).alias(f"dropped_{name}"))
    of_choice = {"chosen": "policy_id", "channel": "channel", "value": "net_value_yuan", "cost": "spend_yuan"}
    chosen = side.chosen.select(*KEY, *(F.col(column).alias(f"{part}_{name}") for part, column in of_choice.items()))
    offered = side.recommended.select(*KEY, F.col("offers").alias(f"offers_{name}"))
    return offered.join(chosen, on=list(KEY), how="left").join(reasons, on=list(KEY), how="left")


def _side_columns(name: str) -> list[Column]:
    chosen = F.col(f"chosen_{name}")
    made = {
        "offers": F.col(f"offers_{name}"),
        "chosen": chosen,
        "channel": F.col(f"channel_{name}"),
        "why_none": F.when(chosen.isNull(), F.coalesce(f"dropped_{name}", F.lit(NO_RULE))),
        "cost": F.coalesce(f"cost_{name}", F.lit(0.0)),
        "value": F.coalesce(f"value_{name}", F.lit(0.0)),
    }
    return [column.alias(f"{part}_{name}") for part, column in made.items()]


def _measures() -> Sequence[Column]:
    money = [F.round(F.sum(f"{part}_{side}"), 2).alias(f"expected_{part}_{side}_yuan") for part in ("value", "cost") for side in SIDES]
    offered = [F.count_if(F.col(f"chosen_{side}").isNotNull()).alias(f"with_an_offer_{side}") for side in SIDES]
    return [F.count("*").alias("customers"), *offered, F.count_if(_moved()).alias("moved"), *money]


def _moved() -> Column:
    return ~F.col("chosen_before").eqNullSafe(F.col("chosen_after"))
