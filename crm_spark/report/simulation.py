"""What a candidate matrix set would change against a published month: of every customer both decisions, and all that is counted of them.

Money is that of the one offer chosen for each customer, as choosing reckons it: the net value, and what contact and subsidy are expected to
cost. Each side is reckoned by its own choosing.yml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.tables.common import KEY

SIDES = ("before", "after")
GROUPS = ("city", "segment", "value_grade")
NONE = "none"  # the group of those who have no segment or no value grade
NO_RULE = "no rule proposes anything"
NO_OFFER = "no offer"

OFFERED = tuple(f"offered_{side}" for side in SIDES)
WITH_AN_OFFER = tuple(f"with_an_offer_{side}" for side in SIDES)
AMOUNTS = tuple(f"expected_{part}_{side}_yuan" for part in ("value", "cost") for side in SIDES)
COUNTS = ("customers", "moved", *SIDES, *OFFERED, *WITH_AN_OFFER)
ROW = ("table", "first", "second")  # a row of a table, by up to two names
_BY_SIDE = {"channels": "channel", "without_offer": "why_none"}
_MONEY = "decimal(18,6)"  # exact: adds up to the same in any order and grouping


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
    named = [F.coalesce(name, F.lit(NONE)).alias(name) for name in ("value_grade", "segment")]
    return joined.select(*KEY, *named, *(column for side in SIDES for column in _side_columns(side)))


def counted(customers: DataFrame) -> DataFrame:
    """One row per city, segment, value grade and row of a table, with its sums: whatever is told adds these up. Customers are read once."""
    by_side = [_entry(table, {side: F.lit(1)}, F.col(f"{what}_{side}")) for table, what in _BY_SIDE.items() for side in SIDES]
    entries = F.concat(F.array(_total(), _flow(), *by_side), *map(_reached, SIDES))
    rows = customers.select(*GROUPS, F.inline(entries)).where(F.col("first").isNotNull())
    return rows.groupBy(*GROUPS, *ROW).agg(*sums())


def sums() -> list[Column]:
    """What is added up of entries, and of their sums."""
    return [F.sum(name).alias(name) for name in (*COUNTS, *AMOUNTS)]


def _total() -> Column:
    counts = {name: F.col(f"chosen_{side}").isNotNull().cast("int") for name, side in zip(WITH_AN_OFFER, SIDES, strict=True)}
    money = {f"expected_{part}_{side}_yuan": F.col(f"{part}_{side}") for part in ("value", "cost") for side in SIDES}
    return _entry("totals", {"customers": F.lit(1), "moved": _moved().cast("int"), **counts, **money}, F.lit(""))


def _flow() -> Column:
    """From which offer to which; none of a customer who keeps the same."""
    begin, end = (F.coalesce(f"chosen_{side}", F.lit(NO_OFFER)) for side in SIDES)
    return _entry("flows", {"customers": F.lit(1)}, F.when(_moved(), begin), end)


def _reached(side: str) -> Column:
    """Of each offer of a side, that it may be had, and whether it is the one chosen."""

    def entry(offer: Column) -> Column:
        is_chosen = offer["policy_id"].eqNullSafe(F.col(f"chosen_{side}")).cast("int")
        return _entry("reach", {side: is_chosen, f"offered_{side}": F.lit(1)}, offer["goal"], offer["policy_id"])

    return F.transform(F.coalesce(f"offers_{side}", F.array()), entry)


def _entry(table: str, counts: Mapping[str, Column], first: Column, second: Column | None = None) -> Column:
    """One thing to count; one without a first name counts for nothing."""
    names = [F.lit(table).alias("table"), first.alias("first"), (F.lit("") if second is None else second).alias("second")]
    whole = [counts.get(name, F.lit(0)).cast("bigint").alias(name) for name in COUNTS]
    return F.struct(*names, *whole, *(counts.get(name, F.lit(0)).cast(_MONEY).alias(name) for name in AMOUNTS))


def _moved() -> Column:
    return ~F.col("chosen_before").eqNullSafe(F.col("chosen_after"))


def _side(name: str, side: Side) -> DataFrame:
    """One row per customer of a side, what stands in its tables."""
    reasons = side.excluded.groupBy(*KEY).agg(F.concat_ws(", ", F.sort_array(F.collect_set("reason"))).alias(f"dropped_{name}"))
    of_choice = {"chosen": "policy_id", "channel": "channel", "value": "net_value_yuan", "cost": "spend_yuan"}
    chosen = side.chosen.select(*KEY, *(F.col(column).alias(f"{part}_{name}") for part, column in of_choice.items()))
    offers = F.arrays_zip("offers.goal", "offers.policy_id")  # all that is told of them: the rest need not be read and shuffled
    offered = side.recommended.select(*KEY, offers.alias(f"offers_{name}"))
    return offered.join(chosen, on=list(KEY), how="left").join(reasons, on=list(KEY), how="left")


def _side_columns(name: str) -> Sequence[Column]:
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
