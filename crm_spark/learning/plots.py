"""Pictures of a judged model, drawn from counts per score of the hold-out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crm_spark.learning import measures as m

_BLUE, _GREEN, _GREY = "#1b6ca8", "#57a773", "#9aa5b1"
SHOWN_IMPORTANCES = 20


def figures(name: str, table: m.ScoreTable, importances: Mapping[str, float]) -> dict[str, Figure]:
    """File name -> picture: how it ranks, how well it is calibrated, what it looks at."""
    return {
        "ranking.png": _ranking(name, table),
        "calibration.png": _calibration(name, table),
        "importance.png": _importance(name, importances),
    }


def _ranking(name: str, table: m.ScoreTable) -> Figure:
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    roc, precision, gain = figure.subplots(1, 3)
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
    _label(gain, f"Gain, lift at 10 % {found['lift_10']:.2f}", "% of customers, best scores first", "% of all positives found")
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
    axes.barh([feature for feature, _ in shown], [100 * share for _, share in shown], color=_BLUE)
    axes.tick_params(labelsize=8)
    _label(axes, f"{name}: what it looks at", "% of the trees' gain", "")
    return figure


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
