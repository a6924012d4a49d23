"""Gradient boosting by XGBoost's own estimator of Spark: an extra (`crm-spark[xgboost]`), tried by tables whose spec names it.

Its fit is a barrier stage of one task, and its trees score in a function of Python, so that it is not among the default algorithms.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from crm_spark.errors import ConfigError
from crm_spark.learning.trees import Trees, trees_of_dump

if TYPE_CHECKING:
    from xgboost.spark import SparkXGBRegressorModel


def refuse_if_absent(model: str) -> None:
    """ConfigError unless XGBoost is installed."""
    if find_spec("xgboost") is None:
        raise ConfigError(f"{model}: algorithms: xgboost is an extra that is not installed (pip install 'crm-spark[xgboost]')")


def fit_shares(settings: dict[str, float], rows: DataFrame, vector: str, label: str, prediction: str, seed: int) -> SparkXGBRegressorModel:
    """Fitted so that the column `prediction` is the share with the label; the trees alone add up to its log-odds."""
    from xgboost.spark import SparkXGBRegressor

    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    columns: dict[str, Any] = {"features_col": vector, "label_col": label, "prediction_col": prediction}
    # base_score: no log-odds beside the trees. repartition: else XGBoost does it, and warns.
    fixed = {"objective": "reg:logistic", "base_score": 0.5, "random_state": seed, "num_workers": 1, "verbose": False}
    found: SparkXGBRegressorModel = SparkXGBRegressor(**columns | fixed | settings).fit(rows.repartition(1))
    return found


def trees_of_xgboost(model: SparkXGBRegressorModel) -> Trees:
    """Half the log-odds, as MLlib's boosted trees."""
    return trees_of_dump(dumped(model), 0.5)


def dumped(model: SparkXGBRegressorModel) -> list[str]:
    """Its trees, one text of JSON each."""
    return list(model.get_booster().get_dump(dump_format="json"))
