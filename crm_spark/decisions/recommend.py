"""One recommendation per customer: matrices matched, candidates judged, the dropped ones told as exclusions, and nothing lost between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.choosing import Choosing
from crm_spark.config.decisions import Condition, OutputKind
from crm_spark.config.policies import Goal, Policy
from crm_spark.decisions.compile import CompiledMatrix
from crm_spark.decisions.eligibility import (
    ELIGIBILITY,
    JUDGED,
    MATRICES,
    OF_MATRICES,
    PolicyTerms,
    Standing,
    constant_map,
    each_policy_once,
    judged,
    only_best,
    policy_terms,
    proposals,
    speaking,
    unmet,
)
from crm_spark.decisions.explain import exactly, reason
from crm_spark.decisions.inputs import DRIVERS
from crm_spark.decisions.match import match
from crm_spark.decisions.opportunity import told_needs
from crm_spark.decisions.outputs import CLOSED, GOALS, PROPOSING
from crm_spark.decisions.score_drivers import SCORE_DRIVERS, offer_drivers
from crm_spark.decisions.table import Matrix
from crm_spark.months import contact_days
from crm_spark.tables.common import KEY
from crm_spark.tables.decision import EXCLUSION, OPPORTUNITY, RECOMMENDATION
from crm_spark.tables.score import PERSONAL_INDEX

EVERY_GOAL: tuple[Goal, ...] = get_args(Goal)
ONE_RULE_SPEAKS: tuple[Goal, ...] = ("retention", "virtual_network")  # the other goals get lists
ONE_OFFER: Goal = "virtual_network"
_OF_CANDIDATE = ("policy_id", "candidate_rank", "matrix", "rule")
Compiled = Sequence[CompiledMatrix]


def decide(
    customers: DataFrame,
    compiled: Compiled,
    policies: Mapping[str, Policy],
    month: str,
    conditions: Sequence[Condition] = (),
    choosing: Choosing | None = None,
) -> DataFrame:
    """One row per customer: priority, tier, judged candidates and offers per goal, offer modes, rules, their values, reasons, needs, score drivers. No shuffle.

    Recommendations, exclusions and opportunities are all made from it: a job that writes them keeps it in between.

    A policy may be offered if it is valid on any day of the month after `month`, in which is contacted, neither it nor its service is held,
    its `conditions` are met, the customer's value tier opens its family, and the goal's retrieval matrix does not say none. By `choosing` the
    scores are known by which an offer will be chosen.
    """
    terms = policy_terms(policies, contact_days(month))
    matrices = [one.matrix for one in compiled]
    told = F.col(DRIVERS) if DRIVERS in customers.columns else F.lit(None).cast(PERSONAL_INDEX[DRIVERS].type)
    matched = customers.withColumns({"unmet": unmet(conditions, policies), DRIVERS: told}).select(*_read_columns(matrices))
    for one in compiled:
        matched = match(matched, one, _hits(one.matrix))
    read = matched.withColumns(
        {
            "priority": _priority(matrices),
            "group": _group(matrices),
            "tier": _first_output(matrices, "tier"),
            "closed": F.split(_first_output(matrices, "families", CLOSED), ","),
            "needs": _needs(matrices, matched),
            "rules": _rules(matrices),
            "reasons": F.array_compact(F.array(*(_reason(matrix, matched) for matrix in _in_telling_order(matrices)))),
            **{f"mode_{goal}": _mode(matrices, goal) for goal in EVERY_GOAL},
            **{f"candidates_{goal}": _proposed(matrices, goal) for goal in EVERY_GOAL},
            "tested": _tested(matrices),
        }
    )
    counted = read.withColumns({"candidates": _counts(), "rule_values": _rule_values(matrices, matched)})
    offered = _offered(counted, terms)
    return offered.withColumn(SCORE_DRIVERS, offer_drivers(F.col("offers"), F.col(DRIVERS), matrices, policies, choosing)).select(
        *KEY, "value_grade", "model_versions", "priority", "tier", "group", "rules", "rule_values", "reasons", "candidates", "offers", "wording", "needs",
        SCORE_DRIVERS,
        *(f"{part}_{goal}" for part in ("mode", "candidates", "offers") for goal in EVERY_GOAL),
    )  # fmt: skip


def recommendations(decided: DataFrame, compiled: Compiled, matrix_set: str) -> DataFrame:
    """`decision.recommendation`: one row per customer, also where nothing matched; `matrix_set` is the version of the whole set."""
    retention = F.col("offers_retention")
    made = {
        "main_policy": F.get(retention, F.lit(0)),
        "policy_group": F.when(F.size(retention) > 0, F.col("group")),
        "group_policies": retention,
        "new_services": F.col("offers_new_service"),
        "traffic_policies": F.col("offers_traffic"),
        "vpn_policy": F.get("offers_virtual_network", F.lit(0)),
        "target_lists": _target_lists(),
        "matrix_set": F.lit(matrix_set),
        "runner_up": _runner_up(),
        "matrix_versions": constant_map({one.matrix.name: one.matrix.version for one in compiled}),
    }
    return decided.withColumns(made).select(*RECOMMENDATION.columns)


def exclusions(decided: DataFrame) -> DataFrame:
    """`decision.exclusion`: one row per customer, goal and policy that was proposed and may not be offered."""
    dropped = decided.select(*KEY, F.inline(F.concat(*(_dropped(goal) for goal in EVERY_GOAL))))
    stage = F.when(F.col("reason").isin(*OF_MATRICES), MATRICES).otherwise(ELIGIBILITY)
    return dropped.withColumn("stage", stage).select(*EXCLUSION.columns)


def opportunities(decided: DataFrame) -> DataFrame:
    """`decision.opportunity`: one row per customer and need."""
    return decided.select(*KEY, F.inline("needs")).select(*OPPORTUNITY.columns)


def unreconciled(recommended: DataFrame, excluded: DataFrame) -> DataFrame:
    """Customers of whom not every candidate was chosen or excluded, with what is missing per goal; none if nothing was lost."""
    chosen = {
        "retention": F.size("group_policies"),
        "new_service": F.size("new_services"),
        "traffic": F.size("traffic_policies"),
        "virtual_network": F.col("vpn_policy").isNotNull().cast("int"),
    }
    open_candidates = [(F.coalesce(F.try_element_at("candidates", F.lit(g)), F.lit(0)) - chosen[g]).alias(g) for g in EVERY_GOAL]
    told = [F.when(F.col("goal") == goal, -1).otherwise(0).alias(goal) for goal in EVERY_GOAL]
    rows = recommended.select(*KEY, *open_candidates).unionByName(excluded.select(*KEY, *told))
    return rows.groupBy(*KEY).agg(*(F.sum(g).alias(g) for g in EVERY_GOAL)).where(" or ".join(f"{g} <> 0" for g in EVERY_GOAL))


def _offered(read: DataFrame, terms: PolicyTerms) -> DataFrame:
    """Each step a projection of its own, so that Spark computes an array once however often it is read."""
    standing = Standing(F.col("bundle_policies"), F.col("services"), F.col("unmet"), F.col("closed"))
    once = {f"candidates_{g}": each_policy_once(F.col(f"candidates_{g}")) for g in EVERY_GOAL}
    judgement = {f"candidates_{g}": judged(F.col(f"candidates_{g}"), terms, standing, F.col(f"mode_{g}")) for g in EVERY_GOAL}
    best = {f"candidates_{ONE_OFFER}": only_best(F.col(f"candidates_{ONE_OFFER}"))}
    offers = {"offers": _offers(), **{f"offers_{g}": _eligible(F.col(f"candidates_{g}")) for g in EVERY_GOAL}}
    wording = F.try_element_at(terms.wordings, F.get("offers", F.lit(0))["policy_id"])
    return read.withColumns(once).withColumns(judgement).withColumns(best).withColumns(offers).withColumn("wording", wording)


def _read_columns(matrices: Sequence[Matrix]) -> list[str]:
    """What is read of a customer; the view is wide, and every step carries its columns along."""
    read = {column for m in matrices for column in (*m.tested_columns, *m.placeholders)}
    return sorted(read | {*KEY, "value_grade", "model_versions", "bundle_policies", "services", "unmet", DRIVERS})


def _eligible(candidates: Column) -> Column:
    return F.transform(F.filter(candidates, lambda c: c["reason"].isNull()), lambda c: c["policy_id"])


def _dropped(goal: Goal) -> Column:
    refused = F.filter(F.col(f"candidates_{goal}"), lambda c: c["reason"].isNotNull())
    return F.transform(refused, lambda c: F.struct(F.lit(goal).alias("goal"), *(c[part].alias(part) for part in JUDGED)))


def _offers() -> Column:
    """All offers, best first: goals by priority, then those that have no place there."""
    by_goal = _map({goal: F.col(f"candidates_{goal}") for goal in EVERY_GOAL})
    first = F.coalesce("priority", F.array().cast("array<string>"))
    order = F.array_distinct(F.concat(first, F.array(*map(F.lit, (*GOALS, ONE_OFFER)))))

    def of_goal(goal: Column, place: Column) -> Column:
        eligible = F.filter(F.try_element_at(by_goal, goal), lambda c: c["reason"].isNull())
        where = (goal.alias("goal"), (place + 1).alias("goal_place"))
        return F.transform(eligible, lambda c: F.struct(*where, *(c[part].alias(part) for part in _OF_CANDIDATE)))

    return F.flatten(F.transform(order, of_goal))


def _runner_up() -> Column:
    best, second = (F.get("offers", F.lit(place)) for place in (0, 1))
    goals = second["goal_place"] - best["goal_place"]
    ranks = F.when(goals == 0, second["candidate_rank"] - best["candidate_rank"])
    told = {"policy_id": second["policy_id"], "goal": second["goal"], "goals_behind": goals, "ranks_behind": ranks}
    return F.when(F.size("offers") > 1, F.struct(*(value.alias(name) for name, value in told.items())))


def _target_lists() -> Column:
    """Offer mode of each goal that has something to offer."""
    modes: dict[str, Column] = {goal: F.when(F.size(f"offers_{goal}") > 0, F.col(f"mode_{goal}")) for goal in EVERY_GOAL}
    return F.map_filter(_map(modes), lambda _, mode: mode.isNotNull())


def _priority(matrices: Sequence[Matrix]) -> Column:
    return F.split(_first_output(matrices, "goals"), " > ")


def _mode(matrices: Sequence[Matrix], goal: Goal) -> Column:
    return _first_output([m for m in matrices if m.goal == goal], "offer_mode")


def _first_output(matrices: Sequence[Matrix], kind: OutputKind, part: str | None = None) -> Column:
    """The output of that kind (or the `part` that was made of it), of the one matrix that has it; null if none has."""
    found = next(((m, column) for m in matrices if (column := m.output(kind))), None)
    return _output(F.get(_hits(found[0]), F.lit(0)), part or found[1]) if found else F.lit(None).cast("string")


def _needs(matrices: Sequence[Matrix], matched: DataFrame) -> Column:
    return told_needs([(m, F.col(_hits(m))) for m in matrices if m.output("need")], matched.schema)


def _proposed(matrices: Sequence[Matrix], goal: Goal) -> Column:
    hits = {m.name: F.col(_hits(m)) for m in _proposing(matrices, goal)}
    return proposals(hits, only_first=goal in ONE_RULE_SPEAKS)


def _group(matrices: Sequence[Matrix]) -> Column:
    """The policy group of the retention rule that speaks."""
    groups = (_outputs_of(speaking(F.col(_hits(m))), m.output("policy_group")) for m in _proposing(matrices, "retention"))
    return F.get(F.concat(F.array().cast("array<string>"), *groups), F.lit(0))


def _outputs_of(hits: Column, column: str | None) -> Column:
    return F.transform(hits, lambda hit: _output(hit, column))


def _proposing(matrices: Sequence[Matrix], goal: Goal) -> list[Matrix]:
    return [m for m in matrices if m.goal == goal and set(PROPOSING) & set(m.outputs.values())]


def _rules(matrices: Sequence[Matrix]) -> Column:
    fired = {m.name: F.transform(_hits(m), lambda hit: hit["rule"]) for m in matrices}
    return F.map_filter(_map(fired), lambda _, rules: F.size(rules) > 0)


def _tested(matrices: Sequence[Matrix]) -> Column:
    """Columns that the rules test that fired."""

    def of(matrix: Matrix) -> Column:
        tests = constant_map({rule.name: ",".join(rule.tests) for rule in matrix.rules})
        return F.flatten(F.transform(_hits(matrix), lambda hit: F.split(F.coalesce(F.try_element_at(tests, hit["rule"]), F.lit("")), ",")))

    return F.concat(*map(of, matrices))


def _rule_values(matrices: Sequence[Matrix], matched: DataFrame) -> Column:
    columns = sorted({column for matrix in matrices for column in matrix.tested_columns})
    values = _map({column: exactly(column, matched.schema[column].dataType) for column in columns}) if columns else constant_map({})
    return F.map_filter(values, lambda column, _: F.array_contains("tested", column))


def _counts() -> Column:
    """How many different policies were proposed, per goal."""
    sizes: dict[str, Column] = {goal: F.size(F.array_distinct(F.transform(f"candidates_{goal}", lambda c: c["policy_id"]))) for goal in EVERY_GOAL}
    return _map(sizes)


def _reason(matrix: Matrix, matched: DataFrame) -> Column:
    return reason(F.col(_hits(matrix)), {column: matched.schema[column].dataType for column in matrix.placeholders})


def _in_telling_order(matrices: Sequence[Matrix]) -> list[Matrix]:
    """The priority first, then what is proposed per goal, then who is matched; needs are told in decision.opportunity."""

    def place(matrix: Matrix) -> tuple[bool, bool, int]:
        return matrix.output("goals") is None, matrix.output("offer_mode") is not None, EVERY_GOAL.index(matrix.goal or "retention")

    return sorted((m for m in matrices if not m.output("need")), key=place)


def _output(hit: Column, column: str | None) -> Column:
    return F.try_element_at(hit["outputs"], F.lit(column)) if column else F.lit(None).cast("string")


def _map(entries: Mapping[str, Column]) -> Column:
    return F.create_map(*(part for key, value in entries.items() for part in (F.lit(key), value)))


def _hits(matrix: Matrix) -> str:
    return f"hits_{matrix.name}"
