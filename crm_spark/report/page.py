"""The summary as an HTML page and as a screen of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TypedDict

from jinja2 import Environment, FunctionLoader, StrictUndefined

from crm_spark.report.charts import bars, panels, stacked_shares

GRADES = ("high", "mid-high", "mid", "low")
GOALS = ("retention", "traffic", "new_service", "virtual_network")  # in the order a planner reads them
Row = Mapping[str, object]


class Summary(TypedDict):
    """What is drawn or printed here; the page itself shows more of the same summary."""

    run: Row
    totals: Mapping[str, int]
    cities: Sequence[Row]
    priorities: Sequence[Row]
    policies: Sequence[Row]
    models: Sequence[Row]
    drift: Sequence[Row]
    coverage: Sequence[Row]
    places: Mapping[str, str]


def render_page(facts: Summary) -> str:
    """One self-contained page; every value is escaped."""
    return rendered("summary.html", facts=facts, charts=_charts(facts), grades=GRADES)


def rendered(name: str, **values: object) -> str:
    """A template of this package with its values, escaped; also from a zip (--py-files)."""
    loader = FunctionLoader(lambda part: files("crm_spark.report").joinpath(part).read_text(encoding="utf-8"))
    return Environment(autoescape=True, undefined=StrictUndefined, loader=loader).get_template(name).render(**values)


def render_text(facts: Summary) -> str:
    """What a planner wants to know first, then where things are."""
    blocks = [
        f"{facts['run']['env']}, month {facts['run']['month']}: {facts['totals']['customers']:,} customers, "
        f"{facts['totals']['with_an_offer']:,} with an offer",
        _table("Customers by city", facts["cities"][:10], ("city", "customers", *GRADES, "anomalous", "at_risk", "revenue_at_risk_yuan", "with_an_offer")),
        _table("Priority", facts["priorities"], ("priority", "customers")),
        _table("Top policies", _first_of_each(facts["policies"], 4), ("goal", "policy", "customers", "name")),
        _table("Models", facts["models"], ("model", "model_version", "customers", "mean_score", "test_auc", "test_lift_10")),
        _table("Not fed or skipped", facts["coverage"][:15], ("kind", "subject", "reason")),
        _more(len(facts["coverage"]) - 15, "more in the report"),
        "Where things are\n" + "\n".join(f"  {name:<16} {place}" for name, place in facts["places"].items()),
    ]
    return "\n\n".join(b for b in blocks if b) + "\n"


def numbers(rows: Sequence[Row], column: str) -> list[float]:
    """A column to draw; what is not known is nothing."""
    return [float(value) if isinstance(value := row.get(column), (int, float)) else 0.0 for row in rows]


def _charts(facts: Summary) -> dict[str, str]:
    cities, order = facts["cities"][:12], facts["priorities"][:8]
    charts = {}
    if cities:
        labels = [str(c["city"]) for c in cities]
        charts["grades"] = stacked_shares(labels, {g: numbers(cities, g) for g in GRADES}, "Value grades by city")
    if order:
        charts["priorities"] = bars([str(p["priority"] or "none") for p in order], numbers(order, "customers"), "Priority")
    for goal in GOALS:
        if mine := [p for p in facts["policies"] if p["goal"] == goal]:
            names = [str(p["name"] or p["policy"]) for p in mine]
            charts[f"policies {goal}"] = bars(names, numbers(mine, "customers"), f"Top policies: {goal}")
    months = sorted({str(row["month"]) for row in facts["drift"]})
    if len(months) > 1:
        of_month = {(str(row["model"]), str(row["month"])): row for row in facts["drift"]}
        models = sorted({model for model, _ in of_month})
        lines, marks = ({m: [_number_or_gap(of_month.get((m, month)), c) for month in months] for m in models} for c in ("score_psi", "psi_by_chance"))
        charts["drift"] = panels(months, lines, marks, "Drift of each score")
    return charts


def _number_or_gap(row: Row | None, column: str) -> float:
    value = row.get(column) if row else None
    return float(value) if isinstance(value, (int, float)) else math.nan


def _first_of_each(policies: Sequence[Row], count: int) -> list[Row]:
    return [p for goal in GOALS for p in [q for q in policies if q["goal"] == goal][:count]]


def _table(title: str, rows: Sequence[Row], columns: Sequence[str]) -> str:
    if not rows:
        return ""
    cells = [[_cell(row.get(c)) for c in columns] for row in rows]
    widths = [max(len(c), *(len(r[i]) for r in cells)) for i, c in enumerate(columns)]
    lines = ["  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in ([*columns], *cells)]
    return f"{title}\n" + "\n".join(f"  {line}" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _more(count: int, text: str) -> str:
    return f"  ... {count} {text}" if count > 0 else ""
