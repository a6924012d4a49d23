"""The decision input: what matrices may read of a customer, side by side on one row."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.decisions import DecisionSettings, DerivedSpec
from crm_spark.decisions.table import MatrixSet, Skipped, kind_of
from crm_spark.errors import ConfigError, one_line
from crm_spark.frames import with_columns
from crm_spark.tables.common import KEY
from crm_spark.tables.contract import Table
from crm_spark.tables.score import PERSONAL_INDEX

DRIVERS = "drivers"
_OF_INDEX = ("value", "value_grade", "model_versions")


def decision_columns(view: Table, models: Iterable[str], groups: Iterable[str]) -> dict[str, T.DataType]:
    """Every column matrices may read, with its type: the view (an operator's own columns included), value, scores, grades, groups.

    `models` are model names; `groups` the keys of the index's groups map, as customer_group, customer_class, traffic_group.
    """
    of_view = {f.name: f.type for f in view.fields}
    of_value = {name: PERSONAL_INDEX[name].type for name in ("value", "value_grade")}
    scores = {f"{model}_score": T.DoubleType() for model in models}
    grades = {f"{model}_grade": T.StringType() for model in models}
    return {**of_view, **of_value, **scores, **grades, **{group: T.StringType() for group in groups}}


def decision_input(view: DataFrame, index: DataFrame, models: Iterable[str], groups: Iterable[str], matrices: MatrixSet) -> DataFrame:
    """One row per customer of `view`: its columns, value, `<model>_score`, `<model>_grade`, groups, derived columns, model_versions, drivers.

    A customer without an index row has NULL there. `return_rate_3q` means what the settings say.
    """
    scores = {f"{m}_score": F.try_element_at("scores", F.lit(m)) for m in models}
    grades = {f"{m}_grade": F.try_element_at("grades", F.lit(m)) for m in models}
    named = {g: F.try_element_at("groups", F.lit(g)) for g in groups}
    told = F.col(DRIVERS) if DRIVERS in index.columns else F.lit(None).cast(PERSONAL_INDEX[DRIVERS].type)  # an index of before they were told
    pivoted = index.select(*KEY, *_OF_INDEX, told.alias(DRIVERS), *(c.alias(name) for name, c in {**scores, **grades, **named}.items()))
    joined = view.join(pivoted, on=list(KEY), how="left")
    return with_derived(with_columns(joined, _meant(matrices.settings)), matrices)


def with_derived(customers: DataFrame, matrices: MatrixSet) -> DataFrame:
    """`customers` with the matrices' derived columns; ConfigError names each whose SQL does not hold or gives another type."""
    derived = [(matrix.path, name, spec) for matrix in matrices.matrices for name, spec in matrix.derived.items()]
    problems = [f"{path}: derived.{name}: {told}" for path, name, spec in derived if (told := _derived_problem(customers, spec))]
    if problems:
        raise ConfigError(problems)
    return with_columns(customers, {name: F.expr(spec.sql) for _, name, spec in derived})


def usable_matrices(customers: DataFrame, matrices: MatrixSet) -> tuple[MatrixSet, tuple[Skipped, ...]]:
    """The set without the rules that demand a value which none of `customers` (all cities) has, and those rules."""
    return matrices.usable(available_columns(customers, matrices.tested_columns))


def available_columns(customers: DataFrame, columns: Iterable[str]) -> frozenset[str]:
    """Those of `columns` that hold a value for at least one customer; NaN is none. One aggregate."""
    wanted = sorted(columns)
    if not wanted:
        return frozenset()
    types = {f.name: f.dataType for f in customers.schema.fields}
    counts = customers.agg(*(F.count(_value(name, types[name])).alias(name) for name in wanted)).first()
    return frozenset(name for name in wanted if counts and counts[name])


def _derived_problem(customers: DataFrame, spec: DerivedSpec) -> str | None:
    try:
        found = kind_of(customers.select(F.expr(spec.sql)).schema.fields[0].dataType)
    except AnalysisException as error:
        return one_line(error)
    return None if found == spec.type else f"declared {spec.type}, its SQL gives {found or 'another type'}"


def _value(name: str, data_type: T.DataType) -> Column:
    column = F.col(f"`{name}`")
    return F.when(~F.isnan(column), column) if isinstance(data_type, (T.DoubleType, T.FloatType)) else column


def _meant(settings: DecisionSettings) -> dict[str, Column]:
    return {"return_rate_3q": F.col("return_rate_3q_min")} if settings.return_rate_3q == "each" else {}
