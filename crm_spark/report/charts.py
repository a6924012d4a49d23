"""Charts of the summary page as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import StringIO

from matplotlib import rc_context
from matplotlib.figure import Figure

_COLOURS = ("#1b6ca8", "#57a773", "#f2a541", "#c8553d", "#7d5ba6", "#6c757d")
_BESIDE = 3  # panels in a row


def bars(labels: Sequence[str], values: Sequence[float], title: str) -> str:
    """Horizontal bars, first on top, with their values."""
    figure = Figure(figsize=(6.4, 0.6 + 0.3 * len(labels)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.barh(range(len(labels)), values, color=_COLOURS[0])
    axes.bar_label(drawn, labels=[f"{v:,.0f}" for v in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_visible(False)  # every bar says its number
    return _svg(figure, title)


def stacked_shares(labels: Sequence[str], parts: Mapping[str, Sequence[float]], title: str) -> str:
    """One bar of 100 % per label, split into named parts."""
    figure = Figure(figsize=(6.4, 0.9 + 0.32 * len(labels)), layout="constrained")
    axes = figure.subplots()
    totals = [sum(values) or 1.0 for values in zip(*parts.values(), strict=True)]
    left = [0.0] * len(labels)
    for colour, (name, values) in zip(_COLOURS, parts.items(), strict=False):
        widths = [100 * v / t for v, t in zip(values, totals, strict=True)]
        axes.barh(range(len(labels)), widths, left=left, label=name, color=colour)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("% of customers", fontsize=8)
    figure.legend(loc="outside upper center", ncols=len(parts), fontsize=8, frameon=False)
    return _svg(figure, title)


def pairs(labels: Sequence[str], before: Sequence[float], after: Sequence[float], title: str) -> str:
    """Two horizontal bars per label, first label on top: as it is, and as it would be."""
    figure = Figure(figsize=(6.4, 0.9 + 0.45 * len(labels)), layout="constrained")
    axes = figure.subplots()
    for shift, values, name, colour in ((-0.2, before, "published", _COLOURS[5]), (0.2, after, "candidate", _COLOURS[0])):
        drawn = axes.barh([i + shift for i in range(len(labels))], values, height=0.38, label=name, color=colour)
        axes.bar_label(drawn, labels=[f"{v:,.0f}" for v in values], padding=3, fontsize=7)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.xaxis.set_visible(False)  # every bar says its number
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return _svg(figure, title)


def panels(labels: Sequence[str], lines: Mapping[str, Sequence[float]], marks: Mapping[str, Sequence[float]], title: str) -> str:
    """One small panel per name, three beside each other, on one scale: its line over the labels, and a dashed one of what chance brings. NaN is a gap."""
    rows, top = -(-len(lines) // _BESIDE), max(v for some in (lines, marks) for values in some.values() for v in values if not math.isnan(v))
    figure = Figure(figsize=(9.6, 0.3 + 1.3 * rows), layout="constrained")
    grid = figure.subplots(rows, _BESIDE, squeeze=False).flat
    for axes, (name, values) in zip(grid, lines.items(), strict=False):
        axes.plot(range(len(labels)), marks[name], color=_COLOURS[5], linewidth=1, linestyle="--")
        axes.plot(range(len(labels)), values, color=_COLOURS[0], marker="o", markersize=3)
        axes.set_title(name, fontsize=8, loc="left")
        axes.set_xticks([0, len(labels) - 1], [labels[0], labels[-1]])
        axes.set_xlim(-0.3, len(labels) - 0.7)
        axes.set_ylim(0, 1.1 * top)
    for axes in list(figure.axes)[len(lines) :]:
        axes.set_axis_off()
    return _svg(figure, title)


def _svg(figure: Figure, title: str) -> str:
    for axes in figure.axes:
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(labelsize=8)
    out = StringIO()
    with rc_context({"svg.fonttype": "none"}):  # text stays text: the browser has the fonts for names in any script
        figure.savefig(out, format="svg", metadata={"Date": None, "Title": title})
    text = out.getvalue()
    return text[text.index("<svg") :]
