"""Pictures of a judged model, drawn from counts per score of the hold-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findSystemFonts, fontManager, get_font_names

from crm_spark.learning import measures as m
from crm_spark.learning.groups import MONTH, Group, of_kind

_BLUE, _GREEN, _GREY = "#1b6ca8", "#57a773", "#9aa5b1"
SHOWN_IMPORTANCES = 20
_SHOWN_GROUPS = 20  # of each kind
_CHINESE = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Serif CJK SC", "Noto Serif CJK JP", "WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei", "PingFang SC")


def figures(name: str, table: m.ScoreTable, importances: Mapping[str, float], groups: Sequence[Group], least: int) -> dict[str, Figure]:
    """File name -> picture: how it ranks, how well it is calibrated, what it looks at, how it does by month and by group.

    Groups with fewer than `least` customers with the label, or without it, are not drawn.
    """
    name = _shown(name)
    large = [g for g in groups if not g.is_small(least)]
    months, others = of_kind(large, MONTH), [g for by in dict.fromkeys(g.by for g in large if g.by != MONTH) for g in of_kind(large, by)[:_SHOWN_GROUPS]]
    return {
        "ranking.png": _ranking(name, table),
        "calibration.png": _calibration(name, table),
        "importance.png": _importance(name, importances),
        **({"months.png": _by_group(f"{name}: held-out customers by month", months, with_kind=False)} if months else {}),
        **({"groups.png": _by_group(f"{name}: held-out customers by group", others, with_kind=True)} if others else {}),
    }


def _ranking(name: str, table: m.ScoreTable) -> Figure:
    figure = Figure(figsize=(10, 6.8), layout="constrained")
    roc, precision, gain, lift = figure.subplots(2, 2).ravel()
    found = m.measures(table)
    roc.plot(*m.roc(table), color=_BLUE)
    roc.plot([0, 1], [0, 1], color=_GREY, linestyle="--")
    _label(roc, f"ROC, AUC {found['auc']:.3f}", "false positives, share", "true positives, share")
    precision.plot(*m.precision_recall(table), color=_BLUE)
    precision.axhline(table.base_rate, color=_GREY, linestyle="--")
    _label(precision, f"Precision and recall, AP {found['pr_auc']:.3f}", "recall", "precision")
    shares = np.linspace(0, 1, 101)
    gain.plot(100 * shares, 100 * m.gain(table, shares), color=_BLUE)
    gain.plot([0, 100], [0, 100], color=_GREY, linestyle="--")
    _label(gain, "Gain", "% of customers, best scores first", "% of all positives found")
    lift.plot(100 * shares[1:], m.gain(table, shares[1:]) / shares[1:], color=_BLUE)
    lift.axhline(1, color=_GREY, linestyle="--")
    _label(lift, f"Lift, at 10 % {found['lift_10']:.2f}", "% of customers, best scores first", "times the base rate")
    figure.suptitle(f"{name}: hold-out of {table.total:,.0f} customers")
    return figure


def _calibration(name: str, table: m.ScoreTable) -> Figure:
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = m.calibration(table)
    top = 1.05 * max(bins.predicted.max(), bins.observed.max())
    left.plot([0, top], [0, top], color=_GREY, linestyle="--")
    left.plot(bins.predicted, bins.observed, marker="o", color=_BLUE)
    _label(left, f"Calibration, error {m.calibration_error(table):.4f}", "mean predicted probability", "observed share")
    edges = np.linspace(0, 1, 41)
    classes = ((table.customers - table.positives, _GREY, "without the label"), (table.positives, _GREEN, "with the label"))
    for amounts, colour, told in classes:
        right.hist(table.score, bins=edges, weights=amounts / max(amounts.sum(), 1), alpha=0.6, color=colour, label=told)
    right.legend(frameon=False, fontsize=8)
    _label(right, "Scores", "probability", "share of its class")
    figure.suptitle(name)
    return figure


def _importance(name: str, importances: Mapping[str, float]) -> Figure:
    shown = list(importances.items())[:SHOWN_IMPORTANCES][::-1]
    figure = Figure(figsize=(7.5, 0.8 + 0.26 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.barh([_shown(feature) for feature, _ in shown], [100 * share for _, share in shown], color=_BLUE)
    axes.tick_params(labelsize=8)
    _label(axes, f"{name}: what it looks at", "% of its importance", "")
    return figure


def _by_group(title: str, groups: Sequence[Group], with_kind: bool) -> Figure:
    """AUC with two standard errors, and the mean probability beside the share with the label; one line per group, the first on top."""
    figure = Figure(figsize=(9.5, 1.4 + 0.24 * len(groups)), layout="constrained")
    ranks, tells = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(groups))[::-1]
    ranks.errorbar([g.auc for g in groups], places, xerr=[2 * (g.auc_error or 0.0) for g in groups], fmt="o", color=_BLUE, markersize=4)
    ranks.set_yticks(places, [_shown(f"{g.by} {g.level}" if with_kind else g.level) for g in groups], fontsize=8, fontfamily=_fonts())
    _label(ranks, "AUC, two standard errors", "AUC", "")
    tells.hlines(places, [100 * g.told for g in groups], [100 * g.rate for g in groups], color=_GREY)
    tells.plot([100 * g.told for g in groups], places, "o", color=_BLUE, markersize=4, label="mean probability")
    tells.plot([100 * g.rate for g in groups], places, "D", color=_GREEN, markersize=4, label="have the label")
    tells.legend(frameon=False, fontsize=8)
    _label(tells, "Told and found", "% of customers", "")
    figure.suptitle(title)
    return figure


def _shown(name: str) -> str:
    """A name of the table as it is: two dollar signs would make a formula of it."""
    return name.replace("$", r"\$")


@cache
def _fonts() -> list[str]:
    """Names may be Chinese: the usual letters, and behind them those of a Chinese font that is there (matplotlib's own list may be older)."""
    for path in findSystemFonts():
        if "CJK-Regular" in Path(path).name:
            fontManager.addfont(path)
    return ["DejaVu Sans", *[f for f in _CHINESE if f in get_font_names()][:1]]


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
