"""From a model of the month to the probability of its label: what is fitted to the feature vector, and the stages that follow it."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.ml import Transformer
from pyspark.ml.classification import GBTClassificationModel, GBTClassifier
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.ml.regression import DecisionTreeRegressor, RandomForestRegressor
from pyspark.sql import DataFrame

from crm_spark.learning.calibrate import SURE, Calibration
from crm_spark.learning.members import element_of_vector
from crm_spark.learning.trees import TreeModel

_SHARE, _MARGIN, _RAW, _CHANCE, _NOT = "_share", "_margin", "_raw_probability", "_chance", "_not"


def estimator(algorithm: str, seed: int, settings: Mapping[str, float]) -> GBTClassifier | DecisionTreeRegressor | RandomForestRegressor:
    """MLlib's, over the columns `label` and `features`.

    A tree or forest is fitted to the label as a number: the variance of 0 and 1 is half their Gini impurity, and a leaf is the share with the
    label. Of a classifier's tree MLlib cuts every branch whose leaves have the same majority, which of a rare label leaves nothing.
    """
    if algorithm == "gbt":
        return GBTClassifier(featuresCol="features", labelCol="label", seed=seed, **settings)  # type: ignore[arg-type]
    shares = {"featuresCol": "features", "labelCol": "label", "predictionCol": _SHARE, "seed": seed}
    if algorithm == "tree":
        return DecisionTreeRegressor(**shares, **settings)  # type: ignore[arg-type]
    return RandomForestRegressor(**shares, featureSubsetStrategy="sqrt", **settings)  # type: ignore[arg-type]


def probability_stages(rows: DataFrame, model: TreeModel, calibration: Calibration) -> list[Transformer]:
    """The model and what makes its answer the vector `probability`, calibrated in log-odds; `rows` are any of the session."""
    if not isinstance(model, GBTClassificationModel):
        share = f"greatest({SURE}D, least({1 - SURE}D, {_SHARE}))"
        return [model, *_calibrated(f"ln({share} / (1 - {share}))", calibration)]
    if calibration.kind == "none":
        return [model]
    raw = model.copy().setProbabilityCol(_RAW)
    return [raw, element_of_vector(rows, raw.getRawPredictionCol(), _MARGIN), *_calibrated(f"2 * {_MARGIN}", calibration)]


def _calibrated(log_odds: str, calibration: Calibration) -> list[Transformer]:
    told = f"({calibration.slope!r}D * ({log_odds}) + {calibration.offset!r}D)"
    both = f"SELECT *, 1 / (1 + exp(-{told})) AS {_CHANCE}, 1 / (1 + exp({told})) AS {_NOT} FROM __THIS__"
    return [SQLTransformer(statement=both), VectorAssembler(inputCols=[_NOT, _CHANCE], outputCol="probability")]
