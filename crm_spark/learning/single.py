"""How well each feature alone tells the label: one that nearly does may tell what came after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

MOST = 5_000  # rows of each class: the standard error of an AUC near .95 is .002 then
_SEED = 17


def single_aucs(rows: DataFrame, label: str, vector: str, names: Sequence[str], texts: Sequence[str] = ()) -> dict[str, float]:
    """Name -> AUC of the feature alone, whichever way it points; of a text, of the shares with the label of its levels.

    `rows` have both classes and hold the features in the order of `names` in `vector`. At most MOST rows of each class come to the driver.
    """
    counts = {float(r[label]): int(r["count"]) for r in rows.groupBy(label).count().collect()}
    kept = {value: min(1.0, MOST / count) for value, count in counts.items()}
    sample = rows.sampleBy(label, kept, _SEED).select(F.col(label).alias("label"), vector_to_array(F.col(vector)).alias("features")).toPandas()
    values = pd.DataFrame(sample["features"].tolist(), columns=list(names))
    positive = sample["label"].to_numpy() == 1
    for text in texts:
        values[text] = pd.Series(positive).groupby(values[text]).transform("mean")
    return _aucs(values, positive)


def telling(aucs: Mapping[str, float], most: float) -> dict[str, float]:
    """The features with an AUC above `most`, the highest first."""
    return {name: auc for name, auc in sorted(aucs.items(), key=lambda item: -item[1]) if auc > most}


def _aucs(values: pd.DataFrame, positive: NDArray[np.bool_]) -> dict[str, float]:
    """Mann-Whitney, ties halved."""
    ones = int(positive.sum())
    pairs = ones * (len(positive) - ones)
    above = (values.rank()[positive].sum() - ones * (ones + 1) / 2) / pairs
    return {str(name): max(auc, 1 - auc) for name, auc in above.items()}
