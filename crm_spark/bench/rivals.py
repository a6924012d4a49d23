"""Gradient boosting of other libraries on the raw columns of the same rows, as somebody would fit it who has the table in memory."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OrdinalEncoder

from crm_spark.learning.measures import Numbers
from crm_spark.learning.profile import MISSING_WORDS, text_shape
from crm_spark.learning.split import HOLD_OUT, TRAIN, VALIDATION

_MOST_NATIVE = 254  # categories that HistGradientBoosting takes


class Classifier(Protocol):
    """What scikit-learn calls a classifier."""

    def fit(self, features: pd.DataFrame, label: Numbers) -> Classifier:
        """Itself, fitted."""
        ...

    def predict_proba(self, features: pd.DataFrame) -> Numbers:
        """A probability per row and class."""
        ...


def rivals(seed: int) -> dict[str, Callable[[], Classifier]]:
    """Those that are installed: LightGBM is a package of its own."""
    found: dict[str, Callable[[], Classifier]] = {
        "hist_gradient_boosting": lambda: HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed),
    }
    if find_spec("lightgbm"):
        import lightgbm

        found["lightgbm"] = lambda: lightgbm.LGBMClassifier(random_state=seed, verbose=-1)
        found["lightgbm_tuned"] = lambda: lightgbm.LGBMClassifier(
            learning_rate=0.03, num_leaves=15, n_estimators=450, random_state=seed, verbose=-1
        )
    return found


def rival_auc(make: Callable[[], Classifier], features: pd.DataFrame, label: Numbers, part: Numbers) -> float:
    """AUC on the hold-out of the better way with texts, ordinal or native, as validation says; learnt from all other rows."""
    ways = {"ordinal": _ordinal(features, part), "native": _native(features, part)}
    train, validation = part == TRAIN, part == VALIDATION
    held = {name: _auc(make().fit(way[train], label[train]), way[validation], label[validation]) for name, way in ways.items()}
    best = ways[max(held, key=lambda name: held[name])]
    return _auc(make().fit(best[part != HOLD_OUT], label[part != HOLD_OUT]), best[part == HOLD_OUT], label[part == HOLD_OUT])


def numbers_where_possible(table: pd.DataFrame) -> pd.DataFrame:
    """Texts that are numbers, but for words that stand for a missing one, as numbers; a column without a value is left out."""
    return pd.DataFrame({c: _number(table[c]) for c in table.columns}).dropna(axis=1, how="all")


def _number(values: pd.Series) -> pd.Series:
    """As it is, unless all that is told in it are numbers."""
    shape = text_shape(values)
    if shape["plain"] < shape["there"]:
        return values
    words = values.astype(str).str.strip()
    return words.where(values.notna() & ~words.str.lower().isin(MISSING_WORDS)).astype(float)


def _auc(model: Classifier, features: pd.DataFrame, label: Numbers) -> float:
    return float(roc_auc_score(label, model.predict_proba(features)[:, 1]))


def _ordinal(features: pd.DataFrame, part: Numbers) -> pd.DataFrame:
    texts = [c for c in features.columns if features[c].dtype == object]
    coded = features.copy()
    if texts:
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
        encoder.fit(features.loc[part != HOLD_OUT, texts])
        coded[texts] = encoder.transform(features[texts])
    return coded.astype(float)


def _native(features: pd.DataFrame, part: Numbers) -> pd.DataFrame:
    coded = features.copy()
    for name in (c for c in features.columns if features[c].dtype == object):
        levels = features.loc[part != HOLD_OUT, name].value_counts().index[:_MOST_NATIVE]
        coded[name] = pd.Categorical(features[name].where(features[name].isin(levels), np.nan), categories=sorted(levels))
    return coded
