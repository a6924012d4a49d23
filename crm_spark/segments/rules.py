"""Rule segments: groups that planners define by conditions, each with what it is for (domain.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.segments import RuleSegmentation
from crm_spark.errors import ConfigError, one_line
from crm_spark.frames import with_columns
from crm_spark.segments.attributes import KEY
from crm_spark.segments.clustering import CLUSTER
from crm_spark.segments.profile import cluster_totals, profile
from crm_spark.segments.segmentation import Group, profile_rows


@dataclass(frozen=True)
class RuleSegments:
    """Rows of score.segment and score.segment_profile, the groups that have customers, and the names of those that have none."""

    segments: DataFrame
    profiles: DataFrame
    groups: tuple[Group, ...]
    empty: tuple[str, ...]


def scored_view(view: DataFrame, values: DataFrame, scores: DataFrame) -> DataFrame:
    """What conditions read: the view with `value`, `value_grade` and, by model, the maps `scores` (0-100) and `grades`; null where nothing is known."""
    by_model = {"scores": "score", "grades": "grade"}
    maps = scores.groupBy(*KEY).agg(*[F.map_from_entries(F.collect_list(F.struct("model", c))).alias(name) for name, c in by_model.items()])
    return view.join(values.select(*KEY, "value", "value_grade"), on=list(KEY), how="left").join(maps, on=list(KEY), how="left")


def rule_segmentation(customers: DataFrame, month: str, name: str, spec: RuleSegmentation) -> RuleSegments:
    """Every customer in the first group whose condition is met; in none who meets none, unless there is `otherwise`.

    `customers` is the `scored_view` of all cities. ConfigError names every condition and derived column that is no SQL over it.
    """
    known = _derived(customers, name, spec)
    conditions = [F.when(F.expr(group.when), F.lit(i)) for i, group in enumerate(spec.groups, 1)]
    number = F.coalesce(*conditions, F.lit(len(spec.names) if spec.otherwise else 0)).alias(CLUSTER)
    placed = known.select(*KEY, number, *[F.expr(sql).cast("double").alias(attribute) for attribute, sql in spec.expressions.items()])
    totals = cluster_totals(placed, list(spec.expressions))
    levers = {i: group.lever for i, group in enumerate(spec.groups, 1)}
    found = [(t, spec.names[t.cluster - 1]) for t in totals if t.cluster]
    groups = tuple(Group(t.cluster, t.cluster, None, own, own, None, profile([t], totals), levers.get(t.cluster)) for t, own in found)
    empty = tuple(own for own in spec.names if own not in {g.name for g in groups})
    return RuleSegments(_segment_rows(placed, name, spec), profile_rows(customers, groups, {}, month, name), groups, empty)


def _derived(customers: DataFrame, name: str, spec: RuleSegmentation) -> DataFrame:
    """With the derived columns; no data is read."""
    where = f"segments/rules/{name}.yml"
    wrong = {f"{where}: derive.{column}": told for column, sql in spec.derive.items() if (told := _problem(customers, sql))}
    if not wrong:
        customers = with_columns(customers, {column: F.expr(sql) for column, sql in spec.derive.items()})
        wrong = {f"{where}: groups.{group.name}": told for group in spec.groups if (told := _problem(customers, group.when))}
        wrong |= {f"{where}: profile.{a}": told for a, sql in spec.expressions.items() if (told := _problem(customers, f"({sql}) > 0"))}
    if wrong:
        raise ConfigError([f"{place}: {told}" for place, told in wrong.items()])
    return customers


def _segment_rows(placed: DataFrame, name: str, spec: RuleSegmentation) -> DataFrame:
    nothing = F.lit(None)
    return placed.where(F.col(CLUSTER) > 0).select(
        *KEY,
        F.lit(name).alias("segmentation"),
        F.col(CLUSTER).alias("group_number"),
        nothing.cast("int").alias("class_number"),
        _name(spec).alias("group_name"),
        nothing.cast("string").alias("class_name"),
    )


def _name(spec: RuleSegmentation) -> Column:
    return F.element_at(F.array(*[F.lit(name) for name in spec.names]), F.col(CLUSTER))


def _problem(customers: DataFrame, condition: str) -> str | None:
    try:
        customers.where(F.expr(condition)).schema  # noqa: B018 - the analysis is the check
    except (AnalysisException, ParseException) as error:
        return one_line(error)
    return None
