"""Texts as numbers: each level by its share with the label, smoothed, and of many levels out of fold, so that no row is encoded by its own label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.ml.feature import StringIndexerModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.learning.features import MAX_LEVELS, MISSING_TEXT
from crm_spark.learning.measures import Numbers
from crm_spark.learning.table import FOLD, FOLDS, LABEL, Source

SMOOTHING = 30.0  # a level of so many rows is believed by half
RAREST = 10  # rows that a level of its own needs; rarer ones are one level together, as are those never seen
MOST_LEVELS = 1000
SHARE = "_share"  # how the name of an encoded column ends
_TOGETHER = 20  # columns counted in one pass
_TOTAL = FOLDS  # the place behind the folds: all of them


@dataclass(frozen=True)
class Encoding:
    """A text's levels, and per level (the last: rare or never seen) its encoding in each fold and, in the last row, at scoring, and the share of rows
    that have it (0 of the last: each of those has few)."""

    source: Source
    levels: tuple[str, ...]
    shares: Numbers
    sizes: Numbers

    @property
    def id(self) -> str:
        """The encoded column."""
        return f"{self.source.id}{SHARE}"

    @property
    def level(self) -> str:
        """The column of its level's number."""
        return f"{self.source.id}_level"

    @property
    def size_sql(self) -> str:
        """The share of rows that have the same level."""
        return _looked_up(self, self.sizes, "0")

    @property
    def out_of_fold(self) -> bool:
        """Of a few levels no row moves the share: learning on what scoring sees is better than five shares that tell the fold."""
        return len(self.levels) > MAX_LEVELS


def encodings(clean: DataFrame, texts: Sequence[Source]) -> list[Encoding]:
    """Learnt from the given rows; only counts of levels that are not rare come to the driver. A text of one level has none."""
    base = clean.agg(F.array(*[F.count_if(F.col(FOLD) == k) for k in range(FOLDS)]), F.array(*[_positives(k) for k in range(FOLDS)])).first()
    assert base is not None
    rows, positives = np.array(base[0], dtype=float), np.array(base[1], dtype=float)
    found = []
    for start in range(0, len(texts), _TOGETHER):
        group = texts[start : start + _TOGETHER]
        counts = _counts(clean, group)
        found += [_encoding(s, counts[counts["id"] == s.id], rows, positives) for s in group]
    return [e for e in found if len(e.levels) > 1 or (e.levels and e.shares[_TOTAL, 0] != e.shares[_TOTAL, -1])]


def indexer(found: Sequence[Encoding]) -> StringIndexerModel:
    """The stage that numbers the levels; one it does not know gets the number behind the last of the text that has most (pyspark hands the levels
    of all texts over as one square array)."""
    ids = [e.source.id for e in found]
    labels = [list(e.levels) for e in found]
    return StringIndexerModel.from_arrays_of_labels(labels, [f"{i}_text" for i in ids], [e.level for e in found], "keep")


def filled_statement(found: Sequence[Encoding]) -> str:
    """SQL that makes a missing text a level."""
    filled = [f"coalesce({e.source.id}, '{MISSING_TEXT}') AS {e.source.id}_text" for e in found]
    return f"SELECT *, {', '.join(filled)} FROM __THIS__"


def scoring_statement(found: Sequence[Encoding]) -> str:
    """SQL that adds the encoded columns of rows that are scored."""
    shares = [f"{_looked_up(e, e.shares[_TOTAL], '0')} AS {e.id}" for e in found]
    return f"SELECT *, {', '.join(shares)} FROM __THIS__"


def learning_statement(found: Sequence[Encoding]) -> str:
    """The same of the rows learnt from: of texts with many levels by the other folds."""
    encoded = [_looked_up(e, e.shares[:_TOTAL], FOLD) if e.out_of_fold else _looked_up(e, e.shares[_TOTAL], "0") for e in found]
    return f"SELECT *, {', '.join(f'{sql} AS {e.id}' for e, sql in zip(found, encoded, strict=True))} FROM __THIS__"


def _counts(clean: DataFrame, texts: Sequence[Source]) -> pd.DataFrame:
    cells = F.explode(F.array(*[F.struct(F.lit(s.id).alias("id"), F.coalesce(F.col(s.id), F.lit(MISSING_TEXT)).alias("level")) for s in texts]))
    cell = clean.select(FOLD, LABEL, cells.alias("cell")).groupBy("cell.id", "cell.level")
    sums = [F.count_if(F.col(FOLD) == k).alias(f"rows_{k}") for k in range(FOLDS)] + [_positives(k).alias(f"positives_{k}") for k in range(FOLDS)]
    counted = cell.agg(F.count(F.lit(1)).alias("rows"), *sums).where(F.col("rows") >= RAREST)
    return counted.toPandas().sort_values(["id", "rows", "level"], ascending=[True, False, True])


def _positives(fold: int) -> Column:
    return F.count_if((F.col(FOLD) == fold) & (F.col(LABEL) == 1))


def _encoding(source: Source, counts: pd.DataFrame, rows: Numbers, positives: Numbers) -> Encoding:
    kept = counts.head(MOST_LEVELS)
    inside = [kept[[f"{what}_{k}" for k in range(FOLDS)]].to_numpy(dtype=float).T.reshape(FOLDS, -1) for what in ("rows", "positives")]
    count, with_label = (np.column_stack([own, whole - own.sum(axis=1)]) for own, whole in zip(inside, (rows, positives), strict=True))
    folds = [_shares(count.sum(axis=0) - count[k], with_label.sum(axis=0) - with_label[k]) for k in range(FOLDS)]
    totals = count.sum(axis=0)
    sizes = np.append(totals[:-1], 0.0) / max(totals.sum(), 1.0)
    return Encoding(source, tuple(kept["level"]), np.array([*folds, _shares(totals, with_label.sum(axis=0))]), sizes)


def _shares(rows: Numbers, positives: Numbers) -> Numbers:
    prior = positives.sum() / max(rows.sum(), 1.0)
    return np.asarray((positives + SMOOTHING * prior) / (rows + SMOOTHING))


def _looked_up(encoding: Encoding, shares: Numbers, fold: str) -> str:
    """The array is one text, which Spark reads once: thousands of literals would keep its parser busy."""
    values = ",".join(f"{v:.6g}" for v in shares.ravel())
    last = len(encoding.levels)
    place = f"{fold} * {last + 1} + least(CAST({encoding.level} AS int), {last}) + 1"
    return f"element_at(CAST(split('{values}', ',') AS array<double>), {place})"
