"""How many groups: clusterings of a bounded sample judged by stability and silhouette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from crm_spark.columns import DIGITS
from crm_spark.config.segments import SegmentationSpec
from crm_spark.segments.variables import Numbers

_STARTS = 3  # of k-means++ per fit


@dataclass(frozen=True)
class Quality:
    """How good a number of groups is.

    `stability` is the mean adjusted Rand index (Hubert and Arabie 1985) of the groups with those of fits to bootstrap samples, 1 if all
    agree, `stability_error` the standard error of this mean; `silhouette` the mean silhouette (Rousseeuw 1987), from -1 to 1.
    """

    groups: int
    stability: float
    stability_error: float
    silhouette: float


def qualities(points: Numbers, spec: SegmentationSpec) -> tuple[Quality, ...]:
    """Of each number of groups that is tried, in ascending order; of `points`, one row a customer, on the driver.

    A number that the distinct points do not carry is left out.
    """
    distinct = len(np.unique(points, axis=0))
    with threadpool_limits(1):  # OpenMP's threads wait for each other in a loop, which on a busy machine takes a hundred times as long
        return tuple(_quality(points, groups, spec) for groups in spec.tried if groups < distinct)


def chosen_groups(found: Sequence[Quality], former: int | None) -> int:
    """Of the numbers whose stability lies within one standard error of the best: that of the month before, else that of highest silhouette."""
    best = max(found, key=lambda q: q.stability)
    stable = [q for q in found if q.stability >= best.stability - best.stability_error]
    return next((q.groups for q in stable if q.groups == former), max(stable, key=lambda q: q.silhouette).groups)


def _quality(points: Numbers, groups: int, spec: SegmentationSpec) -> Quality:
    labels = _fitted(points, groups, spec.seed).labels_
    draws = np.random.default_rng(spec.seed)
    agreed = [
        adjusted_rand_score(labels, _fitted(points[draws.integers(len(points), size=len(points))], groups, spec.seed + again).predict(points))
        for again in range(1, spec.resamples + 1)
    ]
    error = float(np.std(agreed, ddof=1) / np.sqrt(len(agreed)))
    silhouette = float(silhouette_score(points, labels)) if len(set(labels)) > 1 else 0.0
    return Quality(groups, *(round(x, DIGITS) for x in (float(np.mean(agreed)), error, silhouette)))


def _fitted(points: Numbers, groups: int, seed: int) -> KMeans:
    return KMeans(groups, n_init=_STARTS, random_state=seed).fit(points)
