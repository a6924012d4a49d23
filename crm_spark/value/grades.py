"""Value grades by rank within the city; a small city takes the province's cut-offs."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.config.value import ValueConfig

_CITY_SIZE, _PLACE, _POINTS = "_city_size", "_place", "_points"
_POINT_DIGITS = 2  # province cut-offs lie on hundredths of a point, so that ranking the province is ranking 10,001 bins


def with_grade(valued: DataFrame, config: ValueConfig) -> DataFrame:
    """`value_grade` by (rank - 1/2) / n in the city, highest value first, ties by user_id; null without a value.

    In a city with fewer customers with a value than `smallest_city` a customer takes the best grade whose cut-off in the
    whole frame the value reaches. Source: domain.md, section 4.
    """
    placed = valued.withColumns({_CITY_SIZE: _in_city(), _PLACE: _place_in_city(), _POINTS: F.round("value", _POINT_DIGITS)})
    cut_offs = province_cut_offs(valued, config.grades)
    by_city = _first_grade({grade: F.col(_PLACE) <= share for grade, share in config.grades.items()})
    by_province = _first_grade({grade: F.col(_POINTS) >= F.col(_cut(grade)) for grade in config.grades})
    grade = F.when(F.col("value").isNotNull(), F.when(F.col(_CITY_SIZE) < config.smallest_city, by_province).otherwise(by_city))
    return placed.crossJoin(F.broadcast(cut_offs)).select(*valued.columns, grade.alias("value_grade"))


def province_cut_offs(valued: DataFrame, grades: Mapping[str, float]) -> DataFrame:
    """One row: per grade the lowest value (in hundredths) that reaches it among all customers; null if nobody does."""
    points = F.round("value", _POINT_DIGITS).alias(_POINTS)
    bins = valued.where(F.col("value").isNotNull()).groupBy(points).agg(F.count("*").alias("_customers"))
    everyone = Window.partitionBy()
    better = everyone.orderBy(F.desc(_POINTS)).rowsBetween(Window.unboundedPreceding, -1)
    first_rank = F.coalesce(F.sum("_customers").over(better), F.lit(0)) + 1
    first_place = (first_rank - 0.5) / F.sum("_customers").over(everyone)
    placed = bins.select(_POINTS, first_place.alias(_PLACE))
    return placed.agg(*[F.min(F.when(F.col(_PLACE) <= share, F.col(_POINTS))).alias(_cut(grade)) for grade, share in grades.items()])


def _in_city() -> Column:
    return F.count("value").over(Window.partitionBy("city", "month"))


def _place_in_city() -> Column:
    ranking = Window.partitionBy("city", "month").orderBy(F.desc_nulls_last("value"), "user_id")
    return F.try_divide(F.row_number().over(ranking) - 0.5, F.col(_CITY_SIZE))


def _first_grade(reached: Mapping[str, Column]) -> Column:
    return F.coalesce(*[F.when(condition, F.lit(grade)) for grade, condition in reached.items()])


def _cut(grade: str) -> str:
    return f"_cut_{grade}"
