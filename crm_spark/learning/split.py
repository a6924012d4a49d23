"""Who is learnt from, who chooses and who judges: hold-out, validation and training, by time where the history carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.learning.windows import LABEL_VALUE

HOLD_OUT_BELOW = 30  # split_bucket 0-29 is held out for good
VALIDATION_BELOW = 45  # 30-44 chooses between algorithms, the rest trains
TIME_SPLIT_POSITIVES = 200  # fewer than this cannot judge a later month

TRAIN, VALIDATION, HOLD_OUT, EARLIER_HOLD_OUT = "train", "validation", "hold_out", "earlier_hold_out"


@dataclass(frozen=True)
class Count:
    """Customers and those with the label."""

    customers: int
    positives: int

    @property
    def rate(self) -> float:
        """Share with the label; 0 of nobody."""
        return self.positives / self.customers if self.customers else 0.0


@dataclass(frozen=True)
class Split:
    """How the rows are parted. By time: the last as-of month judges, earlier ones train; hold-out customers never train either way."""

    by: str
    reason: str
    train_months: tuple[str, ...]
    test_months: tuple[str, ...]


def label_counts(rows: DataFrame) -> dict[tuple[str, bool], Count]:
    """Customers and positives per as-of month and hold-out, months ascending; a handful of numbers."""
    held_out = (F.col("split_bucket") < HOLD_OUT_BELOW).alias("held_out")
    sums = (F.count(F.lit(1)).alias("customers"), F.sum(LABEL_VALUE).cast("long").alias("positives"))
    found = rows.where(F.col("split_bucket").isNotNull()).groupBy("month", held_out).agg(*sums).collect()
    return {(r["month"], r["held_out"]): Count(r["customers"], r["positives"]) for r in sorted(found)}


def choose_split(counts: Mapping[tuple[str, bool], Count]) -> Split:
    """By time with at least two label months and enough positives, else by bucket, saying why."""
    months = tuple(sorted({month for month, _ in counts}))
    positives = sum(c.positives for c in counts.values())
    if len(months) < 2:
        return Split("bucket", f"by bucket: only one label month ({', '.join(months)})", months, months)
    if positives < TIME_SPLIT_POSITIVES:
        return Split("bucket", f"by bucket: {positives} positives, by time needs {TIME_SPLIT_POSITIVES}", months, months)
    return Split("time", f"by time: learnt as of {', '.join(months[:-1])}, judged as of {months[-1]}", months[:-1], months[-1:])


def part(split: Split) -> Column:
    """Which part a row plays: train, validation, hold_out, earlier_hold_out (held out, but of a training month), or null (none)."""
    bucket, month = F.col("split_bucket"), F.col("month")
    held_out, validates = bucket < HOLD_OUT_BELOW, bucket < VALIDATION_BELOW
    judged, learnt = month.isin(*split.test_months), month.isin(*split.train_months)
    return (
        F.when(held_out & judged, HOLD_OUT)
        .when(held_out & learnt, EARLIER_HOLD_OUT)
        .when(~held_out & learnt, F.when(validates, VALIDATION).otherwise(TRAIN))
    )


def tally(counts: Mapping[tuple[str, bool], Count], months: Sequence[str], held_out: bool) -> Count:
    """The sum over months of one side."""
    mine = [c for (month, out), c in counts.items() if month in months and out == held_out]
    return Count(sum(c.customers for c in mine), sum(c.positives for c in mine))
