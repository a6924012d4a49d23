"""Model specs against the customer view: every expression is analysed before any data is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.models import SEGMENT_COLUMN, ModelSpec
from crm_spark.errors import ConfigError, one_line
from crm_spark.learning.features import candidate_features
from crm_spark.learning.groups import refused_groups
from crm_spark.learning.windows import build_labels

_SOME_MONTH = "2000-01"  # no row is read


def refuse_bad_expressions(view: DataFrame, specs: Mapping[str, ModelSpec], where: str) -> None:
    """ConfigError for everything that is no SQL over the columns of `view` (an empty one will do), all of it told together.

    `where` is the place of the specs, as `conf/models`.
    """
    problems = [f"{where}/{name}.yml: {problem}" for name, spec in specs.items() for problem in _problems(view, spec)]
    if problems:
        raise ConfigError(problems)


def refuse_bad_groups(table: DataFrame, groups: Mapping[str, str], keys: Sequence[str], where: str) -> None:
    """ConfigError for groups that are no SQL over the columns of a table, or made of its keys."""
    problems = [f"{where}: groups.{name}: {told}" for name, told in _refused_groups(table, groups, keys).items()]
    if problems:
        raise ConfigError(problems)


@contextmanager
def failing_groups_named(rows: DataFrame, groups: Mapping[str, str], where: str) -> Iterator[None]:
    """ConfigError where Spark fails within and a group's SQL does so over the rows by itself; only then it reads them, once per group."""
    try:
        yield
    except PySparkException as error:
        failed = {name: _failure(rows, sql) for name, sql in groups.items()}
        problems = [f"{where}: groups.{name}: {told}" for name, told in failed.items() if told]
        if problems:
            raise ConfigError(problems) from error
        raise


def _failure(rows: DataFrame, sql: str) -> str | None:
    try:
        rows.agg(F.max(F.expr(sql).cast("string"))).collect()
    except PySparkException as error:
        return f"fails over the rows ({error.getCondition()}); a text that is no number wants try_cast"  # Spark's own words quote the value
    return None


def _refused_groups(rows: DataFrame, groups: Mapping[str, str], keys: Sequence[str] = ()) -> dict[str, str]:
    analysed = {name: _refusal(partial(rows.selectExpr, sql)) for name, sql in groups.items()}
    return {name: told for name, told in analysed.items() if told} | refused_groups(groups, keys)


def _problems(view: DataFrame, spec: ModelSpec) -> Iterator[str]:
    if told := _refusal(partial(view.where, spec.population)):
        yield f"population: {told}"
    elif spec.label.value and (told := _refusal(partial(build_labels, [spec], view, [_SOME_MONTH]))):
        yield f"label.value: {told}"
    grouped = view.withColumn(SEGMENT_COLUMN, F.lit(None).cast("string"))
    yield from (f"groups.{name}: {told}" for name, told in _refused_groups(grouped, spec.groups).items())
    wrong = {name: _refusal(partial(view.selectExpr, sql)) for name, sql in spec.features.add.items()}
    yield from (f"features.add.{name}: {told}" for name, told in wrong.items() if told)
    if not any(wrong.values()):
        try:
            candidate_features(view, spec.features)
        except ConfigError as error:
            yield from error.problems


def _refusal(frame: Callable[[], DataFrame]) -> str | None:
    try:
        frame().schema  # noqa: B018 - the analysis is the check
    except (AnalysisException, ParseException) as error:
        return one_line(error)
    return None
