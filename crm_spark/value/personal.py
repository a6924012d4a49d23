"""Personal value (个人客户价值), 0-100: direct (what the customer pays) and indirect (loyalty, influence) parts, weighted by AHP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import clip, rounded
from crm_spark.config.value import BRANCHES, ROOT, Leaf, ValueConfig
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.value.grades import with_grade

KEY = ("city", "month", "user_id")


def build_value_score(view: DataFrame, config: ValueConfig) -> DataFrame:
    """`score.value_score`: one row per row of the view, which must hold all cities of its month.

    A part whose columns are all null on a row is left out there and the weights of the others renormalised; value, branch
    or grade are null where nothing is left. ConfigError for a column the view does not have. Source: domain.md, section 4.
    """
    _refuse_unknown_columns(view, config.leaves)
    weights = config.weights()
    scored = view.select(*KEY, *[leaf_score(leaf).alias(_score(name)) for name, leaf in config.leaves.items()])
    valued = scored.select(
        *KEY,
        weighted_mean(weights).alias("value"),
        *[weighted_mean(config.weights(branch)).alias(f"{branch}_value") for branch in BRANCHES],
        _there({name: F.col(_score(name)) for name in weights}).alias("parts"),
        _there({name: rounded(weight / _weight_there(weights)) for name, weight in _weight_if_there(weights).items()}).alias("weights"),
    )
    return with_grade(valued, config)


def leaf_score(leaf: Leaf) -> Column:
    """0-100 by straight line between floor and ceiling; the leaf's measure is the sum of its columns that are there, null without any."""
    there = [F.col(c).cast("double") for c in leaf.columns]
    measure = F.when(F.coalesce(*there).isNotNull(), sum((F.coalesce(c, F.lit(0.0)) for c in there), F.lit(0.0)))
    return rounded(clip((measure - leaf.floor) * (100.0 / (leaf.ceiling - leaf.floor)), 0.0, 100.0))


def weighted_mean(weights: Mapping[str, float]) -> Column:
    """Mean of the leaf scores that are there, their weights renormalised; null when none is."""
    points = sum((F.coalesce(F.col(_score(name)) * weight, F.lit(0.0)) for name, weight in weights.items()), F.lit(0.0))
    return rounded(points / _weight_there(weights))


@dataclass(frozen=True)
class PartUse:
    """How far a part of the value could be fed."""

    part: str
    weight: float
    columns: tuple[str, ...]
    filled_share: float


def parts_used(scores: DataFrame, config: ValueConfig) -> list[PartUse]:
    """Per part of the value: its weight and the share of customers it is known for; one row is collected."""
    weights = config.weights(ROOT)
    known = scores.agg(F.count("*").alias("_n"), *[F.count(F.element_at("parts", F.lit(p))).alias(_score(p)) for p in weights]).first()
    rows = int(known["_n"]) if known else 0
    filled = {p: (known[_score(p)] / rows if known and rows else 0.0) for p in weights}
    return [PartUse(p, weight, config.leaves[p].columns, filled[p]) for p, weight in weights.items()]


def _refuse_unknown_columns(view: DataFrame, leaves: Mapping[str, Leaf]) -> None:
    wanted = [(name, column) for name, leaf in leaves.items() for column in leaf.columns]
    missing = [(name, column) for name, column in wanted if column not in view.columns]
    problems = [f"value.yml: leaves.{n}.columns: the view has no column '{c}'{did_you_mean(c, view.columns)}" for n, c in missing]
    if problems:
        raise ConfigError(problems)



def _score(name: str) -> str:
    return f"_score_{name}"


def _weight_if_there(weights: Mapping[str, float]) -> dict[str, Column]:
    return {name: F.when(F.col(_score(name)).isNotNull(), F.lit(weight)) for name, weight in weights.items()}


def _weight_there(weights: Mapping[str, float]) -> Column:
    """Sum of the weights of the leaves that are there; null when none is."""
    total = sum((F.coalesce(w, F.lit(0.0)) for w in _weight_if_there(weights).values()), F.lit(0.0))
    return F.when(total > 0, total)


def _there(values: Mapping[str, Column]) -> Column:
    """Map of the values that are not null."""
    entries = [item for name, value in values.items() for item in (F.lit(name), value)]
    return F.map_filter(F.create_map(*entries), lambda _, value: value.isNotNull())
