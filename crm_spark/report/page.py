"""The summary as an HTML page and as a screen of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from crm_spark.report.charts import bars, stacked_shares

GRADES = ("high", "mid-high", "mid", "low")
Facts = Mapping[str, Any]


def render_page(facts: Facts) -> str:
    """One self-contained page; every value is escaped."""
    source = files("crm_spark.report").joinpath("summary.html").read_text(encoding="utf-8")  # also from a zip (--py-files)
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
    return template.render(facts=facts, charts=_charts(facts), grades=GRADES)


def render_text(facts: Facts) -> str:
    """What a planner wants to know first, then where things are."""
    blocks = [
        f"{facts['run']['env']}, month {facts['run']['month']}: {facts['totals']['customers']:,} customers, "
        f"{facts['totals']['with_an_offer']:,} with an offer",
        _table("Customers by city", facts["cities"][:10], ("city", "customers", *GRADES, "anomalous", "at_risk", "with_an_offer")),
        _table("Priority", facts["priorities"], ("priority", "customers")),
        _table("Top policies", _first_of_each(facts["policies"], 4), ("goal", "policy", "customers", "name")),
        _table("Models", facts["models"], ("model", "model_version", "customers", "mean_score", "test_auc", "test_lift_10")),
        _table("Not fed or skipped", facts["coverage"][:15], ("kind", "subject", "reason")),
        _more(len(facts["coverage"]) - 15, "more in the report"),
        "Where things are\n" + "\n".join(f"  {name:<16} {place}" for name, place in facts["places"].items()),
    ]
    return "\n\n".join(b for b in blocks if b) + "\n"


def _charts(facts: Facts) -> dict[str, str]:
    cities, order, policies = facts["cities"][:12], facts["priorities"][:8], facts["policies"]
    charts = {}
    if cities:
        labels = [c["city"] for c in cities]
        charts["grades"] = stacked_shares(labels, {g: [c[g] for c in cities] for g in GRADES}, "Value grades by city")
    if order:
        charts["priorities"] = bars([p["priority"] or "none" for p in order], [p["customers"] for p in order], "Priority")
    for goal in dict.fromkeys(p["goal"] for p in policies):
        mine = [p for p in policies if p["goal"] == goal]
        charts[f"policies {goal}"] = bars([p["policy"] for p in mine], [p["customers"] for p in mine], f"Top policies: {goal}")
    return charts


def _first_of_each(policies: Sequence[Facts], count: int) -> list[Facts]:
    goals = dict.fromkeys(p["goal"] for p in policies)
    return [p for goal in goals for p in [q for q in policies if q["goal"] == goal][:count]]


def _table(title: str, rows: Sequence[Facts], columns: Sequence[str]) -> str:
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
