"""Opportunity discovery: the needs that matrices tell of a customer, present and latent, with a score and the reason."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.decisions import OutputKind
from crm_spark.decisions.explain import filled
from crm_spark.decisions.table import WHY, Matrix

_NEED = "struct<need:string,kind:string,score:double,goal:string,reason:string,matrix:string,rule:string>"
_MOST = 100.0


def told_needs(hits: Sequence[tuple[Matrix, Column]], schema: T.StructType) -> Column:
    """The needs by matrices and their hits, each once, by the first rule that tells it: array of need, kind, score, goal, reason, matrix, rule.

    A score that is a `{column}` is the customer's value, not below 0 nor above 100; null without one. `schema` has the columns' types.
    """
    each = F.concat(F.array().cast(f"array<{_NEED}>"), *(_of_matrix(matrix, found, schema) for matrix, found in hits))
    names = F.transform(each, lambda one: one["need"])
    return F.filter(each, lambda one, i: F.array_position(names, one["need"]) == i + 1)


def _of_matrix(matrix: Matrix, hits: Column, schema: T.StructType) -> Column:
    types = {column: schema[column].dataType for column in matrix.placeholders}

    def of_hit(hit: Column) -> Column:
        score = filled(_output(hit, matrix, "score"), types).try_cast("double")
        parts = {
            "need": _output(hit, matrix, "need"),
            "kind": _output(hit, matrix, "need_kind"),
            "score": F.when(score.isNotNull(), F.greatest(F.lit(0.0), F.least(F.lit(_MOST), score))),
            "goal": _output(hit, matrix, "goal"),
            "reason": filled(F.try_element_at(hit["outputs"], F.lit(WHY)), types),
            "matrix": F.lit(matrix.name),
            "rule": hit["rule"],
        }
        return F.struct(*(value.alias(name) for name, value in parts.items()))

    return F.transform(hits, of_hit)


def _output(hit: Column, matrix: Matrix, kind: OutputKind) -> Column:
    return F.try_element_at(hit["outputs"], F.lit(matrix.output(kind)))
