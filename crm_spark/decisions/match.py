"""Matching: every customer finds the rules that fire by one broadcast equality join per matrix."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import cast

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.decisions.compile import Axis, CompiledMatrix, Cut
from crm_spark.decisions.unary import Value
from crm_spark.tables.decision import HITS

_MOST_WHOLE = 2**31  # an INT literal; beyond, a decimal is as exact


def match(customers: DataFrame, compiled: CompiledMatrix, name: str = "hits") -> DataFrame:
    """`customers` with an array column `name`: the rules of the matrix that fire, in hit-policy order, with their outputs.

    Where none fires it holds the table's default (rule `default`), or is empty. Rows and partitioning stay as they are; a column
    that no rule tests need not be there. NaN counts as NULL.
    """
    cell = f"__cell_{name}"
    cells = matrix_cells(compiled, customers).select(F.col("cell").alias(cell), F.col("hits").alias(name))
    found = customers.withColumn(cell, cell_number(customers, compiled)).join(F.broadcast(cells), on=cell, how="left")
    return found.withColumn(name, F.coalesce(F.col(name), F.from_json(F.lit(_json(compiled, 0)), HITS))).drop(cell)


def cell_number(customers: DataFrame, compiled: CompiledMatrix) -> Column:
    """The cell of the matrix's grid that a customer stands in; never null."""
    types = {field.name: field.dataType for field in customers.schema.fields}
    steps = [_class_of(axis, types[axis.column]) * F.lit(stride) for axis, stride in zip(compiled.axes, compiled.strides, strict=True)]
    return sum(steps, F.lit(0)).cast("bigint")


def matrix_cells(compiled: CompiledMatrix, beside: DataFrame) -> DataFrame:
    """One row per non-empty cell of the matrix: matrix, matrix_version, cell, hits. `beside` only lends its session."""
    texts = {outcome: _json(compiled, outcome) for outcome in {*compiled.outcome_of.tolist()}}
    numbered = pd.DataFrame({"cell": compiled.cells, "hits": [texts[o] for o in compiled.outcome_of.tolist()]})
    return beside.sparkSession.createDataFrame(numbered, schema="cell bigint, hits string").select(
        F.lit(compiled.matrix.name).alias("matrix"),
        F.lit(compiled.matrix.version).alias("matrix_version"),
        "cell",
        F.from_json("hits", HITS).alias("hits"),
    )


def _json(compiled: CompiledMatrix, outcome: int) -> str:
    """The hits of an outcome; as text a cell is cheap to ship, and Spark parses it once on the broadcast side."""
    return json.dumps([{"rule": r.name, "outputs": dict(r.outputs)} for r in compiled.hits(outcome)], ensure_ascii=False)


def _class_of(axis: Axis, data_type: T.DataType) -> Column:
    """The class of a value: a balanced tree of comparisons, NULL told first."""
    value = F.col(f"`{axis.column}`")
    is_fraction = isinstance(data_type, (T.DoubleType, T.FloatType))
    is_null = value.isNull() | F.isnan(value) if is_fraction else value.isNull()
    return F.when(is_null, F.lit(axis.null_class)).otherwise(_tree(value, axis.segments, axis.cuts, _literal_maker(data_type)))


def _tree(value: Column, segments: tuple[int, ...], cuts: tuple[Cut, ...], literal: Callable[[Value], Column]) -> Column:
    if not cuts:
        return F.lit(segments[0])
    middle = len(cuts) // 2
    cut = cuts[middle]
    is_left = value <= literal(cut.point) if cut.included else value < literal(cut.point)
    left = _tree(value, segments[: middle + 1], cuts[:middle], literal)
    return F.when(is_left, left).otherwise(_tree(value, segments[middle + 1 :], cuts[middle + 1 :], literal))


def _literal_maker(data_type: T.DataType) -> Callable[[Value], Column]:
    """Doubles are compared as doubles, whole numbers as such where the point is whole, all else as exact decimals."""
    if isinstance(data_type, (T.DoubleType, T.FloatType)):
        return lambda point: F.lit(float(cast(Decimal, point)))
    if isinstance(data_type, T.IntegralType):
        return lambda point: F.lit(_whole(cast(Decimal, point)))
    return F.lit


def _whole(point: Decimal) -> int | Decimal:
    return int(point) if point == point.to_integral_value() and abs(point) < _MOST_WHOLE else point
