"""Attributes for which another one stands: the first of the two steps of clustering (domain.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pyspark.ml.stat import Correlation
from pyspark.sql import DataFrame

from crm_spark.columns import DIGITS
from crm_spark.config.segments import SegmentationSpec
from crm_spark.segments.attributes import Scale
from crm_spark.segments.clustering import STANDARDISED, vectors
from crm_spark.segments.variables import Numbers, cluster_variables


def redundant(sample: DataFrame, scales: Mapping[str, Scale], spec: SegmentationSpec) -> dict[str, str]:
    """By attribute that does not represent its cluster, which one does and how much they have in common."""
    clusters = cluster_variables([*scales], _correlations(sample, scales, spec), spec.split_above)
    return {
        member.name: f"{cluster.representative.name} stands for it and what varies with it ({member.own:.0%} in common)"
        for cluster in clusters
        for member in cluster.members[1:]
    }


def _correlations(sample: DataFrame, scales: Mapping[str, Scale], spec: SegmentationSpec) -> Numbers:
    """One number per pair of attributes comes to the driver, at the digits that count."""
    found = Correlation.corr(vectors(sample, scales, spec), STANDARDISED).head()
    return np.asarray(found[0].toArray().round(DIGITS))  # type: ignore[index]  # an aggregate has a row
