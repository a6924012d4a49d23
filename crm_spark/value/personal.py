"""Personal value (个人客户价值), 0-100: direct (what the customer pays) and indirect (loyalty, influence) parts, weighted by AHP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import clip, rounded
from crm_spark.config.value import BRANCHES, ROOT, Leaf, ValueConfig
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.value.grades import with_grade

KEY = ("city", "month", "user_id")


def build_value_score(view: DataFrame, config: ValueConfig) -> DataFrame:
    """`score.value_score`: one row per row of the view, which must hold all cities of its month.

    A part without any data on a row is left out there, and the parts beside it share its weight: what the judgements say of the
    other criteria stays true. Value, branch or grade are null where nothing is left. ConfigError for a column the view does not
    have. Source: domain.md, section 4.
    """
    _refuse_unknown_columns(view, config.leaves)
    scored = view.select(*KEY, *[leaf_score(leaf).alias(_score(name)) for name, leaf in config.leaves.items()])
    above = _from_the_top(config)
    weighed = reduce(lambda frame, name: _with_criterion(frame, name, config), reversed(above), scored)
    weighed = reduce(lambda frame, name: _with_part_weights(frame, name, config), above, weighed.withColumn(_weight(ROOT), F.lit(1.0)))
    valued = weighed.select(
        *KEY,
        rounded(F.col(_score(ROOT))).alias("value"),
        *[rounded(F.col(_score(branch))).alias(f"{branch}_value") for branch in BRANCHES],
        _there({name: F.col(_score(name)) for name in config.leaves}).alias("parts"),
        _there({name: rounded(F.col(_weight(name))) for name in config.leaves}).alias("weights"),
    )
    return with_grade(valued, config)


def leaf_score(leaf: Leaf) -> Column:
    """0-100 by straight line between floor and ceiling; the leaf's measure is the sum of its columns that are there, null without any."""
    there = [F.col(c).cast("double") for c in leaf.columns]
    measure = F.when(F.coalesce(*there).isNotNull(), sum((F.coalesce(c, F.lit(0.0)) for c in there), F.lit(0.0)))
    return rounded(clip((measure - leaf.floor) * (100.0 / (leaf.ceiling - leaf.floor)), 0.0, 100.0))


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


def _from_the_top(config: ValueConfig) -> list[str]:
    """The criteria, each before its parts."""
    found = [ROOT]
    for name in found:
        found.extend(part for part in config.criteria[name].parts if part in config.criteria)
    return found


def _with_criterion(frame: DataFrame, name: str, config: ValueConfig) -> DataFrame:
    """With the criterion's score: the mean of its parts that are there, by their weights; null when none is."""
    weights = config.part_weights(name)
    points = sum((F.coalesce(F.col(_score(part)) * weight, F.lit(0.0)) for part, weight in weights.items()), F.lit(0.0))
    return frame.withColumn(_score(name), points / _weight_there(weights))


def _with_part_weights(frame: DataFrame, name: str, config: ValueConfig) -> DataFrame:
    """With the weight of each of the criterion's parts in the whole value; null for a part that is not there."""
    weights = config.part_weights(name)
    whole = F.col(_weight(name)) / _weight_there(weights)
    return frame.withColumns({_weight(part): own * whole for part, own in _weight_if_there(weights).items()})


def _score(name: str) -> str:
    return f"_score_{name}"


def _weight(name: str) -> str:
    return f"_weight_{name}"


def _weight_if_there(weights: Mapping[str, float]) -> dict[str, Column]:
    return {name: F.when(F.col(_score(name)).isNotNull(), F.lit(weight)) for name, weight in weights.items()}


def _weight_there(weights: Mapping[str, float]) -> Column:
    """Sum of the weights of the parts that are there; null when none is."""
    total = sum((F.coalesce(w, F.lit(0.0)) for w in _weight_if_there(weights).values()), F.lit(0.0))
    return F.when(total > 0, total)


def _there(values: Mapping[str, Column]) -> Column:
    """Map of the values that are not null."""
    entries = [item for name, value in values.items() for item in (F.lit(name), value)]
    return F.map_filter(F.create_map(*entries), lambda _, value: value.isNotNull())
