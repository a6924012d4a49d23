"""Rows of any table scored by its champion, each with its grade and the drivers of its score."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.errors import AnalysisException
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.table_models import TableSpec
from crm_spark.errors import ConfigError, did_you_mean, one_line
from crm_spark.learning.drivers import Explainer, with_drivers
from crm_spark.learning.search import RAW, SCORE
from crm_spark.learning.table import clashes, quoted


def scored_table(table: DataFrame, spec: TableSpec, pipeline: PipelineModel, explained: Explainer) -> DataFrame:
    """One row per row of the table: its key (all its columns, without one), `score` (100 x `probability`), `grade`, and `drivers` (see `drivers.with_drivers`).

    `log_odds` = `base` + the effects of `drivers` + `rest`; `probability` is 1 / (1 + exp(-log_odds)); `rank_score` breaks ties that calibration made.
    `spec` says the grades, as that of the fit does. ConfigError names columns that are not there, or named as what scoring adds.
    """
    problems = [*clashes(table, spec), *[f"{spec.name}: {told}" for told in _problems(table, spec, pipeline)]]
    if problems:
        raise ConfigError(problems)
    keys = spec.key or tuple(table.columns)
    found = with_drivers(pipeline.transform(table), [*keys, RAW, SCORE], explained)
    probability = F.col(SCORE)
    scores = [(100 * probability).alias("score"), probability.alias("probability"), F.col(RAW).alias("rank_score"), _grade(100 * probability, spec).alias("grade")]
    told = [F.col(c).alias(c.removeprefix("_")) for c in ("_log_odds", "_base", "_drivers", "_rest")]
    return found.select(*[F.col(quoted(k)) for k in keys], *scores, *told)


def _problems(table: DataFrame, spec: TableSpec, pipeline: PipelineModel) -> Iterator[str]:
    """Why the table cannot be scored; no data is read."""
    yield from (f"the table has no column '{c}'{did_you_mean(c, table.columns)}" for c in spec.key if c not in table.columns)
    try:
        pipeline.stages[0].transform(table).schema  # noqa: B018 - the analysis is the check
    except AnalysisException as error:
        column = (error.getMessageParameters() or {}).get("objectName", "").strip("`")
        yield f"the champion learnt from '{column}', which the table has not{did_you_mean(column, table.columns)}" if column else one_line(error)


def _grade(score: Column, spec: TableSpec) -> Column:
    found = F.lit(None).cast("string")
    for name, least in sorted((spec.grades or {}).items(), key=lambda item: item[1]):
        found = F.when(score >= least, name).otherwise(found)
    return found
