"""What a candidate matrix set would change against a published month: small tables, whatever the number of customers.

Money is told of the first offer of a customer, under two assumptions: a share of the customers accepts, and what is accepted keeps the
revenue that would else have left (retention: churn score x ARPU x months of the policy) or adds a share of it (other goals).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.policies import Policy
from crm_spark.report.facts import Row, rows_of
from crm_spark.tables.common import KEY

SIDES = ("before", "after")
NO_RULE = "no rule proposes anything"
NO_OFFER = "no offer"
MOST_FLOWS, MOST_GROUPS = 30, 40
_TERMS = "struct<goal:string,months:double,cost:double,channel:string>"


@dataclass(frozen=True)
class Assumptions:
    """Shares: of customers who accept, and of the ARPU that an accepted offer of another goal than retention adds."""

    acceptance: float
    uplift: float


@dataclass(frozen=True)
class Side:
    """One of the two decisions: recommendations and exclusions by contract, and the policies they are of."""

    recommended: DataFrame
    excluded: DataFrame
    policies: Mapping[str, Policy]


def compared(before: Side, after: Side, view: DataFrame, index: DataFrame, assumed: Assumptions) -> DataFrame:
    """One row per customer of the view: segment, grade, and of each side its offers, the first of them with its money, and why there is none."""
    people = view.select(*KEY, F.coalesce("arpu_yuan", F.lit(0)).cast("double").alias("arpu"))
    group, churn = F.try_element_at("groups", F.lit("customer_group")), F.try_element_at("scores", F.lit("churn")) / 100
    known = index.select(*KEY, "value_grade", group.alias("segment"), churn.alias("churn"))
    joined = people.join(known, on=list(KEY), how="left")
    for name, side in zip(SIDES, (before, after), strict=True):
        joined = joined.join(_offers(side, name), on=list(KEY), how="left").join(_dropped(side, name), on=list(KEY), how="left")
    return joined.select(
        *KEY, *(F.coalesce(name, F.lit("none")).alias(name) for name in ("value_grade", "segment")),
        *(column for name, side in zip(SIDES, (before, after), strict=True) for column in _side_columns(name, side, assumed)),
    )  # fmt: skip


def totals(customers: DataFrame) -> Row:
    """One row over all."""
    return rows_of(customers.agg(*_measures()))[0]


def by(customers: DataFrame, group: str) -> list[Row]:
    """One row per city, segment or value_grade, largest first."""
    counted = customers.groupBy(group).agg(*_measures())
    return rows_of(counted.orderBy(F.desc("customers"), group).limit(MOST_GROUPS))


def reach(customers: DataFrame, names: Mapping[str, str]) -> list[Row]:
    """One row per goal and policy: customers it is offered to, before and after, largest change first."""
    sides = [customers.select(F.explode(f"offers_{s}").alias("o")).select("o.goal", F.col("o.policy_id").alias("policy"), F.lit(s).alias("side")) for s in SIDES]
    counts = [F.count_if(F.col("side") == side).alias(side) for side in SIDES]
    counted = reduce(DataFrame.unionByName, sides).groupBy("goal", "policy").agg(*counts).withColumn("change", F.expr("after - before"))
    rows = rows_of(counted.orderBy("goal", F.desc(F.abs("change")), F.desc("before"), "policy"))
    return [{**row, "name": names.get(str(row["policy"]), "")} for row in rows]


def flows(customers: DataFrame) -> list[Row]:
    """Customers whose first offer is another: from which to which, most first."""
    ends = {"from": F.coalesce("first_before", F.lit(NO_OFFER)), "to": F.coalesce("first_after", F.lit(NO_OFFER))}
    moved = customers.where(_moved()).groupBy(*(column.alias(name) for name, column in ends.items())).agg(F.count("*").alias("customers"))
    return rows_of(moved.orderBy(F.desc("customers"), "from", "to").limit(MOST_FLOWS))


def channels(customers: DataFrame) -> list[Row]:
    """One row per channel: customers whose first offer goes out by it, the first channel of the policy."""
    return _by_side(customers, "channel")


def without_offer(customers: DataFrame) -> list[Row]:
    """One row per reason: customers who are left with no offer."""
    return _by_side(customers, "why_none")


def _by_side(customers: DataFrame, what: str) -> list[Row]:
    sides = [customers.select(F.col(f"{what}_{side}").alias(what), F.lit(side).alias("side")) for side in SIDES]
    counts = [F.count_if(F.col("side") == side).alias(side) for side in SIDES]
    counted = reduce(DataFrame.unionByName, sides).where(F.col(what).isNotNull()).groupBy(what).agg(*counts)
    return rows_of(counted.orderBy(F.desc("after"), what))


def _offers(side: Side, name: str) -> DataFrame:
    return side.recommended.select(*KEY, F.col("offers").alias(f"offers_{name}"))


def _dropped(side: Side, name: str) -> DataFrame:
    """Reasons for which candidates of a customer were dropped."""
    reasons = F.concat_ws(", ", F.sort_array(F.collect_set("reason"))).alias(f"dropped_{name}")
    return side.excluded.groupBy(*KEY).agg(reasons)


def _side_columns(name: str, side: Side, assumed: Assumptions) -> list[Column]:
    first = F.get(f"offers_{name}", F.lit(0))["policy_id"]
    terms = F.try_element_at(_terms(side.policies), first)
    kept = F.when(terms["goal"] == "retention", F.col("churn")).otherwise(F.lit(assumed.uplift))
    made = {
        "offers": F.col(f"offers_{name}"),
        "first": first,
        "channel": terms["channel"],
        "why_none": F.when(first.isNull(), F.coalesce(f"dropped_{name}", F.lit(NO_RULE))),
        "cost": F.coalesce(terms["cost"] * assumed.acceptance, F.lit(0.0)),
        "value": F.coalesce(kept * F.col("arpu") * terms["months"] * assumed.acceptance, F.lit(0.0)),
    }
    return [column.alias(f"{part}_{name}") for part, column in made.items()]


def _terms(policies: Mapping[str, Policy]) -> Column:
    """What money and channels need to know of the policies, as a constant."""
    told = {
        p.policy_id: {"goal": p.goal, "months": max(p.term_months, 1), "cost": float(p.unit_cost_yuan), "channel": (*p.channels, None)[0]}
        for p in policies.values()
    }
    return F.from_json(F.lit(json.dumps(told, ensure_ascii=False)), f"map<string,{_TERMS}>")


def _measures() -> Sequence[Column]:
    money = [F.round(F.sum(f"{part}_{side}"), 2).alias(f"expected_{part}_{side}_yuan") for part in ("value", "cost") for side in SIDES]
    offered = [F.count_if(F.col(f"first_{side}").isNotNull()).alias(f"with_an_offer_{side}") for side in SIDES]
    return [F.count("*").alias("customers"), *offered, F.count_if(_moved()).alias("moved"), *money]


def _moved() -> Column:
    return ~F.col("first_before").eqNullSafe(F.col("first_after"))
