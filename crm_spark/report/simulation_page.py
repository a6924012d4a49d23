"""The page of a simulation: each subject of all customers with a chart, and beneath it by value grade, segment and city."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

from crm_spark.report.charts import pairs, stacked_shares
from crm_spark.report.page import GOALS, Row, numbers, rendered
from crm_spark.report.simulation_grid import KINDS, Simulation, columns, grid, totals
from crm_spark.report.simulation_tables import OTHERS

MOST_BARS = 12
WIDEST = 44  # characters of a label before it breaks


def render_simulation(facts: Simulation) -> str:
    """One self-contained page; every value is escaped."""
    names = {str(row["policy"]): str(row["name"] or row["policy"]) for row in facts["reach"]}
    of = columns(facts)

    def end(offer: object) -> str:
        return names.get(str(offer), str(offer))

    grids = {
        "totals": totals(of),
        "flows": grid(facts, of, "flows", lambda row: OTHERS if row["from"] == OTHERS else f"{end(row['from'])} → {end(row['to'])}"),
        "channels": grid(facts, of, "channels", lambda row: str(row["channel"])),
        "without_offer": grid(facts, of, "without_offer", lambda row: str(row["why_none"])),
    }
    reach = {goal: lines for goal in GOALS if (lines := grid(facts, of, "reach", lambda row: end(row["policy"]), goal))}
    kinds = [(kind, sum(column.kind == kind for column in of)) for kind in KINDS]
    return rendered("simulation.html", facts=facts, columns=of, kinds=kinds, grids=grids, reach=reach, charts=_charts(facts))


def _charts(facts: Simulation) -> Mapping[str, str]:
    charts = {}
    for goal in GOALS:
        if mine := [row for row in facts["reach"] if row["goal"] == goal and row["change"]][:MOST_BARS]:
            charts[f"reach {goal}"] = _pairs(mine, [str(row["name"] or row["policy"]) for row in mine], f"Reach: {goal}")
    for subject, name in (("channels", "channel"), ("without_offer", "why_none")):
        if rows := facts[subject][:MOST_BARS]:  # type: ignore[literal-required]
            charts[subject] = _pairs(rows, [str(row[name]) for row in rows], subject)
    for kind in KINDS:
        if groups := facts["by"][kind]["totals"][:MOST_BARS]:
            moved, everybody = numbers(groups, "moved"), numbers(groups, "customers")
            shares = {"another offer": moved, "the same": [n - m for n, m in zip(everybody, moved, strict=True)]}
            charts[f"moved {kind}"] = stacked_shares([str(row[kind]) for row in groups], shares, f"Who moves by {kind}")
    return charts


def _pairs(rows: Sequence[Row], labels: Sequence[str], title: str) -> str:
    return pairs([fill(label, WIDEST) for label in labels], numbers(rows, "before"), numbers(rows, "after"), title)
