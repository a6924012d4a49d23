"""Groups that keep their numbers from month to month: this month's centres matched with those of an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from crm_spark.segments.clustering import Centre

_MIN_SHARED = 2  # attributes that both months must have to tell groups apart


@dataclass(frozen=True)
class Former:
    """The groups of an earlier month: centre (by attribute, as it enters the clustering) and class by number.

    `highest` and `highest_class` are the highest numbers that any known month has given.
    """

    month: str
    centres: dict[int, dict[str, float]]
    classes: dict[int, int]
    highest: int
    highest_class: int


@dataclass(frozen=True)
class Kept:
    """A number, and how far its group lies from the nearest former one: within `limit` for a kept number; None if nothing was compared."""

    number: int
    distance: float | None = None
    is_new: bool = False


def former_groups(profiles: DataFrame, segmentation: str) -> Former | None:
    """The latest month of rows of score.segment_profile that tell centres; None without any. A few hundred rows a month are collected."""
    known = profiles.where((F.col("segmentation") == segmentation) & F.col("centre").isNotNull())
    rows = known.select("month", "group_number", "class_number", "attribute", "centre").collect()
    if not rows:
        return None
    month = max(row["month"] for row in rows)
    latest = [row for row in rows if row["month"] == month]
    centres: dict[int, dict[str, float]] = {}
    for row in latest:
        centres.setdefault(row["group_number"], {})[row["attribute"]] = row["centre"]
    classes = {row["group_number"]: row["class_number"] for row in latest if row["class_number"] is not None}
    return Former(month, centres, classes, max(r["group_number"] for r in rows), max((r["class_number"] or 0 for r in rows), default=0))


def kept_numbers(centres: Sequence[Centre], former: Mapping[int, Centre], highest: int, new_beyond: float) -> list[Kept]:
    """The number of each centre: that of the former centre it is matched with, else the next after `highest`.

    The matching is that of least total distance (Kuhn 1955), where no pair counts that lies further apart than `new_beyond` times the
    median distance of the former centres to their nearest neighbours.
    """
    if not former:
        return [Kept(number) for number in range(highest + 1, highest + 1 + len(centres))]
    numbers, places = sorted(former), np.array([former[number] for number in sorted(former)])
    apart = cdist(np.array(centres), places)
    limit = new_beyond * _separation(places)
    pairs = zip(*linear_sum_assignment(np.minimum(apart, limit)), strict=True)
    matched = {int(own): int(theirs) for own, theirs in pairs if apart[own, theirs] <= limit}
    fresh = iter(range(highest + 1, highest + 1 + len(centres)))
    return [
        Kept(numbers[matched[i]], float(apart[i, matched[i]])) if i in matched else Kept(next(fresh), float(apart[i].min()), is_new=True)
        for i in range(len(centres))
    ]


def shared_attributes(former: Former, attributes: Sequence[str]) -> list[str]:
    """Those of `attributes` that every former group has a centre for; none if they are too few to tell groups apart."""
    shared = [a for a in attributes if all(a in centre for centre in former.centres.values())]
    return shared if len(shared) >= _MIN_SHARED else []


def class_centres(centres: Mapping[int, Centre], classes: Mapping[int, int]) -> dict[int, Centre]:
    """Per class the mean of the centres of its groups."""
    members = {k: [centres[number] for number, own in classes.items() if own == k] for k in sorted(set(classes.values()))}
    return {k: tuple(float(x) for x in np.mean(part, axis=0)) for k, part in members.items()}


def _separation(places: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """The median distance of the centres to their nearest neighbours; without a neighbour nothing is too far."""
    if len(places) < 2:
        return float("inf")
    apart = cdist(places, places)
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(axis=1)))
