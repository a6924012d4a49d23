"""The page of a simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from crm_spark.report.charts import pairs, stacked_shares
from crm_spark.report.page import GOALS, Row, numbers, rendered

MOST_BARS = 12


class Simulation(TypedDict):
    """What is drawn here; the page itself shows more of the same facts."""

    reach: Sequence[Row]
    channels: Sequence[Row]
    segment: Sequence[Row]


def render_simulation(facts: Simulation) -> str:
    """One self-contained page; every value is escaped."""
    return rendered("simulation.html", facts=facts, charts=_charts(facts))


def _charts(facts: Simulation) -> Mapping[str, str]:
    charts = {}
    for goal in GOALS:
        if mine := [row for row in facts["reach"] if row["goal"] == goal and row["change"]][:MOST_BARS]:
            charts[f"reach {goal}"] = _pairs(mine, [str(row["name"] or row["policy"]) for row in mine], f"Reach: {goal}")
    if channels := facts["channels"]:
        charts["channels"] = _pairs(channels, [str(row["channel"]) for row in channels], "Channels")
    if segments := facts["segment"][:MOST_BARS]:
        moved, all_of_it = numbers(segments, "moved"), numbers(segments, "customers")
        shares = {"another offer": moved, "the same": [n - m for n, m in zip(all_of_it, moved, strict=True)]}
        charts["segments"] = stacked_shares([str(row["segment"]) for row in segments], shares, "Who moves by segment")
    return charts


def _pairs(rows: Sequence[Row], labels: Sequence[str], title: str) -> str:
    return pairs(labels, numbers(rows, "before"), numbers(rows, "after"), title)
