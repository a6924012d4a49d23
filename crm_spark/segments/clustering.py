"""Instance clustering: KMeans on the standardised sample, then every customer to the nearest centre."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.ml.clustering import KMeans, KMeansModel
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import DIGITS
from crm_spark.config.segments import SegmentationSpec
from crm_spark.frames import literal_frame
from crm_spark.segments.attributes import KEY, Scale, standardised, training_sample
from crm_spark.segments.merging import merged
from crm_spark.segments.variables import Numbers

CLUSTER = "cluster"
STANDARDISED = "standardised"
Centre = tuple[float, ...]


@dataclass(frozen=True)
class Clusters:
    """A fitted clustering as data: the scale of every attribute used and the centres in standard deviations."""

    scales: dict[str, Scale]
    centres: tuple[Centre, ...]
    model: KMeansModel

    def entering(self, cluster: int, weights: Mapping[str, float]) -> dict[str, float]:
        """A centre by attribute, as it enters the clustering before it is standardised."""
        scaled = zip(self.scales.items(), self.centres[cluster], strict=True)
        return {a: round(s.mean + s.deviation * x / weights.get(a, 1.0), DIGITS) for (a, s), x in scaled}

    def standardised(self, entering: Mapping[str, float], weights: Mapping[str, float]) -> Centre:
        """The reverse, on this scale, of the attributes given."""
        return tuple((x - self.scales[a].mean) / self.scales[a].deviation * weights.get(a, 1.0) for a, x in entering.items())

    @property
    def digest(self) -> str:
        """SHA-256 of scales and centres at the digits that count: equal fits have equal digests."""
        scales = {a: (round(s.mean, DIGITS), round(s.deviation, DIGITS)) for a, s in self.scales.items()}
        return hashlib.sha256(json.dumps([scales, self.centres], sort_keys=True).encode()).hexdigest()


def fit(sample: DataFrame, scales: Mapping[str, Scale], spec: SegmentationSpec) -> Clusters:
    """KMeans from several seeds, of which the tightest counts; the preclusters of all seeds together are merged to the groups (bagged clustering, Leisch 1999).

    There may be fewer centres than groups if the sample has fewer distinct customers.
    """
    points = vectors(sample, scales, spec)
    models = [_fitted(points, spec, start) for start in range(spec.starts)]
    model = _merged(models, points, spec) if spec.preclusters else min(models, key=_cost)
    centres = tuple(tuple(round(float(x), DIGITS) for x in centre) for centre in model.clusterCenters())
    return Clusters(dict(scales), centres, model)


def assigned(attributes: DataFrame, clusters: Clusters, spec: SegmentationSpec) -> DataFrame:
    """Key, attributes and the number of the nearest centre, one row per row of `attributes`."""
    placed = clusters.model.transform(vectors(attributes, clusters.scales, spec))
    return placed.select(*KEY, *[f"`{a}`" for a in spec.expressions], CLUSTER)


def judged_points(sample: DataFrame, rows: int, scales: Mapping[str, Scale], spec: SegmentationSpec) -> Numbers:
    """About `spec.judged` of the `rows` customers that were sampled, as rows of standardised attributes, on the driver; they carry no key."""
    few = training_sample(sample, rows, min(spec.judged, spec.sample))
    return np.array([row[0] for row in vectors(few, scales, spec).select(vector_to_array(F.col(STANDARDISED))).collect()])


def vectors(attributes: DataFrame, scales: Mapping[str, Scale], spec: SegmentationSpec) -> DataFrame:
    """The rows with their standardised attributes as one vector, `STANDARDISED`."""
    names = [f"{STANDARDISED}_{i}" for i in range(len(scales))]
    columns = [standardised(a, scale, spec).alias(name) for name, (a, scale) in zip(names, scales.items(), strict=True)]
    assembler = VectorAssembler(inputCols=names, outputCol=STANDARDISED)
    return assembler.transform(attributes.select("*", *columns)).drop(*names)


def _fitted(points: DataFrame, spec: SegmentationSpec, start: int) -> KMeansModel:
    kmeans = KMeans(k=spec.preclusters or spec.groups, seed=spec.seed + start, initMode="k-means||", maxIter=spec.iterations)
    return kmeans.setFeaturesCol(STANDARDISED).setPredictionCol(CLUSTER).fit(points)


def _merged(models: Sequence[KMeansModel], points: DataFrame, spec: SegmentationSpec) -> KMeansModel:
    """The model that puts everyone to the nearest centre of the merged groups: fitted to these centres alone, which it then keeps."""
    small = np.concatenate([model.clusterCenters() for model in models]).round(DIGITS)
    centres = merged(small, [size for model in models for size in model.summary.clusterSizes], spec.groups)
    rows = literal_frame(points.sparkSession, [(centre.tolist(),) for centre in centres], "centre array<double>").coalesce(1)
    kmeans = KMeans(k=len(centres), seed=spec.seed, initMode="random", maxIter=1).setFeaturesCol(STANDARDISED).setPredictionCol(CLUSTER)
    return kmeans.fit(rows.select(array_to_vector(F.col("centre")).alias(STANDARDISED)))


def _cost(model: KMeansModel) -> float:
    """Sum of squared distances; at the digits that count, so that the earliest of equally good fits is taken."""
    return round(float(model.summary.trainingCost), DIGITS)
