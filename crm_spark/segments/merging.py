"""Small groups merged to fewer: the second step of clustering in two steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from crm_spark.segments.variables import Numbers


def merged(centres: Numbers, sizes: Sequence[int], groups: int) -> Numbers:
    """The centres of so many groups, merged from small ones of known sizes; an empty one is left out.

    Each time those two are merged by which the sum of squared distances grows least (Ward 1963).
    """
    there = np.array(sizes) > 0
    places, weights = centres[there], np.array(sizes, dtype=float)[there]
    while len(places) > groups:
        growth = cdist(places, places, "sqeuclidean") * weights[:, None] * weights / (weights[:, None] + weights)
        np.fill_diagonal(growth, np.inf)
        one, other = divmod(int(growth.argmin()), len(places))
        places[one] = np.average(places[[one, other]], axis=0, weights=weights[[one, other]])
        weights[one] += weights[other]
        places, weights = np.delete(places, other, axis=0), np.delete(weights, other)
    return places
