"""What a fitted model says, in words: tree rules with feature names, importances, and a digest that tells one model from another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import GBTClassificationModel, LogisticRegressionModel
from pyspark.ml.feature import SQLTransformer, StringIndexerModel, VectorAssembler
from pyspark.ml.regression import IsotonicRegressionModel

from crm_spark.learning.features import MISSING
from crm_spark.learning.trees import TreeModel
from crm_spark.learning.xgb import dumped

if TYPE_CHECKING:
    from xgboost.spark import SparkXGBRegressorModel

_DECIDING = (
    "inputCol", "inputCols", "outputCol", "outputCols", "featuresCol", "predictionCol", "probabilityCol", "rawPredictionCol", "featureIndex",
    "handleInvalid",
)  # fmt: skip
_RANDOM = "__output"
UNSEEN = "(unseen)"  # the level of a text that training never saw
_NUMBER_TEST = re.compile(r"feature (\d+) (<=|>) (-?[\d.]+(?:E-?\d+)?)")
_LEAF = re.compile(r"Predict: (-?[\d.]+(?:E-?\d+)?)")
_LEVEL_TEST = re.compile(r"feature (\d+) (not in|in) \{([\d.,]*)\}")


def tree_rules(model: TreeModel, names: Sequence[str], levels: Mapping[str, Sequence[str]]) -> str:
    """The model's trees as nested conditions, with feature names, level names and `is missing` in place of numbers."""
    text = _NUMBER_TEST.sub(lambda m: _number_test(names[int(m[1])], m[2], float(m[3])), _trees(model))
    if not isinstance(model, GBTClassificationModel):
        text = _LEAF.sub(lambda m: f"{float(m[1]):.1%} have the label", text)
    return _LEVEL_TEST.sub(lambda m: _level_test(names[int(m[1])], m[2], m[3], levels), text)


def importances(model: TreeModel, names: Sequence[str]) -> dict[str, float]:
    """Share of the impurity gain per feature, greatest first, ties by name; features never used are left out."""
    shares = {name: float(share) for name, share in zip(names, model.featureImportances.toArray(), strict=True)}
    return {n: shares[n] for n in sorted(shares, key=lambda n: (-shares[n], n)) if shares[n] > 0}


def text_levels(stages: Sequence[Transformer]) -> dict[str, tuple[str, ...]]:
    """Feature -> its levels in number order, the unseen one last."""
    indexers = [s for s in stages if isinstance(s, StringIndexerModel)]
    pairs = [(c, labels) for i in indexers for c, labels in zip(i.getInputCols(), i.labelsArray, strict=True)]
    return {column.removeprefix("f_"): (*labels, UNSEEN) for column, labels in pairs}


def model_digest(model: PipelineModel) -> str:
    """SHA-256 over everything that decides a score: preparation, levels, trees. Equal digests score equally."""
    return hashlib.sha256("\0".join(map(_stage_text, model.stages)).encode()).hexdigest()


def _stage_text(stage: Transformer) -> str:
    """What it reads, makes and has learnt; a column that nobody named, and so has a random name, is none of it."""
    told = {name: str(stage.getOrDefault(name)) for name in _DECIDING if stage.hasParam(name) and stage.isDefined(name)}
    named = {name: value for name, value in told.items() if not value.endswith(_RANDOM)}
    return f"{named} {_learnt(stage)}"


def _learnt(stage: Transformer) -> str:
    if isinstance(stage, SQLTransformer):
        return str(stage.getStatement())
    if isinstance(stage, StringIndexerModel):
        return repr([list(labels) for labels in stage.labelsArray])
    if isinstance(stage, VectorAssembler):
        return ""
    if isinstance(stage, IsotonicRegressionModel):
        return repr((stage.boundaries.toArray().tolist(), stage.predictions.toArray().tolist()))
    if isinstance(stage, LogisticRegressionModel):
        return repr((stage.coefficients.toArray().tolist(), stage.intercept))
    return _trees(stage) if isinstance(stage, TreeModel) else "".join(dumped(cast("SparkXGBRegressorModel", stage)))


def _trees(model: TreeModel) -> str:
    """The debug text without its first line, which holds a random identifier."""
    return str(model.toDebugString).split("\n", 1)[1]


def _number_test(name: str, sign: str, threshold: float) -> str:
    if threshold < MISSING / 10:
        return f"{name} is missing" if sign == "<=" else f"{name} is there"
    return f"{name} {sign} {threshold:.6g}"


def _level_test(name: str, word: str, numbers: str, levels: Mapping[str, Sequence[str]]) -> str:
    chosen = sorted(levels[name][int(float(n))] for n in numbers.split(",") if n)
    return f"{name} {word} {{{', '.join(chosen)}}}"
