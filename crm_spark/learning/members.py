"""The models a champion may be made of, each fitted to give log-odds as a plain number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.ml import Transformer
from pyspark.ml.classification import GBTClassificationModel, GBTClassifier, LogisticRegression, LogisticRegressionModel
from pyspark.ml.feature import SQLTransformer
from pyspark.ml.regression import (
    DecisionTreeRegressionModel,
    DecisionTreeRegressor,
    IsotonicRegression,
    IsotonicRegressionModel,
    RandomForestRegressionModel,
    RandomForestRegressor,
)
from pyspark.sql import DataFrame
from pyspark.sql.utils import is_remote

from crm_spark.config.table_models import TableAlgorithm
from crm_spark.frames import literal_frame
from crm_spark.learning.calibrate import SURE
from crm_spark.learning.table import LABEL
from crm_spark.learning.xgb import fit_shares

if TYPE_CHECKING:
    from xgboost.spark import SparkXGBRegressorModel

    FittedModel = GBTClassificationModel | LogisticRegressionModel | RandomForestRegressionModel | DecisionTreeRegressionModel | SparkXGBRegressorModel
TREES, LINE = "_features", "_linear"  # the vector that trees read, and the one of a line
_FEW_ROWS = 5000
_FAR = 1e4  # no margin is so large


@dataclass(frozen=True)
class Recipe:
    """An algorithm and its settings."""

    name: str
    algorithm: TableAlgorithm
    settings: dict[str, float] = field(default_factory=dict)

    @property
    def vector(self) -> str:
        """The column it reads."""
        return LINE if self.algorithm == "logistic" else TREES


@dataclass(frozen=True)
class Member:
    """A fitted recipe; its stages add the column `log_odds`, which is null for nobody."""

    recipe: Recipe
    model: FittedModel
    stages: tuple[Transformer, ...]
    log_odds: str


def recipes(algorithms: Sequence[TableAlgorithm], rows: int, rounds: int) -> list[Recipe]:
    """What is tried, in this order; leaves grow with the number of rows to learn from."""
    least = _least(rows)
    boosted: dict[str, float] = {"subsamplingRate": 0.7, "minInstancesPerNode": least}
    sampled = {"subsample": 0.7, "colsample_bynode": 0.5}
    trees = 200 if rows < _FEW_ROWS else 100
    forest: dict[str, float] = {"numTrees": trees, "maxDepth": 8, "maxBins": 64, "minInstancesPerNode": max(2, least // 5), "maxMemoryInMB": 512}
    lines = [Recipe("logistic", "logistic", {"regParam": 0.01})]
    if rows < _FEW_ROWS:
        lines.append(Recipe("tight_logistic", "logistic", {"regParam": 0.1}))
    several: dict[TableAlgorithm, list[Recipe]] = {
        "forest": [Recipe("forest", "forest", forest)],
        "logistic": lines,
        "tree": [Recipe("tree", "tree", {"maxDepth": 5, "minInstancesPerNode": least})],
        "gbt": [
            Recipe("gbt", "gbt", {"maxIter": rounds, "maxDepth": 3, "stepSize": 0.1, "maxBins": 128, **boosted}),
            Recipe("deeper_gbt", "gbt", {"maxIter": max(1, rounds * 2 // 5), "maxDepth": 5, "stepSize": 0.08, "maxBins": 64, **boosted}),
        ],
        "xgboost": [Recipe("xgboost", "xgboost", {"n_estimators": 3 * rounds, "max_depth": 4, "learning_rate": 0.03, "min_child_weight": least / 4, **sampled})],
    }
    return [r for a in several if a in algorithms for r in several[a]]


def quick_recipe(rows: int) -> Recipe:
    """A few trees, to see which features are of use."""
    return Recipe("quick_forest", "forest", {"numTrees": 30, "maxDepth": 6, "maxBins": 64, "minInstancesPerNode": _least(rows), "maxMemoryInMB": 512})


def _least(rows: int) -> int:
    """Rows that a leaf needs."""
    return max(10, min(50, rows // 100))


def fit(recipe: Recipe, rows: DataFrame, number: int, seed: int) -> Member:
    """Fitted on the rows (their label and vectors); `number` sets its columns apart from other members'."""
    prefix = f"_m{number}"
    log_odds = f"{prefix}_log_odds"
    if recipe.algorithm in ("forest", "tree", "xgboost"):
        model = _shares(recipe, prefix, rows, seed)
        share = f"greatest({SURE}D, least({1 - SURE}D, {prefix}_prediction))"
        return Member(recipe, model, (model, _sql(f"ln({share} / (1 - {share}))", log_odds)), log_odds)
    classifier = _without_summary(_classifier(recipe, prefix, seed).fit(rows))
    margin = element_of_vector(rows, f"{prefix}_raw", f"{prefix}_margin")
    odds = "2 * " if recipe.algorithm == "gbt" else ""  # a boosted margin is half the log-odds
    return Member(recipe, classifier, (classifier, margin, _sql(f"{odds}{prefix}_margin", log_odds)), log_odds)


def _without_summary(model: GBTClassificationModel | LogisticRegressionModel) -> GBTClassificationModel | LogisticRegressionModel:
    """A line just fitted carries a summary and, in it, its session, which Spark cannot send to tasks once anything was observed in it."""
    if isinstance(model, LogisticRegressionModel) and not is_remote():
        java: Any = model._java_obj
        java.setSummary(java.get(java.getParam("thresholds")))  # which are not set: an Option without a value
    return model


def _shares(recipe: Recipe, prefix: str, rows: DataFrame, seed: int) -> RandomForestRegressionModel | DecisionTreeRegressionModel | SparkXGBRegressorModel:
    """Trees fitted to the label as a number: the variance of 0 and 1 is half their Gini impurity, and a leaf is the share with the label."""
    prediction = f"{prefix}_prediction"
    if recipe.algorithm == "xgboost":
        return fit_shares(recipe.settings, rows, recipe.vector, LABEL, prediction, seed)
    columns = {"featuresCol": recipe.vector, "labelCol": LABEL, "predictionCol": prediction, "seed": seed}
    own: DecisionTreeRegressor | RandomForestRegressor
    if recipe.algorithm == "tree":
        own = DecisionTreeRegressor(**columns, **recipe.settings)  # type: ignore[arg-type]
    else:
        own = RandomForestRegressor(**columns, featureSubsetStrategy="sqrt", **recipe.settings)  # type: ignore[arg-type]
    found: DecisionTreeRegressionModel | RandomForestRegressionModel = own.fit(rows)
    return found


def _classifier(recipe: Recipe, prefix: str, seed: int) -> GBTClassifier | LogisticRegression:
    if recipe.algorithm == "logistic":
        own: GBTClassifier | LogisticRegression = LogisticRegression(**recipe.settings)  # type: ignore[call-overload]
    else:
        own = GBTClassifier(seed=seed, **recipe.settings)  # type: ignore[arg-type]
    named = own.setFeaturesCol(recipe.vector).setLabelCol(LABEL).setPredictionCol(f"{prefix}_prediction")
    return named.setRawPredictionCol(f"{prefix}_raw").setProbabilityCol(f"{prefix}_probability")


def element_of_vector(rows: DataFrame, vector: str, number: str) -> IsotonicRegressionModel:
    """The second element of a vector as a number, without a function of Python's: the isotonic line from -_FAR to _FAR.

    No SQL reads a vector, and this is the one stage of MLlib that picks an element and gives a number.
    """
    ends = literal_frame(rows.sparkSession, [(-_FAR, -_FAR), (_FAR, _FAR)], "end_label double, end double")
    line = IsotonicRegression(featuresCol="end", labelCol="end_label").fit(ends)
    picked: IsotonicRegressionModel = line.setFeaturesCol(vector).setFeatureIndex(1).setPredictionCol(number)
    return picked


def _sql(expression: str, name: str) -> SQLTransformer:
    return SQLTransformer(statement=f"SELECT *, {expression} AS {name} FROM __THIS__")
