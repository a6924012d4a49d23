"""A model of any table as data: which column is the label, which are keys, and how long the search may take."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from crm_spark.config.models import Gate, Retrain, check_thresholds, refuse_unknown_groups

TableAlgorithm = Literal["gbt", "forest", "logistic", "tree", "xgboost"]
ALGORITHMS: tuple[TableAlgorithm, ...] = ("gbt", "forest", "logistic", "tree")
_NAME = re.compile(r"\w[\w .-]*")  # MLflow refuses others


@dataclass(frozen=True)
class TableLabel:
    """The column with two values, and which one is asked for; None: the one that plainly says yes (yes, true, 1, the greater number)."""

    column: str
    positive: str | None = None


@dataclass(frozen=True)
class HoldOut:
    """The rows that judge, about `share` of them: with `time`, a column of dates or numbers, the newest, and it is no feature;
    else by salted hash of the key, of which `fold` takes another such share (0: the first). With `time`, rows of less than `gap` before the
    oldest that judges (days; for a column of numbers its own unit) do not learn: their labels were not known yet."""

    share: float = 0.3
    fold: int = 0
    salt: str = "hold-out"
    time: str | None = None
    gap: float = 0.0

    def __post_init__(self) -> None:
        if self.gap < 0 or (self.gap and self.time is None):
            raise ValueError("gap is 0 or more, and more only with time")
        if self.time is not None and self.fold:
            raise ValueError("fold parts by key, time by the newest: only one of them may be said")
        if not 0 < self.share <= 0.5 or not 0 <= self.fold < int(1 / self.share + 1e-9):
            raise ValueError("share is above 0 and at most 0.5; fold is 0 or more, and its share must still lie in the table")


@dataclass(frozen=True)
class TableGate(Gate):
    """A gate of which nothing must be said."""

    auc: float = 0.6
    lift_at_10: float = 1.2
    calibration_error: float = 0.05
    positives: int = 30


@dataclass(frozen=True)
class TableSpec:
    """One model of one table; only `name`, `question` and `label` must be said.

    `key` names what a row belongs to: its rows stay in one part, and it is never a feature; without one, equal rows stay together.
    `categories` are columns of numbers that are codes, one no more than the other.
    Of more than `max_rows` rows a sample by key learns, with the rarer class kept whole where it is rare, and probabilities are
    corrected for that. `negatives_kept` is the share of customers without the label that somebody else's sampling has left in the table.
    `algorithms` may name xgboost too, which is an extra.
    `groups` (name: SQL over the table's row, of few values, as `{city: City}`) are judged one by one.
    `grades` (name: least score) are by default `likely` from twice the share with the label, or from 50 where that is less, else `unlikely`.
    `retrain` says when drift, told by every `score`, asks for a new fit.
    """

    name: str
    question: str
    label: TableLabel
    key: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    algorithms: tuple[TableAlgorithm, ...] = ALGORITHMS
    budget_minutes: float = 30.0
    boosting_rounds: int = 150
    max_rows: int = 500_000
    negatives_kept: float = 1.0
    hold_out: HoldOut = field(default_factory=HoldOut)
    gate: TableGate = field(default_factory=TableGate)
    grades: dict[str, float] | None = None
    groups: dict[str, str] = field(default_factory=dict)
    retrain: Retrain = field(default_factory=Retrain)
    seed: int = 17

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: '{self.name}' may have letters, digits, _, -, . and spaces only, and begins with a letter or a digit")
        refuse_unknown_groups(self.gate, self.groups)
        if self.grades is not None:
            check_thresholds(self.name, self.grades)
        if not self.algorithms:
            raise ValueError("algorithms: at least one is wanted")
        if self.budget_minutes <= 0 or self.max_rows < 100 or self.boosting_rounds < 1 or not 0 < self.negatives_kept <= 1:
            raise ValueError("budget_minutes is above 0, boosting_rounds at least 1, max_rows at least 100, negatives_kept above 0 and at most 1")
