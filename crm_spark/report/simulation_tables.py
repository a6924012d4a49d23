"""The tables of a simulation, of all customers together and of every city, segment and value grade.

Of what is long only the largest stand by themselves and the rest together as OTHERS, last. So rows of a table add up to its total, and the
groups of a kind to all customers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.report.facts import Row, rows_of
from crm_spark.report.simulation import AMOUNTS, GROUPS, OFFERED, ROW, SIDES, WITH_AN_OFFER, sums

OTHERS = "others"
MOST_GROUPS = 60  # of a kind
MOST = {"flows": 30, "without_offer": 40}  # rows; the other tables are as long as the policies' sheet makes them

Names = tuple[str, ...]
Largest = dict[str, list[Names]]


@dataclass(frozen=True)
class Table:
    """What a row is about, and what is told of it."""

    names: tuple[str, ...]
    told: tuple[str, ...]


TABLES = {
    "totals": Table((), ("customers", *WITH_AN_OFFER, "moved", *AMOUNTS)),
    "reach": Table(("goal", "policy"), (*SIDES, *OFFERED)),  # customers a policy is chosen for, and those who may have it
    "flows": Table(("from", "to"), ("customers",)),  # customers for whom another offer is chosen
    "channels": Table(("channel",), SIDES),  # customers whose offer goes out by it
    "without_offer": Table(("why_none",), SIDES),  # customers left with no offer, by the set of all reasons
}


def tables(counts: DataFrame, policies: Mapping[str, str], grades: Sequence[str]) -> dict[str, object]:
    """Each table of all customers; `by` city, segment and value_grade, each row with its group; `rest`: how many stand together as OTHERS.

    `counts` is what `simulation.counted` gives; it is read twice, and no more comes of it than is told. `policies` are names by policy,
    `grades` the value grades, best first.
    """
    largest, rest = _cut(_by_size(counts))
    found: dict[str, dict[str, list[Row]]] = {kind: {table: [] for table in TABLES} for kind in ("", *GROUPS)}
    for row in rows_of(_summed(_folded(counts, largest))):
        found[_kind(row)][str(row["table"])].append(_told(row, policies))
    for kind, its_tables in found.items():
        order = [*(grades if kind == "value_grade" else ()), *(name for (name,) in largest.get(kind, ()))]
        for table, rows in its_tables.items():
            its_tables[table] = sorted(rows, key=lambda row, kind=kind, order=order, table=table: (_place(row, kind, order), _order(row, table)))  # type: ignore[misc]
    whole = found.pop("")
    return {**whole, "totals": whole["totals"][0], "by": found, "rest": rest}


def _by_size(counts: DataFrame) -> Largest:
    """The groups of each kind, and the rows of each table that may be long, largest first."""
    is_whole = F.coalesce(*GROUPS).isNull()
    wanted = (F.col("table").isin(*MOST) & is_whole) | ((F.col("table") == "totals") & ~is_whole)
    sets = [list(ROW), *(["table", group] for group in GROUPS)]
    sized = counts.groupingSets(sets, *ROW, *GROUPS).agg(F.sum(F.expr("customers + before + after")).alias("size")).where(wanted)
    found: Largest = {kind: [] for kind in (*GROUPS, *MOST)}
    for row in rows_of(sized.orderBy(F.desc("size"), *ROW, *GROUPS)):
        kind = _kind(row)
        found[kind or str(row["table"])].append((str(row[kind]),) if kind else (str(row["first"]), str(row["second"])))
    return found


def _cut(by_size: Largest) -> tuple[Largest, dict[str, int]]:
    """(those that stand by themselves, how many do not)."""
    most = {**dict.fromkeys(GROUPS, MOST_GROUPS), **MOST}
    return {kind: names[: most[kind]] for kind, names in by_size.items()}, {kind: len(n) - most[kind] for kind, n in by_size.items() if len(n) > most[kind]}


def _folded(counts: DataFrame, largest: Largest) -> DataFrame:
    """The counts with OTHERS in the place of every name that does not stand by itself."""
    row = F.concat_ws("\t", "first", "second")
    is_rest = reduce(or_, ((F.col("table") == table) & ~row.isin(*map("\t".join, largest[table])) for table in MOST))
    groups = {group: F.when(F.col(group).isin(*(name for (name,) in largest[group])), F.col(group)).otherwise(OTHERS) for group in GROUPS}
    names = {name: F.when(is_rest & (F.col(name) != ""), OTHERS).otherwise(F.col(name)) for name in ("first", "second")}
    return counts.withColumns({**groups, **names})


def _summed(folded: DataFrame) -> DataFrame:
    """Sums per row of a table, over all and per group of each kind; the kinds that a row is not of are NULL."""
    return folded.groupingSets([list(ROW), *([*ROW, group] for group in GROUPS)], *ROW, *GROUPS).agg(*sums())


def _kind(row: Row) -> str:
    return next((group for group in GROUPS if row[group] is not None), "")


def _told(row: Row, policies: Mapping[str, str]) -> Row:
    table, kind = TABLES[str(row["table"])], _kind(row)
    names = dict(zip(table.names, (row["first"], row["second"]), strict=False))
    told = {**({kind: row[kind]} if kind else {}), **names, **{name: _number(row[name]) for name in table.told}}
    if "policy" not in told:
        return told
    return {**told, "change": _number(row["after"]) - _number(row["before"]), "name": policies.get(str(told["policy"]), "")}


def _number(value: object) -> float:
    return float(value) if isinstance(value, Decimal) else int(str(value))


def _place(row: Row, kind: str, order: Sequence[str]) -> int:
    """The group's place: OTHERS, which is in no order, comes last."""
    return order.index(str(row[kind])) if kind and row[kind] in order else len(order)


def _order(row: Row, table: str) -> tuple[object, ...]:
    """Most first, OTHERS last; policies by goal, largest change first."""
    names = tuple(str(row[name]) for name in TABLES[table].names)
    if table == "reach":
        offered = _number(row["offered_after"]) - _number(row["offered_before"])
        return row["goal"], -abs(_number(row["change"])), -abs(offered), -_number(row["before"]), row["policy"]
    return OTHERS in names, -_number(row.get("after", row.get("customers"))), names
