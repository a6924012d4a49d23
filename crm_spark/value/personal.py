"""Personal value (个人客户价值), 0-100: direct (what the customer pays) and indirect (loyalty, influence) parts, weighted by AHP."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import clip, rounded
from crm_spark.config.value import BRANCHES, ROOT, Leaf, ValueConfig
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.frames import literal_frame
from crm_spark.value.grades import with_grade

KEY = ("city", "month", "user_id")
_PATTERN = "_pattern"  # which leaves are there, one bit each


def build_value_score(view: DataFrame, config: ValueConfig) -> DataFrame:
    """`score.value_score`: one row per row of the view, which must hold all cities of its month.

    A part without any data on a row is left out there, and the parts beside it share its weight: what the judgements say of the
    other criteria stays true. Value, branch or grade are null where nothing is left. ConfigError for a column the view does not
    have. Source: domain.md, section 4.
    """
    _refuse_unknown_columns(view, config.leaves)
    scored = view.select(*KEY, *[leaf_score(leaf).alias(_score(name)) for name, leaf in config.leaves.items()])
    pattern = sum((F.when(F.col(_score(name)).isNotNull(), 2**i).otherwise(0) for i, name in enumerate(config.leaves)), F.lit(0))
    weighed = scored.withColumn(_PATTERN, pattern).join(F.broadcast(_patterns(view, config)), on=_PATTERN, how="inner")
    valued = weighed.select(
        *KEY,
        _weighted_mean(ROOT, config).alias("value"),
        *[_weighted_mean(branch, config).alias(f"{branch}_value") for branch in BRANCHES],
        F.map_filter(F.create_map(*_scores(config)), lambda _, score: score.isNotNull()).alias("parts"),
        F.transform_values(_weights(ROOT), lambda _, weight: rounded(weight)).alias("weights"),
    )
    return with_grade(valued, config)


def leaf_score(leaf: Leaf) -> Column:
    """0-100 by straight line between floor and ceiling; the leaf's measure is the sum of its columns that are there, null without any."""
    there = [F.col(c).cast("double") for c in leaf.columns]
    measure = F.when(F.coalesce(*there).isNotNull(), sum((F.coalesce(c, F.lit(0.0)) for c in there), F.lit(0.0)))
    return rounded(clip((measure - leaf.floor) * (100.0 / (leaf.ceiling - leaf.floor)), 0.0, 100.0))


def leaf_weights(part: str, there: Collection[str], judged: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Weight of each leaf below the part that is there, down the tree: at each criterion the parts that are there share the whole.

    `judged` are the criteria with the weights of their parts.
    """
    if part not in judged:
        return {part: 1.0} if part in there else {}
    below = {p: leaf_weights(p, there, judged) for p in judged[part]}
    own = {p: weight for p, weight in judged[part].items() if below[p]}
    return {leaf: weight / sum(own.values()) * share for p, weight in own.items() for leaf, share in below[p].items()}


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
    known = scores.agg(F.count("*").alias("_n"), *[F.count(F.element_at("parts", F.lit(p))).alias(p) for p in weights]).first()
    rows = int(known["_n"]) if known else 0
    filled = {p: (known[p] / rows if known and rows else 0.0) for p in weights}
    return [PartUse(p, weight, config.leaves[p].columns, filled[p]) for p, weight in weights.items()]


def _refuse_unknown_columns(view: DataFrame, leaves: Mapping[str, Leaf]) -> None:
    wanted = [(name, column) for name, leaf in leaves.items() for column in leaf.columns]
    missing = [(name, column) for name, column in wanted if column not in view.columns]
    problems = [f"value.yml: leaves.{n}.columns: the view has no column '{c}'{did_you_mean(c, view.columns)}" for n, c in missing]
    if problems:
        raise ConfigError(problems)


def _patterns(view: DataFrame, config: ValueConfig) -> DataFrame:
    """The weights for every pattern of leaves that are there: 2 ^ leaves rows, worked out once instead of on each customer."""
    leaves = list(config.leaves)
    present = [[name for i, name in enumerate(leaves) if pattern >> i & 1] for pattern in range(2 ** len(leaves))]
    judged = {criterion: config.part_weights(criterion) for criterion in config.criteria}
    kinds = (ROOT, *BRANCHES)
    rows = [(pattern, *[leaf_weights(kind, there, judged) for kind in kinds]) for pattern, there in enumerate(present)]
    schema = ", ".join((f"{_PATTERN} int", *[f"{_weights(kind)} map<string,double>" for kind in kinds]))
    return literal_frame(view.sparkSession, rows, schema)


def _weighted_mean(criterion: str, config: ValueConfig) -> Column:
    """Mean of the leaf scores that are there by their weights under the criterion; null when none is."""
    weights = F.col(_weights(criterion))
    shares = [F.col(_score(name)) * F.try_element_at(weights, F.lit(name)) for name in config.weights(criterion)]
    return rounded(F.when(F.size(weights) > 0, sum((F.coalesce(share, F.lit(0.0)) for share in shares), F.lit(0.0))))


def _scores(config: ValueConfig) -> list[Column]:
    return [item for name in config.leaves for item in (F.lit(name), F.col(_score(name)))]


def _score(name: str) -> str:
    return f"_score_{name}"


def _weights(criterion: str) -> str:
    return f"_weights_{criterion}"
