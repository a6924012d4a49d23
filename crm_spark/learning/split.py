"""Who is learnt from, who chooses and who judges: hold-out, validation and training, by time where the history carries it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import HOLD_OUT_BELOW
from crm_spark.config.models import ModelSpec
from crm_spark.learning.windows import LABEL_VALUE
from crm_spark.months import add_months

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

    @classmethod
    def of(cls, parts: Iterable[Count]) -> Count:
        """The sum of some counts."""
        found = list(parts)
        return cls(sum(c.customers for c in found), sum(c.positives for c in found))


@dataclass(frozen=True)
class Split:
    """How the rows are parted. By time: the last as-of month judges, earlier ones train; hold-out customers never train either way.

    Of the other customers, those with a bucket below `validation_below` choose between candidates.
    """

    by: str
    reason: str
    train_months: tuple[str, ...]
    test_months: tuple[str, ...]
    validation_below: int


def label_counts(rows: DataFrame) -> dict[tuple[str, bool], Count]:
    """Customers and positives per as-of month and hold-out, months ascending; a handful of numbers."""
    held_out = (F.col("split_bucket") < HOLD_OUT_BELOW).alias("held_out")
    sums = (F.count(F.lit(1)).alias("customers"), F.sum(LABEL_VALUE).cast("long").alias("positives"))
    found = rows.where(F.col("split_bucket").isNotNull()).groupBy("month", held_out).agg(*sums).collect()
    return {(r["month"], r["held_out"]): Count(r["customers"], r["positives"]) for r in sorted(found)}


def choose_split(spec: ModelSpec, counts: Mapping[tuple[str, bool], Count]) -> Split:
    """By time with enough positives and a month whose label was known when the last as-of month ended, else by bucket, saying why.

    A month learnt from reaches `spec.windows.reach` months ahead. Were the last month judged by a model that has seen the same
    later months in other customers, the season would be no surprise to it, and the measures would promise too much.
    """
    months = tuple(sorted({month for month, _ in counts}))
    below = HOLD_OUT_BELOW + spec.selection.validation_buckets
    known = tuple(m for m in months if m != months[-1] and add_months(m, spec.windows.reach) <= months[-1])
    # Whoever is held out chooses nothing, not even the split.
    positives = tally(counts, months, held_out=False).positives
    if reason := _no_time_split(spec, months, known, positives):
        return Split("bucket", f"by bucket: {reason}", months, months, below)
    return Split("time", f"by time: learnt as of {', '.join(known)}, judged as of {months[-1]}", known, months[-1:], below)


def _no_time_split(spec: ModelSpec, months: Sequence[str], known: Sequence[str], positives: int) -> str | None:
    if len(months) < 2:
        return f"only one label month ({', '.join(months)})"
    if not known:
        return f"no label was known before the last as-of month, {months[-1]}; it takes {spec.windows.reach} months"
    if positives < spec.time_split_positives:
        return f"{positives} positives to learn from, by time needs {spec.time_split_positives}"
    return None


def part(split: Split) -> Column:
    """Which part a row plays: train, validation, hold_out, earlier_hold_out (held out, but of a training month), or null (none)."""
    bucket, month = F.col("split_bucket"), F.col("month")
    held_out, validates = bucket < HOLD_OUT_BELOW, bucket < split.validation_below
    judged, learnt = month.isin(*split.test_months), month.isin(*split.train_months)
    return (
        F.when(held_out & judged, HOLD_OUT)
        .when(held_out & learnt, EARLIER_HOLD_OUT)
        .when(~held_out & learnt, F.when(validates, VALIDATION).otherwise(TRAIN))
    )


def tally(counts: Mapping[tuple[str, bool], Count], months: Sequence[str], held_out: bool) -> Count:
    """The sum over months of one side."""
    return Count.of(c for (month, out), c in counts.items() if month in months and out == held_out)
