"""The rows that a search over any table takes: parted, and as many of each class as it can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.table_models import TableSpec
from crm_spark.learning.split import HOLD_OUT, TRAIN, VALIDATION
from crm_spark.learning.table import KEY, LABEL, PART, in_parts
from crm_spark.learning.trainer import ROWS_PER_PARTITION, UntrainableError

MOST_CELLS = 100_000_000  # rows times columns that are searched
_VALIDATION = 0.2
_VALIDATION_OF_FEW = 0.3
_FEW_POSITIVES = 1000  # with fewer, a larger part must choose
_Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Sample:
    """`rows` with their part, in partitions by key; per part of the whole table its rows and how many of them have the label; and the shares that are
    kept of positive and of negative rows to learn from, and of the hold-out."""

    rows: DataFrame
    sizes: _Sizes
    shares: tuple[float, float, float]

    @property
    def learnt(self) -> tuple[int, int]:
        """Rows of the whole table that may be learnt from, and how many of them have the label."""
        rows, positives = (self.sizes[TRAIN][i] + self.sizes[VALIDATION][i] for i in (0, 1))
        return rows, positives

    @property
    def all_rows(self) -> int:
        """Rows of the whole table."""
        return sum(rows for rows, _ in self.sizes.values())


def sampled(rows: DataFrame, spec: TableSpec, width: int) -> Sample:
    """Of labelled rows of so many columns. UntrainableError where a part has only one value of the label."""
    parted = in_parts(rows, _VALIDATION)
    sizes = _sizes(parted)
    if sizes[TRAIN][1] + sizes[VALIDATION][1] < _FEW_POSITIVES:
        parted = in_parts(rows, _VALIDATION_OF_FEW)
        sizes = _sizes(parted)
    for part, (count, positives) in sizes.items():
        if positives in (0, count):
            raise UntrainableError(f"{spec.name}: the {count:,} rows of the part '{part}' have only one value of '{spec.label.column}'")
    shares = _kept_shares(spec, sizes, width)
    partitions = -(-sum(n for n, _ in sizes.values()) * max(shares) // ROWS_PER_PARTITION)
    return Sample(_kept(parted, shares).repartition(max(1, int(partitions)), KEY).sortWithinPartitions(KEY), sizes, shares)


def _sizes(parted: DataFrame) -> dict[str, tuple[int, int]]:
    counts = parted.groupBy(PART).agg(F.count(F.lit(1)).alias("rows"), F.sum(LABEL).cast("long").alias("positives")).collect()
    return dict.fromkeys((TRAIN, VALIDATION, HOLD_OUT), (0, 0)) | {r[PART]: (r["rows"], r["positives"]) for r in counts}


def _kept_shares(spec: TableSpec, sizes: _Sizes, width: int) -> tuple[float, float, float]:
    """All of a rarer class where it is under a quarter."""
    most = min(spec.max_rows, max(1000, MOST_CELLS // max(1, width)))
    rows, positives = (sum(sizes[part][i] for part in (TRAIN, VALIDATION)) for i in (0, 1))
    judged = min(1.0, most / max(1, sizes[HOLD_OUT][0]))
    if rows <= most:
        return 1.0, 1.0, judged
    negatives, rare = rows - positives, min(positives, rows - positives)
    if rare > most / 4:
        return most / rows, most / rows, judged
    if positives <= negatives:
        return 1.0, (most - positives) / negatives, judged
    return (most - negatives) / positives, 1.0, judged


def _kept(parted: DataFrame, shares: tuple[float, float, float]) -> DataFrame:
    positive, negative, judged = shares
    if min(shares) >= 1:
        return parted
    kept = F.when(F.col(PART) == HOLD_OUT, judged).when(F.col(LABEL) == 1, positive).otherwise(negative)
    place = F.pmod(F.xxhash64(F.lit("sample"), F.col(KEY)), F.lit(1_000_000)) / 1_000_000
    return parted.where(place < kept)
