"""Matching: every customer finds the rules that fire by one broadcast equality join per matrix (or, where all that fire are listed and no
grid can hold them, by bits alone)."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.decisions.atoms import class_of
from crm_spark.decisions.bitsets import all_rules, first_rule, with_words
from crm_spark.decisions.compile import CompiledMatrix
from crm_spark.decisions.hit_policy import LISTING
from crm_spark.decisions.table import Rule
from crm_spark.tables.decision import HITS


def match(customers: DataFrame, compiled: CompiledMatrix, name: str = "hits") -> DataFrame:
    """`customers` with an array column `name`: the rules of the matrix that fire, in hit-policy order, with their outputs.

    Where none fires it holds the table's default (rule `default`), or is empty. Rows and partitioning stay as they are; a column
    that no rule tests need not be there. NaN counts as NULL.
    """
    default = F.from_json(F.lit(_json(compiled, 0)), HITS)
    if not compiled.masks:
        return _joined(customers.withColumn(_cell(name), cell_number(customers, compiled)), compiled, name, default)
    found, words = with_words(customers, compiled, name)
    if compiled.matrix.hit_policy not in LISTING:
        return _joined(found.withColumn(_cell(name), first_rule(words)), compiled, name, default).drop(*words)
    rules = F.from_json(F.lit(_all_json(compiled)), HITS)
    numbers = found.withColumn(name, all_rules(words)).drop(*words)
    listed = F.transform(name, lambda number: F.get(rules, number))
    return numbers.withColumn(name, F.when(F.size(name) > 0, listed).otherwise(default))


def _joined(customers: DataFrame, compiled: CompiledMatrix, name: str, default: Column) -> DataFrame:
    """The hits of each customer's cell."""
    cells = matrix_cells(compiled, customers).select(F.col("cell").alias(_cell(name)), F.col("hits").alias(name))
    found = customers.join(F.broadcast(cells), on=_cell(name), how="left")
    return found.withColumn(name, F.coalesce(F.col(name), default)).drop(_cell(name))


def _cell(name: str) -> str:
    return f"__cell_{name}"


def cell_number(customers: DataFrame, compiled: CompiledMatrix) -> Column:
    """The cell of the matrix's grid that a customer stands in; never null."""
    types = {field.name: field.dataType for field in customers.schema.fields}
    steps = [class_of(axis, types[axis.column]) * F.lit(stride) for axis, stride in zip(compiled.axes, compiled.strides, strict=True)]
    return sum(steps, F.lit(0)).cast("bigint")


def matrix_cells(compiled: CompiledMatrix, beside: DataFrame) -> DataFrame:
    """One row per non-empty cell of the matrix (of one without a grid: per rule): matrix, matrix_version, cell, hits.

    `beside` only lends its session.
    """
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
    return _as_text(compiled.hits(outcome))


def _all_json(compiled: CompiledMatrix) -> str:
    """Every rule, in the order of their bits."""
    return _as_text(rule for outcome in compiled.outcome_of.tolist() for rule in compiled.hits(outcome))


def _as_text(rules: Iterable[Rule]) -> str:
    return json.dumps([{"rule": r.name, "outputs": dict(r.outputs)} for r in rules], ensure_ascii=False)
