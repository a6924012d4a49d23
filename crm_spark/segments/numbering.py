"""Canonical numbers: groups and classes are numbered by what they are, not by how the fit happened to find them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from crm_spark.segments.clustering import Centre


@dataclass(frozen=True)
class GroupMeans:
    """A cluster's customers and the mean of each attribute over those that have a value."""

    cluster: int
    customers: int
    means: Mapping[str, float | None]


def canonical_order(groups: Sequence[GroupMeans], centres: Sequence[Centre], order_by: str) -> list[GroupMeans]:
    """Clusters by the mean of `order_by`, highest first, ties by the other attributes in order, then by the centre."""

    def place(group: GroupMeans) -> tuple[object, ...]:
        others = [mean for attribute, mean in group.means.items() if attribute != order_by]
        return (*(_descending(mean) for mean in (group.means[order_by], *others)), centres[group.cluster])

    return sorted(groups, key=place)


def ward_classes(centres: Sequence[Centre], classes: int) -> list[int]:
    """Class of each centre by Ward's hierarchical merging, classes numbered by their first centre, from 1."""
    if len(centres) < 2:
        return [1] * len(centres)
    labels = fcluster(linkage(np.array(centres), method="ward"), t=classes, criterion="maxclust").tolist()
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels), 1)}
    return [numbers[label] for label in labels]


def _descending(mean: float | None) -> tuple[bool, float]:
    return (mean is None, -(mean or 0.0))
