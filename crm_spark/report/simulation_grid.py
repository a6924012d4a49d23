"""Grids of a simulation's page: a line for each thing told, a column for all customers and one for each group, the same columns in every grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, cast

from crm_spark.report.facts import Row
from crm_spark.report.simulation_tables import OTHERS, TABLES

KINDS = ("value_grade", "segment", "city")  # the few before the many
MORE, FEWER = "27, 108, 168", "226, 125, 48"  # blue and orange, which everybody can tell apart
DEEPEST = 0.55  # of a shade on which black can be read
SMALL = 0.02  # of all customers: what is smaller has no say in how deep the shades are

Tables = Mapping[str, Sequence[Row]]
Words = Callable[[Row], str]


class Simulation(TypedDict):
    """What is drawn of a simulation; the page itself shows more of the same facts."""

    totals: Row
    reach: Sequence[Row]
    flows: Sequence[Row]
    channels: Sequence[Row]
    without_offer: Sequence[Row]
    by: Mapping[str, Tables]


@dataclass(frozen=True)
class Column:
    """All customers (of no kind), or one group of a kind."""

    kind: str
    name: str
    totals: Row


@dataclass(frozen=True)
class Cell:
    """A number with the candidate, by how much it changes, how much of the group that is (which makes the shade), and what it was before."""

    number: float = 0
    change: float = 0
    share: float = 0
    tip: str = ""
    shade: str = ""


@dataclass(frozen=True)
class Line:
    """What a line tells, and a cell for each column."""

    label: str
    cells: Sequence[Cell]


def columns(facts: Simulation) -> list[Column]:
    """All customers first, then the groups of each kind."""
    groups = [Column(kind, str(row[kind]), row) for kind in KINDS for row in facts["by"][kind]["totals"]]
    return [Column("", "all", facts["totals"]), *groups]


def totals(of: Sequence[Column]) -> list[Line]:
    """Customers, who gets another offer, who gets any, and the money: each line with shades of its own."""
    moved = Line("get another offer", [_cell(c, _number(c.totals, "moved")) for c in of])
    pairs = {"with an offer": "with_an_offer_{}", "expected value, yuan": "expected_value_{}_yuan", "expected cost, yuan": "expected_cost_{}_yuan"}
    changed = [Line(label, [_changed(c, *(_number(c.totals, name.format(side)) for side in ("before", "after"))) for c in of]) for label, name in pairs.items()]
    return [Line("customers", [Cell(_number(c.totals, "customers")) for c in of]), *(line for one in (moved, *changed) for line in _shaded([one], of))]


def grid(facts: Simulation, of: Sequence[Column], table: str, words: Words, goal: str = "") -> list[Line]:
    """The rows of a table, of one goal if it is given; what nobody has, before or after, is left out."""
    names = TABLES[table].names
    told = {**facts["by"], "": cast(Tables, facts)}
    places = {(kind, str(row.get(kind, "all")), *(row[name] for name in names)): row for kind, tables in told.items() for row in tables[table]}
    rows = [row for row in told[""][table] if row.get("goal", "") == goal and any(row.get(side) for side in ("before", "after", "customers"))]
    lines = [Line(words(row), [_of_row(c, places.get((c.kind, c.name, *(row[name] for name in names)), {})) for c in of]) for row in rows]
    return _shaded(lines, of)


def _of_row(column: Column, row: Row) -> Cell:
    if "customers" in row:
        return _cell(column, _number(row, "customers"))
    cell = _changed(column, _number(row, "before"), _number(row, "after"))
    if "offered_after" not in row:
        return cell
    return replace(cell, tip=f"{cell.tip}; may have it: {_number(row, 'offered_before'):,.0f} → {_number(row, 'offered_after'):,.0f}")


def _cell(column: Column, number: float) -> Cell:
    share = number / _number(column.totals, "customers")
    return Cell(number, share=share, tip=f"{column.name}: {number:,.0f}, {share:.1%} of all there")


def _changed(column: Column, before: float, after: float) -> Cell:
    return Cell(after, after - before, (after - before) / _number(column.totals, "customers"), f"{column.name}: {before:,.0f} → {after:,.0f}")


def _shaded(lines: Sequence[Line], of: Sequence[Column]) -> list[Line]:
    """The larger the share of the group, the deeper, on one scale."""
    least = SMALL * _number(of[0].totals, "customers")
    named = [line for line in lines if line.label != OTHERS]  # what stands together there would outdo the rest, and says little
    telling = [cell for line in named for cell, c in zip(line.cells, of, strict=True) if _number(c.totals, "customers") >= least]
    deepest = max((abs(cell.share) for cell in telling), default=0)

    def shade(cell: Cell) -> Cell:
        if not (cell.share and deepest):
            return cell
        return replace(cell, shade=f"rgba({MORE if cell.share > 0 else FEWER}, {DEEPEST * min(1, abs(cell.share) / deepest):.2f})")

    return [replace(line, cells=[shade(cell) for cell in line.cells]) if line in named else line for line in lines]


def _number(row: Row, name: str) -> float:
    return cast(float, row.get(name, 0))
