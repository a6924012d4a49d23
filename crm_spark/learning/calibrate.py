"""Probabilities that are frequencies: Platt's line in log-odds, an isotonic curve, or nothing, as the validation rows say.

What is fitted on one half of them is judged on the other. Ranking stays on the raw probability: a curve's steps would tie customers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from crm_spark.learning.measures import Numbers, ScoreTable, score_table, weighted_labels

SURE = 1e-4  # no probability is nearer to 0 or 1: a log-odd must be a number
LEAST = 100  # customers with the label, and without it
_CLEAR = 2e-4  # of log loss per row: less of an improvement is not one
_FREE = 1e6
Kind = Literal["none", "platt", "isotonic"]


@dataclass(frozen=True)
class Calibration:
    """From raw to calibrated: `slope` and `offset` in log-odds, or, of an isotonic curve, its points (raw and calibrated probability)."""

    kind: Kind = "none"
    slope: float = 1.0
    offset: float = 0.0
    raw: tuple[float, ...] = ()
    calibrated: tuple[float, ...] = ()

    def of(self, probability: Numbers) -> Numbers:
        """Calibrated probabilities."""
        if self.kind == "isotonic":
            return np.asarray(np.interp(probability, self.raw, self.calibrated))
        return expit(self.slope * logit(probability) + self.offset)


def calibration_of(halves: Mapping[str, ScoreTable], kinds: Sequence[Kind] = ("platt", "isotonic")) -> Calibration:
    """The best for the raw probabilities of two halves of the validation rows, fitted on both; none where none is clearly better, or fewer than
    LEAST have the label, or have it not.

    A curve that is `isotonic` ties customers: leave it out where nothing else keeps their order.
    """
    tables = [t for t in halves.values() if t.has_both_classes]
    positives = sum(float(t.positives.sum()) for t in tables)
    if len(tables) < 2 or min(positives, sum(t.total for t in tables) - positives) < LEAST:
        return Calibration()
    losses = {"none": _loss(tables, lambda _: Calibration()), **{kind: _loss(tables, _WAYS[kind]) for kind in kinds}}
    best = min(losses, key=lambda name: losses[name])
    if losses["none"] - losses[best] < _CLEAR:
        return Calibration()
    return _WAYS[best](together(tables))


def platt(table: ScoreTable) -> Calibration:
    """Logistic regression on the log-odds. Source: Platt (1999); without his priors, which count for little in a thousand rows."""
    label, score, weight = weighted_labels(table)
    line = LogisticRegression(C=_FREE).fit(logit(score).reshape(-1, 1), label, sample_weight=weight)
    return Calibration("platt", float(line.coef_[0, 0]), float(line.intercept_[0]))


def isotonic(table: ScoreTable) -> Calibration:
    """The closest non-decreasing curve. Source: Zadrozny and Elkan (2002)."""
    label, score, weight = weighted_labels(table)
    curve = IsotonicRegression(y_min=SURE, y_max=1 - SURE, out_of_bounds="clip").fit(score, label, sample_weight=weight)
    return Calibration("isotonic", raw=tuple(map(float, curve.X_thresholds_)), calibrated=tuple(map(float, curve.y_thresholds_)))


_WAYS = {"platt": platt, "isotonic": isotonic}


def sampling_shift(negatives_kept: float) -> float:
    """What to add to the log-odds learnt where only this share of the negatives was kept.

    p = beta p_s / (beta p_s - p_s + 1) multiplies the odds by beta. Source: Dal Pozzolo et al. (2015).
    """
    return math.log(negatives_kept)


def logit(probability: Numbers) -> Numbers:
    """Log-odds, of probabilities held within SURE of 0 and 1."""
    held = np.clip(np.asarray(probability, dtype=float), SURE, 1 - SURE)
    return np.asarray(np.log(held / (1 - held)))


def expit(log_odds: Numbers) -> Numbers:
    """The probability of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds, dtype=float))))


def _loss(tables: list[ScoreTable], fit: Callable[[ScoreTable], Calibration]) -> float:
    """Mean log loss of each table under what was fitted on the others."""
    total = 0.0
    for i, judged in enumerate(tables):
        p = np.clip(fit(together(tables[:i] + tables[i + 1 :])).of(judged.score), SURE, 1 - SURE)
        total -= float(judged.positives @ np.log(p) + (judged.customers - judged.positives) @ np.log(1 - p))
    return total / sum(t.total for t in tables)


def together(tables: Sequence[ScoreTable]) -> ScoreTable:
    """The customers of several tables as one."""
    parts = [np.concatenate([getattr(t, name) for t in tables]) for name in ("score", "customers", "positives")]
    return score_table(*parts)
