"""How good a score is: measures on `probability`, computed from counts per score so that no customer leaves the cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

Numbers = NDArray[np.float64]

SCORE_DIGITS = 5  # scores are counted at this precision: at most 100,001 distinct ones
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class ScoreTable:
    """Customers and positives per distinct score, highest score first."""

    score: Numbers
    customers: Numbers
    positives: Numbers

    @property
    def total(self) -> float:
        """All customers."""
        return float(self.customers.sum())

    @property
    def base_rate(self) -> float:
        """Share of customers with the label."""
        return float(self.positives.sum()) / self.total if self.total else float("nan")

    @property
    def has_both_classes(self) -> bool:
        """True if some customers have the label and some have not."""
        return bool(0 < self.positives.sum() < self.total)


@dataclass(frozen=True)
class Bins:
    """Equal-count bins, highest scores first: mean predicted and observed rate of each."""

    predicted: Numbers
    observed: Numbers


def probability() -> Column:
    """The probability of the label; `rawPrediction` of a tree is leaf counts and would rank wrongly."""
    return vector_to_array(F.col("probability"))[1]


def score_tables(scored: DataFrame, by: str) -> dict[str, ScoreTable]:
    """One score table per value of the column `by`, from the columns `probability` and `label`.

    Only counts come to the driver, at most one per distinct rounded score.
    """
    rounded = F.round(probability(), SCORE_DIGITS).alias("score")
    sums = (F.count(F.lit(1)).alias("customers"), F.sum("label").alias("positives"))
    counts = scored.groupBy(by, rounded).agg(*sums).toPandas()
    return {
        str(name): score_table(own["score"].to_numpy(), own["customers"].to_numpy(), own["positives"].to_numpy())
        for name, own in counts.groupby(by, sort=True)
    }


def score_table(score: Numbers, customers: Numbers, positives: Numbers) -> ScoreTable:
    """Counts per score, sorted by score, highest first."""
    order = np.argsort(-np.asarray(score, dtype=float), kind="stable")
    return ScoreTable(*(np.asarray(a, dtype=float)[order] for a in (score, customers, positives)))


def measures(table: ScoreTable) -> dict[str, float]:
    """`auc pr_auc lift_10 precision ks calibration_error calibration_noise distinct_scores base_rate customers`.

    Ties are shared out evenly over a cut-off, so no order of the rows can change a number. Both classes must be there.
    """
    label, score, weight = weighted_labels(table)
    false_share, true_share, _ = roc_curve(label, score, sample_weight=weight)
    return {
        "auc": auc(table),
        "pr_auc": float(average_precision_score(label, score, sample_weight=weight)),
        "lift_10": lift(table, 0.1),
        "precision": precision_at_rate(table),
        "ks": float(np.max(np.abs(true_share - false_share))),
        "calibration_error": calibration_error(table),
        "calibration_noise": calibration_noise(table),
        "distinct_scores": float(len(table.score)),
        "base_rate": table.base_rate,
        "customers": table.total,
    }


def auc(table: ScoreTable) -> float:
    """Area under the ROC curve. Both classes must be there."""
    label, score, weight = weighted_labels(table)
    return float(roc_auc_score(label, score, sample_weight=weight))


def auc_error(table: ScoreTable) -> float:
    """Standard error of the AUC by the number of customers of each class. Source: Hanley and McNeil, Radiology 143 (1982)."""
    area = auc(table)
    positives, negatives = float(table.positives.sum()), table.total - float(table.positives.sum())
    two_positives, two_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (positives - 1) * (two_positives - area**2) + (negatives - 1) * (two_negatives - area**2)
    return math.sqrt((area * (1 - area) + spread) / (positives * negatives))


def weighted_labels(table: ScoreTable) -> tuple[Numbers, Numbers, Numbers]:
    """Label, score and weight as scikit-learn takes them: two weighted observations per distinct score."""
    label = np.concatenate([np.ones(len(table.score)), np.zeros(len(table.score))])
    weight = np.concatenate([table.positives, table.customers - table.positives])
    return label, np.concatenate([table.score, table.score]), weight


def roc(table: ScoreTable) -> tuple[Numbers, Numbers]:
    """False-positive and true-positive share along the score."""
    label, score, weight = weighted_labels(table)
    false_share, true_share, _ = roc_curve(label, score, sample_weight=weight)
    return false_share, true_share


def precision_recall(table: ScoreTable) -> tuple[Numbers, Numbers]:
    """Recall and precision along the score."""
    label, score, weight = weighted_labels(table)
    precision, recall, _ = precision_recall_curve(label, score, sample_weight=weight)
    return recall, precision


def gain(table: ScoreTable, shares: Numbers) -> Numbers:
    """Share of all positives among the given shares of customers with the highest scores."""
    return np.asarray(_cumulative(table, table.positives, shares) / table.positives.sum())


def lift(table: ScoreTable, share: float) -> float:
    """How many times the average the share of customers with the highest scores has the label."""
    return float(gain(table, np.array([share]))[0] / share)


def precision_at_rate(table: ScoreTable) -> float:
    """Of as many customers with the highest scores as have the label, the share that has it; of those with it, the share that is found."""
    return float(gain(table, np.array([table.base_rate]))[0])


def calibration(table: ScoreTable, bins: int = CALIBRATION_BINS) -> Bins:
    """Predicted and observed rate in equal-count bins."""
    edges = np.linspace(0, 1, bins + 1)
    size = table.total / bins
    predicted = np.diff(_cumulative(table, table.score * table.customers, edges)) / size
    return Bins(predicted, np.diff(_cumulative(table, table.positives, edges)) / size)


def calibration_error(table: ScoreTable) -> float:
    """Mean distance of predicted and observed rate over ten equal-count bins."""
    bins = calibration(table)
    return float(np.mean(np.abs(bins.predicted - bins.observed)))


def calibration_noise(table: ScoreTable) -> float:
    """The calibration error that a perfectly calibrated score of this size would still show on average."""
    p = np.clip(calibration(table).predicted, 0, 1)  # sums of rounded scores may pass 1 by a bit
    return float(np.mean(np.sqrt(2 / np.pi * p * (1 - p) * CALIBRATION_BINS / table.total)))


def with_prefix(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    """The measures under names that begin with `prefix`."""
    return {f"{prefix}_{name}": value for name, value in values.items()}


def _cumulative(table: ScoreTable, amounts: Numbers, shares: Numbers) -> Numbers:
    """The amount that the given shares of customers hold, highest scores first, ties shared out evenly."""
    customers = np.concatenate([[0.0], np.cumsum(table.customers)])
    return np.asarray(np.interp(shares * table.total, customers, np.concatenate([[0.0], np.cumsum(amounts)])))
