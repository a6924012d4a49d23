"""Of each offer what moved the scores that it rests on: those its rule tests, and those that say its chance and its worth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.choosing import Choosing
from crm_spark.config.policies import Policy
from crm_spark.decisions.eligibility import constant_map
from crm_spark.decisions.table import Matrix
from crm_spark.tables.common import KEY
from crm_spark.tables.decision import RECOMMENDATION

SCORE_DRIVERS = "score_drivers"
_OF_A_MODEL = ("_score", "_grade")


def offer_drivers(offers: Column, drivers: Column, matrices: Sequence[Matrix], policies: Mapping[str, Policy], choosing: Choosing | None) -> Column:
    """Policy -> texts as `churn raised by tenure months`, of the `offers` that rest on scores; `drivers` are those of the personal index.

    Without `choosing` only what rules test is known.
    """
    by_rule = constant_map({f"{m.name}.{rule.name}": models for m in matrices for rule in m.rules if (models := _tested(m, rule.tests))}, "array<string>")
    by_policy = constant_map(_by_policy(policies, choosing) if choosing else {}, "array<string>")
    none = F.array().cast("array<string>")

    def of_offer(offer: Column) -> Column:
        rule = F.concat_ws(".", offer["matrix"], offer["rule"])
        found = (F.try_element_at(by_rule, rule), F.try_element_at(by_policy, offer["policy_id"]))
        models = F.array_distinct(F.concat(*(F.coalesce(one, none) for one in found)))
        return F.struct(offer["policy_id"].alias("policy_id"), F.flatten(F.transform(models, of_model)).alias("told"))

    def of_model(model: Column) -> Column:
        told = F.coalesce(F.try_element_at(drivers, model), none)
        return F.transform(told, lambda one: F.concat_ws(" ", F.translate(model, "_", " "), one))

    return F.map_from_entries(F.filter(F.transform(offers, of_offer), lambda one: F.size(one["told"]) > 0))


def offered(recommended: DataFrame) -> DataFrame:
    """What choosing reads of `decision.recommendation`; a version of before drivers were told has none."""
    told = F.col(SCORE_DRIVERS) if SCORE_DRIVERS in recommended.columns else F.lit(None).cast(RECOMMENDATION[SCORE_DRIVERS].type)
    return recommended.select(*KEY, "priority", "offers", told.alias(SCORE_DRIVERS))


def _by_policy(policies: Mapping[str, Policy], choosing: Choosing) -> dict[str, list[str]]:
    """The model of a policy's chance, and those that its goal's margin reads."""
    chances = {p: choosing.propensities.get(p) for p in policies}
    worth = {goal: _read(one.margin_yuan) for goal, one in choosing.worth.items()}
    found = {p: [*filter(None, [chances[p]]), *worth[policy.goal]] for p, policy in policies.items()}
    return {p: models for p, models in found.items() if models}


def _tested(matrix: Matrix, columns: Iterable[str]) -> list[str]:
    """Models whose score or grade the columns are, or are derived from."""
    return _read(" ".join(matrix.derived[c].sql if c in matrix.derived else c for c in columns))


def _read(sql: str) -> list[str]:
    """Models whose score or grade an expression names, in its order. A column of another kind that ends so is no model's: it has no drivers."""
    words = re.findall(r"[A-Za-z_][A-Za-z0-9_]*", sql)
    return list(dict.fromkeys(w.removesuffix(end) for w in words for end in _OF_A_MODEL if w.endswith(end)))
