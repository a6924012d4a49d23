"""Pictures of a segmentation: profiles, the factor plot, quality by number of groups, migration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crm_spark.segments.segmentation import Evidence, Group
from crm_spark.segments.selection import Quality
from crm_spark.segments.variables import Numbers

_BLUE, _GREEN, _GREY = "#1b6ca8", "#57a773", "#9aa5b1"
_MOST_SHADE = 2.0  # standard deviations; further apart looks the same
_ARROWS = 6
_COMPONENTS = 2
NOBODY = "(no customer)"


@dataclass(frozen=True)
class Move:
    """So many customers of all cities went from one group to another; `NOBODY` for who came or left."""

    before: str
    now: str
    customers: int


def figures(name: str, month: str, groups: Sequence[Group], evidence: Evidence, moves: Sequence[Move]) -> dict[str, Figure]:
    """File name -> picture; of factors only where there are points, of quality only where several numbers
    of groups were tried, of migration only where there is a month before."""
    found = {"profile.png": profile_map(f"{name}, {month}", groups)}
    if len(evidence.points) > _COMPONENTS:
        found["factors.png"] = factor_plot(f"{name}, {month}", groups, evidence)
    if len(evidence.qualities) > 1:
        found["quality.png"] = quality_chart(name, evidence.qualities, len(groups))
    if moves:
        found["migration.png"] = migration_map(f"{name}, to {month}", moves)
    return found


def profile_map(title: str, groups: Sequence[Group]) -> Figure:
    """Groups x attributes: how far the group's mean lies from that of all, in standard deviations over all customers."""
    attributes = [a for a in groups[0].profile.means if any(g.profile.distance(a) is not None for g in groups)]
    distances = np.array([[np.nan if (d := g.profile.distance(a)) is None else d for a in attributes] for g in groups])
    figure = Figure(figsize=(4.5 + 0.42 * len(attributes), 2.2 + 0.3 * len(groups)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.clip(distances, -_MOST_SHADE, _MOST_SHADE), cmap="RdBu_r", vmin=-_MOST_SHADE, vmax=_MOST_SHADE, aspect="auto")
    for (row, column), value in np.ndenumerate(distances):
        if abs(value) >= _MOST_SHADE / 4:
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6, color="white" if abs(value) > 0.7 * _MOST_SHADE else "black")
    _ticks(axes, attributes, [f"{_told(g)}  {g.profile.customers_share:.1%}" for g in groups])
    axes.set_title(f"{title}: how groups differ from all", fontsize=10)
    figure.colorbar(image, ax=axes, label="(group mean - mean of all) / standard deviation")
    return figure


def factor_plot(title: str, groups: Sequence[Group], evidence: Evidence) -> Figure:
    """The judged customers on their first two principal components, coloured by the nearest centre; centres with the group's number."""
    numbers = [g.number for g in groups]
    centres = np.array([evidence.centres[number] for number in numbers])
    middle, axes_of, shares = _components(evidence.points)
    nearest = ((evidence.points[:, None, :] - centres) ** 2).sum(axis=2).argmin(axis=1)
    placed, means = (evidence.points - middle) @ axes_of, (centres - middle) @ axes_of
    colours = [_colour(i) for i in range(len(groups))]
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    axes = figure.subplots()
    for i, (group, colour) in enumerate(zip(groups, colours, strict=True)):
        own = placed[nearest == i]
        axes.scatter(own[:, 0], own[:, 1], s=7, alpha=0.6, color=colour, linewidths=0)
        axes.scatter(means[i, 0], means[i, 1], s=190, color=colour, edgecolors="black", linewidths=0.9, zorder=3, label=_told(group))
        axes.annotate(str(group.number), means[i], ha="center", va="center", fontsize=7.5, zorder=4)
    _loadings(axes, evidence.attributes, axes_of, float(np.percentile(np.abs(placed), 95)))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=7.5, frameon=False, markerscale=0.5)
    _label(axes, f"{title}: {len(placed):,} customers on two components", f"first component, {shares[0]:.0%} of variance", f"second, {shares[1]:.0%}")
    return figure


def quality_chart(name: str, qualities: Sequence[Quality], chosen: int) -> Figure:
    """Stability, with its standard error, and silhouette by number of groups."""
    groups = [q.groups for q in qualities]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.errorbar(groups, [q.stability for q in qualities], yerr=[q.stability_error for q in qualities], marker="o", color=_BLUE, capsize=3)
    right.plot(groups, [q.silhouette for q in qualities], marker="o", color=_GREEN)
    _label(left, "Stability", "groups", "adjusted Rand index with bootstrap fits")
    _label(right, "Silhouette", "groups", "mean silhouette")
    for axes in (left, right):
        axes.axvline(chosen, color=_GREY, linestyle="--")
        axes.set_xticks(groups)
    figure.suptitle(f"{name}: {chosen} groups (dashed)", fontsize=10)
    return figure


def migration_map(title: str, moves: Sequence[Move]) -> Figure:
    """Group before (row) x group now (column): share of the row, and the customers of each row."""
    befores, nows = (_in_order(side) for side in ((m.before for m in moves), (m.now for m in moves)))
    counts = np.zeros((len(befores), len(nows)))
    for move in moves:
        counts[befores.index(move.before), nows.index(move.now)] += move.customers
    shares = counts / counts.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(4.5 + 0.42 * len(nows), 2.6 + 0.3 * len(befores)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(shares):
        if value >= 0.005:
            axes.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=6, color="white" if value > 0.6 else "black")
    _ticks(axes, [now.split(":")[0] for now in nows], [f"{before}  {int(n):,}" for before, n in zip(befores, counts.sum(axis=1), strict=True)])
    axes.set_title(f"{title}: from the group before (row) to the group now", fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the row")
    return figure


def _components(points: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Mean, first two principal axes (columns; the largest loading is positive) and their shares of the variance."""
    middle = points.mean(axis=0)
    _, lengths, rows = np.linalg.svd(points - middle, full_matrices=False)
    signs = np.sign(rows[np.arange(2), np.abs(rows[:2]).argmax(axis=1)])
    return middle, (rows[:2] * signs[:, None]).T, (lengths**2 / (lengths**2).sum())[:2]


def _loadings(axes: Axes, attributes: Sequence[str], axes_of: Numbers, length: float) -> None:
    """Arrows of the attributes that the components are made of most."""
    strongest = np.argsort(-np.hypot(*axes_of.T))[:_ARROWS]
    for i in strongest:
        tip = length * axes_of[i] / np.abs(axes_of[strongest]).max()
        axes.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "->", "color": "black", "lw": 0.9}, zorder=2)
        axes.annotate(attributes[i], 1.06 * tip, ha="center", fontsize=7, zorder=5, bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.5})


def _in_order(names: Iterable[str]) -> list[str]:
    """By the number the name begins with; who is no customer comes last."""
    return sorted({*names}, key=lambda name: (name == NOBODY, 0 if name == NOBODY else int(name.split()[0])))


def _told(group: Group) -> str:
    return f"{group.number} {group.label}"


def _colour(place: int) -> tuple[float, float, float, float]:
    """Twenty colours, then twenty others."""
    found: tuple[float, float, float, float] = matplotlib.colormaps["tab20" if place < 20 else "tab20b"](place % 20)
    return found


def _ticks(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
