"""Is a model as good, and as right, for everybody? Its measures by month and by group of customers, from one aggregate over the held-out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.models import Stability
from crm_spark.learning import measures as m
from crm_spark.learning.expressions import mentioned
from crm_spark.learning.features import KEYS

MEMBER_OF = "_member_of"  # what a held-out row is counted under
PART, MONTH = "part", "month"
SHOWN = 40  # groups of one kind: the greatest
_ALL = "all"  # who judge
_TOP = 0.1  # the customers that a campaign would take: lift is told of them too
_DIGITS = 4  # of a score: at most 10,001 distinct ones in each group
_SURE = 3.0  # standard errors
MEMBERS = "array<struct<by:string,level:string>>"
Tables = Mapping[str, Mapping[str, m.ScoreTable]]  # kind of group -> group -> customers and positives per score


@dataclass(frozen=True)
class Group:
    """A group of held-out customers: `rate` of them have the label, `told` is their mean probability.

    `chosen` of them are in the tenth of all that has the highest scores, and `found` of those with the label are (None without any). AUC and
    its standard error are None where all are alike.
    """

    by: str
    level: str
    customers: float
    positives: float
    told: float
    chosen: float
    found: float | None
    auc: float | None
    auc_error: float | None

    @property
    def rate(self) -> float:
        """Share with the label."""
        return self.positives / self.customers

    def is_small(self, least: int) -> bool:
        """True if chance could make it look like anything: fewer than `least` with the label, or without it."""
        return min(self.positives, self.customers - self.positives) < least


def member_of(groups: Mapping[str, str]) -> Column:
    """What a row that judges is counted under: all, and its groups (name: SQL); null is no group."""
    own = [member(_ALL, F.lit(_ALL)), *[member(name, F.expr(sql).cast("string")) for name, sql in groups.items()]]
    return F.filter(F.array(*own), lambda one: one["level"].isNotNull())


def member(by: str, level: Column) -> Column:
    """One thing that a row is counted under."""
    return F.struct(F.lit(by).alias("by"), level.alias("level"))


def group_tables(scored: DataFrame, score: Column, label: str) -> dict[str, dict[str, m.ScoreTable]]:
    """Score tables of what the rows are MEMBER_OF."""
    return counted(scored.select(F.explode(MEMBER_OF).alias("of"), score.alias("score"), F.col(label).alias("label")).select("of.*", "score", "label"))


def counted(members: DataFrame) -> dict[str, dict[str, m.ScoreTable]]:
    """Score tables of rows with `by`, `level`, `score` and `label`, by these; only counts come to the driver."""
    rounded = F.when(F.col("by") == PART, F.round("score", m.SCORE_DIGITS)).otherwise(F.round("score", _DIGITS)).alias("score")
    counts = members.groupBy("by", "level", rounded).agg(F.count(F.lit(1)).alias("customers"), F.sum("label").alias("positives")).toPandas()
    found: dict[str, dict[str, m.ScoreTable]] = {}
    for (by, level), own in counts.groupby(["by", "level"], sort=True):
        found.setdefault(str(by), {})[str(level)] = m.score_table(*(own[c].to_numpy() for c in ("score", "customers", "positives")))
    return found


def judged_groups(tables: Tables) -> tuple[Group, ...]:
    """The measures of every month and group."""
    cut = _cut(tables[_ALL][_ALL])
    return tuple(_group(by, level, table, cut) for by, levels in tables.items() if by not in (PART, _ALL) for level, table in levels.items())


def unstable(groups: Sequence[Group], bar: Stability, watched: Sequence[str], auc: float) -> tuple[str, ...]:
    """What is wrong with the groups that the gate watches, one sentence each; `auc` is that of all."""
    judged = [g for g in groups if g.by in watched and not g.is_small(bar.least)]
    return tuple(reason for g in judged for reason in (_ranks_worse(g, bar, auc), _is_told_wrong(g, bar)) if reason)


def of_kind(groups: Sequence[Group], by: str) -> list[Group]:
    """The groups of one kind by name; of more than SHOWN the greatest."""
    mine = sorted((g for g in groups if g.by == by), key=lambda g: -g.customers)[:SHOWN]
    return sorted(mine, key=lambda g: g.level)


def as_csv(groups: Sequence[Group]) -> str:
    """All groups as a file, one per line."""
    lines = [",".join(_cell(v) for v in {**asdict(g), "rate": g.rate}.values()) for g in groups]
    return "\n".join([",".join([*Group.__dataclass_fields__, "rate"]), *lines]) + "\n"


def refused_groups(groups: Mapping[str, str], keys: Sequence[str] = ()) -> dict[str, str]:
    """Name -> why it is no group: one customer is none."""
    return {name: f"'{sorted(one)[0]}' names one customer" for name, sql in groups.items() if (one := mentioned(sql) & ({*KEYS, *(k.lower() for k in keys)}))}


def _cut(table: m.ScoreTable) -> tuple[float, float]:
    """The score at which the top tenth ends, and the share of the customers with just that score that belong to it."""
    wanted, above = _TOP * table.total, np.concatenate([[0.0], np.cumsum(table.customers)])
    i = int(np.searchsorted(above[1:], wanted))
    return float(table.score[i]), float((wanted - above[i]) / table.customers[i])


def _group(by: str, level: str, table: m.ScoreTable, cut: tuple[float, float]) -> Group:
    score, tied = cut
    weight = np.where(table.score > score, 1.0, np.where(table.score == score, tied, 0.0))
    positives = float(table.positives.sum())
    both = table.has_both_classes
    return Group(
        by, level, table.total, positives,
        told=float(table.score @ table.customers) / table.total,
        chosen=float(weight @ table.customers) / table.total,
        found=float(weight @ table.positives) / positives if positives else None,
        auc=m.auc(table) if both else None,
        auc_error=m.auc_error(table) if both else None,
    )  # fmt: skip


def _ranks_worse(group: Group, bar: Stability, auc: float) -> str | None:
    if group.auc is None or group.auc_error is None or group.auc + _SURE * group.auc_error >= auc - bar.auc:
        return None
    return f"in {group.by} {group.level} AUC {group.auc:.4f} is more than {bar.auc:g} below the {auc:.4f} of all ({_size(group)})"


def _is_told_wrong(group: Group, bar: Stability) -> str | None:
    chance = _SURE * math.sqrt(group.rate * (1 - group.rate) / group.customers)
    if abs(group.told - group.rate) - chance <= bar.rate:
        return None
    return f"in {group.by} {group.level} {group.told:.1%} are told to have the label and {group.rate:.1%} have it, more than {bar.rate:.1%} beside ({_size(group)})"


def _size(group: Group) -> str:
    return f"{group.customers:,.0f} customers, {group.positives:,.0f} with the label"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text
