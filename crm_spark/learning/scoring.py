"""Scoring: the champions' pipelines over the month's view in one pass, and grades by the city's thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import rounded
from crm_spark.config.models import ModelSpec
from crm_spark.learning.measures import probability
from crm_spark.learning.score_drivers import EXPLAINED, LEAVES, ScoreDrivers, leaves_of, tree_model, with_drivers, with_leaves
from crm_spark.tables.score import MODEL_SCORE


@dataclass(frozen=True)
class Scorer:
    """A model that scores: its spec (population, grades), its pipeline, the registry version, and what tells its scores in words, where that is known."""

    spec: ModelSpec
    pipeline: PipelineModel
    version: str
    drivers: ScoreDrivers | None = None


def model_scores(view: DataFrame, scorers: Sequence[Scorer]) -> DataFrame:
    """Rows of `score.model_score`: one per customer and model whose population the customer belongs to. At least one scorer is wanted.

    The pipelines are chained, so that the view is read once; each adds a probability and the leaves it ended in, null outside its population.
    """
    wide = reduce(_with_probability, scorers, view)
    rows = F.explode(F.array(*map(_score_row, scorers))).alias("row")
    scored = wide.select("city", "month", "user_id", rows).where(F.col("row.probability").isNotNull())
    flat, known = scored.select("city", "month", "user_id", "row.*"), {s.spec.name: s.drivers for s in scorers if s.drivers}
    told = with_drivers(flat, known) if known else flat.withColumns({f.name: F.lit(None).cast(f.dataType) for f in EXPLAINED.fields})
    return told.select(*MODEL_SCORE.columns)


def score_of(chance: Column) -> Column:
    """The score 0-100 of a probability, as it is kept."""
    return rounded(100 * rounded(chance))


def grade(score: Column, spec: ModelSpec) -> Column:
    """The grade of a score 0-100: the highest whose threshold it reaches, by the city's own thresholds where it has some; null of null."""
    cities = {scale: thresholds for scale, thresholds in spec.grades.items() if scale != spec.default_grades}
    default = _grade(score, spec.grades[spec.default_grades])
    return reduce(lambda other, city: F.when(F.col("city") == city, _grade(score, cities[city])).otherwise(other), cities, default)


def regraded(index: DataFrame, specs: Iterable[ModelSpec]) -> DataFrame:
    """`score.personal_index` with the grades that these specs give its scores; models that are not among them keep theirs."""
    by_model = {spec.name: grade(F.try_element_at("scores", F.lit(spec.name)), spec) for spec in specs}

    def anew(model: Column, kept: Column) -> Column:
        return reduce(lambda other, name: F.when(model == name, by_model[name]).otherwise(other), by_model, kept)

    return index.withColumn("grades", F.transform_values("grades", anew))


def _with_probability(frame: DataFrame, scorer: Scorer) -> DataFrame:
    of_population = F.expr(scorer.spec.population)
    found, leaves = scorer.pipeline.transform(frame), F.lit(None).cast("array<int>")
    if scorer.drivers:
        found, leaves = with_leaves(scorer.pipeline, frame), leaves_of(tree_model(scorer.pipeline))
    added = {_column(scorer): rounded(probability()), _leaves(scorer): leaves}
    return found.select(*frame.columns, *(F.when(of_population, column).alias(name) for name, column in added.items()))


def _score_row(scorer: Scorer) -> Column:
    found = F.col(_column(scorer))
    score = score_of(found)
    return F.struct(
        F.lit(scorer.spec.name).alias("model"), found.alias("probability"), score.alias("score"),
        grade(score, scorer.spec).alias("grade"), F.lit(scorer.version).alias("model_version"),
        F.col(_leaves(scorer)).alias(LEAVES),
    )  # fmt: skip


def _column(scorer: Scorer) -> str:
    return f"probability_of_{scorer.spec.name}"


def _leaves(scorer: Scorer) -> str:
    return f"leaves_of_{scorer.spec.name}"


def _grade(score: Column, thresholds: Mapping[str, float]) -> Column:
    ascending = sorted(thresholds.items(), key=lambda item: item[1])
    return reduce(lambda lower, item: F.when(score >= item[1], item[0]).otherwise(lower), ascending, F.lit(None).cast("string"))
