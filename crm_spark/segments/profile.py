"""What sets a group apart: its mean of every attribute against mean and spread of all customers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from crm_spark.columns import DIGITS
from crm_spark.segments.clustering import CLUSTER
from crm_spark.segments.numbering import GroupMeans


@dataclass(frozen=True)
class Profile:
    """Customers and means of one group or class; `overall` and `deviations` are mean and standard deviation of all customers."""

    customers: int
    customers_share: float
    means: dict[str, float | None]
    overall: dict[str, float | None]
    deviations: dict[str, float | None]

    def index(self, attribute: str) -> float | None:
        """Group mean / overall mean, 1 is average; null where one is missing or the overall mean is not positive."""
        mean, overall = self.means.get(attribute), self.overall.get(attribute)
        return round(mean / overall, DIGITS) if mean is not None and overall is not None and overall > 0 else None

    def distance(self, attribute: str) -> float | None:
        """(Group mean - overall mean) / overall standard deviation; null where one is missing or all customers are alike."""
        mean, overall, deviation = self.means.get(attribute), self.overall.get(attribute), self.deviations.get(attribute)
        return round((mean - overall) / deviation, DIGITS) if mean is not None and overall is not None and deviation else None


@dataclass(frozen=True)
class Totals:
    """Customers of a cluster; sum, sum of squares and number of the values of each attribute."""

    cluster: int
    customers: int
    sums: dict[str, float]
    squares: dict[str, float]
    counts: dict[str, int]

    def means(self) -> dict[str, float | None]:
        return {a: round(self.sums[a] / n, DIGITS) if n else None for a, n in self.counts.items()}

    def deviations(self) -> dict[str, float | None]:
        """Standard deviation of each attribute over the customers that have a value."""
        variances = {a: self.squares[a] / n - (self.sums[a] / n) ** 2 if n else None for a, n in self.counts.items()}
        return {a: None if v is None else round(math.sqrt(max(v, 0.0)), DIGITS) for a, v in variances.items()}


def cluster_totals(placed: DataFrame, attributes: Sequence[str]) -> list[Totals]:
    """Totals per cluster that has customers; as many rows as clusters are collected."""
    sums = [F.sum(f"`{a}`").alias(f"{a}|sum") for a in attributes]
    squares = [F.sum(F.col(f"`{a}`") * F.col(f"`{a}`")).alias(f"{a}|squares") for a in attributes]
    counts = [F.count(f"`{a}`").alias(f"{a}|count") for a in attributes]
    rows = placed.groupBy(CLUSTER).agg(F.count("*").alias("_customers"), *sums, *squares, *counts).collect()
    return sorted((_totals(row, attributes) for row in rows), key=lambda t: t.cluster)


def group_means(totals: Iterable[Totals]) -> list[GroupMeans]:
    """The means of each cluster, at the digits that count."""
    return [GroupMeans(t.cluster, t.customers, t.means()) for t in totals]


def profile(part: Sequence[Totals], whole: Sequence[Totals]) -> Profile:
    """Profile of the clusters `part` (one: a group; several: a class) among all."""
    own, everyone = _added(part), _added(whole)
    share = round(own.customers / everyone.customers, DIGITS)
    return Profile(own.customers, share, own.means(), everyone.means(), everyone.deviations())


def profile_table(rows: DataFrame) -> pd.DataFrame:
    """`score.segment_profile` rows of one segmentation as a table to look at: a row per group, a column per attribute with its index."""
    wide = rows.toPandas().pivot_table(index=["group_number", "group_label", "customers"], columns="attribute", values="index")
    return wide.reset_index().set_index("group_number")


def _totals(row: Row, attributes: Sequence[str]) -> Totals:
    sums, squares = ({a: float(row[f"{a}|{kind}"] or 0.0) for a in attributes} for kind in ("sum", "squares"))
    return Totals(int(row[CLUSTER]), int(row["_customers"]), sums, squares, {a: int(row[f"{a}|count"]) for a in attributes})


def _added(parts: Sequence[Totals]) -> Totals:
    attributes = parts[0].sums
    sums = {a: sum(p.sums[a] for p in parts) for a in attributes}
    squares = {a: sum(p.squares[a] for p in parts) for a in attributes}
    return Totals(-1, sum(p.customers for p in parts), sums, squares, {a: sum(p.counts[a] for p in parts) for a in attributes})
